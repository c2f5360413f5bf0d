"""``vi-fusion doctor`` as a process, looking at player_node processes over DDS."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from harness import NodeProcess, next_domain

pytestmark = pytest.mark.ros
PLAYER = "vi_fusion_ros.tools.player_node"


@pytest.fixture
def examine():
    players = []

    def _examine(*arguments, **parameters):
        domain = next_domain()
        if parameters:
            parameters = {"width": 160, "height": 120, "wait_for_subscribers": False, **parameters}
            players.append(NodeProcess(PLAYER, domain, parameters))
        done = subprocess.run(
            [sys.executable, "-m", "vi_fusion_ros.cli", "doctor", "--seconds", "3", "--json", *arguments],
            env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        content = json.loads(done.stdout)
        assert content["exit_code"] == done.returncode
        return done.returncode, [f for f in content["findings"] if f["section"] == "Topics"]

    yield _examine
    for player in players:
        player.stop()


def of(findings, subject):
    return [finding for finding in findings if finding["subject"].startswith(subject)]


def test_two_cameras_are_described(examine):
    _, findings = examine(
        "--visible-topic", "visible/image", "--thermal-topic", "/thermal/image",
        **{"thermal_bits": 16, "thermal.rate": 9.0},
    )  # fmt: skip
    assert {f["level"] for f in findings} == {"ok"}, findings
    (visible,) = of(findings, "visible /visible/image")
    assert "bgr8, 160x120, reliable, volatile" in visible["says"]
    (thermal,) = of(findings, "thermal /thermal/image")
    assert "mono16" in thermal["says"]
    (both,) = of(findings, "visible and thermal")
    partners, _, images = both["says"].split()[:3]
    assert partners == images


def test_compressed_topics_are_looked_at_too(examine):
    _, findings = examine("--visible-topic", "visible/image/compressed", compressed=True)
    (visible,) = of(findings, "visible /visible/image/compressed")
    assert visible["level"] == "ok"
    assert "jpeg" in visible["says"]
    assert "160x120" in visible["says"]


def test_a_misspelt_topic_is_answered_with_those_that_are_there(examine):
    status, findings = examine("--visible-topic", "/visible/imag", "--thermal-topic", "thermal/image", thermal_bits=8)
    (missing,) = of(findings, "visible /visible/imag")
    assert missing["says"] == "no such topic"
    assert "/visible/image" in missing["advice"]
    assert of(findings, "thermal images")[0]["level"] == "note"
    assert status == 2


def test_cameras_whose_images_are_too_far_apart_are_an_error(examine):
    status, findings = examine(
        "--visible-topic", "visible/image", "--thermal-topic", "thermal/image",
        **{"thermal.offset": 0.1, "thermal.rate": 5.0, "visible.rate": 5.0},
    )  # fmt: skip
    (both,) = of(findings, "visible and thermal")
    assert both["level"] == "error"
    assert both["says"].startswith("0 of ")
    assert "pairing.max_skew" in both["advice"]
    assert status == 2


def test_an_empty_graph_is_said_to_be_empty(examine):
    status, findings = examine("--visible-topic", "visible/image")
    assert status == 2
    assert "no image topic at all" in findings[0]["advice"]
