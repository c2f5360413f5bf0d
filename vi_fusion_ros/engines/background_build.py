"""Getting a better engine in the background: found in the cache, else built by a process, then loaded."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from vi_fusion_ros.engines.compile.build_process import BuildFailedError, BuildProcess
from vi_fusion_ros.engines.engine import Engine
from vi_fusion_ros.engines.engine_cache import Found
from vi_fusion_ros.errors import sentence


class Phase(enum.Enum):
    """How far a build is. One way: SEARCHING, perhaps BUILDING, LOADING, then READY or FAILED."""

    SEARCHING = "searching"
    BUILDING = "building"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class Supplier(Protocol):
    """Where an engine of one kind and size comes from."""

    @property
    def name(self) -> str:
        """What is being got, for people."""
        ...

    def find(self) -> Found:
        """The engine in the cache, or why there is none."""
        ...

    def build(self) -> BuildProcess | None:
        """Start a builder; None where building is not allowed."""
        ...

    def load(self, path: Path | None) -> Engine:
        """Load the engine: from the cache, or, for None, what the builder has made.

        Raises:
            ValueError: it cannot be used; one sentence.
        """
        ...


class BackgroundBuild:
    """One attempt, on a thread of its own.

    Args:
        supplier: of the engine.
        on_change: called on that thread, with a sentence, when building starts and when it all has ended.
    """

    def __init__(self, supplier: Supplier, on_change: Callable[[str], object] = lambda _sentence: None) -> None:
        self._supplier, self._on_change = supplier, on_change
        self._process: BuildProcess | None = None
        self._closing = threading.Event()
        self._started = time.monotonic()
        self.phase = Phase.SEARCHING
        self.reason = ""
        self.engine: Engine | None = None
        self._thread = threading.Thread(target=self._run, name="engine_build", daemon=True)
        self._thread.start()

    def status(self) -> str:
        """The phase in words, with the time it has taken."""
        elapsed = f"{time.monotonic() - self._started:.0f} s"
        if self.phase is Phase.FAILED:
            return f"{self._supplier.name} cannot be had: {self.reason}"
        if self.phase is Phase.BUILDING and self._process is not None:
            progress = f", {self._process.progress}" if self._process.progress else ""
            return f"building {self._supplier.name} for {elapsed}{progress}"
        return f"{self.phase.value} {self._supplier.name} for {elapsed}"

    def close(self) -> None:
        """Stop whatever goes on; free the engine unless it was taken."""
        self._closing.set()
        if self._process is not None:
            self._process.stop()
        self._thread.join()
        engine, self.engine = self.engine, None
        if engine is not None:
            engine.close()

    def take(self) -> Engine:
        """The engine, in phase READY, once; from now on the caller closes it."""
        engine, self.engine = self.engine, None
        assert engine is not None
        return engine

    def _run(self) -> None:
        try:
            found = self._supplier.find()
            if found.path is None:
                self._build(found.reason)
            if self._closing.is_set():  # loading takes long, and nobody waits for it any more
                return
            self.phase = Phase.LOADING
            engine = self._supplier.load(found.path)
        except BuildFailedError as error:  # its text is a sentence
            self._fail(str(error))
        except Exception as error:  # a thread that dies would leave the status at "building" for ever
            self._fail(sentence(error))
        else:
            self.engine = engine
            self.phase = Phase.READY

    def _build(self, reason: str) -> None:
        process = self._supplier.build()
        if process is None:
            raise ValueError(f"{reason}; building one here is switched off")
        self._process = process
        self.phase = Phase.BUILDING
        self._on_change(f"building {self._supplier.name} in the background: {reason}")
        if self._closing.is_set():  # asked to stop while the process was being started
            process.stop()
        process.wait()

    def _fail(self, reason: str) -> None:
        self.reason = reason
        self.phase = Phase.FAILED
        if not self._closing.is_set():
            self._on_change(self.status())


__all__ = ["BackgroundBuild", "BuildFailedError", "Phase", "Supplier"]
