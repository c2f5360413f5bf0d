"""The bond with nav2's lifecycle manager, whose side of it a process of its own has."""

import json
import signal
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import message_packages
from harness import NodeProcess, Probe, Process, next_domain, wait_until
from lifecycle_msgs.msg import Transition

pytestmark = pytest.mark.ros

SISTER = Path(message_packages.__file__).with_name("bond_sister.py")
_BEATS = 10


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The processes that are started find the messages of bond."""
    for name, value in message_packages.environment(tmp_path / "bond", "bond", message_packages.BOND).items():
        monkeypatch.setenv(name, value)


def test_a_bond_is_formed_while_the_node_is_active_and_ends_with_either_side(installed, model):
    domain = next_domain()
    probe = Probe(domain)
    node = NodeProcess(
        "vi_fusion_ros.node.fusion_node", domain, {"status_rate": 20.0, "model": str(model), "autostart": False}
    )
    sister = Process([sys.executable, str(SISTER), "fusion_node"], domain)

    def heard():
        return [json.loads(line) for line in sister.output.splitlines() if line.startswith('["')]

    def beats():
        """Wait as long as some heartbeats take, by the node's own clock."""
        before = len(probe.received["status"])
        wait_until(lambda: len(probe.received["status"]) > before + 2 * _BEATS, "the status to go on")

    try:
        wait_until(lambda: probe.node.count_publishers("/bond") == 2, "both sides")
        assert probe.change_state(Transition.TRANSITION_CONFIGURE)
        beats()
        assert heard() == []
        assert probe.change_state(Transition.TRANSITION_ACTIVATE)
        wait_until(lambda: len(heard()) > _BEATS, "heartbeats")
        assert {tuple(status[::2]) for status in heard()} == {("fusion_node", True)}
        assert probe.change_state(Transition.TRANSITION_DEACTIVATE)
        wait_until(lambda: not heard()[-1][2], "the end of the bond")
        first = len(heard())
        beats()
        assert len(heard()) == first
        assert probe.change_state(Transition.TRANSITION_ACTIVATE)
        wait_until(lambda: len(heard()) > first + _BEATS, "heartbeats of the next bond")
        assert len({instance for _, instance, _ in heard()}) == 2
        sister.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: not heard()[-1][2], "the answer to the sister's death")
        second = len(heard())
        beats()
        assert len(heard()) == second
        assert probe.state() == "active"
        sister.stop()
        sister = Process([sys.executable, str(SISTER), "fusion_node"], domain)
        assert probe.change_state(Transition.TRANSITION_DEACTIVATE)
        assert probe.change_state(Transition.TRANSITION_ACTIVATE)
        wait_until(lambda: len(heard()) > _BEATS, "heartbeats for the manager that was started anew")
        assert node.stop() == 0
        wait_until(lambda: not heard()[-1][2], "the end of the bond with the node")
        assert "ERROR" not in node.output
    finally:
        for process in (sister, node):
            process.stop()
        probe.close()
