"""Random and mutated input for every parser: no crash, no hang, no memory blow-up; taken, or refused in one sentence.

``VI_FUSION_FUZZ=10000 scripts/test test/fuzz`` tries that many inputs a parser; the usual run, a few hundred.
``VI_FUSION_FUZZ_JSON=FILE`` names a file that takes what came of them.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
pytest.importorskip("tiny_model", reason="the package onnx is not installed")

from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

CASES = int(os.environ.get("VI_FUSION_FUZZ", "0"))
REPORT = os.environ.get("VI_FUSION_FUZZ_JSON", "")
USUAL = {
    "image": 600, "compressed": 600, "depth": 400, "zstd": 300, "wire": 600, "compressed_wire": 300, "rig": 400,
    "manifest": 400, "onnx": 150, "mcap": 100, "sqlite": 100,
}  # fmt: skip
HANG_S = 60.0
BLOW_UP_MB = 600.0
ONE_RUN = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck), print_blob=False
)


class Child:
    """A parser in a process of its own; started again where an input ended it.

    Args:
        name: of the parser.
        folder: for its files.
        guarded: the parser that has to refuse what ends this one; None: nothing may end it.
    """

    def __init__(self, name: str, folder: Path, guarded: str | None = None) -> None:
        self._name, self._folder, self._guarded = name, folder, guarded
        self._peak_mb = 0.0
        self._outcomes: Counter[str] = Counter()
        self._start()

    @property
    def seen(self) -> dict[str, float]:
        """What came of the inputs so far; memory is resident, in MB."""
        return {
            "inputs": self._outcomes.total(),
            **{name: self._outcomes[name] for name in ("taken", "refused")},
            "ended_a_process_and_were_refused_when_guarded": self._outcomes["guarded"],
            "idle_mb": round(self._idle_mb),
            "peak_mb": round(self._peak_mb),
        }

    def try_input(self, data: bytes) -> str:
        """Have ``data`` parsed; fail where it must not end like that. Returns ``taken`` or ``refused``."""
        self._process.stdin.write(struct.pack("<I", len(data)) + data)
        self._process.stdin.flush()
        answer = self._answer()
        outcome, peak_mb = answer or ("crashed or hung", 0.0)
        if peak_mb > self._idle_mb + BLOW_UP_MB:
            outcome = f"took {peak_mb:.0f} MB"
        if outcome not in ("taken", "refused"):
            self.stop()  # a peak of memory would be held against the next input too
            self._start()
            (self._folder / "input").write_bytes(data)
            if self._guarded and self._refused_when_guarded(data):
                self._outcomes["guarded"] += 1
                return "refused"
            pytest.fail(f"{self._name}, {len(data)} bytes ({self._folder / 'input'}): {outcome}\n{data[:300]!r}")
        self._outcomes[outcome] += 1
        self._peak_mb = max(self._peak_mb, peak_mb)
        return outcome

    def _refused_when_guarded(self, data: bytes) -> bool:
        child = Child(self._guarded, self._folder)
        try:
            return child.try_input(data) == "refused"
        finally:
            child.stop()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        source = Path(__file__).resolve()
        support = str(source.parents[1] / "support")
        self._process = subprocess.Popen(
            [sys.executable, str(source.with_name("parsers.py")), self._name, str(self._folder)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([support, os.environ.get("PYTHONPATH", "")])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        ready = self._answer()
        assert ready is not None, f"{self._name} does not start"
        self._idle_mb = ready[1]

    def _answer(self) -> tuple[str, float] | None:
        readable, _, _ = select.select([self._process.stdout], [], [], HANG_S)
        line = self._process.stdout.readline() if readable else b""
        return tuple(json.loads(line)) if line else None


@st.composite
def mutated(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """A sample with some damage, or, rarely, nothing but noise."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(["set", "flip", "word", "cut", "insert", "repeat", "remove"]))
        if kind == "set" and data:
            data[at] = draw(st.integers(0, 255))
        elif kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "word":
            word = draw(st.sampled_from([0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 24]))
            data[at : at + 4] = struct.pack(draw(st.sampled_from("<>")) + "I", word)
        elif kind == "cut":
            del data[at:]
        elif kind == "insert":
            data[at:at] = draw(st.binary(max_size=16))
        elif kind == "repeat":
            data[at:at] = data[at : at + draw(st.integers(1, 64))] * draw(st.integers(1, 8))
        else:
            del data[at : at + draw(st.integers(1, 64))]
    return bytes(data)


def documents(sample: dict, dump) -> st.SearchStrategy[bytes]:
    """The sample with some values replaced by others of any kind."""
    scalar = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
        st.sampled_from([10**400, -(10**19), 1e308, float("nan"), "identity", "", 0, -1]),
    )  # fmt: skip
    value = st.recursive(
        scalar,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=12,
    )
    keys = st.sampled_from([*sample, "unknown"])
    return st.dictionaries(keys, value, min_size=1, max_size=3).map(lambda changes: dump({**sample, **changes}))


def run(name: str, strategy: st.SearchStrategy[bytes], folder: Path, guarded: str | None = None) -> None:
    child = Child(name, folder, guarded)

    @settings(ONE_RUN, max_examples=CASES or USUAL[name])
    @given(strategy)
    def case(data: bytes) -> None:
        child.try_input(data)

    try:
        case()
    finally:
        child.stop()
    if REPORT:
        report = Path(REPORT)
        known = json.loads(report.read_text()) if report.exists() else {}
        report.write_text(json.dumps({**known, name: child.seen}, indent=2) + "\n")


