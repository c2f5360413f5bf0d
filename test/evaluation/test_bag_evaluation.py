"""``vi-fusion evaluate bag`` on bags with known stamps: counts, determinism, damage, and one real recording."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bag_maker import COMPRESSED, RAW, START_NS, THERMAL, VISIBLE, Entry, raw_message, streams, write_bag
from chromium import opened
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer

from vi_fusion_ros import cli
from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.evaluation.streams.bag_output import CLASSIFICATION_TOPIC, FUSED_TOPIC
from vi_fusion_ros.sync.pair_stream import POLICY

MCAP, SQLITE3 = StoragePlugin.MCAP, StoragePlugin.SQLITE3


def evaluate(bag: Path, model: Path, out: Path, *more: str, visible: str = VISIBLE, thermal: str = THERMAL) -> int:
    topics = ["--visible-topic", visible, "--thermal-topic", thermal]
    options = ["--model", str(model), "--json", str(out), "--jobs", "1"]
    return cli.main(["evaluate", "bag", str(bag), *topics, *options, *more])


def result_of(bag: Path, model: Path, tmp_path: Path, *more: str) -> dict[str, Any]:
    assert evaluate(bag, model, tmp_path / "out.json", *more) == 0
    return json.loads((tmp_path / "out.json").read_text())


def without_timings(path: Path) -> str:
    result = json.loads(path.read_text())
    del result["timings"]
    return json.dumps(result)


def messages(path: Path, topic: str) -> list[tuple[int, Any]]:
    with AnyReader([path], default_typestore=typestore()) as reader:
        chosen = [c for c in reader.connections if c.topic == topic]
        return [(log, reader.deserialize(data, c.msgtype)) for c, log, data in reader.messages(chosen)]


@pytest.mark.parametrize("storage", [MCAP, SQLITE3])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("thermal_hz", "deep"), [(30, False), (9, True)])
def test_every_pair_once(
    tmp_path: Path, model: Path, storage: StoragePlugin, compressed: bool, thermal_hz: int, deep: bool
) -> None:
    bag = write_bag(tmp_path / "bag", streams(1, 30, thermal_hz, deep), storage, compressed)
    result = result_of(bag, model, tmp_path)
    assert result["n"] == result["pairing"]["pairs"] == thermal_hz
    assert result["partial"] is False
    stamps = result["timeline"]["stamp_ns"]
    assert len(set(stamps)) == thermal_hz
    assert stamps == sorted(stamps)
    pairing = result["pairing"]
    received = pairing["visible_received"] + pairing["thermal_received"]
    assert received == 2 * pairing["pairs"] + sum(pairing["drops"].values()) == 30 + thermal_hz
    assert sum(pairing["skew_histogram"]["counts"]) == thermal_hz
    assert pairing["thermal_rate_hz"] == pytest.approx(thermal_hz, rel=1e-3)
    assert result["fusion"]["n"] > 0


def test_two_runs_agree_to_the_byte(tmp_path: Path, model: Path) -> None:
    bag = write_bag(tmp_path / "bag", streams(0.5, deep=True))
    for name in ("a", "b"):
        assert evaluate(bag, model, tmp_path / f"{name}.json", "-o", str(tmp_path / f"{name}.mcap")) == 0
    assert without_timings(tmp_path / "a.json") == without_timings(tmp_path / "b.json")
    assert (tmp_path / "a.mcap").read_bytes() == (tmp_path / "b.mcap").read_bytes()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_output_bag_has_the_original_stamps(tmp_path: Path, model: Path) -> None:
    bag = write_bag(tmp_path / "bag", streams(0.5))
    result = result_of(bag, model, tmp_path, "-o", str(tmp_path / "out.mcap"))
    for topic in (FUSED_TOPIC, CLASSIFICATION_TOPIC):
        made = messages(tmp_path / "out.mcap", topic)
        assert [log for log, _ in made] == result["timeline"]["stamp_ns"]
        headers = [message.header.stamp for _, message in made]
        assert [s.sec * 1_000_000_000 + s.nanosec for s in headers] == result["timeline"]["stamp_ns"]
    fused = messages(tmp_path / "out.mcap", FUSED_TOPIC)[0][1]
    assert (fused.width, fused.height, fused.encoding) == (128, 96, "bgr8")


def test_objects_are_in_the_result_and_in_the_output_bag(tmp_path: Path, object_model: Path) -> None:
    bag = write_bag(tmp_path / "bag", streams(0.5, deep=True))
    parameters = tmp_path / "parameters.yaml"
    asked = 'thermal: {radiometry: "tlinear_0.01"}, output: {hot_regions: true}'
    parameters.write_text(f"fusion_node: {{ros__parameters: {{{asked}}}}}\n")
    options = ("-o", str(tmp_path / "out.mcap"), "--parameters", str(parameters))
    result = result_of(bag, object_model, tmp_path, *options)
    listed = result["timeline"]["objects"]
    assert len(listed) == result["n"]
    labels = {found["label"] for objects in listed for found in objects}
    assert "hot_region" in labels
    assert len(labels) > 1
    made = [message for _, message in messages(tmp_path / "out.mcap", CLASSIFICATION_TOPIC)]
    for message, found in zip(made, listed, strict=True):
        assert [o.label for o in message.objects] == [o["label"] for o in found]
        for written, said in zip(message.objects, found, strict=True):
            x0, y0, x1, y1 = said["box"]
            assert (written.x, written.y) == (x0, y0)
            assert (written.width, written.height) == (x1 - x0, y1 - y0)
            probability = math.nan if said["label"] == "hot_region" else said["probability"]
            assert written.probability == pytest.approx(probability, abs=1e-5, nan_ok=True)
            assert (said["probability"] is None) == (said["label"] == "hot_region")
            assert written.max_temperature == pytest.approx(said["max_kelvin"], abs=1e-2)
            assert 250 < said["mean_kelvin"] <= said["max_kelvin"] < 400


@pytest.mark.parametrize("storage", [MCAP, SQLITE3])
def test_a_truncated_bag_is_evaluated_up_to_the_break(
    tmp_path: Path, model: Path, storage: StoragePlugin, capsys: pytest.CaptureFixture[str]
) -> None:
    if storage is MCAP:
        pytest.importorskip("mcap", reason="the package mcap is not installed")
    bag = write_bag(tmp_path / "bag", streams(2), storage)  # several of MCAP's chunks of 1 MB
    file = next(path for path in bag.iterdir() if path.suffix in (".mcap", ".db3"))
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.8)])
    result = result_of(bag, model, tmp_path)
    assert 0 < result["n"] < 60
    assert result["partial"] is True
    assert result["broken"]
    assert "up to the break" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no bag at all"])
def test_a_file_that_is_no_bag(tmp_path: Path, model: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    bag = tmp_path / "bag.mcap"
    bag.write_bytes(content)
    assert evaluate(bag, model, tmp_path / "out.json") == 2
    assert_one_sentence(capsys, "not a readable rosbag2")


def test_wrong_topics(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_bag(tmp_path / "bag", streams(0.1))
    with Writer(tmp_path / "other", version=9, storage_plugin=MCAP) as writer:
        text = writer.add_connection("/text", "std_msgs/msg/String", typestore=typestore())
        message = typestore().types["std_msgs/msg/String"]("hello")
        writer.write(text, START_NS, typestore().serialize_cdr(message, "std_msgs/msg/String"))
        writer.add_connection("/empty", RAW, typestore=typestore())
        writer.add_connection("/none", COMPRESSED, typestore=typestore())
    for path, visible, thermal, sentence in (
        (bag, "/missing", THERMAL, f"the bag has no topic /missing; its image topics are: {THERMAL}, {VISIBLE}"),
        (bag, VISIBLE, VISIBLE, "expected two topics"),
        (tmp_path / "other", "/text", "/empty", "topic /text is of type std_msgs/msg/String; expected sensor_msgs"),
        (tmp_path / "other", "/empty", "/none", "topic /empty holds no message"),
        (tmp_path / "nowhere", VISIBLE, THERMAL, "no such bag"),
    ):
        assert evaluate(path, model, tmp_path / "out.json", visible=visible, thermal=thermal) == 2
        assert_one_sentence(capsys, sentence)
    assert not (tmp_path / "out.json").exists()


def test_stamps_that_are_all_zero(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_bag(tmp_path / "bag", [(0, topic, image) for _, topic, image in streams(0.2)])
    assert evaluate(bag, model, tmp_path / "out.json", "-o", str(tmp_path / "out.mcap")) == 2
    assert_one_sentence(capsys, "stamp zero; expected the time of acquisition")
    assert not (tmp_path / "out.mcap").exists()


def test_a_bag_whose_time_jumps_back(tmp_path: Path, model: Path) -> None:
    once = list(streams(0.5))
    result = result_of(write_bag(tmp_path / "bag", [*once, *once]), model, tmp_path)
    assert result["pairing"]["time_resets"] == 1
    assert result["n"] == 30
    stamps = [stamp for stamp, topic, _ in once if topic == VISIBLE]
    assert result["timeline"]["stamp_ns"] == [*stamps, *stamps]


@pytest.mark.parametrize("storage", [MCAP, SQLITE3])
@pytest.mark.parametrize("delay_s", [0.45, -0.45, 60.0])
def test_pairs_are_those_of_the_stamps_however_late_one_camera_was_recorded(
    tmp_path: Path, model: Path, storage: StoragePlugin, delay_s: float
) -> None:
    entries = [(START_NS + round((stamp - START_NS) / 1e6) * 1_000_000, *rest) for stamp, *rest in streams(2)]
    late = [(stamp + round(delay_s * 1e9) * (topic == THERMAL), stamp, topic, image) for stamp, topic, image in entries]
    with Writer(tmp_path / "bag", version=9, storage_plugin=storage) as writer:
        connections = {topic: writer.add_connection(topic, RAW, typestore=typestore()) for topic in (VISIBLE, THERMAL)}
        for log, stamp, topic, image in sorted(late, key=lambda entry: entry[0]):
            data = typestore().serialize_cdr(raw_message(image, stamp), RAW)
            writer.write(connections[topic], log, data)
    result = result_of(tmp_path / "bag", model, tmp_path)
    assert (result["n"], result["partial"]) == (60, False)
    assert result["pairing"]["max_abs_skew_ms"] == pytest.approx(3, abs=0.01)
    assert result["pairing"]["sync_wait_ms"]["p50"] == pytest.approx(abs(delay_s * 1e3 + 3), abs=1.1)
    assert result["timeline"]["stamp_ns"] == [stamp for stamp, topic, _ in entries if topic == VISIBLE]


def test_counts_that_differ_from_the_metadata_make_the_result_partial(tmp_path: Path, model: Path) -> None:
    bag = write_bag(tmp_path / "bag", streams(0.5))
    metadata = (bag / "metadata.yaml").read_text()
    (bag / "metadata.yaml").write_text(metadata.replace("message_count: 15", "message_count: 40"))
    result = result_of(bag, model, tmp_path)
    assert (result["n"], result["partial"]) == (15, True)
    assert result["broken"] == f"metadata.yaml counts 40 messages on {VISIBLE}, 15 were found"


def test_an_empty_metadata_file_is_named(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_bag(tmp_path / "bag", streams(0.5))
    (bag / "metadata.yaml").write_text("")
    assert result_of(bag, model, tmp_path)["n"] == 15
    assert "metadata.yaml is empty" in capsys.readouterr().err


def test_why_no_fusion_metric_is_computed_is_said(tmp_path: Path, model: Path) -> None:
    deep = [(stamp, topic, np.full((96, 128), 900, np.uint16) if topic == VISIBLE else image)
            for stamp, topic, image in streams(0.5)]  # fmt: skip
    fusion = result_of(write_bag(tmp_path / "bag", deep), model, tmp_path)["fusion"]
    reason = "visible images of uint16; expected 8 bits"
    assert fusion == {"n": 0, "reason": reason, "left_out": {reason: 15}}


def test_one_image_that_cannot_be_decoded(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = tmp_path / "bag"
    with Writer(bag, version=9, storage_plugin=MCAP) as writer:
        connections = {t: writer.add_connection(t, RAW, typestore=typestore()) for t in (VISIBLE, THERMAL)}
        for number, (stamp, topic, image) in enumerate(streams(0.5)):
            message = raw_message(image, stamp)
            if number == 10:
                message.data = message.data[:100]
            writer.write(connections[topic], stamp, typestore().serialize_cdr(message, RAW))
    result = result_of(bag, model, tmp_path)
    assert result["n"] == 14
    assert result["partial"] is True
    assert result["pairing"]["invalid"] == {"invalid_visible": 1}
    assert "image data is truncated: 100 bytes" in capsys.readouterr().err


def test_labels_by_time(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_bag(tmp_path / "bag", streams(1))
    labels = tmp_path / "labels.json"
    labels.write_text('[{"from_s": 0, "to_s": 0.5, "present": ["warm"]}, {"from_s": 0.5, "to_s": 0.8, "present": []}]')
    figures = result_of(bag, model, tmp_path, "--labels", str(labels))["classification"]
    assert figures["n"] == 24
    assert figures["by_class"]["warm"]["n"] == 15
    for text, sentence in (
        ('[{"from_s": 0, "to_s": 1, "present": ["cow"]}]', "cow is no label of the model; expected bright, warm"),
        ('[{"from_s": 2, "to_s": 1, "present": []}]', "from_s 2.0 is not before to_s 1.0"),
        ("{", "expected a JSON list"),
    ):
        labels.write_text(text)
        capsys.readouterr()
        assert evaluate(bag, model, tmp_path / "out.json", "--labels", str(labels)) == 2
        assert sentence in capsys.readouterr().err


def test_the_rig_files_time_offset_is_the_nodes(tmp_path: Path, model: Path) -> None:
    # The streams are 3 ms apart by themselves.
    late = [(stamp + 200_000_000 * (topic == THERMAL), topic, image) for stamp, topic, image in streams(0.5)]
    bag = write_bag(tmp_path / "bag", sorted(late, key=lambda entry: entry[0]))
    rig = tmp_path / "rig.yaml"
    rig.write_text("version: 1\nH_thermal_to_visible: identity\ntime_offset_ms: -203.0\n")
    result = result_of(bag, model, tmp_path, "--rig", str(rig))
    assert result["n"] == 15
    assert result["pairing"]["max_abs_skew_ms"] == pytest.approx(0, abs=1e-6)


def test_pairing_is_by_the_nodes_defaults(repo_root: Path) -> None:
    rules = json.loads((repo_root / "vi_fusion_ros" / "node" / "parameters" / "parameters.schema.json").read_text())[
        "properties"
    ]
    assert pytest.approx(rules["pairing.max_skew"]["default"] * 1e9) == POLICY.max_skew_ns
    assert pytest.approx(rules["pairing.max_wait"]["default"] * 1e9) == POLICY.max_wait_ns
    assert rules["pairing.queue_size"]["default"] == POLICY.queue_size


def test_the_evaluated_bag_is_never_overwritten(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(tmp_path / "bag", streams(0.1))
    file = next(bag.glob("*.mcap"))
    before = file.read_bytes()
    assert evaluate(bag, model, tmp_path / "out.json", "-o", str(file)) == 2
    assert_one_sentence(capsys, "never overwritten")
    assert file.read_bytes() == before


def test_the_report_is_one_page(tmp_path: Path, model: Path) -> None:
    pytest.importorskip("matplotlib")
    bag = write_bag(tmp_path / "bag", streams(0.5))
    labels = tmp_path / "labels.json"
    labels.write_text(
        json.dumps([{"from_s": 0, "to_s": 0.2, "present": ["warm"]}, {"from_s": 0.2, "to_s": 9, "present": []}])
    )
    result = result_of(bag, model, tmp_path, "--report", str(tmp_path / "report"), "--labels", str(labels))
    assert sum(row["n"] for row in result["classification"]["reliability"]) == 2 * result["n"]
    # Skew, labels over time, curves, confusion, calibration, latency, and the frames.
    assert opened(tmp_path / "report" / "index.html") >= 7


def test_a_real_recording(tmp_path: Path, data_dir: Path, model: Path) -> None:
    bag = write_bag(tmp_path / "bag", recording(data_dir / "m3svd", "0113_1714", 30), SQLITE3)
    result = result_of(bag, model, tmp_path)
    assert result["n"] == 9
    assert result["pairing"]["drops"]["superseded"] == 21


def recording(folder: Path, clip: str, frames: int) -> list[Entry]:
    """The first frames of a clip as 30 Hz visible and 9 Hz thermal of 16 bit."""
    videos = [cv2.VideoCapture(str(folder / f"{clip}_{camera}.mp4")) for camera in ("visible", "thermal")]
    if not all(video.isOpened() for video in videos):
        pytest.skip(f"{clip} is not in {folder}")
    entries: list[Entry] = []
    for n in range(frames):
        visible, thermal = (cv2.resize(video.read()[1], (160, 120)) for video in videos)  # quick to measure
        stamp = START_NS + n * 1_000_000_000 // 30
        entries.append((stamp, VISIBLE, visible))
        if n * 9 // 30 != (n - 1) * 9 // 30:
            counts = thermal[..., 0].astype(np.uint16) * 40 + 27000
            entries.append((stamp + 3_000_000, THERMAL, counts))
    return entries


def assert_one_sentence(capsys: pytest.CaptureFixture[str], sentence: str) -> None:
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
