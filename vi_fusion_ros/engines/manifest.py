"""The manifest: JSON beside a model that says what it is, and by which it is checked before it is served."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vi_fusion_ros.engines.files import write_atomic
from vi_fusion_ros.types import Mode
from vi_fusion_ros.yaml_files import is_finite_number, read_json, shown

MAX_BYTES = 2**24  # of a manifest; metrics of many datasets make it long
_CHUNK = 2**20

MODES = tuple(mode.name.lower() for mode in Mode)


@dataclass(frozen=True)
class Manifest:
    """What a model is.

    Attributes:
        model_id: name and version, unique.
        onnx_sha256: of the ONNX file, 64 hexadecimal digits.
        labels: classes of presence, in the order of the logits.
        thresholds: for each label the probability from which it counts as present, 0 to 1.
        illumination: illumination classes, in the order of the model's output.
        input: what goes in; ``multiple``: height and width must be multiples of it.
        temperature: for each mode (``both``, ``visible_only``, ``thermal_only``) what the logits are divided by, > 0.
        precision: of the weights, for example ``fp32``.
        backend: made for, for example ``onnxruntime``.
        backend_version: of that backend when it was made.
        gpu: device that it was built for; None: any.
        compute_capability: of that device.
        outputs: names of the outputs.
        training: data, splits, settings, date.
        metrics: measured on held-back data.
    """

    model_id: str
    onnx_sha256: str
    labels: tuple[str, ...]
    thresholds: dict[str, float]
    illumination: tuple[str, ...]
    input: dict[str, Any]
    temperature: dict[str, float]
    precision: str = "fp32"
    backend: str = "onnxruntime"
    backend_version: str = ""
    gpu: str | None = None
    compute_capability: str | None = None
    outputs: tuple[str, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def multiple(self) -> int:
        """Height and width of the inputs must be multiples of this."""
        return int(self.input["multiple"])

    @classmethod
    def load(cls, path: str | Path) -> Manifest:
        """Read a manifest; keys of later versions are ignored.

        Raises:
            ValueError: missing, not JSON, or a field is missing or wrong; one sentence with the path.
        """
        path = Path(path)
        document = read_json(path, "manifest", MAX_BYTES)
        if not isinstance(document, dict):
            raise ValueError(f"manifest {path} is not a JSON object")  # noqa: TRY004 (a user's fault)
        for name, (holds, expected) in _FIELDS.items():
            if name not in document:
                raise ValueError(f"manifest {path}: {name} is missing; expected {expected}")
            if not holds(document[name]):
                raise ValueError(f"manifest {path}: {name} is {shown(document[name])}; expected {expected}")
        manifest = cls(**{name: _frozen(value) for name, value in document.items() if name in cls.__annotations__})
        missing = [label for label in manifest.labels if label not in manifest.thresholds]
        if missing:
            raise ValueError(f"manifest {path}: thresholds has no entry for the label '{missing[0]}'")
        return manifest

    def save(self, path: str | Path) -> None:
        """Write the manifest; a file at ``path`` is replaced only by a whole one."""
        write_atomic(Path(path), (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode())

    def check_onnx(self, path: str | Path) -> None:
        """Check that ``path`` is the ONNX file that this manifest is about.

        Raises:
            ValueError: its sha256 is another.
        """
        digest = sha256(path)
        if digest != self.onnx_sha256:
            raise ValueError(
                f"model {path} is not the one that its manifest describes (sha256 {digest[:12]}..., expected "
                f"{self.onnx_sha256[:12]}...); restore both files from one export"
            )


def sha256(path: str | Path) -> str:
    """The sha256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of(data: bytes) -> str:
    """The sha256 of bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and not set(value) - set("0123456789abcdef")


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _is_thresholds(value: Any) -> bool:
    return isinstance(value, dict) and all(is_finite_number(v) and 0 <= v <= 1 for v in value.values())


def _is_temperature(value: Any) -> bool:
    return isinstance(value, dict) and all(is_finite_number(value.get(mode)) and value[mode] > 0 for mode in MODES)


def _is_input(value: Any) -> bool:
    multiple = value.get("multiple") if isinstance(value, dict) else None
    return isinstance(multiple, int) and not isinstance(multiple, bool) and multiple >= 1


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model_id": (_is_text, "a name"),
    "onnx_sha256": (_is_sha256, "64 hexadecimal digits"),
    "labels": (_is_names, "a list of distinct names"),
    "thresholds": (_is_thresholds, "a probability from 0 to 1 for each label"),
    "illumination": (_is_names, "a list of distinct names"),
    "input": (_is_input, "an object with 'multiple', a whole number of at least 1"),
    "temperature": (_is_temperature, f"a number above 0 for each of {', '.join(MODES)}"),
}
