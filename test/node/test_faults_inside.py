"""Faults inside the fusion node: an engine, a publisher, a subscription, a thread that raises. It gives way to none."""

import threading

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy
from harness import PATIENCE, PERIOD_NS, START_NS, NodeProcess, Probe, next_domain, wait_until
from lifecycle_msgs.msg import Transition
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from vi_fusion_ros.node.fusion_node import FusionNode
from vi_fusion_ros.node.geometry import live_rig, tf_subscriptions
from vi_fusion_ros.node.worker import Worker
from vi_fusion_ros.registration import RegistrationManager, Rig
from vi_fusion_ros.tools.soak.soak_checks import balance

pytestmark = pytest.mark.ros

FAULTY = "vi_fusion_ros.tools.soak.faulty_node"
COUNTERS = (
    "visible_received", "thermal_received", "published_both", "published_visible_only", "published_thermal_only",
    "pending",
)  # fmt: skip


class Graph:
    """A fusion node that can be made to fail, and a probe."""

    def __init__(self, parameters):
        domain = next_domain()
        self.probe = Probe(domain, topics={"overlay": Image})
        self.node = NodeProcess(FAULTY, domain, {**PATIENCE, "status_rate": 20.0, **parameters})
        self.stamp = START_NS
        self.sent = 0

    def fault(self, name):
        assert self.probe.set_parameter("fault", name) == (True, "")

    def pair(self):
        self.stamp += PERIOD_NS
        self.probe.send_pair(self.stamp)
        self.sent += 2
        return self.stamp

    def result(self):
        return self.probe.wait_for_result(self.pair())

    def threads(self):
        return sorted(self.probe.call(Trigger, "threads", Trigger.Request()).message.split())

    def change(self, transition):
        return self.probe.change_state(getattr(Transition, f"TRANSITION_{transition}"))

    def unaccounted(self):
        status = self.probe.status
        return balance({name: getattr(status, name) for name in COUNTERS}, self.probe.drops())

    def wait_for_account(self):
        """Until everything that was sent has arrived, and nothing of it is on its way."""
        wait_until(
            lambda: (
                self.probe.status.visible_received + self.probe.status.thermal_received == self.sent
                and self.probe.status.pending == 0
                and self.unaccounted() == 0
            ),
            "every image to end somewhere",
        )

    def close(self):
        self.probe.close()
        self.node.stop()


@pytest.fixture
def start(model):
    """Starts a graph with parameters; closed after the test."""
    graphs = []

    def _start(parameters=None, active=True):
        graph = Graph({"model": str(model), **(parameters or {})})
        graphs.append(graph)
        if active:
            graph.probe.wait_active()
        else:
            wait_until(lambda: graph.probe.status, "a status")
        return graph

    yield _start
    for graph in graphs:
        graph.close()


def test_an_engine_that_fails_after_it_took_over_costs_no_image_and_is_told(start):
    graph = start()
    probe = graph.probe

    def promoted():
        graph.result()
        return probe.status.engine.startswith("second ")

    wait_until(promoted, "the second engine to take over")
    assert probe.status.engine_state == "ready"
    graph.fault("engine")
    for _ in range(5):
        graph.result()
    wait_until(lambda: probe.status.engine_state == "fallback", "the fall-back in the status")
    graph.wait_for_account()
    assert "failed while it served 128x96: InjectedError: a fault was injected: engine" in probe.status.engine_reason
    assert "InjectedError" in probe.status.last_error
    assert probe.status.errors == 1
    assert probe.status.engine.startswith("onnxruntime ")
    assert probe.drops().get("failed", 0) == 0
    assert "InjectedError: a fault was injected: engine" in graph.node.output
    graph.fault("")
    answer = probe.call(Trigger, "reload_engine", Trigger.Request())
    assert answer.success, answer.message
    wait_until(promoted, "an engine that was loaded again to take over")


def failing_activations(graph):
    """Activate with a fault at each of its steps; the number of steps."""
    probe, step = graph.probe, 0
    before = graph.threads()
    while True:
        step += 1
        graph.fault(f"activation:{step}")
        if graph.change("ACTIVATE"):
            return step - 1
        assert probe.state() == "inactive"
        assert graph.threads() == before, f"step {step} leaves threads"
        wait_until(
            lambda: (
                probe.node.count_subscribers("/visible/image") + probe.node.count_subscribers("/thermal/image") == 0
            ),
            f"no subscription to be left by step {step}",
        )
        wait_until(lambda: "InjectedError" in probe.status.last_error, "the reason in the status")
        assert probe.status.state == "inactive"


