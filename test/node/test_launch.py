import itertools
import os
import runpy
import signal
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("launch", reason="launch is not installed (apt: ros-$ROS_DISTRO-launch)")
pytest.importorskip("launch_ros", reason="launch_ros is not installed (apt: ros-$ROS_DISTRO-launch-ros)")

import yaml
from harness import PERIOD_NS, START_NS, Probe, Process, next_domain, wait_until
from rclpy.qos import ReliabilityPolicy

from vi_fusion_ros.msg import FusionStatus
from vi_fusion_ros.registration.rig import Rig
from vi_fusion_ros.resources import share_path
from vi_fusion_ros.sources.streams import SyntheticStreams

pytestmark = pytest.mark.ros

FOLDER = share_path() / "launch"
RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource
arguments = [argument.split(":=", 1) for argument in sys.argv[2:]]
service = LaunchService()
source = AnyLaunchDescriptionSource(sys.argv[1])
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)]))
sys.exit(service.run())
"""


@pytest.fixture
def launch():
    started = []

    def _launch(*arguments, file="fusion.launch.py"):
        domain = next_domain()
        probe = Probe(domain)
        started.append(probe.close)
        process = Process([sys.executable, "-c", RUN, str(FOLDER / file), *arguments], domain)
        started.append(process.stop)
        return process, probe

    yield _launch
    for stop in reversed(started):
        stop()


def children(process):
    """Process ids of the children of a process."""
    return [
        int(pid) for pid in Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children").read_text().split()
    ]


def test_the_launch_file_starts_a_working_node(launch):
    process, probe = launch()
    probe.wait_active()
    probe.send_pair(START_NS)
    probe.wait_for_result(START_NS)
    assert process.stop() == 0
    assert "Traceback" not in process.output


def test_namespace_and_camera_topics_are_arguments(launch):
    _, probe = launch("namespace:=front", "visible:=/cam/rgb", "thermal_image:=/ir/image_raw", "autostart:=true")
    wait_until(lambda: probe.node.count_subscribers("/cam/rgb/image") == 1, "the visible subscription")
    wait_until(lambda: probe.node.count_subscribers("/ir/image_raw") == 1, "the thermal subscription")
    wait_until(lambda: probe.node.count_subscribers("/cam/rgb/camera_info") == 1, "the camera_info subscription")
    wait_until(lambda: probe.node.count_publishers("/front/fusion_node/fused") == 1, "the namespaced output")


def test_autostart_can_be_left_to_a_lifecycle_manager(launch):
    _, probe = launch("autostart:=false")
    wait_until(lambda: probe.status, "a status")
    assert probe.status.state == "unconfigured"


def test_the_parameter_file_holds_where_no_argument_is_given(launch, tmp_path):
    file = tmp_path / "fusion.yaml"
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"threads": 3, "autostart": False}}}))
    _, probe = launch(f"params_file:={file}", "compressed:=true")
    wait_until(lambda: probe.status, "a status")
    assert probe.get_parameter("threads") == 3
    assert probe.get_parameter("thermal.compressed") is True
    assert probe.get_parameter("autostart") is False


@pytest.mark.parametrize("topic", ["visible/image", "/cam/rgb/image_raw"])
def test_the_images_reliability_is_an_argument(launch, topic):
    _, probe = launch("namespace:=front", "image_reliability:=reliable", f"visible_image:={topic}")
    resolved = topic if topic.startswith("/") else f"/front/{topic}"
    wait_until(lambda: probe.node.count_subscribers(resolved), "the visible subscription")
    (subscription,) = probe.node.get_subscriptions_info_by_topic(resolved)
    assert subscription.qos_profile.reliability == ReliabilityPolicy.RELIABLE


def test_a_node_that_ends_is_started_again(launch):
    process, probe = launch("respawn:=true", "respawn_delay:=0.1")
    probe.wait_active()
    (before,) = children(process)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: children(process) not in ([], [before]), "another process")
    stamps = itertools.count(START_NS, PERIOD_NS)

    def serves():
        probe.send_pair(next(stamps))  # the node that was killed still counts as a subscriber, so the first may be lost
        return probe.received["classification"]

    wait_until(serves, "a result of the new process")


@pytest.mark.parametrize("file", ["two_rigs.launch.xml", "two_rigs.launch.yaml"])
def test_two_rigs_are_two_nodes_that_share_nothing(launch, file):
    rig = share_path() / "config" / "rigs" / "example.yaml"
    _, probe = launch(f"front_rig:={rig}", "threads:=1", file=file)
    for side, registration in (("front", str(rig)), ("rear", "identity")):
        probe.listen(f"/{side}/fusion_node/status", FusionStatus, side)
        wait_until(lambda side=side: probe.node.count_publishers(f"/{side}/fusion_node/fused") == 1, f"{side} output")
        for camera in ("rgb", "ir"):
            topic = f"/{side}/{camera}/image"
            wait_until(lambda topic=topic: probe.node.count_subscribers(topic) == 1, topic)
        wait_until(lambda side=side: any(s.state == "active" for s in probe.received[side]), f"{side} active")
        assert probe.received[side][-1].registration == registration


def test_calibrating_from_running_cameras_writes_a_rig(launch, tmp_path):
    process, probe = launch(
        f"rig:={tmp_path / 'rig.yaml'}", f"folder:={tmp_path / 'pairs'}", "pairs:=3", "period:=0.0",
        "visible_image:=/visible/image", file="calibrate.launch.py",
    )  # fmt: skip
    wait_until(lambda: all(map(probe.camera_connected, probe.cameras)), "the collector")
    street = SyntheticStreams(640, 480, 0, 16, None)
    for number, (visible, thermal) in enumerate(zip(street.visible(5.0), street.thermal(5.0), strict=False)):
        stamp = START_NS + number * 200_000_000
        probe.send("visible", stamp, visible)
        probe.send("thermal", stamp, thermal[30:430, 20:520])  # sees less: plain rescaling is no answer
        if number == 20 or not process.alive:
            break
    wait_until(lambda: not process.alive, "the calibration")
    assert "pair 3 of 3" in process.output
    rig = Rig.load(tmp_path / "rig.yaml")
    assert rig.thermal_size == (500, 400)
    assert list((tmp_path / "pairs" / "pictures").iterdir())


@pytest.mark.parametrize("file", ["fusion.launch.py", "calibrate.launch.py", "replay.launch.py"])
def test_every_argument_is_described(file):
    arguments = runpy.run_path(str(FOLDER / file))["ARGUMENTS"]
    assert all(entry[1] for entry in arguments.values())
