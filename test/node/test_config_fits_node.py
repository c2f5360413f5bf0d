"""What lies in config/ fits the running node: the SROS 2 policy, the RViz configuration, the Foxglove layout."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed")

from harness import NodeProcess, Probe, next_domain, wait_until

from vi_fusion_ros.msg import LabelScore
from vi_fusion_ros.node.parameters.schema import schema, transport_suffixes
from vi_fusion_ros.resources import share_path

pytestmark = pytest.mark.ros
CONFIG = share_path() / "config"
POLICY = CONFIG / "sros2" / "fusion.policy.xml"
# These differ among releases, or need a package that need not be there.
NOT_EVERYWHERE = (
    {"/fusion_node/get_type_description", "/parameter_events", "/tf", "/tf_static", "/bond"}
    | {
        f"/fusion_node/{topic}"
        for topic in ("detections", "classification_vision", "label_info")  # need vision_msgs
    }
    | {f"/fusion_node/fused/image/{transport}" for transport in ("ffmpeg", "foxglove")}
)  # need the messages of video


def allowed(kind, right):
    """Full names of the topics or services that the policy allows."""
    profile = ElementTree.parse(POLICY).getroot().find("enclaves/enclave/profiles/profile")
    names = [
        element.text
        for group in profile.findall(f"{kind}s")
        if group.get(right) == "ALLOW"
        for element in group.findall(kind)
    ]
    assert len(names) == len(set(names))
    return {n.replace("~", "/fusion_node", 1) if n[0] == "~" else n if n[0] == "/" else f"/{n}" for n in names}


def graph_of(parameters):
    """Types by name of what a node with these parameters publishes, subscribes and serves."""
    domain = next_domain()
    probe = Probe(domain, compressed=parameters.get("visible.compressed", False))
    process = NodeProcess("vi_fusion_ros.node.fusion_node", domain, parameters)
    try:
        probe.wait_active()
        node = probe.node

        def complete():
            # What belongs to a node comes on a topic of its own, in order; this subscription is made last.
            if ("fusion_node", "/") not in node.get_node_names_and_namespaces():
                return False
            return "/thermal/camera_info" in dict(node.get_subscriber_names_and_types_by_node("fusion_node", "/"))

        wait_until(complete, "the node with all that it has")
        ask = (
            node.get_publisher_names_and_types_by_node,
            node.get_subscriber_names_and_types_by_node,
            node.get_service_names_and_types_by_node,
        )
        return [{name: types[0] for name, types in question("fusion_node", "/")} for question in ask]
    finally:
        process.stop()
        probe.close()


@pytest.fixture(scope="module")
def graph():
    everything = {"visible.compressed": True, "thermal.compressed": True, "output.compressed": True}
    everything |= {"thermal.radiometry": "tlinear_0.01", "depth.source": "image"}
    plain, rest = graph_of({}), graph_of({**everything, "use_sim_time": True})
    return [{**a, **b} for a, b in zip(plain, rest, strict=True)]


def test_the_policy_is_what_the_node_does(graph):
    publishes, subscribes, serves = map(set, graph)
    assert allowed("topic", "publish") - NOT_EVERYWHERE == publishes - NOT_EVERYWHERE
    asked = allowed("topic", "subscribe")
    others = {f"/{camera}/image{suffix}" for camera in ("visible", "thermal") for suffix in transport_suffixes()[2:]}
    others |= {f"/depth/image/{transport}" for transport in schema()["depth.image_transport"]["enum"][1:]}
    others.add("/depth/points")
    assert others <= asked  # in place of the compressed ones, by parameter
    assert asked - others - NOT_EVERYWHERE == subscribes - NOT_EVERYWHERE
    assert allowed("service", "reply") - NOT_EVERYWHERE == serves - NOT_EVERYWHERE


def test_rviz_shows_images_that_there_are(graph):
    content = yaml.safe_load((CONFIG / "rviz" / "fusion.rviz").read_text())
    displays = content["Visualization Manager"]["Displays"]
    assert {display["Class"] for display in displays} == {"rviz_default_plugins/Image"}
    shown = {display["Topic"]["Value"] for display in displays if display["Enabled"]}
    assert shown >= {"/visible/image", "/thermal/image"} | {
        f"/fusion_node/{t}/image" for t in ("fused", "attention", "overlay")
    }
    types = {**graph[0], **graph[1]}
    assert {types[display["Topic"]["Value"]] for display in displays} == {"sensor_msgs/msg/Image"}


def test_foxglove_shows_what_there_is(graph):
    content = json.loads((CONFIG / "foxglove" / "fusion.json").read_text())
    panels = content["configById"]
    assert sorted(leaves(content["layout"])) == sorted(panels)
    types = {**graph[0], **graph[1]}
    images = {c["imageMode"]["imageTopic"] for name, c in panels.items() if name.startswith("Image!")}
    assert {types[topic] for topic in images} == {"sensor_msgs/msg/Image"}
    others = [
        panels["RawMessages!classification"]["topicPath"],
        panels["DiagnosticSummary!diagnostics"]["topicToRender"],
    ]
    assert [types[topic] for topic in others] == [
        "vi_fusion_ros/msg/FusedClassification",
        "diagnostic_msgs/msg/DiagnosticArray",
    ]


def test_foxglove_plots_the_labels_of_the_shipped_model():
    panels = json.loads((CONFIG / "foxglove" / "fusion.json").read_text())["configById"]
    manifest = json.loads((share_path() / "models" / "default.json").read_text())
    path = re.compile(r'/fusion_node/classification\.labels\[:\]\{label=="(\w+)"\}\.probability')
    plotted = [path.fullmatch(series["value"])[1] for series in panels["Plot!probabilities"]["paths"]]
    assert plotted == manifest["labels"]
    assert LabelScore.get_fields_and_field_types().keys() >= {"label", "probability"}


def leaves(layout):
    """The panels of a Foxglove layout."""
    if isinstance(layout, str):
        return [layout]
    assert layout["direction"] in ("row", "column")
    return leaves(layout["first"]) + leaves(layout["second"])


def test_the_policy_fits_the_schema_of_sros2():
    schemas = pytest.importorskip("sros2.policy", reason="sros2 is not installed (apt: ros-$ROS_DISTRO-sros2)")
    etree = pytest.importorskip("lxml.etree", reason="lxml is not installed")
    schema = etree.XMLSchema(etree.parse(str(schemas.get_policy_schema("policy.xsd"))))
    schema.assertValid(etree.parse(str(POLICY)))
