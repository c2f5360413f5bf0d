"""An engine that serves at once and gets faster: ONNX Runtime first, TensorRT for each size as soon as it is there."""

from __future__ import annotations

import threading
from collections.abc import Callable

from vi_fusion_ros.engines.background_build import Phase, Supplier, Upgrade
from vi_fusion_ros.engines.compile.verify import verify
from vi_fusion_ros.engines.engine import Engine, EngineOutput, Plane, to_bytes
from vi_fusion_ros.engines.manifest import Manifest

Size = tuple[int, int]

_STEADY = 10
"""Images of one size in a row before an engine is got for it: one odd image starts no build."""

_MOST_SIZES = 4


class SwitchingEngine:
    """Serves with ``first`` and changes over to a better engine between two inferences. See ``Engine``.

    A better engine is got for each size that is really used.

    The first image that a new engine sees is run through both. The result is ``first``'s, and the new engine serves
    from the next image on if they agree.

    Args:
        first: serves until then, and whatever the better ones do not take.
        supplier: of the better engine, by width and height; raises ValueError where there can be none.
        log: takes a sentence for each change.
        why: why a better engine is looked for, one phrase.
    """

    def __init__(
        self,
        first: Engine,
        supplier: Callable[[Size], Supplier],
        log: Callable[[str], None] = lambda _sentence: None,
        why: str = "",
    ) -> None:
        self._first, self._supplier, self._log, self._why = first, supplier, log, why
        self._upgrades: dict[Size, Upgrade] = {}
        self._better: dict[Size, Engine] = {}
        self._serving = first
        self._checking: Upgrade | None = None
        self._last: tuple[Size | None, int] = (None, 0)
        self._lock = threading.Lock()  # status is read on another thread than inference runs on

    @property
    def manifest(self) -> Manifest:
        """See ``Engine``."""
        return self._first.manifest

    @property
    def description(self) -> str:
        """See ``Engine``: of what serves now."""
        return self._serving.description

    @property
    def reason(self) -> str:
        """See ``Engine``: why this one serves, and what goes on in the background."""
        upgrade = self._current()
        if self._serving is not self._first:
            return self._serving.reason
        if upgrade is None:
            return f"{self._why}; {self._first.reason} until the images' size is known"
        return f"{upgrade.status()}; {self._first.reason} serves"

    @property
    def state(self) -> str:
        """See ``Engine``."""
        upgrade = self._current()
        if self._serving is not self._first or upgrade is None:
            return "ready"
        return "fallback" if upgrade.phase is Phase.FAILED else "building"

    def buffers(self, height: int, width: int) -> tuple[Plane, Plane]:
        """See ``Engine.buffers``. Here it is decided which engine takes the next image."""
        size = (width, height)
        serving = self._better.get(size)
        self._checking = None
        if serving is None:
            self._follow(size)
            serving = self._first
        if serving is not self._serving:
            self._serving = serving
            self._log(f"engine: {serving.description} serves {width}x{height} from here on")
        return serving.buffers(height, width)

    def infer(self, visible: Plane, thermal: Plane) -> EngineOutput:
        """See ``Engine.infer``."""
        height, width = visible.shape[2:]
        if self._checking is not None:
            self._check(self._checking, visible, thermal)
            self._checking = None
        elif self._serving is not self._first and self._better.get((width, height)) is not self._serving:
            return self._first.infer(visible, thermal)  # called without ``buffers``
        return self._serving.infer(visible, thermal)

    def close(self) -> None:
        """See ``Engine.close``: stops builders, too."""
        with self._lock:
            upgrades, self._upgrades = list(self._upgrades.values()), {}
        for upgrade in upgrades:
            upgrade.close()
        for engine in (*self._better.values(), self._first):
            engine.close()
        self._better = {}
        self._serving = self._first

    def _current(self) -> Upgrade | None:
        with self._lock:
            size = self._last[0]
            return None if size is None else self._upgrades.get(size)

    def _follow(self, size: Size) -> None:
        """Count images of a size that has no better engine; ask for one, or look whether it has come."""
        last, count = self._last
        with self._lock:
            self._last = (size, count + 1 if size == last else 1)
            upgrade = self._upgrades.get(size)
        if upgrade is None:
            if self._last[1] >= _STEADY and len(self._upgrades) < _MOST_SIZES:
                self._ask(size)
        elif upgrade.phase is Phase.READY:
            self._checking = upgrade

    def _ask(self, size: Size) -> None:
        upgrade = Upgrade(self._supplier(size), self._log)
        with self._lock:
            self._upgrades[size] = upgrade

    def _check(self, upgrade: Upgrade, visible: Plane, thermal: Plane) -> None:
        engine = upgrade.take()
        try:
            pair = (to_bytes(visible), to_bytes(thermal))
            result = verify(engine, self._first, [pair], [], engine.manifest.precision)
            reason = result.reason
        except (ValueError, RuntimeError) as error:
            reason = str(error)
        if reason:
            engine.close()
            upgrade.refuse(f"it disagrees with ONNX Runtime on this camera's image: {reason}")
            return
        self._better[visible.shape[3], visible.shape[2]] = engine
