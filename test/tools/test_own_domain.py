"""The demo and the soak share their DDS domain with nobody, and cameras of another size that come later end nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy
from harness import DEADLINE_S, PERIOD_NS, START_NS, NodeProcess, Probe, next_domain, scene, wait_until
from sensor_msgs.msg import Image

from vi_fusion_ros.drawing import stacked
from vi_fusion_ros.tools.domains import own_domain, require_no_cameras
from vi_fusion_ros.tools.processes import ProcessError

pytestmark = pytest.mark.ros

SMALL = {"width": 320, "height": 240}


@contextlib.contextmanager
def other_cameras(domain: int) -> Iterator[None]:
    """Two cameras of a small size in a domain, from when they are seen there."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("witness", context=context)
    player = NodeProcess("vi_fusion_ros.tools.player_node", domain, SMALL)
    try:
        wait_until(lambda: node.count_publishers("/thermal/image"), "the other cameras")
        yield
    finally:
        player.stop()
        node.destroy_node()
        rclpy.shutdown(context=context)


def started(domain: int, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        env={**os.environ, "ROS_DOMAIN_ID": str(domain), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("command", ["demo", "soak"])
def test_where_somebody_publishes_it_refuses_in_one_sentence(command: str, tmp_path: Path) -> None:
    domain = next_domain()
    asked = {
        "demo": ("vi_fusion_ros.tools.demo", "--duration", "3", "--out", str(tmp_path)),
        "soak": ("vi_fusion_ros.cli", "soak", "--minutes", "0.1"),
    }[command]
    with other_cameras(domain):
        process = started(domain, *asked)
        _, errors = process.communicate(timeout=4 * DEADLINE_S)
    assert process.returncode in (1, 2)
    lines = [line for line in errors.splitlines() if "publishes" in line]
    assert len(lines) == 1, errors
    assert re.search(rf"(/player_node|somebody) publishes /[a-z_/]+ in DDS domain {domain};", lines[0])
    assert "Traceback" not in errors


def test_cameras_that_came_since_the_first_look_are_seen_without_waiting() -> None:
    domain = next_domain()
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("observer", context=context)
    try:
        require_no_cameras(node, domain)
        with other_cameras(domain):
            wait_until(lambda: node.count_publishers("/visible/image"), "the other cameras, seen by the observer")
            with pytest.raises(ProcessError, match=f"publishes /[a-z_/]+ in DDS domain {domain}; expected"):
                require_no_cameras(node, domain)
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def test_the_first_free_domain_is_taken_and_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    domain = next_domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    with own_domain() as ours:
        assert ours == domain
        with pytest.raises(ProcessError, match=f"another demo, soak or benchmark .* DDS domain {domain}"), own_domain():
            pass
    with own_domain() as again:
        assert again == domain
    monkeypatch.delenv("ROS_DOMAIN_ID")
    with own_domain() as first, own_domain() as second:
        assert first < second
    monkeypatch.setenv("ROS_DOMAIN_ID", "two")
    with pytest.raises(ValueError, match="ROS_DOMAIN_ID is 'two'"), own_domain():
        pass


def test_cameras_of_another_size_that_come_later_do_not_end_the_demo(tmp_path: Path) -> None:
    domain = next_domain()
    demo = started(domain, "vi_fusion_ros.tools.demo", "--duration", "25", "--out", str(tmp_path))
    assert demo.stdout is not None
    seen: list[str] = []
    wait_until(lambda: seen.append(demo.stdout.readline()) or "fused" in seen[-1], "a result", 2 * DEADLINE_S)
    with other_cameras(domain):
        output, errors = demo.communicate(timeout=6 * DEADLINE_S)
    assert demo.returncode == 0, output + errors
    # Its rows are of whichever cameras came last.
    assert cv2.imread(str(tmp_path / "mosaic.png")).shape[1] in (4 * 640, 4 * 320)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["errors"] == 0
    assert summary["frames_in"]["visible"] > summary["played"]["frames"]["visible"], "the others were not heard"
    log = (tmp_path / "fusion_node.log").read_text()
    for camera in ("visible", "thermal"):
        assert log.count(f"/{camera}/image: images of 320x240 came after some of 640x480; it has 2 publishers") == 1


def test_a_node_takes_images_of_changing_size_and_counts_the_changes() -> None:
    domain = next_domain()
    node, probe = NodeProcess("vi_fusion_ros.node.fusion_node", domain, {"status_rate": 10.0}), Probe(domain)
    fused: list[Image] = []
    probe.node.create_subscription(Image, "fusion_node/fused/image", fused.append, 100)
    sizes = [(96, 128), (48, 64)] * 4
    stamps = count(START_NS, PERIOD_NS)

    def send(height: int, width: int, stamp_ns: int) -> None:
        for camera in ("visible", "thermal"):
            image = scene(camera, height, width) + np.uint8(stamp_ns // PERIOD_NS % 50)  # no frozen stream
            probe.send(camera, stamp_ns, image.astype(scene(camera).dtype))

    try:
        wait_until(lambda: probe.status is not None and probe.status.state == "active", "the node")
        wait_until(lambda: all(map(probe.camera_connected, probe.cameras)), "the node's subscriptions")
        for size in sizes:
            probe.send_until_result(partial(send, *size), stamps)
        changes = {"visible": "", "thermal": ""}

        def counted() -> bool:
            for message in list(probe.received["diagnostics"])[-1:]:
                for status in message.status:
                    for camera in changes:
                        if status.name.endswith(f"{camera} stream"):
                            values = {pair.key: pair.value for pair in status.values}
                            changes[camera] = values.get("size changes", "")
            return set(changes.values()) == {"7"}

        wait_until(counted, "the count of changes")
        wait_until(lambda: {(m.height, m.width) for m in fused} == set(sizes), "fused images of both sizes")
        assert node.output.count("images of 64x48 came after some of 128x96") == 2, "once a camera"
        assert probe.status.errors == 0
    finally:
        probe.close()
        node.stop()


def test_rows_of_different_widths_are_stacked() -> None:
    wide, narrow = np.zeros((10, 40, 3), np.uint8), np.full((10, 20, 3), 9, np.uint8)
    assert stacked([wide, narrow]).shape == (30, 40, 3)
    assert stacked([narrow, wide]).shape == (15, 20, 3)
