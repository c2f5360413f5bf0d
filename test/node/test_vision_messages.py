"""The topics of vision_msgs, where that package is installed, and the node without it."""

import importlib.util
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import message_packages
from harness import PERIOD_NS, START_NS, NodeProcess, Probe, Process, next_domain, wait_until
from lifecycle_msgs.msg import Transition
from std_srvs.srv import Trigger

from vi_fusion_ros.node.outputs.vision import MISSING

pytestmark = pytest.mark.ros

TOPICS = {
    "detections": "vision_msgs/msg/Detection2DArray",
    "classification_vision": "vision_msgs/msg/Classification",
    "label_info": "vision_msgs/msg/LabelInfo",
}
ECHO = Path(message_packages.__file__).with_name("echo.py")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment of processes that find vision_msgs."""
    return message_packages.environment(tmp_path_factory.mktemp("vision"), "vision_msgs", message_packages.VISION)


class Echo:
    """What a process that knows vision_msgs has heard, by topic."""

    def __init__(self, domain):
        names = [f"{'+' * (topic == 'label_info')}/fusion_node/{topic}" for topic in TOPICS]
        pairs = itertools.chain.from_iterable(zip(names, TOPICS.values(), strict=True))
        self.process = Process([sys.executable, str(ECHO), *pairs], domain)

    def heard(self, topic):
        lines = (json.loads(line) for line in self.process.output.splitlines() if line.startswith('{"topic"'))
        return [line["message"] for line in lines if line["topic"] == f"/fusion_node/{topic}"]


def test_objects_labels_and_what_the_labels_are(installed, object_model, monkeypatch):
    for name, value in installed.items():
        monkeypatch.setenv(name, value)
    domain = next_domain()
    probe = Probe(domain)
    settings = {"status_rate": 20.0, "model": str(object_model), "output.hot_regions": True}
    processes = [NodeProcess("vi_fusion_ros.node.fusion_node", domain, settings)]
    thermal = np.full((96, 128), 29000, np.uint16)
    thermal[24:32, 80:88], thermal[60:68, 20:28] = 31000, 29700  # the second is too faint for the model
    stamps = (START_NS + number * PERIOD_NS for number in itertools.count())
    try:
        probe.wait_active()
        echo = Echo(domain)  # later than the labels were published
        processes.append(echo.process)
        wait_until(lambda: echo.heard("label_info"), "the labels")
        (labels,) = echo.heard("label_info")
        assert labels["class_map"] == [
            {"class_id": 0, "class_name": "bright"},
            {"class_id": 1, "class_name": "warm"},
        ]
        assert labels["threshold"] == pytest.approx(0.3)
        ours = {}

        def both_came():
            stamp = next(stamps)
            probe.send("visible", stamp)
            probe.send("thermal", stamp, thermal)
            message = probe.wait_for_result(stamp)
            ours[message.header.stamp.sec, message.header.stamp.nanosec] = message
            return echo.heard("detections") and echo.heard("classification_vision")

        wait_until(both_came, "detections and a classification")
        found = echo.heard("detections")[0]
        same = ours[tuple(found["header"]["stamp"].values())]
        assert found["header"]["frame_id"] == "visible_optical_frame"
        *of_model, hot = same.objects
        assert hot.label == "hot_region", "which has no score, and is no detection"
        assert len(found["detections"]) == len(of_model) > 1
        for detection, expected in zip(found["detections"], of_model, strict=True):
            assert detection["header"] == found["header"]
            (result,) = detection["results"]
            assert labels["class_map"][int(result["hypothesis"]["class_id"])]["class_name"] == expected.label
            assert result["hypothesis"]["score"] == pytest.approx(expected.probability)
            box, centre = detection["bbox"], detection["bbox"]["center"]["position"]
            assert (box["size_x"], box["size_y"]) == pytest.approx((expected.width, expected.height))
            assert centre["x"] == pytest.approx(expected.x + expected.width / 2)
            assert centre["y"] == pytest.approx(expected.y + expected.height / 2)
            assert box["center"]["theta"] == 0
        classification = echo.heard("classification_vision")[0]
        same = ours[tuple(classification["header"]["stamp"].values())]
        assert [(r["class_id"], pytest.approx(r["score"])) for r in classification["results"]] == [
            (str(key), score.probability) for key, score in enumerate(same.labels)
        ]
        assert probe.call(Trigger, "reload_engine", Trigger.Request()).success
        wait_until(lambda: len(echo.heard("label_info")) == 2, "the labels of the engine that was loaded again")
        assert probe.change_state(Transition.TRANSITION_DEACTIVATE)
        assert probe.change_state(Transition.TRANSITION_CLEANUP)
        assert probe.set_parameter("fusion.method", "max") == (True, "")
        assert probe.change_state(Transition.TRANSITION_CONFIGURE)
        wait_until(lambda: len(echo.heard("label_info")) == 3, "the labels of a method, which has none")
        assert echo.heard("label_info")[-1]["class_map"] == []
        assert processes[0].stop() == 0
        assert "Traceback" not in processes[0].output
    finally:
        for process in reversed(processes):
            process.stop()
        probe.close()


def test_without_vision_msgs_the_node_says_so_once_and_goes_on(model):
    if importlib.util.find_spec("vision_msgs") is not None:
        pytest.skip("vision_msgs is installed here")
    domain = next_domain()
    probe = Probe(domain)
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, {"status_rate": 20.0, "model": str(model)})
    try:
        probe.wait_active()
        for transition in ("DEACTIVATE", "CLEANUP", "CONFIGURE", "ACTIVATE"):
            assert probe.change_state(getattr(Transition, f"TRANSITION_{transition}"))
        probe.wait_active()
        probe.send_pair(START_NS)
        probe.wait_for_result(START_NS)
        assert not any(probe.node.count_publishers(f"/fusion_node/{topic}") for topic in TOPICS)
        assert node.output.count(MISSING) == 1
        assert node.stop() == 0
    finally:
        node.stop()
        probe.close()
