"""The manifest beside an engine: what it was built from, with and for, and whether it was found to be right."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vi_fusion_ros.engines.files import write_atomic
from vi_fusion_ros.engines.manifest import MAX_BYTES, Manifest, sha256_of
from vi_fusion_ros.yaml_files import read_json, shown

Size = tuple[int, int]


@dataclass(frozen=True)
class Target:
    """The engine that is wanted.

    Attributes:
        onnx: the model, its manifest beside it.
        model: that manifest.
        size: width and height, pixels.
        precision: ``fp32``, ``fp16`` or ``int8``.
        tensorrt: version that is installed.
        gpu: name of the GPU, for people.
        compute_capability: of the GPU.
        dla: core of the Deep Learning Accelerator; None: the GPU.
    """

    onnx: Path
    model: Manifest
    size: Size
    precision: str
    tensorrt: str
    gpu: str
    compute_capability: str
    dla: int | None = None

    @property
    def name(self) -> str:
        """File name of such an engine, without its suffix: another for whatever makes it another engine."""
        capability = self.compute_capability.replace(".", "")
        dla = "" if self.dla is None else f"_dla{self.dla}"
        return (
            f"{self.model.model_id}_{self.model.onnx_sha256[:8]}_{size_text(self.size)}_{self.precision}{dla}"
            f"_sm{capability}_trt{self.tensorrt}"
        )

    def command(self, folder: Path) -> str:
        """The command that builds it into ``folder``."""
        return shlex.join(compile_command(self.onnx, folder, self.precision, self.size, self.dla))


@dataclass(frozen=True)
class EngineManifest:
    """What an engine is.

    Attributes:
        model: the model's manifest, with precision, backend, version, GPU and compute capability of the engine.
        engine_sha256: of the engine file, 64 hexadecimal digits.
        size: width and height of the images, pixels.
        onnx: where the model was when the engine was built.
        folder: where the engine was built to.
        dla: core of the Deep Learning Accelerator; None: the GPU.
        cuda: version of the CUDA runtime.
        verification: how the engine compared with ONNX Runtime, ``verified`` among it.
        options: workspace and the like.
        built: date and time, UTC, ISO 8601.
        seconds: that the build took.
    """

    model: Manifest
    engine_sha256: str
    size: Size
    onnx: str
    folder: str
    dla: int | None = None
    cuda: str = ""
    verification: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    built: str = ""
    seconds: float = 0.0

    @property
    def size_text(self) -> str:
        """For example ``640x480``."""
        return size_text(self.size)

    @property
    def summary(self) -> str:
        """Precision, size and device, for people."""
        dla = "" if self.dla is None else f" DLA {self.dla}"
        return f"{self.model.precision} {self.size_text}{dla}"

    @property
    def command(self) -> str:
        """The command that builds this engine again."""
        return self.command_for(self.size)

    def command_for(self, size: Size) -> str:
        """The command that builds it for another size."""
        return shlex.join(compile_command(Path(self.onnx), Path(self.folder), self.model.precision, size, self.dla))

    @classmethod
    def load(cls, path: Path) -> EngineManifest:
        """Read a manifest.

        Raises:
            ValueError: missing, not JSON, not of an engine, or a field is missing or wrong; one sentence.
        """
        model = Manifest.load(path)
        engine = read_json(path, "manifest", MAX_BYTES).get("engine")
        if not isinstance(engine, dict):
            raise ValueError(f"manifest {path} is of a model, not of an engine: 'engine' is missing")  # noqa: TRY004 (a user's fault)
        for name, (kind, expected) in _FIELDS.items():
            if not isinstance(engine.get(name), kind):
                raise ValueError(f"manifest {path}: engine.{name} is {shown(engine.get(name))}; expected {expected}")  # noqa: TRY004
        size = engine["size"]
        if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
            raise ValueError(f"manifest {path}: engine.size is {shown(size)}; expected width and height in pixels")
        known = {name: value for name, value in engine.items() if name in cls.__annotations__}
        return cls(**{**known, "model": model, "size": (size[0], size[1])})

    def save(self, path: Path) -> None:
        """Write it; a file at ``path`` is replaced only by a whole one."""
        document = asdict(self.model)
        engine = asdict(self)
        del engine["model"]
        document["engine"] = engine
        write_atomic(path, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())

    def check_plan(self, path: Path, plan: bytes) -> None:
        """Check that ``plan`` is the engine that this manifest is about, and that it was verified.

        Raises:
            ValueError: it is not; one sentence with the command that builds it again.
        """
        digest = sha256_of(plan)
        if digest != self.engine_sha256:
            raise ValueError(
                f"engine {path} is truncated or corrupt ({len(plan)} bytes, sha256 {digest[:12]}..., its manifest says "
                f"{self.engine_sha256[:12]}...); build it again: {self.command}"
            )
        if self.verification.get("verified") is not True:
            raise ValueError(f"engine {path} was never verified against ONNX Runtime; build it again: {self.command}")

    def mismatch(self, path: Path, wanted: Target) -> str | None:
        """Why this engine cannot serve what is wanted: one sentence that names both sides, or None."""
        for what, built, needed in (
            ("from a model with sha256", self.model.onnx_sha256[:12], wanted.model.onnx_sha256[:12]),
            ("with TensorRT", self.model.backend_version, wanted.tensorrt),
            ("for compute capability", self.model.compute_capability, wanted.compute_capability),
            ("for images of", self.size_text, size_text(wanted.size)),
            ("with precision", self.model.precision, wanted.precision),
            ("for DLA core", self.dla, wanted.dla),
        ):
            if built != needed:
                return (
                    f"engine {path} was built {what} {built}, but {needed} is wanted here; build one: "
                    f"{wanted.command(path.parent)}"
                )
        return None


def engine_model(model: Manifest, target: Target) -> Manifest:
    """The model's manifest as the engine's has it."""
    width, height = target.size
    shapes = {"visible": [1, 3, height, width], "thermal": [1, 1, height, width]}
    inputs = {
        **model.input,
        **{
            name: {**model.input.get(name, {}), "name": name, "shape": shape, "range": [0, 255], "dtype": "uint8"}
            for name, shape in shapes.items()
        },
    }
    return replace(
        model,
        input=inputs,
        precision=target.precision,
        backend="tensorrt",
        backend_version=target.tensorrt,
        gpu=target.gpu,
        compute_capability=target.compute_capability,
    )


def size_text(size: Size) -> str:
    """For example ``640x480``."""
    return f"{size[0]}x{size[1]}"


def compile_command(onnx: Path, folder: Path, precision: str, size: Size, dla: int | None) -> list[str]:
    """``vi-fusion compile`` with what makes this engine, word by word."""
    words = ["vi-fusion", "compile", str(onnx), "-o", str(folder), "--precision", precision, "--size", size_text(size)]
    return [*words, *([] if dla is None else ["--dla", str(dla)])]


_FIELDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "engine_sha256": (str, "64 hexadecimal digits"),
    "size": (list, "width and height in pixels"),
    "onnx": (str, "the path of the model"),
    "folder": (str, "the folder that it was built to"),
    "dla": ((int, type(None)), "a core's number or null"),
    "verification": (dict, "an object with 'verified'"),
}
