"""The manifest: JSON beside a model that says what it is, and by which it is checked before it is served."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.engines.calibration import Calibration
from vi_fusion_ros.engines.files import write_atomic
from vi_fusion_ros.types import Mode
from vi_fusion_ros.yaml_files import is_finite_number, read_json, shown

MAX_BYTES = 2**24  # of a manifest; metrics of many datasets make it long
_CHUNK = 2**20

MODES = tuple(mode.name.lower() for mode in Mode)
OBJECT_THRESHOLD = 0.3  # where the manifest names none

Calibrated = dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """What a model is.

    Attributes:
        model_id: name and version, unique.
        onnx_sha256: of the ONNX file, 64 hexadecimal digits.
        labels: classes of presence, in the order of the logits.
        thresholds: for each label the probability from which it counts as present, 0 to 1; or that for each mode.
        illumination: illumination classes, in the order of the model's output.
        input: what goes in; ``multiple``: height and width must be multiples of it.
        temperature: for each mode (``both``, ``visible_only``, ``thermal_only``) what the logits are divided by, > 0:
            one number, or one for each label.
        bias: for each mode and label what is taken off the logit first; what is not named is 0.
        objects: the same three of objects, by label, in ``temperature``, ``bias`` and ``thresholds``; what is not named
            is 1, 0 and 0.3.
        novelty: what ``vi_fusion_ros.novelty`` needs to tell pairs that are unlike the training data; empty: nothing.
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
    thresholds: Calibrated
    illumination: tuple[str, ...]
    input: dict[str, Any]
    temperature: Calibrated
    precision: str = "fp32"
    backend: str = "onnxruntime"
    backend_version: str = ""
    gpu: str | None = None
    compute_capability: str | None = None
    outputs: tuple[str, ...] = ()
    bias: Calibrated = field(default_factory=dict)
    objects: Calibrated = field(default_factory=dict)
    novelty: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def multiple(self) -> int:
        """Height and width of the inputs must be multiples of this."""
        return int(self.input["multiple"])

    def padded(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height of the inputs that an image of this width and height is padded to."""
        return (size[0] + -size[0] % self.multiple, size[1] + -size[1] % self.multiple)

    def calibration(self, mode: Mode) -> Calibration:
        """Of presence, with these cameras."""
        name = mode.name.lower()
        temperature, thresholds, bias = self.temperature[name], self.thresholds, self.bias.get(name, {})
        if _is_by_mode(thresholds):
            thresholds = thresholds[name]
        if not isinstance(temperature, dict):
            temperature = dict.fromkeys(self.labels, temperature)
        return self._by_label((temperature, 1.0), (bias, 0.0), (thresholds, 1.0))

    @property
    def object_calibration(self) -> Calibration:
        """Of objects."""
        temperature, bias, thresholds = (self.objects.get(name, {}) for name in ("temperature", "bias", "thresholds"))
        return self._by_label((temperature, 1.0), (bias, 0.0), (thresholds, OBJECT_THRESHOLD))

    def probabilities(self, logits: npt.NDArray[np.floating], mode: Mode) -> npt.NDArray[np.float64]:
        """Probabilities of presence, (..., C), of logits, (..., C), that came of these cameras."""
        return self.calibration(mode).probabilities(logits)

    def threshold(self, mode: Mode, label: str) -> float:
        """The probability from which a label counts as present with these cameras, 0 to 1."""
        return float(self.calibration(mode).thresholds[self.labels.index(label)])

    def _by_label(self, *given: tuple[dict[str, float], float]) -> Calibration:
        return Calibration(*(np.array([float(named.get(label, d)) for label in self.labels]) for named, d in given))

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
        for name, (holds, expected) in {**_FIELDS, **_OPTIONAL}.items():
            if name not in document and name in _FIELDS:
                raise ValueError(f"manifest {path}: {name} is missing; expected {expected}")
            if name in document and not holds(document[name]):
                raise ValueError(f"manifest {path}: {name} is {shown(document[name])}; expected {expected}")
        manifest = cls(**{name: _frozen(value) for name, value in document.items() if name in cls.__annotations__})
        for where, named, complete in manifest._named():
            missing = [label for label in manifest.labels if label not in named] if complete else []
            if missing:
                raise ValueError(f"manifest {path}: {where} has no entry for the label '{missing[0]}'")
            unknown = [label for label in named if label not in manifest.labels] if not complete else []
            if unknown:
                raise ValueError(
                    f"manifest {path}: {where} names '{unknown[0]}', which is no label; expected "
                    f"{', '.join(manifest.labels)}"
                )
        return manifest

    def _named(self) -> Iterator[tuple[str, dict[str, float], bool]]:
        """Everything that is given by label: where it stands, what it is, and whether every label has to be there."""
        for field_name, by_mode, complete in (
            ("thresholds", self.thresholds if _is_by_mode(self.thresholds) else {"": self.thresholds}, True),
            ("temperature", self.temperature, True),
            ("bias", self.bias, False),
            ("objects", {key: self.objects.get(key, {}) for key in _OBJECT_KEYS}, False),
        ):
            for key, named in by_mode.items():
                if isinstance(named, dict):
                    yield f"{field_name}.{key}".rstrip("."), named, complete

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


def _is_share(value: Any) -> bool:
    return is_finite_number(value) and 0 <= value <= 1


def _is_above_0(value: Any) -> bool:
    return is_finite_number(value) and value > 0


def _are(holds: Callable[[Any], bool], value: Any) -> bool:
    return isinstance(value, dict) and all(map(holds, value.values()))


def _is_by_mode(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(v, dict) for v in value.values())


def _is_thresholds(value: Any) -> bool:
    if _is_by_mode(value):
        return set(value) == set(MODES) and all(_are(_is_share, v) for v in value.values())
    return _are(_is_share, value)


def _is_temperature(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    given = [value.get(mode) for mode in MODES]
    return all(_is_above_0(v) or _are(_is_above_0, v) for v in given)


def _is_bias(value: Any) -> bool:
    return (
        isinstance(value, dict) and set(value) <= set(MODES) and all(_are(is_finite_number, v) for v in value.values())
    )


def _is_objects(value: Any) -> bool:
    return isinstance(value, dict) and all(_are(holds, value.get(key, {})) for key, holds in _OBJECT_KEYS.items())


def _is_matrix(value: Any, rows: int | None = None) -> bool:
    """Rows of finite numbers, all of one length; as many as there are columns, or ``rows`` of them."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(row, list) and all(map(is_finite_number, row)) for row in value)
        and len({len(row) for row in value}) == 1
        and len(value) == (len(value[0]) if rows is None else rows)
    )


