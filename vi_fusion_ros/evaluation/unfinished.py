"""What an evaluation that was killed has computed, kept in a folder beside its JSON until it ends."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import vi_fusion_ros
from vi_fusion_ros.evaluation.kept_values import KeptValues
from vi_fusion_ros.evaluation.output import write_text

_IDENTITY, _LOCK = "identity", "lock"


class Unfinished:
    """The folder ``.NAME.part`` beside the JSON that an evaluation is to write. It is made when it is first needed.

    Args:
        result: the JSON.
        identity: of everything that the values depend on. What was kept under another one is thrown away.
        say: is told how much was there already, one sentence.
    """

    def __init__(self, result: Path, identity: str, say: Callable[[str], None]) -> None:
        self._result, self._identity, self.say = result, identity, say
        self._folder = result.with_name(f".{result.name}.part")
        self._lock: int | None = None
        self._opened = 0

    def folder(self, name: str) -> Path:
        """A folder of its own for a part of the work.

        Raises:
            ValueError: another process evaluates into the same JSON.
        """
        self._open()
        (self._folder / name).mkdir(exist_ok=True)
        return self._folder / name

    def next_values(self, title: str) -> KeptValues:
        """The values of the next piece of work; the pieces come in the same order each time.

        Raises:
            ValueError: as ``folder``.
        """
        self._open()
        self._opened += 1
        return KeptValues(self._folder / f"{self._opened:03d}_{hashlib.sha256(title.encode()).hexdigest()[:8]}")

    def remove(self) -> None:
        """Take the folder away."""
        if self._lock is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Let others have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _open(self) -> None:
        if self._lock is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._folder / _LOCK, os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, however that ends
        except OSError as error:
            os.close(lock)
            raise ValueError(
                f"{self._result}: another process is evaluating into it; expected --json with another file"
            ) from error
        self._lock = lock
        identity = self._folder / _IDENTITY
        if identity.is_file() and identity.read_text(encoding="utf-8") == self._identity:
            return
        for entry in self._folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != _LOCK:
                entry.unlink()
        write_text(identity, self._identity)


_CURRENT: ContextVar[Unfinished | None] = ContextVar("unfinished", default=None)


def current() -> Unfinished | None:
    """What this evaluation may keep values in; None: nowhere."""
    return _CURRENT.get()


@contextlib.contextmanager
def kept_in(unfinished: Unfinished | None) -> Iterator[None]:
    """Have evaluations within the block keep what they compute.

    The folder is taken away when the block ends or refuses its input (``ValueError``); anything else leaves it, for the
    next call to go on.
    """
    token = _CURRENT.set(unfinished)
    try:
        yield
    except ValueError:
        if unfinished is not None:
            unfinished.remove()
        raise
    else:
        if unfinished is not None:
            unfinished.remove()
    finally:
        _CURRENT.reset(token)
        if unfinished is not None:
            unfinished.close()


def identity_of(options: Mapping[str, Any], model: Path, outputs: Iterable[Path]) -> str:
    """A digest of what values depend on: options, the files they name, the model, and the code of this package.

    Data files count by path, size and times: to read them all would take as long as some evaluations do.

    Args:
        options: of the command that values depend on; paths may stand anywhere in them, also in texts ``NAME=PATH``.
        model: the ONNX file; with its manifest, by content.
        outputs: files and folders that the command itself writes; they do not count.
    """
    digest = hashlib.sha256()
    for path in (model, model.with_suffix(".json"), *sorted(Path(vi_fusion_ros.__file__).parent.rglob("*.py"))):
        digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    written = {path.resolve() for path in outputs}
    for name, value in sorted(options.items()):
        digest.update(f"{name}={value!r}\n".encode())
        for path in _paths(value):
            digest.update(f"{path.resolve()}\n".encode())
            for file in _files(path, written):
                stat = file.stat()
                digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}\n".encode())
    return digest.hexdigest()


def _paths(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, str):
        yield from (Path(text) for text in dict.fromkeys((value, value.partition("=")[2])) if text)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _paths(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths(item)


def _files(path: Path, written: set[Path]) -> Iterator[Path]:
    """The files under a path in a fixed order, without hidden ones and without ``written``; each folder once."""
    if path.resolve() in written:
        return
    if path.is_file():
        yield path
        return
    seen: set[Path] = set()
    for root, folders, files in os.walk(path, followlinks=True):
        seen.add(Path(root).resolve())
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and (Path(root) / name).resolve() not in seen | written
        )
        for name in sorted(files):
            file = Path(root) / name
            if not name.startswith(".") and file.resolve() not in written and file.exists():
                yield file
