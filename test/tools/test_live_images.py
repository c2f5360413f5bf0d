"""Calibrating from live topics: real publishers, commands as they are typed."""

import contextlib
import os
import re
import signal
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
_PATIENCE_S = 180.0  # a view a second, and a calibration
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
    monkeypatch.setattr(live_images, "_SILENCE_S", _PATIENCE_S)
    given = 0
    for pair in live_images.live_pairs(TOPICS, 3, 0.0):
        assert pair.visible.image.shape[:2] == (120, 160)
        clock.ahead_s += 10 * _PATIENCE_S  # a search for a board in what was given
        given += 1
    assert given == 3


def test_control_c_does_not_cut_a_message_in_two(players):
    taken = []

    def take(_camera, frame):
        os.kill(os.getpid(), signal.SIGINT)
        taken.append(frame.image)

    with pytest.raises(KeyboardInterrupt):
        live_images.live_frames(TOPICS, _PATIENCE_S, take)
    assert len(taken) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_board_is_shown_until_control_c(tmp_path):
    domain, paths = next_domain(), {"PYTHONPATH": os.pathsep.join((str(SUPPORT), os.environ.get("PYTHONPATH", "")))}
    call = [sys.executable, "-m", "vi_fusion_ros.cli", "calibrate", "target", "--board", "checkerboard",
            "--grid", "9x6", "--square", "0.04", "--live", "--visible-topic", TOPICS["visible"],
            "--thermal-topic", TOPICS["thermal"], "--plane-distance", str(world.PLANE_M),
            "--out", str(tmp_path / "rig.yaml")]  # fmt: skip
    with contextlib.ExitStack() as stack:
        cameras = Process([sys.executable, str(SUPPORT / "board_cameras.py")], domain, paths)
        stack.callback(cameras.stop)
        wait_until(lambda: "rendered" in cameras.output or not cameras.alive, "the cameras", _PATIENCE_S)
        command = Process(call, domain, paths)
        stack.callback(command.stop)
        seen = re.compile(r"both cameras see the board; (8|9|10) views so far")
        wait_until(lambda: seen.search(command.output) or not command.alive, "eight views", _PATIENCE_S)
        assert "both cameras see the board; 1 views so far; still to show: " in command.output
        command.process.send_signal(signal.SIGINT)
        wait_until(lambda: not command.alive, "the calibration", _PATIENCE_S)
        assert command.process.returncode == 0, command.output
        assert "interrupted; calibrating from the" in command.output
        assert "views, transfer error" in command.output
    assert world.transfer_error(Rig.load(tmp_path / "rig.yaml")) < 2
