import pytest

from vi_fusion_ros.node import launch_support
from vi_fusion_ros.resources import share_path

FILE = """
/**:
  ros__parameters: {threads: 1, visible: {compressed: true}}
fusion_node:
  ros__parameters: {threads: 2}
/front:
  fusion_node:
    ros__parameters: {threads: 3}
/rear/*:
  ros__parameters: {threads: 4}
another:
  ros__parameters: {threads: 5, model: other.onnx}
"""


@pytest.mark.parametrize(
    ("node", "threads"), [("/fusion_node", 2), ("/front/fusion_node", 3), ("/rear/fusion_node", 4), ("/a/b/node", 1)]
)
def test_a_parameter_file_is_read_as_ros_does(tmp_path, node, threads):
    (tmp_path / "p.yaml").write_text(FILE)
    expected = {"threads": threads, "visible.compressed": True}
    assert launch_support.file_parameters(str(tmp_path / "p.yaml"), node) == expected


def test_a_file_for_other_nodes_alone_is_told(tmp_path):
    (tmp_path / "p.yaml").write_text("fusion_nod: {ros__parameters: {threads: 1}}")
    assert launch_support.file_parameters(str(tmp_path / "p.yaml"), "/fusion_node") is None


@pytest.mark.parametrize("text", [None, "a: ["], ids=["missing", "no YAML"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, text):
    path = tmp_path / "p.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=f"^params_file {path} cannot be read: [^\\n]*$"):
        launch_support.file_parameters(str(path), "/fusion_node")


def test_arguments_become_parameters_and_empty_ones_do_not():
    given = {"threads": "3", "compressed": "True", "rig": "", "engine_precision": "int8", "visible": "/cam"}
    assert launch_support.given_parameters({**given, "thermal_transport": "compressedDepth"}) == {
        "threads": 3, "visible.compressed": True, "thermal.compressed": True, "engine.precision": "int8",
        "thermal.image_transport": "compressedDepth",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"threads": "two"}, "argument threads is 'two'; expected an integer"),
        ({"threads": "1000"}, "parameter threads is 1000; expected 1 to 64"),
        ({"compressed": "yes"}, "argument compressed is 'yes'; expected true or false"),
        ({"visible_transport": "jpeg"}, "parameter visible.image_transport is 'jpeg'; expected one of"),
        ({"backend": "gpu"}, "parameter backend is 'gpu'; expected one of"),
    ],
)
def test_arguments_that_cannot_be_are_named(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        launch_support.given_parameters(given)


@pytest.mark.parametrize(
    ("prefix", "image", "expected"),
    [
        ("", "", ("thermal/image", "thermal/camera_info")),
        ("/flir", "", ("/flir/image_raw", "/flir/camera_info")),
        ("/seek", "/seek/thermal_image", ("/seek/thermal_image", "/seek/camera_info")),
        ("", "/ir/image", ("/ir/image", "thermal/camera_info")),
    ],
)
def test_a_prefix_is_a_drivers_and_an_image_topic_wins(prefix, image, expected):
    assert launch_support.camera_topics({"thermal": prefix, "thermal_image": image}, "thermal") == expected


def test_every_transport_of_an_image_topic_is_remapped():
    assert launch_support.image_remappings("visible", "/cam/image_raw") == [
        ("visible/image", "/cam/image_raw"),
        ("visible/image/compressed", "/cam/image_raw/compressed"),
        ("visible/image/compressedDepth", "/cam/image_raw/compressedDepth"),
        ("visible/image/zstd", "/cam/image_raw/zstd"),
        ("visible/image/ffmpeg", "/cam/image_raw/ffmpeg"),
        ("visible/image/foxglove", "/cam/image_raw/foxglove"),
    ]


@pytest.mark.parametrize(
    ("topic", "full"),
    [("visible/image", "/front/visible/image"), ("/cam/image", "/cam/image"), ("~/image", "/front/fusion_node/image")],
)
def test_quality_of_service_is_that_of_the_full_topic_in_every_transport(topic, full):
    assert launch_support.image_qos([topic], "/front", "fusion_node", "reliable") == {
        f"qos_overrides.{full}.subscription.reliability": "reliable",
        f"qos_overrides.{full}/compressed.subscription.reliability": "reliable",
        f"qos_overrides.{full}/compressedDepth.subscription.reliability": "reliable",
        f"qos_overrides.{full}/zstd.subscription.reliability": "reliable",
        f"qos_overrides.{full}/ffmpeg.subscription.reliability": "reliable",
        f"qos_overrides.{full}/foxglove.subscription.reliability": "reliable",
    }


def test_nothing_is_said_about_quality_of_service_unless_asked():
    assert launch_support.image_qos(["visible/image"], "/", "fusion_node", "") == {}


def test_the_dds_profiles_are_those_of_the_package_where_none_is_set():
    folder = share_path() / "config" / "dds"
    fast, cyclone = str(folder / "fastdds.xml"), f"file://{folder / 'cyclonedds.xml'}"
    jazzy = {"FASTRTPS_DEFAULT_PROFILES_FILE": fast, "CYCLONEDDS_URI": cyclone}
    kilted = {"FASTDDS_DEFAULT_PROFILES_FILE": fast, "CYCLONEDDS_URI": cyclone}
    assert launch_support.dds_environment({"ROS_DISTRO": "jazzy"}) == jazzy
    assert launch_support.dds_environment({"ROS_DISTRO": "kilted"}) == kilted


def test_the_robots_own_dds_profile_stays(tmp_path, monkeypatch):
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        assert set(launch_support.dds_environment({name: "/robot.xml"})) == {"CYCLONEDDS_URI"}
    assert "CYCLONEDDS_URI" not in launch_support.dds_environment({"CYCLONEDDS_URI": "file:///robot.xml"})
    (tmp_path / "DEFAULT_FASTRTPS_PROFILES.xml").write_text("<profiles/>")  # Fast DDS looks there too
    monkeypatch.chdir(tmp_path)
    assert set(launch_support.dds_environment({})) == {"CYCLONEDDS_URI"}


def test_a_name_that_looks_like_an_argument_is_told():
    known = ("threads", "thermal_image", "rig")
    assert list(launch_support.misspelt(["thread", "rig", "front_rig", "robot"], known)) == [
        "there is no argument 'thread': did you mean 'threads'?"
    ]
