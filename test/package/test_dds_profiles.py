"""The DDS profiles: well-formed, with the values that large images need, and accepted by the middleware."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from domains import next_domain

PROFILES = Path(__file__).resolve().parents[2] / "config" / "dds"
IMAGE_BYTES = 640 * 480 * 3
FAST = {"f": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}
CYCLONE = {"c": "https://cdds.io/config"}


def test_fast_dds_profile_holds_many_images_in_shared_memory():
    root = ElementTree.parse(PROFILES / "fastdds.xml").getroot()
    transports = {
        node.findtext("f:transport_id", namespaces=FAST): node
        for node in root.iter(f"{{{FAST['f']}}}transport_descriptor")
    }
    shared = transports["images_shm"]
    assert shared.findtext("f:type", namespaces=FAST) == "SHM"
    assert int(shared.findtext("f:segment_size", namespaces=FAST) or 0) >= 16 * 1024 * 1024
    assert int(shared.findtext("f:maxMessageSize", namespaces=FAST) or 0) >= 2 * IMAGE_BYTES
    network = transports["images_udp"]
    assert network.findtext("f:type", namespaces=FAST) == "UDPv4"
    for size in ("sendBufferSize", "receiveBufferSize"):
        assert int(network.findtext(f"f:{size}", namespaces=FAST) or 0) == 4 * 1024 * 1024


def test_fast_dds_profile_is_the_default_and_uses_both_transports():
    root = ElementTree.parse(PROFILES / "fastdds.xml").getroot()
    participant = root.find("f:participant", FAST)
    assert participant is not None
    assert participant.get("is_default_profile") == "true"
    used = [node.text for node in participant.findall("f:rtps/f:userTransports/f:transport_id", FAST)]
    assert used == ["images_shm", "images_udp"]
    assert participant.findtext("f:rtps/f:useBuiltinTransports", namespaces=FAST) == "false"


def test_cyclone_dds_profile_asks_for_a_large_receive_buffer_and_insists_on_nothing():
    root = ElementTree.parse(PROFILES / "cyclonedds.xml").getroot()
    buffer = root.find("c:Domain/c:Internal/c:SocketReceiveBufferSize", CYCLONE)
    assert buffer is not None
    assert buffer.attrib == {"max": "16MB"}
    assert root.findtext("c:Domain/c:General/c:MaxMessageSize", namespaces=CYCLONE) == "65500B"


@pytest.mark.ros
def test_fast_dds_reads_the_profile_without_complaint(tmp_path: Path):
    pytest.importorskip("rclpy", reason="ROS 2 is not sourced")
    broken = tmp_path / "broken.xml"
    broken.write_text((PROFILES / "fastdds.xml").read_text(encoding="utf-8").replace("segment_size", "segment_sise"))
    assert "XMLPARSER" in start_a_node_with(broken), "or this test would not see a complaint"
    assert "XMLPARSER" not in start_a_node_with(PROFILES / "fastdds.xml")


def start_a_node_with(profile: Path) -> str:
    """What a process that makes a node with this profile writes."""
    variables = dict.fromkeys(("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"), str(profile))
    variables |= {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp", "ROS_DOMAIN_ID": str(next_domain())}
    code = "import rclpy; rclpy.init(); rclpy.create_node('profile'); rclpy.shutdown()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True, timeout=60
    )
    return done.stdout + done.stderr
