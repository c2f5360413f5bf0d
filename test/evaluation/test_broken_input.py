"""Broken bags and folders: one clear sentence and exit code 2, or a partial result that says it is partial."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import bag_maker
import cv2
import numpy as np
import pytest
from bag_maker import RAW, START_NS, THERMAL, VISIBLE, raw_message, streams, write_bag
from rosbags.rosbag2 import StoragePlugin, Writer

from vi_fusion_ros import cli
from vi_fusion_ros.bags.message_types import typestore

MCAP, SQLITE3 = StoragePlugin.MCAP, StoragePlugin.SQLITE3


def file_of(bag: Path) -> Path:
    return next(path for path in sorted(bag.iterdir()) if path.suffix in (".mcap", ".db3"))


def cut(bag: Path, share: float) -> Path:
    file = file_of(bag)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    return bag


def in_one_chunk(path: Path, compression: str) -> Path:
    """Half a second in one chunk of MCAP, as recorders write short recordings."""
    from mcap.writer import CompressionType
    from mcap.writer import Writer as McapWriter

    path.mkdir()
    writer = McapWriter(str(path / "bag.mcap"), chunk_size=1 << 26, compression=CompressionType[compression])
    writer.start("ros2", "test")
    schema = writer.register_schema(RAW, "ros2msg", b"")
    channels = {topic: writer.register_channel(topic, "cdr", schema) for topic in (VISIBLE, THERMAL)}
    for stamp, topic, image in streams(0.5):
        # Noise: a compressor gives nothing away before it has a block of data.
        noise = np.random.default_rng(stamp).integers(0, 255, image.shape, dtype=np.uint8)
        data = bytes(typestore().serialize_cdr(raw_message(noise, stamp), RAW))
        writer.add_message(channels[topic], stamp, data, stamp)
    writer.finish()
    return path


def with_message(path: Path, **fields: object) -> Path:
    """Every image has these fields."""

    def entries() -> Iterator[tuple[int, str, object]]:
        for stamp, topic, image in streams(0.2):
            message = raw_message(image, stamp)
            for name, value in fields.items():
                setattr(message, name, value)
            yield stamp, topic, message

    with Writer(path, version=9, storage_plugin=MCAP) as writer:
        connections = {t: writer.add_connection(t, RAW, typestore=typestore()) for t in (VISIBLE, THERMAL)}
        for stamp, topic, message in entries():
            writer.write(connections[topic], stamp, typestore().serialize_cdr(message, RAW))
    return path


def without_frames(path: Path) -> Path:
    with Writer(path, version=9, storage_plugin=MCAP) as writer:
        for topic in (VISIBLE, THERMAL):
            writer.add_connection(topic, RAW, typestore=typestore())
    return path


def of_text(path: Path) -> Path:
    with Writer(path, version=9, storage_plugin=MCAP) as writer:
        for topic in (VISIBLE, THERMAL):
            text = writer.add_connection(topic, "std_msgs/msg/String", typestore=typestore())
            message = typestore().types["std_msgs/msg/String"]("hello")
            writer.write(text, START_NS, typestore().serialize_cdr(message, "std_msgs/msg/String"))
    return path


def shuffled(path: Path) -> Path:
    """Stamps that jump about by half a second."""
    once = list(streams(1.0))
    stamps = np.array([stamp for stamp, _, _ in once])
    stamps[8::12] -= 500_000_000
    return write_bag(path, [(int(s), t, i) for s, (_, t, i) in zip(stamps, once, strict=True)])


def garbled_metadata(path: Path) -> Path:
    write_bag(path, streams(0.5))
    (path / "metadata.yaml").write_text("rosbag2_bagfile_information: [")
    return path


def without_data(path: Path) -> Path:
    write_bag(path, streams(0.1))
    file_of(path).unlink()
    return path


def file_with(content: bytes, suffix: str) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        path.with_suffix(suffix).write_bytes(content)
        return path.with_suffix(suffix)

    return make


def folder(path: Path) -> Path:
    path.mkdir()
    return path


# name: (how it is made, a part of the sentence)
USELESS_BAGS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda path: path, "no such bag"),
    "empty folder": (folder, "not a readable rosbag2"),
    "empty file": (file_with(b"", ".mcap"), "not a readable rosbag2"),
    "text": (file_with(b"hello", ".mcap"), "not a readable rosbag2"),
    "text as sqlite": (file_with(b"hello", ".db3"), "not a readable rosbag2"),
    "of another kind": (file_with(b"#ROSBAG V2.0\n", ".bag"), "not a readable rosbag2"),
    "magic only": (lambda path: cut(write_bag(path, streams(0.1)), 0.0001), "not a readable rosbag2"),
    "first page only": (lambda path: cut(write_bag(path, streams(0.1), SQLITE3), 0.001), "not a readable rosbag2"),
    "data gone": (without_data, "not a readable rosbag2"),
    "no such topic": (lambda path: write_bag(path, ((s, "/visible/image", i) for s, _, i in streams(0.1))), THERMAL),
    "wrong type": (of_text, "is of type std_msgs/msg/String; expected sensor_msgs/msg/Image"),
    "zero frames": (without_frames, "holds no message; expected images"),
    "zero pixels": (lambda path: with_message(path, width=0), "image of zero size (0x96)"),
    "no data": (lambda path: with_message(path, data=np.zeros(0, np.uint8)), "image data is truncated: 0 bytes"),
    "unknown encoding": (lambda path: with_message(path, encoding="yuv9"), "image encoding 'yuv9' is not supported"),
    "stamps all zero": (lambda path: write_bag(path, ((0, t, i) for _, t, i in streams(0.2))), "stamp zero"),
    "never together": (
        lambda path: write_bag(path, ((s + (10**9 if t == THERMAL else 0), t, i) for s, t, i in streams(0.2))),
        "no pair can be evaluated of 6 visible and 6 thermal images",
    ),
}
PARTIAL_BAGS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "truncated mcap": (lambda path: cut(write_bag(path, streams(2)), 0.8), "up to the break"),
    "truncated sqlite3": (lambda path: cut(write_bag(path, streams(2), SQLITE3), 0.8), "up to the break"),
    "cut in its only chunk": (lambda path: cut(in_one_chunk(path, "NONE"), 0.6), "up to the break"),
    "cut in its only chunk, zstd": (
        lambda path: cut(in_one_chunk(path, "ZSTD"), 0.6),
        "up to the break",
    ),
    "cut in its only chunk, lz4": (lambda path: cut(in_one_chunk(path, "LZ4"), 0.6), "up to the break"),
    "garbled metadata": (garbled_metadata, "up to the break"),
    "non-monotonic": (shuffled, "the stamps step back"),
}


def evaluate(*arguments: object) -> int:
    return cli.main(["evaluate", *map(str, arguments)])


def evaluate_bag(bag: Path, model: Path, out: Path) -> int:
    topics = ("--visible-topic", VISIBLE, "--thermal-topic", THERMAL)
    return evaluate("bag", bag, *topics, "--model", model, "--json", out, "--jobs", 1)


def one_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("vi-fusion: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


def assert_partial(out: Path, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = json.loads(out.read_text())
    assert result["partial"] is True
    assert result["n"] > 0
    assert any(sentence in problem for problem in result["problems"]), result["problems"]
    error = capsys.readouterr().err
    assert "partial result" in error
    assert sentence in error


@pytest.mark.parametrize("kind", USELESS_BAGS)
def test_a_bag_without_use_is_one_sentence(
    kind: str, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, sentence = USELESS_BAGS[kind]
    bag = make(tmp_path / "bag")
    capsys.readouterr()
    assert evaluate_bag(bag, model, tmp_path / "out.json") == 2
    assert sentence in one_sentence(capsys)
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("kind", PARTIAL_BAGS)
def test_a_broken_bag_gives_what_is_left(
    kind: str, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "mcap" in kind or "chunk" in kind or "metadata" in kind:
        pytest.importorskip("mcap", reason="the package mcap is not installed")
    make, sentence = PARTIAL_BAGS[kind]
    bag = make(tmp_path / "bag")
    assert evaluate_bag(bag, model, tmp_path / "out.json") == 0
    assert_partial(tmp_path / "out.json", sentence, capsys)


def test_a_broken_bag_among_several_is_named_and_the_others_evaluated(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_bag(tmp_path / "good", streams(0.3))
    topics = ("--visible-topic", VISIBLE, "--thermal-topic", THERMAL)
    options = ("--model", model, "--json", tmp_path / "out.json", "--jobs", 1)
    assert evaluate("bag", good, tmp_path / "gone", *topics, *options) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["n"], list(result["bags"])) == (9, [str(good)])
    assert_partial(tmp_path / "out.json", "gone: no such bag", capsys)
    assert evaluate("bag", tmp_path / "gone", tmp_path / "too", *topics, *options) == 2
    assert "none of the 2 bags can be evaluated" in one_sentence(capsys)


# --- folders ---


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """``pairs/{visible,thermal}``, three registered pairs."""
    for kind in ("visible", "thermal"):
        (tmp_path / "pairs" / kind).mkdir(parents=True)
        for n in range(3):
            image = bag_maker.picture(n, VISIBLE if kind == "visible" else THERMAL, False)
            cv2.imwrite(str(tmp_path / "pairs" / kind / f"{n}.png"), image)
    return tmp_path / "pairs"


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """A folder of crops whose labels are the tiny model's."""
    rng = np.random.default_rng(0)
    for label in ("bright", "warm"):
        for kind in ("visible", "thermal"):
            folder = tmp_path / "crops" / "day" / kind / label
            folder.mkdir(parents=True)
            for n in range(3):
                cv2.imwrite(str(folder / f"{n:05d}_0.jpg"), rng.integers(0, 255, (20, 24), dtype=np.uint8))
    return tmp_path / "crops"


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _corrupt_all(folder: Path) -> None:
    for path in sorted(folder.rglob("*.*")):
        path.write_bytes(path.read_bytes()[:40])


