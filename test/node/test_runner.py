"""How the nodes start and end as processes: their arguments, Ctrl-C at any time, and what they print."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from ament_index_python.packages import get_package_prefix
from harness import PATIENCE, PERIOD_NS, START_NS, NodeProcess, Probe, Process, next_domain, wait_until

pytestmark = pytest.mark.ros
NODES = ("fusion_node", "evaluation_node", "player_node", "pair_collector")
MODULES = {name: f"vi_fusion_ros.{'node' if name == 'fusion_node' else 'tools'}.{name}" for name in NODES}


def run(name, *arguments):
    environment = {**os.environ, "ROS_DOMAIN_ID": str(next_domain())}
    command = [sys.executable, "-m", MODULES[name], *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", NODES)
def test_help_lists_the_parameters_and_starts_nothing(name):
    done = run(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {name} --ros-args")
    assert {"fusion_node": "pairing.max_skew", "pair_collector": "period"}.get(name, "visible") in done.stdout


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--ros-args", "--log-level", "loudest"], "loudest"),
        (["--ros-args", "--params-file", "/nowhere/fusion.yaml"], "/nowhere/fusion.yaml"),
        (["-p", "threads:=1"], "'-p'"),
    ],
    ids=["log level", "parameter file", "behind no --ros-args"],
)
def test_arguments_that_cannot_be_are_one_sentence(name, arguments, named):
    done = run(name, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{name}: ")
    assert named in line


def test_a_parameter_file_that_is_no_yaml_is_one_sentence(tmp_path):
    (tmp_path / "p.yaml").write_text("fusion_node: [")
    done = run("fusion_node", "--ros-args", "--params-file", tmp_path / "p.yaml")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "p.yaml") in done.stderr


@pytest.fixture
def node():
    started = []

    def start(parameters=None, name="fusion_node"):
        domain = next_domain()
        process = NodeProcess(MODULES[name], domain, parameters)
        started.append(process.stop)
        probe = Probe(domain)
        started.append(probe.close)
        return process, probe

    yield start
    for stop in reversed(started):
        stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ending_while_images_flow_is_quiet(node, number):
    process, probe = node()
    probe.wait_active()
    stamps = itertools.count(START_NS, PERIOD_NS)

    def result():
        probe.send_pair(next(stamps))
        return probe.received["classification"]

    wait_until(result, "results")
    process.process.send_signal(number)

    def ended():  # images go on, so that some pair is in hand when it ends
        probe.send_pair(next(stamps))
        return not process.alive

    wait_until(ended, "the end")
    assert process.process.returncode == 0
    for word in ("RCLError", "context is", "Traceback", "ERROR"):
        assert word not in process.output


@pytest.mark.parametrize("name", NODES)
def test_ctrl_c_at_any_time_of_the_start_leaves_no_traceback(name, tmp_path):
    executable = Path(get_package_prefix("vi_fusion_ros")) / "lib" / "vi_fusion_ros" / name
    arguments = ["--ros-args", "-p", f"out:={tmp_path}"] if name == "pair_collector" else []
    for _ in range(2):
        process = Process([sys.executable, "-X", "importtime", str(executable), *arguments], next_domain())
        # It writes a line for each module that it has imported.
        wait_until(lambda process=process: "numpy" in process.output, "the first imports")
        process.process.send_signal(signal.SIGINT)
        wait_until(lambda process=process: not process.alive, "the end")
        assert "Traceback" not in process.output


def test_parameters_of_no_such_name_are_named(node):
    process, probe = node({"pairing.max_skw": 0.1, "nonsense": 1, "qos_overrides./visible/imag.subscription.depth": 9})
    probe.wait_active()
    wait_until(lambda: "/visible/imag change" in process.output, "the warning about the topic")
    assert "change nothing: pairing.max_skw (did you mean pairing.max_skew?), nonsense" in process.output


def test_no_warning_where_every_parameter_is_one(node):
    process, probe = node({"use_sim_time": False, "qos_overrides./visible/image/compressed.subscription.depth": 9})
    probe.wait_active()
    assert "change nothing" not in process.output


def test_what_yaml_reads_as_another_type_is_taken_as_it_was_meant(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text(
        "/**:\n  ros__parameters:\n    drift.mode: off\n    pairing.max_skew: 1\n    thermal.range: [1, 9]\n"
    )
    domain = next_domain()
    given = itertools.chain.from_iterable(("-p", f"{name}:={value}") for name, value in PATIENCE.items())
    process = Process(
        [sys.executable, "-m", MODULES["fusion_node"], "--ros-args", *given, "--params-file", str(file)], domain
    )
    probe = Probe(domain)
    try:
        probe.wait_active()
        assert probe.get_parameter("drift.mode") == "off"
        assert probe.get_parameter("pairing.max_skew") == 1.0
        assert list(probe.get_parameter("thermal.range")) == [1.0, 9.0]
        assert "ERROR" not in process.output
    finally:
        process.stop()
        probe.close()


def test_the_player_takes_an_integer_for_a_float():
    done = run("player_node", "--ros-args", "-p", "duration:=1", "-p", "wait_for_subscribers:=false")
    assert done.returncode == 0
    assert "played 30 visible" in done.stderr
