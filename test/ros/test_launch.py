import runpy
import sys

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("launch", reason="launch is not installed (apt: ros-$ROS_DISTRO-launch)")
pytest.importorskip("launch_ros", reason="launch_ros is not installed (apt: ros-$ROS_DISTRO-launch-ros)")

from harness import START_NS, Probe, Process, next_domain, wait_until

from vi_fusion_ros.share import share_path

pytestmark = pytest.mark.ros

FUSION = share_path() / "launch" / "fusion.launch.py"
RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
arguments = [argument.split(":=", 1) for argument in sys.argv[2:]]
service = LaunchService()
source = PythonLaunchDescriptionSource(sys.argv[1])
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)]))
sys.exit(service.run())
"""


@pytest.fixture
def launch():
    started = []

    def _launch(*arguments):
        domain = next_domain()
        probe = Probe(domain)
        started.append(probe.close)
        process = Process([sys.executable, "-c", RUN, str(FUSION), *arguments], domain)
        started.append(process.stop)
        return process, probe

    yield _launch
    for stop in reversed(started):
        stop()


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


def test_every_argument_is_described():
    arguments = runpy.run_path(str(FUSION))["ARGUMENTS"]
    assert all(description for _, description in arguments.values())