def _rename(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        path.rename(path.with_name(f"x{path.name}"))


def _write(path: Path, image: np.ndarray) -> None:
    cv2.imwrite(str(path), image)


USELESS_PAIRS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda root: shutil.rmtree(root / "thermal"), "no such folder; expected a folder of images"),
    "a file": (
        lambda root: (shutil.rmtree(root / "thermal"), (root / "thermal").write_bytes(b"x")),
        "no such folder; expected a folder of images",
    ),
    "empty": (lambda root: _empty(root / "visible"), "share no image name"),
    "other names": (lambda root: _rename(root / "visible"), "share no image name"),
    "all corrupt": (lambda root: _corrupt_all(root / "visible"), "none of the 3 frames can be evaluated"),
}
PARTIAL_PAIRS: dict[str, tuple[Callable[[Path], object], str]] = {
    "corrupt": (lambda root: (root / "visible" / "1.png").write_bytes(b"no image"), "corrupt or not an image"),
    "no partner": (lambda root: (root / "visible" / "1.png").unlink(), "no visible partner"),
    "another size": (
        lambda root: _write(root / "thermal" / "1.png", np.zeros((50, 60), np.uint8)),
        "expected the same size",
    ),
    "16 bit": (
        lambda root: _write(root / "thermal" / "1.png", np.zeros((96, 128), np.uint16)),
        "expected an 8-bit image",
    ),
}


