"""evaluation_node as a process over DDS, against ``evaluate bag`` on a bag of the same messages."""

import json
import threading
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import bag_maker
import rclpy
from harness import NodeProcess, next_domain, wait_until
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vi_fusion_ros import cli
from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.images.encodings import fill_image
from vi_fusion_ros.node.messages import to_time
from vi_fusion_ros.node.process.background_executor import BackgroundExecutor
from vi_fusion_ros.pipeline import build_pipeline
from vi_fusion_ros.types import Frame, FramePair

pytestmark = pytest.mark.ros
NODE = "vi_fusion_ros.tools.evaluation_node"
TOPICS = (bag_maker.VISIBLE, bag_maker.THERMAL)


class Player:
    """Plays messages as ``ros2 bag play`` does, /clock included, and listens to the node's statistics."""

    def __init__(self, domain, reliability):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("player", context=self._context)
        profile = QoSProfile(depth=200, reliability=reliability)
        self._cameras = {
            topic: self.node.create_publisher(Image, topic, profile) for topic in (bag_maker.VISIBLE, bag_maker.THERMAL)
        }
        self._clock = self.node.create_publisher(Clock, "/clock", QoSProfile(depth=10))
        self._time = Clock(clock=to_time(bag_maker.START_NS))
        self.node.create_timer(0.01, lambda: self._clock.publish(self._time))
        self.statistics = []
        self.node.create_subscription(
            String, "/evaluation_node/statistics", lambda m: self.statistics.append(json.loads(m.data)), 10
        )
        self._spinner = BackgroundExecutor(self.node)

    def wait_for_subscriptions(self):
        for topic, publisher in {**self._cameras, "/clock": self._clock}.items():
            wait_until(lambda p=publisher: p.get_subscription_count(), f"a subscription to {topic}")

    def play(self, entries, **fields):
        for stamp, topic, image in entries:
            message = fill_image(Image(), image)
            message.header.stamp = to_time(stamp)
            for field, value in fields.items():
                setattr(message, field, value)
            self._time = Clock(clock=to_time(stamp + 20_000_000))
            self._clock.publish(self._time)
            self._cameras[topic].publish(message)

    def received(self):
        pairing = self.statistics[-1]["pairing"] if self.statistics else {}
        return pairing.get("visible_received", 0) + pairing.get("thermal_received", 0)

    def evaluate(self):
        client = self.node.create_client(Trigger, "/evaluation_node/evaluate")
        wait_until(client.service_is_ready, "the service ~/evaluate")
        future = client.call_async(Trigger.Request())
        wait_until(future.done, "an answer of ~/evaluate")
        return future.result()

    def close(self):
        self._spinner.stop()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture
def start(tmp_path, model):
    closing = []

    def _start(reliability=ReliabilityPolicy.RELIABLE, **parameters):
        domain = next_domain()
        player = Player(domain, reliability)
        closing.append(player.close)
        defaults = {"model": str(model), "json": str(tmp_path / "live.json"), "use_sim_time": True}
        process = NodeProcess(NODE, domain, {**defaults, **parameters})
        closing.append(process.stop)
        return player, process

    yield _start
    for close in reversed(closing):
        close()


def of_bag(tmp_path: Path, model: Path, entries) -> dict:
    bag = bag_maker.write_bag(tmp_path / "bag", entries)
    topics = ["--visible-topic", bag_maker.VISIBLE, "--thermal-topic", bag_maker.THERMAL]
    options = ["--model", str(model), "--json", str(tmp_path / "bag.json"), "--jobs", "1"]
    assert cli.main(["evaluate", "bag", str(bag), *topics, *options]) == 0
    return json.loads((tmp_path / "bag.json").read_text())


@pytest.mark.parametrize("thermal_hz", [30, 9])
def test_the_statistics_are_those_of_a_bag_of_the_same_messages(start, tmp_path, model, thermal_hz):
    entries = list(bag_maker.streams(2, 30, thermal_hz, deep=True))
    player, process = start()
    player.wait_for_subscriptions()
    player.play(entries)
    # The last image waits for a better partner until the end.
    wait_until(lambda: player.received() == len(entries) and player.statistics[-1]["waiting"] == 0, "all images")
    assert process.stop() == 0
    live, bag = json.loads((tmp_path / "live.json").read_text()), of_bag(tmp_path, model, entries)
    assert live["n"] == bag["n"] == 2 * thermal_hz
    assert live["partial"] is False
    for key in ("timeline", "labels", "illumination", "thermal_attention", "overlap", "fusion", "model"):
        assert live[key] == bag[key], key
    del live["pairing"]["sync_wait_ms"], bag["pairing"]["sync_wait_ms"]  # of the wall clock, and of the log times
    assert live["pairing"] == bag["pairing"]
    assert set(live["timings"]["latency_ms"]) == set(bag["timings"]["latency_ms"])
    assert 0 < live["timings"]["age_ms"]["p50"] < 3000  # simulated time is that of the stamps


