"""A camera unplugged and plugged in again: its process killed and started anew while the other one goes on."""

import itertools

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from harness import NodeProcess, Probe, next_domain, wait_until

from vi_fusion_ros.node.messages import stamp_ns
from vi_fusion_ros.types import Mode

pytestmark = pytest.mark.ros

PLAYER = "vi_fusion_ros.tools.player_node"
RATE_HZ = 20.0
LONGEST_PAUSE_S = 0.5
DEADLINE_S = 90.0  # a camera's process takes its time to start on a busy machine


class Rig:
    """Two cameras as processes of their own, a fusion node, and what it publishes."""

    def __init__(self):
        self.domain = next_domain()
        self.probe = Probe(self.domain)
        defaults = {"single_camera_timeout": 0.4, "health.fault_time": 0.5}
        self.node = NodeProcess("vi_fusion_ros.node.fusion_node", self.domain, {"status_rate": 20.0, **defaults})
        self.probe.wait_active()
        self.players = {camera: self.plug(camera) for camera in ("visible", "thermal")}

    def plug(self, camera):
        parameters = {
            "cameras": camera, "width": 64, "height": 48, f"{camera}.rate": RATE_HZ, "thermal_bits": 16,
            "wait_for_subscribers": False,
        }  # fmt: skip
        return NodeProcess(PLAYER, self.domain, parameters)

    def unplug(self, camera):
        self.players[camera].process.kill()
        self.players[camera].process.wait()

    def modes(self):
        return [Mode(message.mode) for message in list(self.probe.received["classification"])]

    def wait_for_mode(self, mode, count=10):
        """Wait until that many results in a row are of this mode."""
        wait_until(lambda: self.modes()[-count:] == [mode] * count, f"{count} results of {mode.name}", DEADLINE_S)

    def health(self):
        return {"visible": self.probe.status.visible_health, "thermal": self.probe.status.thermal_health}

    def close(self):
        self.probe.close()
        for process in (*self.players.values(), self.node):
            process.stop()


@pytest.fixture
def rig():
    rig = Rig()
    yield rig
    rig.close()


@pytest.mark.parametrize(
    ("camera", "alone"), [("thermal", Mode.VISIBLE_ONLY), ("visible", Mode.THERMAL_ONLY)], ids=["thermal", "visible"]
)
def test_unplugged_and_plugged_in_again(rig, camera, alone):
    rig.wait_for_mode(Mode.BOTH)
    first = len(rig.modes()) - 1
    rig.unplug(camera)
    rig.wait_for_mode(alone)
    wait_until(lambda: rig.health()[camera] == "silent", "the status to call it silent")
    rig.players[camera] = rig.plug(camera)
    rig.wait_for_mode(Mode.BOTH)
    wait_until(lambda: set(rig.health().values()) == {"ok"}, "both cameras to be well")

    messages = list(rig.probe.received["classification"])[first:]
    modes = [Mode(message.mode) for message in messages]
    assert [mode for mode, _ in itertools.groupby(modes)] == [Mode.BOTH, alone, Mode.BOTH]  # no flicker
    # By the cameras' own clock, which a busy test machine does not stretch.
    stamps = np.array([stamp_ns(message.header.stamp) for message in messages]) / 1e9
    assert np.diff(stamps).max() <= LONGEST_PAUSE_S
    assert np.diff(stamps).min() > 0
    frames = {message.header.frame_id for message in messages if message.mode == alone}
    assert frames == {"visible_optical_frame" if camera == "thermal" else "thermal_optical_frame"}


def test_both_unplugged_status_flows_and_names_both(rig):
    rig.wait_for_mode(Mode.BOTH)
    rig.unplug("visible")
    rig.unplug("thermal")
    wait_until(lambda: set(rig.health().values()) == {"silent"}, "both to be called silent")
    count = len(rig.probe.received["status"])
    wait_until(lambda: len(rig.probe.received["status"]) > count + 20, "status to flow")
    wait_until(lambda: rig.probe.status.mode == 3, "no mode at all")

    def message():
        return rig.probe.received["diagnostics"][-1].status[0].message

    wait_until(lambda: message() == "no result: visible silent and thermal silent", "diagnostics to name both")
    for camera in rig.players:
        rig.players[camera] = rig.plug(camera)
    rig.wait_for_mode(Mode.BOTH)
    assert rig.node.alive