def test_an_activation_that_fails_at_any_step_leaves_nothing(start):
    graph = start({"autostart": False, "drift.mode": "monitor"}, active=False)
    assert graph.change("CONFIGURE")
    # pairing, four subscriptions, the pipeline's state, both threads, the share of the processor, a managed entity
    assert failing_activations(graph) >= 10
    graph.fault("")
    graph.probe.wait_active()
    for _ in range(3):
        graph.result()
    graph.wait_for_account()
    assert graph.probe.status.published == 3
    assert "cannot become active: InjectedError" in graph.node.output


def test_a_wrong_qos_override_fails_the_activation_as_a_whole(start):
    parameters = {"autostart": False, "qos_overrides./thermal/image.subscription.depth": "deep"}
    graph = start(parameters, active=False)
    probe = graph.probe
    assert graph.change("CONFIGURE")
    before = graph.threads()
    for _ in range(3):
        assert not graph.change("ACTIVATE")
        assert graph.threads() == before
    assert probe.state() == "inactive"
    wait_until(lambda: probe.node.count_subscribers("/visible/image") == 0, "no subscription to be left")


def test_a_wrong_qos_override_of_an_output_leaves_no_topic(start):
    parameters = {"autostart": False, "qos_overrides./fusion_node/overlay.publisher.depth": "deep"}
    graph = start(parameters, active=False)
    assert not graph.change("CONFIGURE")
    wait_until(lambda: graph.probe.node.count_publishers("/fusion_node/fused") == 0, "no topic to be left")
    wait_until(lambda: graph.probe.status.last_error, "the reason in the status")
    assert graph.probe.status.state == "unconfigured"
    assert graph.probe.status.model_id == ""


@pytest.mark.parametrize("step", ["1", "2", "3", "5", "6"])
def test_a_deactivation_that_fails_ends_everything_all_the_same(start, step):
    graph = start({"drift.mode": "monitor"})
    graph.result()
    graph.fault(f"deactivation:{step}")
    assert graph.change("DEACTIVATE")
    assert graph.probe.state() == "inactive"
    assert graph.threads().count("fusion_worker") == 0
    wait_until(lambda: graph.probe.node.count_subscribers("/visible/image") == 0, "the subscriptions to go")
    wait_until(lambda: graph.probe.status.state == "inactive", "the status")
    assert "InjectedError" in graph.probe.status.last_error
    assert graph.unaccounted() == 0
    graph.fault("")
    assert graph.change("ACTIVATE")
    graph.sent = 0
    graph.probe.wait_active()
    graph.result()
    graph.wait_for_account()


@pytest.mark.parametrize("point", ["arrived", "decode", "latency", "process", "publisher", "read", "usable"])
def test_the_account_is_exact_whatever_raises(start, point):
    graph = start()
    graph.result()
    graph.fault(point)
    for _ in range(5):
        graph.pair()
    graph.wait_for_account()
    assert graph.probe.drops()["failed"] >= 2
    assert "InjectedError" in graph.probe.status.last_error
    graph.fault("")
    graph.result()
    graph.wait_for_account()
    assert graph.probe.drops()["failed"] <= 10


def test_a_topic_that_cannot_be_published_keeps_none_of_the_others(start):
    graph = start()
    wait_until(lambda: graph.probe.node.count_publishers("/fusion_node/overlay") > 0, "the overlay to be offered")
    graph.result()
    graph.fault("publisher:1")  # ~/fused
    graph.result()
    graph.wait_for_account()
    wait_until(lambda: graph.probe.status.published == 2, "both results to be counted")
    assert "/fusion_node/fused: a result could not be published: InjectedError" in graph.probe.status.last_error


def test_counts_stay_when_the_node_is_deactivated(start):
    graph = start({"pairing.max_skew": 0.001})
    graph.result()
    for _ in range(4):
        graph.stamp += PERIOD_NS
        graph.probe.send_pair(graph.stamp, skew_ns=10_000_000)
        graph.sent += 2
    wait_until(lambda: graph.probe.status.visible_received + graph.probe.status.thermal_received == 10, "the images")
    assert graph.change("DEACTIVATE")
    wait_until(lambda: graph.probe.status.state == "inactive", "the status")
    assert graph.unaccounted() == 0
    assert graph.probe.status.pairs >= 1