def test_it_measures_the_pipeline_of_the_fusion_nodes_parameters(start, tmp_path, model):
    settings = {
        "thermal.tone_mapping": "range", "thermal.range": [280.0, 320.0], "thermal.radiometry": "tlinear_0.01",
        "visible.denoise": True, "thermal.destripe": True,
    }  # fmt: skip
    entries = list(bag_maker.streams(1, 30, 30, deep=True))
    player, process = start(**settings, **{"thermal.time_offset": 0.001, "latency_budget": 0.2})
    player.wait_for_subscriptions()
    player.play(entries)
    wait_until(lambda: player.received() == len(entries) and player.statistics[-1]["waiting"] == 0, "all images")
    assert process.stop() == 0
    live = json.loads((tmp_path / "live.json").read_text())
    images = {topic: [(stamp, image) for stamp, t, image in entries if t == topic] for topic in TOPICS}
    pipelines = {
        name: build_pipeline(load_engine(model, 2), None, s) for name, s in {"node": settings, "plain": {}}.items()
    }
    attention = {name: [] for name in pipelines}
    for (stamp, visible), (_, thermal) in zip(images[bag_maker.VISIBLE], images[bag_maker.THERMAL], strict=True):
        pair = FramePair(Frame(visible, stamp), Frame(thermal, stamp))
        for name, pipeline in pipelines.items():
            attention[name].append(pipeline.process(pair).thermal_attention)
    assert live["timeline"]["thermal_attention"] == pytest.approx(attention["node"], abs=1e-6)
    assert live["timeline"]["thermal_attention"] != pytest.approx(attention["plain"], abs=1e-3)
    assert set(live["timeline"]["skew_ms"]) == {1 + live_skew_ms(images)}


def live_skew_ms(images):
    return (images[bag_maker.THERMAL][0][0] - images[bag_maker.VISIBLE][0][0]) / 1e6


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"thermal.radiometry": "guess"}, "parameter thermal.radiometry is 'guess'; expected one of"),
        ({"threads": "two"}, "parameter threads"),
    ],
)
def test_a_wrong_parameter_is_one_sentence(start, parameters, sentence):
    _, process = start(**parameters)
    wait_until(lambda: not process.alive, "the node to end")
    assert process.process.returncode == 2
    assert sentence in process.output
    assert "Traceback" not in process.output


def test_a_result_can_be_asked_for_while_images_come(start, tmp_path):
    player, process = start()
    player.wait_for_subscriptions()
    answer = player.evaluate()
    assert answer.success is False
    assert "no pair can be evaluated of 0 visible and 0 thermal images" in answer.message
    player.play(bag_maker.streams(0.5))
    wait_until(lambda: player.statistics and player.statistics[-1]["n"] >= 10, "ten pairs")
    answer = player.evaluate()
    assert answer.success
    result = json.loads(answer.message)
    assert result["n"] >= 10
    assert "timeline" not in result
    assert json.loads((tmp_path / "live.json").read_text())["n"] == result["n"]
    assert process.alive


def test_best_effort_cameras_are_heard_and_broken_images_counted(start, tmp_path):
    player, process = start(ReliabilityPolicy.BEST_EFFORT)
    entries = list(bag_maker.streams(1))
    wait_until(lambda: "best effort, and so are we now" in process.output, "the switch to best effort")
    player.wait_for_subscriptions()
    player.play(entries[:1], encoding="nonsense")
    # A few at a time: best effort has no second try, and the test is not about loss.
    for k in range(2, len(entries), 2):
        player.play(entries[k : k + 2])
        threading.Event().wait(0.02)
    wait_until(lambda: player.statistics and player.statistics[-1]["n"] >= 10, "ten pairs")
    process.stop()
    result = json.loads((tmp_path / "live.json").read_text())
    assert result["partial"] is True
    assert result["pairing"]["invalid"] == {"invalid_visible": 1}
    assert "nonsense" in result["problems"][0]


def test_nothing_to_evaluate_is_one_sentence(start, tmp_path):
    player, process = start()
    player.wait_for_subscriptions()
    assert process.stop() == 2
    assert "evaluation_node: no pair can be evaluated of 0 visible and 0 thermal images" in process.output
    assert not (tmp_path / "live.json").exists()


def test_a_wrong_rig_is_one_sentence(start, tmp_path):
    _, process = start(rig=str(tmp_path / "missing.yaml"))
    wait_until(lambda: not process.alive, "the node to end")
    assert process.process.returncode == 2
    assert "missing.yaml" in process.output
    assert "Traceback" not in process.output
