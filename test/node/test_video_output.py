"""The fused image as H.264 over DDS, decoded again."""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("av", reason="PyAV is not installed (requirements/video.txt)")

import ffmpeg_program
import message_packages
from harness import PERIOD_NS, START_NS, NodeProcess, Probe, Process, next_domain, wait_until

from vi_fusion_ros.images.encodings import ImageError, decode_image
from vi_fusion_ros.images.video import FFMPEG, FOXGLOVE, PACKETS, VideoReader

pytestmark = pytest.mark.ros

SUPPORT = Path(message_packages.__file__).parent
KINDS = {
    "ffmpeg": (FFMPEG, message_packages.FFMPEG),
    "foxglove": (FOXGLOVE, message_packages.FOXGLOVE),
}


@pytest.fixture(params=KINDS)
def transport(request, tmp_path, monkeypatch):
    """A transport, whose messages are found by the processes that are started."""
    kind, messages = KINDS[request.param]
    package = kind.split("/")[0]
    for name, value in message_packages.environment(tmp_path / "msgs", package, messages).items():
        monkeypatch.setenv(name, value)
    return request.param


class Listener(Process):
    """A process that takes the packets of a topic down."""

    def __init__(self, kind, topic, file, domain):
        super().__init__([sys.executable, str(SUPPORT / "video_listener.py"), kind, topic, str(file)], domain)
        self._file, self._kind = file, kind

    def pictures(self):
        """By stamp, from the first on that can be decoded; after that all of them can."""
        reader, found = VideoReader(self._kind), {}
        for wire in messages(self._file):
            try:
                picture = reader(wire)
            except ImageError:
                assert not found, "a packet behind a key frame that cannot be decoded"
                continue
            found[picture.header.stamp] = picture
        return found

    def stream(self):
        """The video alone, as it was heard: without headers, which another decoder needs not know."""
        return b"".join(bytes(PACKETS[self._kind](wire).data) for wire in messages(self._file))


def messages(file):
    """What was taken down; the last one may be incomplete."""
    data, at = file.read_bytes() if file.exists() else b"", 0
    while at + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, at)
        if at + 4 + size > len(data):
            return
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def stamp_of(message):
    return message.header.stamp.sec, message.header.stamp.nanosec


def test_the_fused_image_is_sent_as_video_also_to_who_comes_late(model, transport, tmp_path):
    kind, topic = KINDS[transport][0], f"/fusion_node/fused/image/{transport}"
    domain = next_domain()
    probe = Probe(domain)
    settings = {"status_rate": 20.0, "model": str(model), "drift.mode": "off"}
    settings |= {"output.video": transport, "output.video_key_interval": 0.2}
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, settings)
    listeners = []
    sent = 0

    def listen():
        listener = Listener(kind, topic, tmp_path / f"packets{len(listeners)}", domain)
        listeners.append(listener)
        wait_until(lambda: probe.node.count_subscribers(topic) == len(listeners), "the subscription")
        return listener

    def send():
        nonlocal sent
        stamp = START_NS + sent * PERIOD_NS
        sent += 1
        probe.send_pair(stamp)
        probe.wait_for_result(stamp)

    def counts():
        """Of the diagnostics."""
        entries = {entry.name.split(": ")[-1]: entry for entry in probe.received["diagnostics"][-1].status}
        return {pair.key: pair.value for pair in entries["video"].values}

    def accounted():
        now = counts()
        return int(now["offered"]) == sum(int(now[name]) for name in ("sent", "skipped", "failed"))

    try:
        probe.wait_active()
        wait_until(lambda: probe.node.count_publishers(topic) == 1, "the topic")
        send()
        wait_until(lambda: probe.received["diagnostics"], "diagnostics")
        assert counts()["offered"] == "0"  # nobody listens: nothing is encoded
        first = listen()

        def shown(listener, number):
            send()
            return len(listener.pictures()) >= number

        wait_until(lambda: shown(first, 10), "ten pictures")
        late = listen()
        wait_until(lambda: shown(late, 3), "three pictures at who came late")
        fused = {stamp_of(message): message for message in probe.received["fused"]}
        for listener in listeners:
            pictures = listener.pictures()
            assert list(pictures) == sorted(pictures)
            assert pictures.keys() <= fused.keys()
            for stamp, picture in pictures.items():
                truth = decode_image(fused[stamp]).astype(int)
                assert picture.header.frame_id == "visible_optical_frame"
                assert picture.image.shape == truth.shape
                assert np.abs(picture.image.astype(int) - truth).mean() < 6
        heard = len(probe.received["diagnostics"])  # the next may have been written before the last picture was sent
        wait_until(lambda: len(probe.received["diagnostics"]) > heard + 1, "diagnostics of all that was sent")
        wait_until(accounted, "each image that was offered in one place")
        assert int(counts()["key frames"]) >= 2
        assert counts()["failed"] == "0"
        assert node.stop() == 0
        assert "Traceback" not in node.output
    finally:
        for process in (*listeners, node):
            process.stop()
        probe.close()
    for listener in [] if ffmpeg_program.missing() else listeners:
        by_us = [picture.image.astype(int) for picture in listener.pictures().values()]
        by_program = ffmpeg_program.decoded(listener.stream(), *by_us[0].shape[:2])
        assert len(by_program) == len(by_us)
        assert max(np.abs(one - other).mean() for one, other in zip(by_us, by_program, strict=True)) < 2


@pytest.mark.parametrize("transport", ["ffmpeg"], indirect=True)
def test_images_are_skipped_before_they_are_encoded_and_nobody_waits(transport, tmp_path):
    domain, count = next_domain(), 20
    listener = Listener(FFMPEG, "fused/image/ffmpeg", tmp_path / "packets", domain)
    behind = Process([sys.executable, str(SUPPORT / "video_output_behind.py"), str(count)], domain)
    try:
        wait_until(lambda: not behind.alive, "the end")
        assert behind.stop() == 0
        held, after = map(json.loads, behind.output.splitlines())
        # One is in the encoder's hands and the newest one waits.
        assert (held["offered"], held["sent"], held["skipped"]) == (count, 0, count - 2)
        assert (after["sent"], after["skipped"], after["failed"]) == (2, count - 2, 0)
        wait_until(lambda: len(listener.pictures()) == 2, "both pictures")
        assert list(listener.pictures()) == [(0, 0), (0, count - 1)]
    finally:
        for process in (behind, listener):
            process.stop()


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("av", "output.video ffmpeg needs the Python package av: pip install av"),
        (
            "ffmpeg_image_transport_msgs",
            "output.video ffmpeg needs the package ffmpeg_image_transport_msgs; install it",
        ),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(model, tmp_path, monkeypatch, missing, sentence):
    (tmp_path / f"{missing}.py").write_text("raise ImportError\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path))
    domain = next_domain()
    probe = Probe(domain)
    settings = {"status_rate": 20.0, "model": str(model), "output.video": "ffmpeg"}
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, settings)
    try:
        wait_until(lambda: probe.status is not None and probe.status.last_error, "the reason")
        assert probe.status.last_error.startswith(sentence)
        assert probe.state() == "unconfigured"
        assert node.stop() == 0
        assert "Traceback" not in node.output
    finally:
        node.stop()
        probe.close()