@pytest.mark.parametrize("kind", USELESS_PAIRS)
def test_folders_without_use_are_one_sentence(
    kind: str, pairs: Path, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, sentence = USELESS_PAIRS[kind]
    spoil(pairs)
    folders = ("--visible", pairs / "visible", "--thermal", pairs / "thermal")
    out = tmp_path / "out.json"
    assert evaluate("fusion", *folders, "--model", model, "--json", out, "--jobs", 1) == 2
    assert sentence in one_sentence(capsys)
    assert not out.exists()


@pytest.mark.parametrize("kind", PARTIAL_PAIRS)
def test_broken_images_give_what_is_left(
    kind: str, pairs: Path, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, sentence = PARTIAL_PAIRS[kind]
    spoil(pairs)
    folders = ("--visible", pairs / "visible", "--thermal", pairs / "thermal")
    out = tmp_path / "out.json"
    assert evaluate("fusion", *folders, "--model", model, "--json", out, "--jobs", 1) == 0
    assert_partial(out, sentence, capsys)


USELESS_CROPS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (shutil.rmtree, "no such folder"),
    "empty": (lambda root: shutil.rmtree(root / "day"), "expected"),
    "all corrupt": (_corrupt_all, "can be read"),
}


@pytest.mark.parametrize("kind", USELESS_CROPS)
@pytest.mark.parametrize("command", ["classification", "cross", "robustness"])
def test_datasets_without_use_are_one_sentence(
    kind: str, command: str, crops: Path, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, _ = USELESS_CROPS[kind]
    spoil(crops)
    data = (crops,) if command == "cross" else ("--data", crops)
    out = tmp_path / "out.json"
    assert evaluate(command, *data, "--model", model, "--json", out, "--jobs", 1) == 2
    one_sentence(capsys)
    assert not out.exists()


@pytest.mark.parametrize("command", ["classification"])
def test_a_broken_crop_gives_what_is_left(
    command: str, crops: Path, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"labels": ["bicycle", "car"], "thresholds": {"bicycle": 0.5, "car": 0.5}}
    model = pytest.importorskip("tiny_model").write_model(tmp_path / "two.onnx", changes)
    for kind in ("visible", "thermal"):
        for old, new in (("bright", "bicycle"), ("warm", "car")):
            (crops / "day" / kind / old).rename(crops / "day" / kind / new)
    (crops / "day" / "thermal" / "car" / "00001_0.jpg").write_bytes(b"no image")
    out = tmp_path / "out.json"
    assert evaluate(command, "--data", crops, "--model", model, "--json", out, "--jobs", 1) == 0
    assert_partial(out, "00001_0.jpg", capsys)
