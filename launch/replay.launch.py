"""Play a bag through fusion_node: ros2 launch vi_fusion_ros replay.launch.py bag:=B visible_image:=T thermal_image:=T.

Everything runs on the bag's time (use_sim_time). The bag starts when fusion_node says that it is active. When the bag
has ended, evaluation_node, which has measured meanwhile with the parameters of fusion_node, writes its result; then the
launch ends, with status 1 where one of them has failed. Arguments of fusion.launch.py that are not named here (threads,
compressed, ...) are taken too. For figures that are the same on every run use ``vi-fusion evaluate bag``: it needs no
DDS, so no frame is ever lost.
"""

from collections.abc import Callable

from launch import Event, EventHandler, LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.ros_adapters import get_ros_node
from launch_ros.substitutions import FindPackageShare
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

from vi_fusion_ros.msg import FusionStatus
from vi_fusion_ros.node import launch_support
from vi_fusion_ros.tools import launch_actions

CLOCK_HZ = "100"
SETTLE_S = 3.0  # for the last images, after the bag has ended

# name: (default, description); None: has to be given
ARGUMENTS = {
    "bag": (None, "rosbag2 folder or file"),
    "visible_image": ("visible/image", "visible image topic of the bag"),
    "thermal_image": ("thermal/image", "thermal image topic of the bag"),
    "rig": ("", "rig file that registers the thermal camera; empty: already registered"),
    "rate": ("1.0", "playing speed, times real time"),
    "evaluate": ("true", "run evaluation_node"),
    "json": ("evaluation.json", "file that takes what evaluation_node found"),
}


def generate_launch_description() -> LaunchDescription:
    """The launch description; its arguments are ``ARGUMENTS``."""
    launch_folder = PathJoinSubstitution([FindPackageShare("vi_fusion_ros"), "launch"])
    given = {name: LaunchConfiguration(name) for name in ("visible_image", "thermal_image", "rig")}
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(PathJoinSubstitution([launch_folder, "fusion.launch.py"])),
                launch_arguments={"use_sim_time": "true", **given}.items(),
            ),
            # Behind it: what fusion.launch.py declares (params_file, ...) is known by now.
            OpaqueFunction(function=play_and_evaluate),
        ]
    )


class FusionStarted(Event):
    """fusion_node is active, or cannot become so.

    Args:
        fault: why it cannot; empty where it is active.
    """

    name = "vi_fusion_ros.FusionStarted"

    def __init__(self, fault: str) -> None:
        self.fault = fault


def play_and_evaluate(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """What plays, what measures, and what follows what."""
    given = dict(context.launch_configurations)
    for sentence in launch_support.misspelt(given, ARGUMENTS):
        get_logger("replay.launch.py").warning(sentence)
    namespace = make_namespace_absolute(prefix_namespace(given.get("ros_namespace"), given["namespace"])) or "/"
    fusion = launch_support.resolved(given["name"], namespace, "")
    environment = launch_support.dds_environment(context.environment) if given["dds_profile"].lower() == "true" else {}
    play = ExecuteProcess(
        cmd=["ros2", "bag", "play", given["bag"], "--clock", CLOCK_HZ, "--rate", given["rate"]],
        additional_env=environment,
        output="screen",
    )
    end = EmitEvent(event=Shutdown(reason="the bag has been played"))
    handlers = [_on_start(context, f"{fusion}/status", play)]
    if not launch_support.read(given, "respawn", launch_support.boolean):
        handlers.append(_on_end(lambda action: _is_node(action, fusion), "fusion_node has ended before the bag"))
    if not launch_support.read(given, "evaluate", launch_support.boolean):
        return [*handlers, _on_end(lambda action: action is play, "the bag cannot be played", _settled(end))]
    files = launch_support.parameter_files(given["profile"], given["params_file"])
    parameters = launch_support.files_parameters(files, fusion)
    node = launch_actions.evaluation_node(
        {**given, "use_sim_time": "true"}, parameters, given["namespace"], environment
    )
    return [
        *handlers,
        _on_end(lambda action: action is play, "the bag cannot be played", _settled(launch_actions.interrupt(node))),
        # It is waited for however long it takes, and its failure counts after Ctrl-C too: there is no result then.
        _on_end(lambda action: action is node, "evaluation_node has failed", end, at_any_time=True),
        launch_actions.interrupted_at_shutdown(node),
        node,
    ]


def _on_start(context: LaunchContext, topic: str, play: ExecuteProcess) -> RegisterEventHandler:
    """Plays once fusion_node is active.

    By its status, which comes again and again: the one message that tells of the transition is sent before a
    subscription of ours is sure to be there.
    """
    told = []

    def tell(event: FusionStarted) -> None:
        if not told:
            told.append(event)
            context.emit_event_sync(event)

    def on_status(status: FusionStatus) -> None:  # on the thread of launch_ros
        fault = status.engine_reason if status.state == "unconfigured" else ""
        if (fault or status.state == "active") and not told and context.asyncio_loop is not None:
            context.asyncio_loop.call_soon_threadsafe(tell, FusionStarted(fault))

    def started(context: LaunchContext) -> list[ExecuteProcess]:
        if context.locals.event.fault:
            raise RuntimeError(f"fusion_node cannot start: {context.locals.event.fault}")
        return [play]

    get_ros_node(context).create_subscription(FusionStatus, topic, on_status, 10)
    return RegisterEventHandler(
        EventHandler(
            matcher=lambda event: isinstance(event, FusionStarted), entities=[OpaqueFunction(function=started)]
        )
    )


def _on_end(
    which: Callable[[object], bool], fault: str, then: LaunchDescriptionEntity | None = None, at_any_time: bool = False
) -> RegisterEventHandler:
    """Goes on with ``then`` when a process has ended; where it has failed the launch ends with status 1.

    Args:
        which: says of an action whether it is that process.
        fault: what it means that it has failed, or without ``then`` that it has ended.
        then: what is next, unless everything ends already.
        at_any_time: whether its failure counts when everything ends already.
    """

    def ended(event: ProcessExited, context: LaunchContext) -> LaunchDescriptionEntity | None:
        failed = event.returncode != 0 or then is None
        if failed and (at_any_time or not context.is_shutdown):
            raise RuntimeError(f"{fault} (status {event.returncode})")
        return None if context.is_shutdown else then

    return RegisterEventHandler(OnProcessExit(target_action=which, on_exit=ended))


def _settled(action: LaunchDescriptionEntity) -> TimerAction:
    return TimerAction(period=SETTLE_S, actions=[action])


def _is_node(action: object, name: str) -> bool:
    return isinstance(action, LifecycleNode) and action.node_name == name