def _is_novelty(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    if not value:
        return True
    centres, whitening, agreement = (value.get(name, {}) for name in ("centres", "whitening", "agreement"))
    return (
        _is_matrix(whitening)
        and isinstance(centres, dict)
        and bool(centres)
        and _is_matrix([*centres.values(), whitening[0]], len(centres) + 1)
        and _is_above_0(value.get("distance"))
        and _are(is_finite_number, agreement)
        and {"usual", "least"} <= set(agreement)
        and agreement["usual"] > agreement["least"]
    )


def _is_input(value: Any) -> bool:
    multiple = value.get("multiple") if isinstance(value, dict) else None
    return isinstance(multiple, int) and not isinstance(multiple, bool) and multiple >= 1


_OBJECT_KEYS = {"temperature": _is_above_0, "bias": is_finite_number, "thresholds": _is_share}

_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model_id": (_is_text, "a name"),
    "onnx_sha256": (_is_sha256, "64 hexadecimal digits"),
    "labels": (_is_names, "a list of distinct names"),
    "thresholds": (_is_thresholds, f"a probability from 0 to 1 for each label, or that for each of {', '.join(MODES)}"),
    "illumination": (_is_names, "a list of distinct names"),
    "input": (_is_input, "an object with 'multiple', a whole number of at least 1"),
    "temperature": (_is_temperature, f"a number above 0, or one for each label, for each of {', '.join(MODES)}"),
}

_OPTIONAL: dict[str, tuple[Callable[[Any], bool], str]] = {
    "outputs": (lambda value: value == [] or _is_names(value), "a list of distinct names"),
    "bias": (_is_bias, f"numbers by label for some of {', '.join(MODES)}"),
    "objects": (
        _is_objects,
        "an object with 'temperature' (above 0), 'bias' and 'thresholds' (0 to 1), each with numbers by label",
    ),
    "novelty": (
        _is_novelty,
        "an object with 'centres' by set and 'whitening' of one width, 'distance' above 0 and 'agreement' with 'usual' "
        "above 'least'",
    ),
}