def test_destroying_an_active_node_ends_every_thread_even_where_a_step_raises(model, monkeypatch):
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=next_domain())
    before = set(threading.enumerate())
    settings = {"model": str(model), "threads": 1, "drift.mode": "monitor"}
    node = FusionNode(context=context, parameter_overrides=[Parameter(name, value=v) for name, v in settings.items()])
    node.autostart()
    work = node._background.run(lambda: "done")
    wait_until(work.done, "the background thread to have worked")
    names = {thread.name for thread in set(threading.enumerate()) - before}
    assert names == {"fusion_worker", "background_work_0"}  # the drift monitor's is a fusion_worker, too

    destroy = node.destroy_subscription

    failed = []

    def fail(subscription):
        if not failed:
            failed.append(subscription)
            raise RuntimeError("cannot be destroyed")
        return destroy(subscription)

    monkeypatch.setattr(node, "destroy_subscription", fail)
    node.destroy_node()
    assert set(threading.enumerate()) <= before
    assert "cannot be destroyed" in node._status().last_error
    rclpy.shutdown(context=context)


@pytest.mark.parametrize("step", range(4))
def test_a_live_rig_that_cannot_be_made_leaves_nothing(monkeypatch, step):
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=next_domain())
    node = rclpy.create_node("live", context=context)
    threads, entities = set(threading.enumerate()), [*node.subscriptions, *node.timers]
    calls = []

    def failing(work):
        def call(*args, **kwargs):
            calls.append(work)
            if len(calls) == step + 1:
                raise RuntimeError(f"step {step} fails")
            return work(*args, **kwargs)

        return call

    monkeypatch.setattr(tf_subscriptions, "tf_message", lambda _what: Image)  # any message will do
    monkeypatch.setattr(node, "create_subscription", failing(node.create_subscription))
    monkeypatch.setattr(node, "create_timer", failing(node.create_timer))
    monkeypatch.setattr(Worker, "start", failing(Worker.start))
    with pytest.raises(RuntimeError, match=f"step {step} fails"):
        live_rig.LiveRig(node, {}, 10.0, RegistrationManager(Rig.identity()), lambda _rig: None, lambda _error: None)
    assert [*node.subscriptions, *node.timers] == entities
    assert set(threading.enumerate()) == threads
    node.destroy_node()
    rclpy.shutdown(context=context)


class Call:
    """A service that is called and answers when it may."""

    def __init__(self, graph, name):
        self._node = graph.probe.node
        self._client = self._node.create_client(Trigger, f"fusion_node/{name}")
        assert self._client.wait_for_service(30)
        self._future = self._client.call_async(Trigger.Request())

    @property
    def answered(self):
        return self._future.done()

    def answer(self):
        wait_until(self._future.done, "an answer")
        self._node.destroy_client(self._client)
        return self._future.result().success, self._future.result().message


@pytest.mark.parametrize(
    ("service", "point"), [("capture", "capture"), ("reload_engine", "load"), ("reload_engine", "close")]
)
def test_images_are_taken_while_a_service_takes_long(start, tmp_path, service, point):
    graph = start({"capture.folder": str(tmp_path)})
    graph.result()
    wait_until(lambda: graph.probe.status.published == 1, "the result to be counted")
    graph.fault(f"hold {point}")
    call = Call(graph, service)
    for _ in range(20):
        graph.result()
    assert not call.answered
    if service == "reload_engine" and point == "load":
        assert Call(graph, service).answer() == (False, "the engine is being loaded already; wait for the answer")
    graph.fault("")
    success, message = call.answer()
    assert success, message
    graph.result()
    graph.wait_for_account()
    assert graph.probe.status.errors == 0


def test_a_node_that_is_cleaned_up_while_its_engine_is_loaded_again(start):
    graph = start()
    graph.result()
    graph.fault("hold load")
    call = Call(graph, "reload_engine")
    wait_until(lambda: "background_work_0" in graph.threads(), "the engine to be loaded again")
    assert graph.change("DEACTIVATE")
    assert graph.change("CLEANUP")
    graph.fault("")
    assert call.answer() == (False, "the node was cleaned up while the engine was loaded; nothing has changed")
    assert graph.change("CONFIGURE")
    assert graph.change("ACTIVATE")
    graph.sent = 0
    graph.probe.wait_active()
    graph.result()
    graph.wait_for_account()


def test_a_slow_service_that_fails_is_answered_in_a_sentence(start):
    graph = start()
    graph.fault("load")
    assert Call(graph, "reload_engine").answer() == (False, "InjectedError: a fault was injected: load")
    graph.result()