def encoded() -> list[bytes]:
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    color, deep = cv2.merge([grey] * 3), grey.astype(np.uint16) * 1000
    flat = np.zeros((40, 60), np.uint8)
    pictures = [(".png", grey), (".png", color), (".png", deep), (".jpg", grey), (".jpg", color), (".png", flat),
                (".jpg", flat), (".tiff", grey), (".tiff", deep.astype(np.float32)), (".tiff", color),
                (".webp", color)]  # fmt: skip
    return [cv2.imencode(suffix, picture)[1].tobytes() for suffix, picture in pictures]


@st.composite
def raw_images(draw: st.DrawFn) -> bytes:
    """A whole image with some of its fields replaced, or with none."""
    from parsers import pack_image

    from vi_fusion_ros.images.encodings import ENCODINGS

    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    encoding = draw(st.sampled_from(sorted(ENCODINGS)))
    step = width * ENCODINGS[encoding].bytes_per_pixel + draw(st.sampled_from([0, 0, 1, 8]))
    pixels = draw(st.binary(min_size=1, max_size=64)) * (ENCODINGS[encoding].rows(height) * step)
    fields = {"height": height, "width": width, "step": step, "big": 0, "encoding": encoding}
    number = st.one_of(st.integers(0, 64), st.sampled_from([2**16, 2**31, 2**32 - 1]))
    wrong = {
        "height": number, "width": number, "step": number, "big": st.integers(0, 255),
        "encoding": st.sampled_from([*ENCODINGS, ""]) | st.text("a8C\0", max_size=9),
        "cut": st.integers(0, height * step),
    }  # fmt: skip
    chosen = draw(st.sets(st.sampled_from(sorted(wrong)), max_size=3))
    changes = {name: draw(wrong[name]) for name in sorted(chosen)}
    length = changes.pop("cut", len(pixels))
    return pack_image(**{**fields, **changes}, pixels=pixels[:length])


def test_raw_images(tmp_path):
    run("image", raw_images(), tmp_path)


def test_compressed_images(tmp_path):
    run("compressed", mutated(encoded()), tmp_path)


def test_compressed_depth(tmp_path):
    from encoded_images import DEPTH_HEADER, rvl

    image = np.arange(48, dtype=np.uint16).reshape(6, 8) * 900
    image[2, 3:6] = 0
    streams = (struct.pack("<ii", 8, 6) + rvl(image), cv2.imencode(".png", image)[1].tobytes())
    samples = [bytes([n]) + DEPTH_HEADER + stream for n, stream in zip((0, 1, 2, 3), streams * 2, strict=True)]
    run("depth", mutated(samples), tmp_path)


def test_images_of_the_zstd_transport(tmp_path):
    from encoded_images import thermal_zstd, visible_zstd

    small = [case.message.data for case in (*itertools.islice(visible_zstd(), 3), *itertools.islice(thermal_zstd(), 3))]
    run("zstd", mutated(small), tmp_path)


def test_serialised_images(tmp_path):
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    from vi_fusion_ros.images.wire_format import image_bytes

    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    images = [grey, cv2.merge([grey] * 3), grey.astype(np.uint16), grey.astype(np.float32)]
    samples = [image_bytes((1, 2), "camera", image) for image in images]
    other = [sample.replace(b"mono8\0", b"uyvy\0\0") for sample in samples[:1]]
    run("wire", mutated([*samples, *other]), tmp_path)


def test_serialised_compressed_images(tmp_path):
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    from rclpy.serialization import serialize_message
    from sensor_msgs.msg import CompressedImage

    samples = [serialize_message(CompressedImage(format="png", data=list(data))) for data in encoded()]
    run("compressed_wire", mutated(samples), tmp_path)


def test_rig_files(tmp_path, repo_root):
    text = (repo_root / "config" / "rigs" / "example.yaml").read_text()
    camera = {"matrix": [[500.0, 0, 320], [0, 500.0, 256], [0, 0, 1]], "distortion": [0.1, 0, 0, 0, 0]}
    sample = {
        **yaml.safe_load(text),
        "thermal_camera": camera,
        "visible_camera": camera,
        "extrinsics": {"rotation": np.eye(3).tolist(), "translation_m": [0.1, 0, 0]},
        "plane_distance_m": 10.0,
        "time_offset_ms": -12.5,
        "radiometry": {"scale": 0.01, "offset": 0.0, "unit": "kelvin"},
        "uncertainty_px": 0.5,
        "made": {"method": "scene"},
        "notes": "none",
    }
    whole = [text.encode(), yaml.safe_dump(sample).encode()]
    fuzzed = documents(sample, lambda document: yaml.safe_dump(document).encode())
    run("rig", st.one_of(fuzzed, mutated(whole)), tmp_path)


def test_manifests(tmp_path, repo_root):
    text = (repo_root / "models" / "default.json").read_text()
    sample = json.loads(text)
    fuzzed = documents(sample, lambda document: json.dumps(document).encode())
    run("manifest", st.one_of(fuzzed, mutated([text.encode()])), tmp_path)


def test_onnx_files(tmp_path):
    from tiny_model import write_model

    run("onnx", mutated([write_model(tmp_path / "sample.onnx").read_bytes()]), tmp_path, "guarded_onnx")


@pytest.mark.parametrize("name", ["mcap", "sqlite"])
def test_bags(tmp_path, name):
    from bag_maker import streams, write_bag
    from rosbags.rosbag2 import StoragePlugin

    storage, pattern = {"mcap": (StoragePlugin.MCAP, "*.mcap"), "sqlite": (StoragePlugin.SQLITE3, "*.db3")}[name]
    samples = []
    for compressed in (False, True):
        bag = write_bag(tmp_path / f"bag_{compressed}", streams(0.2, 10, 10), storage, compressed)
        samples.append(next(bag.glob(pattern)).read_bytes())
    run(name, mutated(samples), tmp_path)
