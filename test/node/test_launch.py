import itertools
import json
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
from harness import DEADLINE_S, PERIOD_NS, START_NS, Probe, Process, next_domain, wait_until
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python
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
ARGUMENTS = ["fusion.launch.py", "calibrate.launch.py", "replay.launch.py", "evaluation.launch.py"]
AROUND = """
from launch import LaunchDescription
from launch.actions import ExecuteProcess, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import PushRosNamespace

def generate_launch_description():
    include = IncludeLaunchDescription(PythonLaunchDescriptionSource({file!r}), launch_arguments={arguments!r}.items())
    behind = ExecuteProcess(cmd=["sh", "-c", "env >{folder}/env.new; mv {folder}/env.new {folder}/env"])
    return LaunchDescription([GroupAction([PushRosNamespace("robot"), include]), behind])
"""


def launch_file_around(folder, **arguments):
    """A robot's launch file: fusion.launch.py under a pushed namespace, then a process that writes its environment."""
    path = folder / "robot.launch.py"
    path.write_text(AROUND.format(file=str(FOLDER / "fusion.launch.py"), arguments=arguments, folder=folder))
    return path


def profiles_of(environ):
    """The DDS profiles among the lines of an environment."""
    names = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE", "CYCLONEDDS_URI")
    return dict(line.split("=", 1) for line in environ if line.startswith(names))


@pytest.fixture
def launch():
    started = []

    def _launch(*arguments, file="fusion.launch.py", environment=None):
        domain = next_domain()
        probe = Probe(domain)
        started.append(probe.close)
        process = Process([sys.executable, "-c", RUN, str(FOLDER / file), *arguments], domain, environment)
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
    wait_until(lambda: probe.node.count_subscribers("/cam/rgb/image_raw") == 1, "the visible subscription")
    wait_until(lambda: probe.node.count_subscribers("/ir/image_raw") == 1, "the thermal subscription")
    wait_until(lambda: probe.node.count_subscribers("/cam/rgb/camera_info") == 1, "the camera_info subscription")
    wait_until(lambda: probe.node.count_publishers("/front/fusion_node/fused") == 1, "the namespaced output")


def test_the_transport_of_each_camera_is_an_argument(launch):
    _, probe = launch("visible:=/cam/rgb", "visible_transport:=compressed", "thermal_transport:=compressedDepth")
    for topic in ("/cam/rgb/image_raw/compressed", "/thermal/image/compressedDepth"):
        wait_until(lambda topic=topic: probe.node.count_subscribers(topic) == 1, topic)


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


@pytest.mark.parametrize("section", ["/**", "fusion_node"])
def test_a_profile_lies_under_the_parameter_file_and_under_the_arguments(launch, tmp_path, section):
    file = tmp_path / "mine.yaml"
    mine = {"queue_depth": 5, "threads": 3, "autostart": False}
    file.write_text(yaml.safe_dump({section: {"ros__parameters": mine}}))
    _, probe = launch("profile:=driving", f"params_file:={file}", "threads:=1")
    wait_until(lambda: probe.status, "a status")
    assert probe.get_parameter("queue_depth") == 5
    assert probe.get_parameter("pairing.max_skew") == 0.02
    assert probe.get_parameter("threads") == 1


def test_a_profile_lies_over_the_defaults(launch):
    _, probe = launch("profile:=aerial", "autostart:=false")
    wait_until(lambda: probe.status, "a status")
    assert probe.get_parameter("thermal.tone_mapping") == "local"
    assert probe.get_parameter("queue_depth") == 1


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
            topic = f"/{side}/{camera}/image_raw"
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
    wait_until(lambda: not process.alive, "the calibration", 4 * DEADLINE_S)
    assert "pair 3 of 3" in process.output
    rig = Rig.load(tmp_path / "rig.yaml")
    assert rig.thermal_size == (500, 400)
    assert list((tmp_path / "pairs" / "pictures").iterdir())


@pytest.mark.parametrize("file", ARGUMENTS)
def test_every_argument_is_described(file):
    arguments = runpy.run_path(str(FOLDER / file))["ARGUMENTS"]
    assert all(entry[1] for entry in arguments.values())


NO_PROFILE = {"FASTRTPS_DEFAULT_PROFILES_FILE": "", "FASTDDS_DEFAULT_PROFILES_FILE": "", "CYCLONEDDS_URI": ""}


@pytest.mark.parametrize("robot", ["none", "its own"])
def test_the_dds_profile_is_for_our_node_alone_and_replaces_none(launch, tmp_path, robot):
    own = tmp_path / "own.xml"
    own.write_text((share_path() / "config" / "dds" / "fastdds.xml").read_text())
    environment = {**NO_PROFILE, **({"FASTRTPS_DEFAULT_PROFILES_FILE": str(own)} if robot == "its own" else {})}
    process, _ = launch(file=launch_file_around(tmp_path), environment=environment)
    wait_until((tmp_path / "env").exists, "the process behind")
    behind = profiles_of((tmp_path / "env").read_text().splitlines())
    assert behind == {name: value for name, value in environment.items() if value}
    wait_until(lambda: children(process), "the node")
    names = {path: Path(f"/proc/{path}/cmdline").read_text() for path in children(process)}
    (node,) = [pid for pid, command in names.items() if "fusion_node" in command]
    has = profiles_of(Path(f"/proc/{node}/environ").read_text().split("\0"))
    expected = own if robot == "its own" else share_path() / "config" / "dds" / "fastdds.xml"
    assert has["FASTRTPS_DEFAULT_PROFILES_FILE"] == str(expected)


