"""Every encoding and transport through a fusion node over DDS, through a bag and as a file; makes docs/encodings.md."""

import functools
import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import document_table
import encoded_images
from encoded_images import Case, Packed, Raw
from harness import PERIOD_NS, START_NS, NodeProcess, Probe, next_domain, wait_until
from lifecycle_msgs.msg import Transition
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosbags.rosbag2 import StoragePlugin, Writer
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from vi_fusion_ros import cli
from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.bags.replay import Replay
from vi_fusion_ros.bags.source import open_bag
from vi_fusion_ros.image_codecs import image_codecs
from vi_fusion_ros.images.encodings import ENCODINGS
from vi_fusion_ros.images.files import read_image

pytestmark = pytest.mark.ros

GROUPS = {  # visible and thermal cases that can come side by side, by the transports of both
    ("raw", "raw"): (encoded_images.visible_raw, encoded_images.thermal_raw),
    ("compressed", "compressed"): (encoded_images.visible_packed, encoded_images.thermal_packed),
    ("zstd", "zstd"): (encoded_images.visible_zstd, encoded_images.thermal_zstd),
    ("compressed", "compressedDepth"): (encoded_images.visible_packed, encoded_images.thermal_depth),
}
HEAD = """| encoding or transport | form | becomes | node | evaluate bag | fuse |
|---|---|---|---|---|---|
"""
FILE_SUFFIX = {"jpeg": ".jpg", "png": ".png", "tiff": ".tiff", "webp": ".webp"}


@pytest.fixture(scope="module")
def cases() -> dict:
    """Pairs of cases by their transports; the shorter list begins again."""
    found = {}
    for transports, makers in GROUPS.items():
        visible, thermal = (list(make()) for make in makers)
        count = max(len(visible), len(thermal))
        found[transports] = [(visible[n % len(visible)], thermal[n % len(thermal)]) for n in range(count)]
    return found


def fill(message, case: Case, stamp_ns: int):
    """A message of the case, rclpy's or one of a bag."""
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    sent = case.message
    message.data = (
        np.frombuffer(sent.data, np.uint8) if not isinstance(message, (Image, CompressedImage)) else sent.data
    )
    if isinstance(sent, Packed):
        message.format = sent.format
    else:
        message.height, message.width, message.encoding = sent.height, sent.width, sent.encoding
        message.step, message.is_bigendian = sent.step, int(sent.big_endian)
    return message


