"""fusion_node: the managed (lifecycle) node that pairs, registers, fuses and classifies two camera streams."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from vi_fusion_ros.engines.engine import Engine
from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.engines.select import Say, Wanted, select_engine
from vi_fusion_ros.errors import sentence
from vi_fusion_ros.methods.engine import NETWORK, MethodEngine
from vi_fusion_ros.methods.registry import method
from vi_fusion_ros.msg import FusionStatus
from vi_fusion_ros.node import bond, capture, qos, services
from vi_fusion_ros.node.geometry import drift_watch, live_rig
from vi_fusion_ros.node.geometry.drift_watch import DriftWatch
from vi_fusion_ros.node.geometry.live_rig import LiveRig
from vi_fusion_ros.node.messages import to_plain
from vi_fusion_ros.node.outputs.explanation_watch import ExplanationWatch
from vi_fusion_ros.node.outputs.publishers import ResultPublishers
from vi_fusion_ros.node.outputs.video_output import VideoOutput
from vi_fusion_ros.node.parameters import declaration
from vi_fusion_ros.node.parameters.schema import schema
from vi_fusion_ros.node.process import runner
from vi_fusion_ros.node.process.background_executor import LOOK_EVERY_S, spin_once
from vi_fusion_ros.node.process.background_work import BackgroundWork
from vi_fusion_ros.node.session import Session
from vi_fusion_ros.node.status.diagnostics import AT_DISTANCES, AT_PLANE, NOT_REGISTERED, Diagnostics, Expectations
from vi_fusion_ros.node.status.graph_checks import GraphChecks
from vi_fusion_ros.node.status.statistics import Statistics
from vi_fusion_ros.node.teardown import take_down
from vi_fusion_ros.pipeline import FusionPipeline, build_pipeline
from vi_fusion_ros.registration import RegistrationManager, Rig
from vi_fusion_ros.resources import default_model
from vi_fusion_ros.sync.health import CAMERAS
from vi_fusion_ros.thermal import ThermalCamera

_LOG_AGAIN_AFTER_S = 5.0
_TONE_PARAMETERS = frozenset({"thermal.tone_mapping", "thermal.range", "thermal.min_span"})


class FusionNode(LifecycleNode):
    """Subscribes to a visible and a thermal camera and publishes fused images and classifications.

    Unconfigured it only reports its status; configuring loads the engine and the rig; activating subscribes. A
    transition that cannot be made fails with one logged sentence and leaves the node alive to be tried again.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("fusion_node", **kwargs)
        self._settings = declaration.declare(self)
        self._state = "unconfigured"
        self._fault = ""
        self._logged: dict[str, float] = {}
        self._statistics = Statistics()
        self._fusing = threading.Lock()
        self._engine: Engine | None = None
        self._engine_state = "unloaded"
        self._registrations: RegistrationManager | None = None
        self._live_rig: LiveRig | None = None
        self._pipeline: FusionPipeline | None = None
        self._outputs: ResultPublishers | None = None
        self._session: Session | None = None
        self._diagnostics = Diagnostics(self.get_fully_qualified_name())
        self._status_publisher = self.create_publisher(FusionStatus, "~/status", qos.copy_of(qos.OUT))
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", qos.copy_of(qos.OUT))
        # On the steady clock: status has to flow while simulated time stands still.
        self._status_timer = self.create_timer(
            1.0 / self._settings["status_rate"], self._publish_status, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._bond = bond.Bond(self) if bond.INSTALLED else None
        self._background = BackgroundWork(self)
        self._reloading = False
        services.offer(self, self)
        self._refuse_impossible_transitions()

    def autostart(self) -> None:
        """Configure and activate, where the parameter says so."""
        if self._settings["autostart"] and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def on_configure(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Load engine and rig, and offer the output topics."""
        return self._transition(self._configure, "inactive", undo=self._undo_configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start fusing; counters start again."""
        managed = super().on_activate

        def work() -> None:
            self._activate()
            _require_success(managed(state))
            if self._bond is not None:
                self._bond.start()

        return self._transition(work, "active", undo=self._deactivate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and finish the pair in hand. What raises is reported, and the rest ends all the same."""
        managed = super().on_deactivate
        steps = (self._deactivate, lambda: _require_success(managed(state)))
        return self._transition(lambda: take_down(steps, self.count_error), "inactive")

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of engine and output topics."""
        return self._transition(self._clean_up, "unconfigured")

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate and clean up from whatever state."""
        return self._transition(self._shut_down, "finalized")

    def on_error(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Clean up and be ready to be configured again."""
        return self._transition(self._shut_down, "unconfigured")

    def set_enabled(self, enabled: bool) -> str:
        """Stop or resume taking images; the engine stays loaded.

        Raises:
            ValueError: the node is not active.
        """
        self._active_session().enabled = enabled
        return "enabled" if enabled else "disabled: no images are taken until ~/set_enabled is called with true"

    def reset_registration(self) -> str:
        """Go back to the rig file: what the drift monitor has corrected is forgotten.

        Raises:
            ValueError: the node is not configured.
        """
        if self._registrations is None:
            raise ValueError(f"there is no registration while the node is {self._state}; configure it first")
        self._registrations.reset()
        return f"registration is that of {self._registrations.current().rig.source} again"

    async def reload_rig(self) -> str:
        """Read the rig file again: geometry, radiometry and time offset. Where it cannot be used nothing changes.

        Raises:
            ValueError: the file cannot be used, or the node is not configured.
            OSError: the file cannot be read.
        """
        registrations, outputs = self._registrations, self._outputs
        if registrations is None or outputs is None:
            raise ValueError(f"there is no rig while the node is {self._state}; configure it first")
        if self._settings["rig"] == live_rig.SOURCE:
            raise ValueError("there is no rig file to read: the rig is that of camera_info and TF, and follows them")
        rig = self._load_rig()
        registration = await self._background.run(lambda: registrations.prepare(rig))
        if self._registrations is not registrations:
            raise ValueError("the node was cleaned up while the rig was prepared; nothing has changed")
        radiometry = ThermalCamera(self._settings, rig.radiometry).radiometry  # refuses what cannot be
        stopped = "" if radiometry or not outputs.offers_kelvin else "; no radiometry, so no ~/temperature"
        if radiometry:
            outputs.offer_kelvin(True)  # before anything changes: it may fail
        registrations.set_rig(rig, registration)
        if not radiometry:
            outputs.offer_kelvin(False)
        if self._session is not None:
            self._session.replace_rig_offset(rig.time_offset_ns)
        return f"rig reloaded from {rig.source}{stopped}"

    async def reload_engine(self) -> str:
        """Load the model again; the engine of before serves meanwhile, and stays where the model cannot be loaded.

        Raises:
            ValueError: the model cannot be used, the node is not configured, or the engine is being loaded already.
            OSError: it cannot be read.
        """
        old = self._engine
        if old is None or self._registrations is None or self._outputs is None:
            raise ValueError(f"there is no engine while the node is {self._state}; configure it first")
        if self._reloading:
            raise ValueError("the engine is being loaded already; wait for the answer")
        self._reloading = True
        try:
            engine = await self._background.run(self._load_engine)
        finally:
            self._reloading = False
        if self._engine is not old:
            await self._close_aside(engine)
            raise ValueError("the node was cleaned up while the engine was loaded; nothing has changed")
        try:
            self._replace_pipeline(self._new_pipeline(engine, self._registrations))
        except Exception:
            await self._close_aside(engine)
            raise
        self._engine = engine
        self._outputs.set_model(engine.manifest)
        if self._session is not None and self._session.explanations is not None:
            self._session.explanations.forget_model()
        await self._close_aside(old)
        return f"engine: {engine.description} ({engine.manifest.model_id})"

    async def _close_aside(self, engine: Engine) -> None:
        """Free an engine off the executor: a builder that it has is waited for."""
        await self._background.run(lambda: take_down([engine.close], self.count_error))

    async def capture(self) -> str:
        """Write the latest pair, its result and the status below ``capture.folder``.

        Raises:
            ValueError: there is no result yet.
            OSError: it cannot be written.
        """
        result = self._statistics.last_result
        if result is None:
            raise ValueError("there is nothing to capture: no result has been made since the node became active")
        folder = Path(self._settings["capture.folder"] or capture.default_folder())
        status = to_plain(self._status())
        return f"captured {await self._background.run(lambda: capture.write_capture(folder, result, status))}"

    def count_error(self, sentence: str) -> None:
        """Count an error and log it, the same sentence at most every few seconds."""
        self._statistics.error(sentence)
        now = time.monotonic()
        if now - self._logged.get(sentence, -_LOG_AGAIN_AFTER_S) >= _LOG_AGAIN_AFTER_S:
            self._logged = {s: t for s, t in self._logged.items() if now - t < _LOG_AGAIN_AFTER_S} | {sentence: now}
            self.get_logger().error(sentence)

    def _refuse_impossible_transitions(self) -> None:
        # rclpy (Humble to Jazzy) lets the exception of an impossible transition out of its service's callback, which
        # ends the process and leaves the client without an answer.
        service = self._service_change_state
        change_state = service.callback

        def answer(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
            try:
                return change_state(request, response)
            except Exception as error:
                self.get_logger().error(f"transition {request.transition.id} refused while {self._state}: {error}")
                response.success = False
                return response

        service.callback = answer

    def _transition(
        self, work: Callable[[], None], state: str, undo: Callable[[], None] = lambda: None
    ) -> TransitionCallbackReturn:
        try:
            work()
        except Exception as error:  # rclpy answers an exception here by finalising the node
            undo()
            self._fault = sentence(error)
            self._statistics.error(self._fault)
            self.get_logger().error(f"cannot become {state}: {self._fault}")
            return TransitionCallbackReturn.FAILURE
        self._fault = ""
        self._state = state
        self.get_logger().info(state)
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        settings = self._settings
        rig = self._load_rig()
        camera = ThermalCamera(settings, rig.radiometry)
        self._engine_state = "failed"
        engine = self._load_engine()
        self._engine_state = "ready"
        self._registrations, self._engine = RegistrationManager(rig), engine
        self._pipeline = self._new_pipeline(engine, self._registrations)
        kelvin = camera.radiometry is not None
        points = settings["depth.source"] != "none"
        self._outputs = ResultPublishers(
            self,
            engine.manifest,
            settings["output.compressed"],
            kelvin,
            points,
            settings["output.video"],
            self.count_error,
        )
        self.get_logger().info(f"engine: {engine.description} ({engine.reason}); registration: {rig.source}")

    def _activate(self) -> None:
        assert self._pipeline is not None
        assert self._outputs is not None
        assert self._registrations is not None
        self._registrations.reset()  # the drift monitor starts without a correction
        self._statistics = Statistics()
        self._session = Session(
            self,
            self._pipeline,
            self._outputs,
            self._settings,
            self._statistics,
            self.count_error,
            self._registrations.current().rig.time_offset_ns,
            self._fusing,
        )
        self._session.drift = self._drift_watch(self._registrations)
        self._session.explanations = ExplanationWatch(
            self._outputs.explanation, self._load_explaining_engine, self._on_explanation_error
        )
        if self._outputs.video is not None:
            interval_s = self._settings["output.video_key_interval"]
            self._session.video = VideoOutput(self._outputs.video, interval_s, self._on_video_error)
        if self._settings["rig"] == live_rig.SOURCE:
            self._follow_topics(self._session, self._registrations)
        unused = declaration.unused_qos(self)
        if unused:
            self.get_logger().warning(
                f"qos_overrides of {', '.join(unused)} change nothing: there is no such topic here"
            )

    def _follow_topics(self, session: Session, registrations: RegistrationManager) -> None:
        """Leave thermal images out until there is a rig of camera_info and TF, and follow these."""
        session.registered = False

        def on_applied(rig: Rig) -> None:
            session.registered = True
            self.get_logger().info(f"registration from camera_info, for a plane at {rig.plane_distance_m:g} m")

        plane_m = self._settings["plane_distance"] or live_rig.DEFAULT_PLANE_M
        assert self._pipeline is not None
        self._live_rig = LiveRig(
            self, session.topics, plane_m, registrations, on_applied, self._on_rig_error, self._pipeline.framings
        )
        session.on_camera_info = self._live_rig.on_camera_info

    def _load_rig(self) -> Rig:
        name, plane_m = self._settings["rig"], self._settings["plane_distance"]
        if name == live_rig.SOURCE:
            live_rig.require_packages()
            return replace(Rig.identity(), source=name)  # until there is one
        rig = Rig.load(name) if name else Rig.identity()
        return rig.at(plane_m) if name and plane_m else rig

    def _load_engine(self) -> Engine:
        logger = self.get_logger()
        return engine_of(self._settings, logger.info, logger.warning, self.count_error)

    def _load_explaining_engine(self) -> Engine:
        """Of one thread, on the CPU: it is never in the way of that which fuses."""
        return load_engine(self._settings["model"] or default_model(), threads=1)

    def _drift_watch(self, registrations: RegistrationManager) -> DriftWatch | None:
        mode, rate_hz = self._settings["drift.mode"], self._settings["drift.rate"]
        if mode == "off":
            return None
        if self._settings["depth.source"] != "none":
            # It looks at the plane, from which what is nearer or farther is off without any drift.
            self.get_logger().info("the drift monitor is off: it knows nothing of depth")
            return None
        return DriftWatch(registrations, mode, rate_hz, self._fusing, self._on_drift_error)

    def _new_pipeline(self, engine: Engine, registrations: RegistrationManager) -> FusionPipeline:
        return build_pipeline(engine, registrations, self._settings)

    def _replace_pipeline(self, pipeline: FusionPipeline) -> None:
        self._pipeline = pipeline
        if self._session is not None:
            self._session.replace_pipeline(pipeline)

    def _active_session(self) -> Session:
        if self._session is None:
            raise ValueError(f"the node is {self._state}; activate it first")
        return self._session

    def _on_drift_error(self, error: Exception) -> None:
        self.count_error(f"drift monitor: {error}")

    def _on_explanation_error(self, error: Exception) -> None:
        self.count_error(f"explanation: {error}")

    def _on_video_error(self, error: Exception) -> None:
        self.count_error(f"video: {error}")

    def _on_rig_error(self, error: Exception) -> None:
        self.count_error(f"registration from {live_rig.SOURCE}: {error}")

    def _deactivate(self) -> None:
        """End what runs while active, whatever raises: nothing of it may go on in a node that says it is inactive."""
        running = [part for part in (self._live_rig, self._session) if part is not None]
        self._live_rig = self._session = None
        unbind = [] if self._bond is None else [self._bond.stop]
        take_down([*unbind, *(part.close for part in running)], self.count_error)

    def _undo_configure(self) -> None:
        failed = self._engine_state == "failed"
        self._clean_up()
        if failed:
            self._engine_state = "failed"

    def _clean_up(self) -> None:
        outputs, engine = self._outputs, self._engine
        self._engine = self._registrations = self._pipeline = self._outputs = None
        self._engine_state = "unloaded"
        take_down([*([outputs.destroy] if outputs else []), *([engine.close] if engine else [])], self.count_error)

    def _shut_down(self) -> None:
        self._deactivate()
        self._clean_up()

    def _on_set_parameters(self, requested: list[Parameter]) -> SetParametersResult:
        try:
            changed = declaration.changes(requested, configured=self._state in ("inactive", "active"))
            if self._registrations is not None:
                rig = self._registrations.current().rig
                ThermalCamera({**self._settings, **changed}, rig.radiometry)  # refuses what cannot be
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._settings.update(changed)
        if self._registrations is not None and self._engine is not None and changed.keys() & _TONE_PARAMETERS:
            self._replace_pipeline(self._new_pipeline(self._engine, self._registrations))
        elif self._pipeline is not None:
            self._pipeline.hot_regions = self._settings["output.hot_regions"]  # what it remembers of the scene stays
        if self._session is not None:
            self._session.apply(self._settings)
        return SetParametersResult(successful=True)

    def _publish_status(self) -> None:
        status = self._status()
        self._status_publisher.publish(status)
        checks = self._session.graph_checks() if self._session else GraphChecks()
        self._diagnostics_publisher.publish(self._diagnostics.report(status, self._fault, self._expected(), checks))

    def _expected(self) -> Expectations:
        rates = {camera: self._settings[f"{camera}.expected_rate"] for camera in CAMERAS}
        return Expectations(rates, self._settings["latency_budget"])

    def _status(self) -> FusionStatus:
        status = FusionStatus(state=self._state)
        status.header.stamp = self.get_clock().now().to_msg()
        session = self._session
        if session is None:
            self._statistics.fill(status, {})
        else:
            self._statistics.fill(status, session.pairing_drops, session.held)
            status.pairs, status.time_resets = session.pairs, session.time_resets
            status.enabled = session.enabled
            if session.enabled:
                health = session.health.describe(time.monotonic())
                status.visible_health, status.thermal_health = health["visible"], health["thermal"]
        drift_watch.fill(status, session.drift if session else None)
        status.engine_state = self._engine_state
        if self._engine is not None:
            status.engine_state = self._engine.state
            status.engine, status.engine_reason = self._engine.description, self._engine.reason
            status.model_id = self._engine.manifest.model_id
        else:
            status.engine_reason = self._fault
        status.registration = self._registration()
        return status

    def _registration(self) -> str:
        if self._registrations is None:
            return ""
        if self._session is not None and not self._session.registered and self._live_rig is not None:
            return NOT_REGISTERED + (self._live_rig.fault or "waiting for camera_info and TF")
        if self._session is not None and self._session.misfit:
            return NOT_REGISTERED + self._session.misfit
        source, depth = self._registrations.current().rig.source, self._session and self._session.depth
        if depth:
            used = f"{AT_DISTANCES}{depth.topic}{depth.remark}"
            return source + (f"{AT_PLANE}{depth.fault}" if depth.fault else used)
        return source

    def destroy_node(self) -> None:
        """Stop fusing and end every thread, then take the node off the graph."""
        take_down((self._shut_down, self._background.close), self.count_error)
        super().destroy_node()


def _require_success(outcome: TransitionCallbackReturn) -> None:
    if outcome != TransitionCallbackReturn.SUCCESS:
        raise ValueError("a managed entity of the node refused the transition")


def engine_wanted(settings: Mapping[str, Any]) -> Wanted:
    """What the node's parameters ask of the engine."""
    cache = settings["engine.cache_dir"]
    return Wanted(
        backend=settings["backend"],
        threads=settings["threads"],
        precision=settings["engine.precision"],
        cache=Path(cache).expanduser() if cache else None,
        build=settings["engine.build"],
        build_timeout_s=settings["engine.build_timeout"],
    )


def engine_of(settings: Mapping[str, Any], log: Say, warn: Say, on_failure: Say) -> Engine:
    """What the node's parameters say shall fuse; see ``select_engine``."""
    if settings["fusion.method"] != NETWORK:
        return MethodEngine(method(settings["fusion.method"]))
    model = Path(settings["model"] or default_model())
    return select_engine(model, engine_wanted(settings), log, warn, on_failure)


def main(args: list[str] | None = None, make: Callable[[], FusionNode] = FusionNode) -> int:
    """Run the node, made by ``make``, until it is interrupted; returns the exit status."""
    entries = [(name, rule["default"], rule["description"]) for name, rule in schema().items()]
    description = "Pairs, registers, fuses and classifies the images of a visible and a thermal camera."
    return runner.run("fusion_node", description, entries, args, make, _serve)


def _serve(node: FusionNode, stop: threading.Event) -> int:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    # Ends the wait now and then, so that a signal is seen.
    node.create_timer(LOOK_EVERY_S, lambda: None, clock=Clock(clock_type=ClockType.STEADY_TIME))
    node.autostart()
    spin(executor, node.count_error, stop)
    return 0


def spin(executor: SingleThreadedExecutor, report: Callable[[str], None], stop: threading.Event) -> None:
    """Spin until ``stop`` or shutdown; an exception from a callback is reported and spinning goes on.

    The node has a timer that ends each wait soon.
    """
    while rclpy.ok() and not stop.is_set():
        try:
            spin_once(executor, report, wait_s=None)  # a signal is taken between two of them
        except ExternalShutdownException:
            return


if __name__ == "__main__":
    sys.exit(main())