@pytest.mark.parametrize("compressed", [False, True])
def test_the_images_reliability_reaches_pushed_namespaces_and_what_the_file_says(launch, tmp_path, compressed):
    file = tmp_path / "p.yaml"
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"visible.compressed": compressed}}}))
    around = launch_file_around(tmp_path, params_file=str(file), image_reliability="reliable", namespace="front")
    _, probe = launch(file=around)
    topic = "/robot/front/visible/image" + "/compressed" * compressed
    wait_until(lambda: probe.node.count_subscribers(topic), "the visible subscription")
    (subscription,) = probe.node.get_subscriptions_info_by_topic(topic)
    assert subscription.qos_profile.reliability == ReliabilityPolicy.RELIABLE


@pytest.mark.parametrize(
    ("file", "arguments", "named"),
    [
        ("fusion.launch.py", ["params_file:=/nowhere/p.yaml"], "/nowhere/p.yaml"),
        ("fusion.launch.py", ["threads:=two"], "argument threads is 'two'"),
        ("fusion.launch.py", ["threads:=1000"], "parameter threads is 1000"),
        ("fusion.launch.py", ["respawn_delay:=soon"], "argument respawn_delay is 'soon'"),
        ("evaluation.launch.py", ["threads:=two"], "argument threads is 'two'"),
        ("calibrate.launch.py", ["pairs:=few"], "argument pairs is 'few'"),
        ("replay.launch.py", ["bag:=b", "params_file:=/nowhere/p.yaml"], "/nowhere/p.yaml"),
    ],
)
def test_what_cannot_be_ends_the_launch_by_name(launch, file, arguments, named):
    process, _ = launch(*arguments, file=file)
    wait_until(lambda: not process.alive, "the end")
    assert process.process.returncode == 1
    assert named in process.output


def test_what_is_passed_over_is_named(launch, tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("fusion_nod: {ros__parameters: {threads: 1}}")
    process, _ = launch(f"params_file:={file}", "thread:=1")
    wait_until(lambda: "there is no argument 'thread': did you mean 'threads'?" in process.output, "the argument")
    wait_until(lambda: "has no section for /fusion_node" in process.output, "the file")


@pytest.fixture
def replay(launch, tmp_path):
    """Replays a bag of so many pairs by a stand-in for ``ros2 bag play``."""
    program = tmp_path / "ros2"
    player = Path(__file__).parents[1] / "support" / "ros2_bag_play.py"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {player} "$@"\n')
    program.chmod(0o755)

    def _replay(pairs, *arguments):
        bag = tmp_path / "bag"
        if pairs is not None:
            bag.write_text(str(pairs))
        return launch(
            f"bag:={bag}", f"json:={tmp_path / 'result.json'}", *arguments, file="replay.launch.py",
            environment={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        )  # fmt: skip

    return _replay


def test_a_replay_starts_when_the_node_is_active_and_ends_with_the_result(replay, tmp_path):
    rig = share_path() / "config" / "rigs" / "example.yaml"
    process, _ = replay(20, f"rig:={rig}", "threads:=1", f"model:={share_path() / 'models' / 'default.onnx'}")
    wait_until(lambda: not process.alive, "the end of the replay", 4 * DEADLINE_S)
    assert process.process.returncode == 0, process.output
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["n"] == 20
    assert result["rig"] == str(rig)
    # Nothing of it waited for a deadline: not the bag for the node, not the launch for its processes.
    assert "SIGTERM" not in process.output
    assert process.output.index("active") < process.output.index("ros2")


def test_evaluation_node_has_the_parameters_of_the_node(replay, tmp_path):
    file, rig = tmp_path / "p.yaml", str(share_path() / "config" / "rigs" / "example.yaml")
    file.write_text("fusion_node: {ros__parameters: {visible: {compressed: true}, threads: 3, rig: none.yaml}}")
    model = str(share_path() / "models" / "default.onnx")
    _, probe = replay(20, f"params_file:={file}", f"rig:={rig}", f"model:={model}")
    for node in ("fusion_node", "evaluation_node"):
        client = probe.node.create_client(GetParameters, f"/{node}/get_parameters")
        wait_until(client.service_is_ready, node)
        names = ["rig", "model", "threads", "visible.compressed", "thermal.compressed", "use_sim_time"]
        future = client.call_async(GetParameters.Request(names=names))
        wait_until(future.done, f"the parameters of {node}")
        values = [parameter_value_to_python(value) for value in future.result().values]
        assert values == [rig, model, 3, True, False, True]


@pytest.mark.parametrize(
    ("pairs", "arguments", "named"),
    [
        (None, [], "the bag cannot be played"),
        (20, ["model:=/nowhere/model.onnx", "evaluate:=false"], "fusion_node cannot start"),
        (0, [], "evaluation_node has failed"),
    ],
    ids=["no bag", "no model", "no pair"],
)
def test_a_replay_that_fails_says_so_and_ends_with_status_1(replay, tmp_path, pairs, arguments, named):
    process, _ = replay(pairs, *arguments)
    wait_until(lambda: not process.alive, "the end of the replay", 4 * DEADLINE_S)
    assert process.process.returncode == 1
    assert named in process.output
    assert not (tmp_path / "result.json").exists()


def test_a_calibration_without_images_ends_with_status_1(launch, tmp_path):
    process, _ = launch(
        f"rig:={tmp_path / 'rig.yaml'}", f"folder:={tmp_path / 'pairs'}", "timeout:=1", file="calibrate.launch.py"
    )
    wait_until(lambda: not process.alive, "the end", 4 * DEADLINE_S)
    assert process.process.returncode == 1
    assert "the images could not be collected" in process.output
