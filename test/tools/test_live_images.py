"""Calibrating from live topics: real publishers, commands as they are typed."""

import os
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rig_renderer as world
from harness import NodeProcess, Process, next_domain, wait_until

from vi_fusion_ros.registration import Rig
from vi_fusion_ros.tools import live_images

pytestmark = pytest.mark.ros

TOPICS = {"visible": "visible/image", "thermal": "thermal/image"}
SUPPORT = Path(world.__file__).parent


class Clock:
    """The time, and what is added to it."""

    def __init__(self):
        self.ahead_s = 0.0

    def monotonic(self):
        return time.monotonic() + self.ahead_s

    def monotonic_ns(self):
        return time.monotonic_ns() + round(self.ahead_s * 1e9)


@pytest.fixture
def players(monkeypatch):
    domain = next_domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    player = NodeProcess("vi_fusion_ros.tools.player_node", domain, {"width": 160, "height": 120})
    yield player
    player.stop()


def test_cameras_are_not_silent_while_nobody_listens(players, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(live_images, "time", clock)
    given = 0
    for pair in live_images.live_pairs(TOPICS, 3, 0.0):
        assert pair.visible.image.shape[:2] == (120, 160)
        clock.ahead_s += 60.0  # a search for a board in what was given
        given += 1
    assert given == 3


def test_a_board_is_shown_until_control_c(tmp_path):
    domain, paths = next_domain(), {"PYTHONPATH": os.pathsep.join((str(SUPPORT), os.environ.get("PYTHONPATH", "")))}
    cameras = Process([sys.executable, str(SUPPORT / "board_cameras.py")], domain, paths)
    command = Process(
        [sys.executable, "-m", "vi_fusion_ros.cli", "calibrate", "target", "--board", "checkerboard", "--grid", "9x6",
         "--square", "0.04", "--live", "--visible-topic", TOPICS["visible"], "--thermal-topic", TOPICS["thermal"],
         "--plane-distance", str(world.PLANE_M), "--out", str(tmp_path / "rig.yaml")],
        domain, paths,
    )  # fmt: skip
    try:
        wait_until(lambda: "; 10 views so far" in command.output or not command.alive, "ten views")
        assert "both cameras see the board; 1 views so far; still to show: " in command.output
        assert command.stop() == 0
        assert "interrupted; calibrating from the" in command.output
        assert "views, transfer error" in command.output
        assert world.transfer_error(Rig.load(tmp_path / "rig.yaml")) < 2
    finally:
        command.stop()
        cameras.stop()
