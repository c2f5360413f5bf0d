import json
import sys

import pytest

from vi_fusion_ros import cli
from vi_fusion_ros.doctor import packages, ros_environment
from vi_fusion_ros.doctor.findings import Finding, Level, exit_code
from vi_fusion_ros.doctor.model import hardware
from vi_fusion_ros.doctor.packages import python
from vi_fusion_ros.engines.trt.platform import TensorRTUnavailableError, probe
from vi_fusion_ros.resources import share_path

PROFILE = share_path() / "config" / "dds" / "fastdds.xml"


def level_of(findings, subject):
    (finding,) = [finding for finding in findings if finding.subject == subject]
    return finding.level


def found(level):
    return [Finding("a", "b", level, "c")]


def test_the_exit_code_is_that_of_the_worst():
    assert [exit_code(found(level)) for level in Level] == [0, 0, 1, 2]
    assert exit_code(found(Level.OK) + found(Level.ERROR) + found(Level.WARNING)) == 2


def test_a_missing_package_says_what_it_costs(monkeypatch):
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    findings = list(packages.packages())
    assert level_of(findings, "onnxruntime") == Level.ERROR
    assert level_of(findings, "torch") == Level.NOTE
    assert all("Without it: " in finding.advice for finding in findings)


@pytest.mark.parametrize(
    ("environment", "level"),
    [
        ({}, Level.WARNING),
        ({"FASTRTPS_DEFAULT_PROFILES_FILE": str(PROFILE)}, Level.OK),
        ({"FASTDDS_DEFAULT_PROFILES_FILE": str(PROFILE)}, Level.WARNING),  # the name that Kilted reads
        ({"ROS_DISTRO": "kilted", "FASTDDS_DEFAULT_PROFILES_FILE": str(PROFILE)}, Level.OK),
        ({"FASTRTPS_DEFAULT_PROFILES_FILE": "/no/such.xml"}, Level.ERROR),
        ({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, Level.WARNING),
        ({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp", "CYCLONEDDS_URI": "file:///x.xml"}, Level.OK),
        ({"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"}, Level.NOTE),
    ],
)
def test_the_profile_of_the_middleware(environment, level):
    environment = {"ROS_DISTRO": "jazzy", **environment}
    assert level_of(list(ros_environment.dds(environment)), "profile") == level


def test_a_profile_without_room_for_images_is_no_help(tmp_path):
    small = tmp_path / "small.xml"
    small.write_text(PROFILE.read_text().replace("33554432", "524288"))
    findings = list(ros_environment.dds({"ROS_DISTRO": "jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE": str(small)}))
    assert level_of(findings, "profile") == Level.WARNING


def test_small_socket_buffers_are_told(tmp_path):
    core = tmp_path / "sys" / "net" / "core"
    core.mkdir(parents=True)
    (core / "rmem_max").write_text("212992\n")
    (core / "wmem_max").write_text("16777216\n")
    findings = list(ros_environment.dds({}, proc=tmp_path))
    assert level_of(findings, "net.core.rmem_max") == Level.NOTE
    assert level_of(findings, "net.core.wmem_max") == Level.OK


def test_messages_that_were_built_before_an_update_are_told(monkeypatch, tmp_path):
    pytest.importorskip("rclpy", reason="rclpy is not installed")

    def messages():
        return next(f for f in ros_environment.ros() if f.subject == "messages")

    assert (messages().level, messages().says) == (Level.OK, "built")
    (tmp_path / "msg").mkdir()
    source = (share_path() / "msg" / "LabelScore.msg").read_text()
    (tmp_path / "msg" / "LabelScore.msg").write_text(source + "float32 entropy  # new\nuint8 SOME=1\n")
    monkeypatch.setattr(ros_environment, "share_path", lambda: tmp_path)
    assert messages().level == Level.ERROR
    assert messages().says == "LabelScore was built without entropy: the build is older than the sources"


def test_packages_have_their_versions():
    said = {finding.subject: finding.says for finding in packages.packages()}
    assert all(said.values()), said


def test_without_ros_the_rest_is_looked_at_all_the_same(monkeypatch, tmp_path):
    find_spec = packages.importlib.util.find_spec
    monkeypatch.setattr(
        packages.importlib.util, "find_spec", lambda name: None if name.startswith("rclpy") else find_spec(name)
    )
    report = tmp_path / "doctor.json"
    code = cli.main(["doctor", "--visible-topic", "/a", "--json", str(report)])
    findings = {(f["section"], f["subject"]): f for f in json.loads(report.read_text())["findings"]}
    assert findings["ROS 2", "rclpy"]["level"] == "warning"
    assert findings["Topics", "cameras"]["says"] == "cannot be looked at without ROS 2"
    assert any(section == "Model" for section, _ in findings)
    assert code == 2


def test_a_wrong_model_and_a_wrong_rig_are_errors(tmp_path, capsys):
    rig = tmp_path / "rig.yaml"
    rig.write_text("version: 7\n")
    assert cli.main(["doctor", "--model", str(tmp_path / "none.onnx"), "--rig", str(rig)]) == 2
    text = capsys.readouterr().out
    assert "FAIL  " + str(tmp_path / "none.onnx") in text
    assert "version is 7; expected 1" in text


def test_json_on_stdout_is_json_and_nothing_else(capsys, model):
    cli.main(["doctor", "--model", str(model), "--json"])
    content = json.loads(capsys.readouterr().out)
    assert set(content) == {"exit_code", "findings"}
    assert {f["section"] for f in content["findings"]} >= {"Python", "Packages", "DDS", "Hardware", "Model", "Rig"}


@pytest.mark.parametrize("arguments", [["--seconds", "0"], ["--seconds", "nan"], ["--threads", "0"]])
def test_wrong_arguments_are_one_sentence(arguments, capsys):
    assert cli.main(["doctor", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_gpu_without_tensorrt_is_told_in_one_sentence(tmp_path):
    try:
        probe()
    except TensorRTUnavailableError as error:
        reason = str(error)
    else:
        pytest.skip("TensorRT runs here")
    driver = tmp_path / "driver" / "nvidia" / "version"
    driver.parent.mkdir(parents=True)
    driver.write_text("NVRM version: 580\n")
    findings = list(hardware(tmp_path, tmp_path))
    assert level_of(findings, "GPU") == Level.OK
    [finding] = [finding for finding in findings if finding.subject == "TensorRT"]
    assert (finding.level, finding.says) == (Level.WARNING, reason)


@pytest.mark.parametrize(
    ("version", "distro"), [("7.1.6", "jazzy"), ("9.1.2", "kilted"), (None, "jazzy"), ("odd", "jazzy")]
)
def test_the_ros_2_of_wheels_is_known_by_its_rclpy(monkeypatch, version, distro):
    from importlib import metadata

    from vi_fusion_ros.doctor.ros_environment import distribution

    def of(name):
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "version", of)
    assert distribution({}) == distro
    assert distribution({"ROS_DISTRO": "humble"}) == "humble"


@pytest.mark.parametrize(
    ("version", "level"),
    [((3, 9), Level.ERROR), ((3, 10), Level.OK), ((3, 13), Level.OK), ((3, 14), Level.NOTE), ((3, 15), Level.WARNING)],
)
def test_which_python_was_tried(monkeypatch, version, level):
    monkeypatch.setattr(sys, "version_info", (*version, 0))
    (found,) = python()
    assert found.level == level
    assert ("Lyrical" in found.advice) == (version == (3, 14))
