"""~/explanation, live: once a second, of results from both cameras, and only while somebody subscribes."""

import itertools
import json
import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from harness import PERIOD_NS, START_NS, NodeProcess, Probe, next_domain, wait_until
from std_srvs.srv import Trigger

from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.msg import Explanation
from vi_fusion_ros.node.outputs.explanation_watch import ExplanationWatch
from vi_fusion_ros.pipeline import load_pipeline

pytestmark = pytest.mark.ros


def test_it_explains_results_of_both_cameras_while_subscribed(model):
    domain = next_domain()
    probe = Probe(domain)
    settings = {"status_rate": 20.0, "model": str(model), "drift.mode": "off"}
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, settings)
    try:
        probe.wait_active()
        stamps = itertools.count(START_NS, PERIOD_NS)

        def send():
            stamp = next(stamps)
            probe.send_pair(stamp)
            return probe.wait_for_result(stamp)

        send()
        wait_until(lambda: probe.node.count_publishers("/fusion_node/explanation") == 1, "the topic")
        probe.listen("fusion_node/explanation", Explanation, "explanation")
        wait_until(lambda: probe.node.count_subscribers("/fusion_node/explanation") == 1, "the subscription")

        def explained(count):
            send()
            return len(probe.received["explanation"]) >= count

        wait_until(lambda: explained(2), "two explanations")
        results = {stamp_of(m): m for m in probe.received["classification"]}
        message = probe.received["explanation"][-1]
        result = results[stamp_of(message)]
        assert message.header == result.header
        assert message.model_id == result.model_id
        assert [row.label for row in message.labels] == [score.label for score in result.labels]
        for row, score in zip(message.labels, result.labels, strict=True):
            assert row.probability == score.probability
            assert row.visible_contribution == pytest.approx(row.probability - row.without_visible, abs=1e-6)
            assert row.thermal_contribution == pytest.approx(row.probability - row.without_thermal, abs=1e-6)
        assert math.isnan(message.novelty)  # its manifest says nothing of what it was trained on
        assert not message.unfamiliar
        assert any(row.visible_contribution or row.thermal_contribution for row in message.labels)
        assert len(results) > len(probe.received["explanation"])  # not each result

        assert probe.call(Trigger, "reload_engine", Trigger.Request()).success
        count = len(probe.received["explanation"])
        wait_until(lambda: explained(count + 2), "explanations by the engine that was loaded again")
        wait_until(lambda: probe.status.errors == 0, "a status without errors")
        assert node.stop() == 0
        assert "Traceback" not in node.output
    finally:
        node.stop()
        probe.close()


def test_nothing_is_loaded_or_explained_while_nobody_subscribes(model):
    probe, loaded, errors = Probe(next_domain()), [], []

    def load():
        loaded.append(load_engine(model, threads=1))
        return loaded[-1]

    try:
        publisher = probe.node.create_publisher(Explanation, "explanation", 10)
        pipeline = load_pipeline(model, threads=1)
        visible, thermal = np.zeros((96, 128, 3), np.uint8), np.full((96, 128), 90, np.uint8)
        watch = ExplanationWatch(publisher, load, errors.append)
        watch.offer(pipeline(visible, thermal))
        watch.close()  # finishes what is in hand
        assert not loaded
        probe.listen("explanation", Explanation, "explanation")
        wait_until(lambda: publisher.get_subscription_count() == 1, "the subscription")
        watch = ExplanationWatch(publisher, load, errors.append)
        watch.offer(pipeline(visible, None))  # one camera: nothing to compare
        for _ in range(5):
            watch.offer(pipeline(visible, thermal))  # within a second: one of them
        wait_until(lambda: probe.received["explanation"], "the explanation")
        watch.close()
        assert len(loaded) == len(probe.received["explanation"]) == 1
        assert not errors
    finally:
        probe.close()


def test_a_pair_unlike_the_training_data_is_flagged(model, repo_root, tmp_path):
    probe, errors = Probe(next_domain()), []
    for suffix in (".onnx", ".json"):
        (tmp_path / f"m{suffix}").write_bytes(model.with_suffix(suffix).read_bytes())
    novelty = json.loads((repo_root / "models" / "default.json").read_text())["novelty"]
    document = json.loads((tmp_path / "m.json").read_text())
    (tmp_path / "m.json").write_text(json.dumps({**document, "novelty": novelty}))
    try:
        publisher = probe.node.create_publisher(Explanation, "explanation", 10)
        pipeline = load_pipeline(model, threads=1)
        noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
        probe.listen("explanation", Explanation, "explanation")
        wait_until(lambda: publisher.get_subscription_count() == 1, "the subscription")
        watch = ExplanationWatch(publisher, lambda: load_engine(tmp_path / "m.onnx", threads=1), errors.append)
        watch.offer(pipeline(noise, noise[..., 0]))
        wait_until(lambda: probe.received["explanation"] or errors, "the explanation")
        watch.close()
        assert not errors
        assert probe.received["explanation"][0].unfamiliar
        assert probe.received["explanation"][0].novelty > 1
    finally:
        probe.close()


def stamp_of(message):
    return message.header.stamp.sec, message.header.stamp.nanosec
