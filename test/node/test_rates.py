"""Cameras of different rates, as processes: each frame of the slower one gets its nearest partner."""

from __future__ import annotations

import json

import pytest
from harness import NodeProcess, Probe, next_domain, wait_until

pytestmark = pytest.mark.ros

SECONDS = 6.0
VISIBLE_HZ, THERMAL_HZ = 30.0, 9.0


def test_every_frame_of_a_9_hz_16_bit_thermal_camera_is_paired(tmp_path):
    domain, report = next_domain(), tmp_path / "played.json"
    probe = Probe(domain)
    fusion = NodeProcess("vi_fusion_ros.node.fusion_node", domain, {"status_rate": 10.0, "queue_depth": 10})
    player = None
    try:
        probe.wait_active()
        player = NodeProcess(
            "vi_fusion_ros.tools.player_node",
            domain,
            {
                "width": 160, "height": 128, "thermal_bits": 16, "visible.rate": VISIBLE_HZ, "thermal.rate": THERMAL_HZ,
                "duration": SECONDS, "report": str(report),
            },
        )  # fmt: skip
        wait_until(lambda: not player.alive, "the player to end", 60)
        assert player.stop() == 0, player.output
        played = json.loads(report.read_text())["frames"]
        assert played["thermal"] == SECONDS * THERMAL_HZ
        wait_until(
            lambda: (
                (probe.status.visible_received, probe.status.thermal_received) == (played["visible"], played["thermal"])
                and probe.status.published == played["thermal"]
            ),
            "every image and every pair",
        )
        status = probe.status
        assert status.pairs == played["thermal"]
        assert status.mean_abs_skew <= 0.5 / VISIBLE_HZ
        # Visible image 177 is the nearest to the last thermal one; the two after it still wait for a partner.
        assert probe.drops() == {"superseded": 178 - status.pairs}
    finally:
        for process in filter(None, (player, fusion)):
            process.stop()
        probe.close()
