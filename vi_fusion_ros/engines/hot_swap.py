"""An engine that serves at once and gets faster: ONNX Runtime first, TensorRT for each size as soon as it is there."""

from __future__ import annotations

import threading
from collections.abc import Callable

from vi_fusion_ros.engines.background_build import BackgroundBuild, Phase, Supplier
from vi_fusion_ros.engines.compile.verify import verify
from vi_fusion_ros.engines.engine import Engine, EngineOutput, Plane, to_bytes
from vi_fusion_ros.engines.manifest import Manifest
from vi_fusion_ros.errors import sentence

Size = tuple[int, int]

Say = Callable[[str], object]

_STEADY = 10
"""Images of one size in a row before an engine is got for it: one odd image starts no build."""

_MOST_SIZES = 4


def _nothing(_sentence: str) -> None:
    pass


class HotSwapEngine:
    """Serves with ``first`` and changes over to a better engine between two inferences. See ``Engine``.

    A better engine is got for each size that is really used.

    The first image that a new engine sees is run through both. The result is ``first``'s, and the new engine serves
    from the next image on if they agree.

    Whatever a better engine raises, then or later, and scores that are not finite where ``first``'s are, end its use:
    ``first`` computes the same image and serves that size from then on.

    Args:
        first: serves until then, and whatever the better ones do not take.
        supplier: of the better engine, by width and height; raises where there can be none.
        log: takes a sentence for each change.
        why: why a better engine is looked for, one phrase.
        on_failure: takes a sentence when an engine that served, or was about to, has failed; called by ``buffers`` and
            ``infer``.
    """

    def __init__(
        self,
        first: Engine,
        supplier: Callable[[Size], Supplier],
        log: Say = _nothing,
        why: str = "",
        on_failure: Say = _nothing,
    ) -> None:
        self._first, self._supplier, self._log, self._why = first, supplier, log, why
        self._on_failure = on_failure
        self._builds: dict[Size, BackgroundBuild] = {}
        self._better: dict[Size, Engine] = {}
        self._refused: dict[Size, str] = {}  # a sentence for each size that will get no better engine
        self._serving = first
        self._checking: BackgroundBuild | None = None
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
        serving = self._serving
        if serving is not self._first:
            return serving.reason
        build, refusal = self._current()
        if refusal:
            return f"{refusal}; {self._first.reason} serves"
        if build is None:
            return f"{self._why}; {self._first.reason} until the images' size is known"
        return f"{build.status()}; {self._first.reason} serves"

    @property
    def state(self) -> str:
        """See ``Engine``."""
        build, refusal = self._current()
        if self._serving is not self._first:
            return "ready"
        if refusal or (build is not None and build.phase is Phase.FAILED):
            return "fallback"
        return "ready" if build is None else "building"

    def buffers(self, height: int, width: int) -> tuple[Plane, Plane]:
        """See ``Engine.buffers``. Here it is decided which engine takes the next image."""
        size = (width, height)
        self._checking = None
        better = self._better.get(size)
        if better is not None:
            try:
                buffers = better.buffers(height, width)
            except Exception as error:
                self._demote(size, sentence(error))
            else:
                self._serve(better, size)
                return buffers
        self._follow(size)
        self._serve(self._first, size)
        return self._first.buffers(height, width)

    def infer(self, visible: Plane, thermal: Plane) -> EngineOutput:
        """See ``Engine.infer``."""
        height, width = visible.shape[2:]
        size = (width, height)
        if self._serving is not self._first and self._better.get(size) is self._serving:
            return self._infer_better(self._serving, size, visible, thermal)
        output = self._first.infer(visible, thermal)
        if self._checking is not None:
            self._check(self._checking, size, visible, thermal)
            self._checking = None
        return output

    def close(self) -> None:
        """See ``Engine.close``: stops builders, too."""
        with self._lock:
            builds, self._builds = list(self._builds.values()), {}
            self._refused = {}
        for build in builds:
            build.close()
        better, self._better = list(self._better.values()), {}
        self._serving = self._first
        for engine in better:
            self._close(engine)
        self._first.close()

    def _serve(self, engine: Engine, size: Size) -> None:
        if engine is not self._serving:
            self._serving = engine
            self._log(f"engine: {engine.description} serves {size[0]}x{size[1]} from here on")

    def _infer_better(self, better: Engine, size: Size, visible: Plane, thermal: Plane) -> EngineOutput:
        try:
            output = better.infer(visible, thermal)
            reason = "" if output.finite else "its scores are not finite"
        except Exception as error:  # a driver, a library or memory: no kind is known to be harmless
            reason = sentence(error)
        if not reason:
            return output
        # The planes may be memory of the engine that has failed: it is freed after they have been read.
        instead = self._first.infer(visible, thermal)
        if instead.finite:
            self._demote(size, reason)
        return instead

    def _demote(self, size: Size, reason: str) -> None:
        """Serve a size with ``first`` again, for good."""
        engine = self._better.pop(size)
        self._serving = self._first
        self._refuse(size, f"{engine.description} failed while it served {size[0]}x{size[1]}: {reason}")
        self._close(engine)

    def _refuse(self, size: Size, why: str) -> None:
        with self._lock:
            self._refused[size] = why
            self._last = (size, self._last[1])
        self._on_failure(f"engine: {why}; {self._first.description} goes on")

    def _close(self, engine: Engine) -> None:
        try:
            engine.close()
        except Exception as error:  # what has failed may fail at this too
            self._log(f"engine: {engine.description} could not be freed: {sentence(error)}")

    def _current(self) -> tuple[BackgroundBuild | None, str]:
        """How the better engine for the latest size is got, and why there will be none."""
        with self._lock:
            size = self._last[0]
            return (None, "") if size is None else (self._builds.get(size), self._refused.get(size, ""))

    def _follow(self, size: Size) -> None:
        """Count images of a size that has no better engine; ask for one, or look whether it has come."""
        with self._lock:
            last, count = self._last
            self._last = (size, count + 1 if size == last else 1)
            build = self._builds.get(size)
        if size in self._refused:
            return
        if build is None:
            if self._last[1] >= _STEADY and len(self._builds) < _MOST_SIZES:
                self._ask(size)
        elif build.phase is Phase.READY:
            self._checking = build

    def _ask(self, size: Size) -> None:
        try:
            build = BackgroundBuild(self._supplier(size), self._log)
        except Exception as error:  # to ask again for every image would fail every image
            self._refuse(size, f"no better engine can be got for {size[0]}x{size[1]}: {sentence(error)}")
            return
        with self._lock:
            self._builds[size] = build

    def _check(self, build: BackgroundBuild, size: Size, visible: Plane, thermal: Plane) -> None:
        engine = build.take()
        try:
            pair = (to_bytes(visible), to_bytes(thermal))
            reason = verify(engine, self._first, [pair], [], engine.manifest.precision).reason
            if reason:
                reason = f"it disagrees with ONNX Runtime on this camera's image: {reason}"
        except Exception as error:
            reason = f"it failed on this camera's first image: {sentence(error)}"
        if reason:
            self._refuse(size, f"{engine.description} is not used for {size[0]}x{size[1]}: {reason}")
            self._close(engine)
        else:
            self._better[size] = engine