@pytest.fixture(scope="module")
def by_node(cases, tmp_path_factory) -> dict[int, float]:
    """The difference to the truth of each case, by its id, after the node has received, paired and decoded it."""
    folder = tmp_path_factory.mktemp("captures")
    domain = next_domain()
    probe = Probe(domain)
    # Images follow each other that no camera sends one after the other: they are no faults of a stream.
    settings = {"status_rate": 20.0, "capture.folder": str(folder), "health.fault_time": 0.0}
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, settings)
    try:
        probe.wait_active()
        differences: dict[int, float] = {}
        stamps = itertools.count(START_NS, PERIOD_NS)
        for transports, pairs in cases.items():
            use_transports(probe, transports)
            publishers = [publisher(probe, *entry) for entry in zip(("visible", "thermal"), transports, strict=True)]
            for pair in pairs:
                probe.send_until_result(functools.partial(send, pair, publishers), stamps)
                captured = capture(probe)
                for case, name in zip(pair, ("visible", "thermal"), strict=True):
                    (path,) = captured.glob(f"{name}.*")
                    differences[id(case)] = case.difference(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        assert node.stop() == 0
        assert "Traceback" not in node.output
        return differences
    finally:
        node.stop()
        probe.close()


def send(pair, publishers, stamp_ns: int) -> None:
    for case, (publish, kind) in zip(pair, publishers, strict=True):
        publish(fill(kind(), case, stamp_ns))


def use_transports(probe: Probe, transports: tuple[str, str]) -> None:
    """As a user changes them: down to unconfigured, the parameters, and up again."""
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
        assert probe.change_state(transition)
    for camera, transport in zip(("visible", "thermal"), transports, strict=True):
        assert probe.set_parameter(f"{camera}.image_transport", transport) == (True, "")
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert probe.change_state(transition)


def publisher(probe: Probe, camera: str, transport: str):
    """What publishes to the node, and of which type; its topic is the one that image_transport would use."""
    kind, suffix = (Image, "") if transport == "raw" else (CompressedImage, f"/{transport}")
    profile = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
    made = probe.node.create_publisher(kind, f"/{camera}/image{suffix}", profile)
    wait_until(made.get_subscription_count, f"the node to subscribe to {made.topic_name}")
    return made.publish, kind


def capture(probe: Probe):
    """The folder of what the node has just received and made."""
    answer = probe.call(Trigger, "capture", Trigger.Request())
    assert answer.success, answer.message
    return Path(answer.message.removeprefix("captured "))


@pytest.fixture(scope="module")
def by_bag(cases, model, tmp_path_factory) -> dict[int, float]:
    """The same from a bag, paired and decoded by the way of ``vi-fusion evaluate bag``, which is run too."""
    folder = tmp_path_factory.mktemp("bags")
    differences: dict[int, float] = {}
    for number, pairs in enumerate(cases.values()):
        bag = write_bag(folder / f"bag{number}", pairs)
        decoded = list(Replay(open_bag(bag), "/visible", "/thermal", image_codecs()).pairs())
        assert len(decoded) == len(pairs)
        for pair, found in zip(pairs, decoded, strict=True):
            differences[id(pair[0])] = pair[0].difference(found.pair.visible.image)
            differences[id(pair[1])] = pair[1].difference(found.pair.thermal.image)
        out = folder / f"{number}.json"
        topics = ["--visible-topic", "/visible", "--thermal-topic", "/thermal"]
        options = ["--model", str(model), "--json", str(out), "--jobs", "1"]
        assert cli.main(["evaluate", "bag", str(bag), *topics, *options]) == 0
        assert json.loads(out.read_text())["n"] == len(pairs)
    return differences


def write_bag(path, pairs):
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        types = [type_name(case) for case in pairs[0]]
        connections = [
            writer.add_connection(topic, kind, typestore=typestore())
            for topic, kind in zip(("/visible", "/thermal"), types, strict=True)
        ]
        for number, pair in enumerate(pairs):
            stamp_ns = START_NS + number * PERIOD_NS
            for case, connection, kind in zip(pair, connections, types, strict=True):
                data = typestore().serialize_cdr(fill(blank(kind), case, stamp_ns), kind)
                writer.write(connection, stamp_ns + 1_000_000, data)
    return path


def type_name(case: Case) -> str:
    return f"sensor_msgs/msg/{'Image' if isinstance(case.message, Raw) else 'CompressedImage'}"


def blank(kind: str):
    types = typestore().types
    header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](0, 0), "camera")
    none = np.zeros(0, np.uint8)
    return types[kind](header, 0, 0, "", 0, 0, none) if kind.endswith("/Image") else types[kind](header, "", none)


def by_file(case: Case, folder) -> float | None:
    """The same of a file of these bytes, None where files do not have this form."""
    codec = case.name.removeprefix("compressed: ")
    if codec not in FILE_SUFFIX:
        return None
    path = folder / f"image{FILE_SUFFIX[codec]}"
    path.write_bytes(case.message.data)
    image = read_image(path)
    if image.ndim == 3 and image.dtype == np.uint16:
        return None  # kept as it is there
    return case.difference(image)


def test_every_encoding_arrives_with_its_pixels_everywhere(cases, by_node, by_bag, tmp_path, repo_root):
    rows, wrong = {}, []
    pairs = list(itertools.chain.from_iterable(cases.values()))
    in_order = [case for column in zip(*pairs, strict=True) for case in column]  # visible ones first
    for case in dict.fromkeys(in_order):
        found = [by_node[id(case)], by_bag[id(case)], by_file(case, tmp_path)]
        wrong += [(case.name, case.form, found) for value in found if value is not None and value > case.within]
        words = [
            "–" if value is None else "exact" if case.within == 0 else f"within {case.within:g}" for value in found
        ]
        kind = (
            "BGR, 8 bit"
            if case.truth.ndim == 3
            else {"uint8": "8 bit", "uint16": "16 bit"}.get(case.truth.dtype.name, "float")
        )
        rows.setdefault((case.name, kind, *words), []).append(case.form)
    assert not wrong
    tested = {case.message.encoding for pair in cases["raw", "raw"] for case in pair}
    assert tested == set(ENCODINGS), "every encoding that the package names is in the table"
    lines = [
        f"| `{name}` | {'; '.join(dict.fromkeys(forms))} | {' | '.join(words)} |"
        for (name, *words), forms in rows.items()
    ]
    document_table.assert_shows(repo_root / "docs" / "encodings.md", "table", HEAD + "\n".join(lines) + "\n")
