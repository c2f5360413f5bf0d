"""Play a bag through fusion_node: ros2 launch vi_fusion_ros replay.launch.py bag:=B visible_image:=T thermal_image:=T.

Everything runs on the bag's time (use_sim_time). The bag starts when fusion_node is active, and the launch ends when
the bag does. evaluation_node measures meanwhile. Arguments of fusion.launch.py that are not named here (threads,
compressed, ...) are taken too. For figures that are the same on every run use ``vi-fusion evaluate bag``: it needs no
DDS, so no frame is ever lost.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.substitutions import FindPackageShare

CLOCK_HZ = "100"
START_AT_THE_LATEST_S = 20.0  # where the message that says active was missed
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
    given = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    launch_folder = PathJoinSubstitution([FindPackageShare("vi_fusion_ros"), "launch"])
    play = ExecuteProcess(
        cmd=["ros2", "bag", "play", given["bag"], "--clock", CLOCK_HZ, "--rate", given["rate"]], output="screen"
    )
    started = []

    def start(_context: LaunchContext) -> list[ExecuteProcess]:
        if started:
            return []
        started.append(play)
        return [play]

    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            RegisterEventHandler(OnStateTransition(goal_state="active", entities=[OpaqueFunction(function=start)])),
            TimerAction(period=START_AT_THE_LATEST_S, actions=[OpaqueFunction(function=start)]),
            RegisterEventHandler(
                OnProcessExit(
                    target_action=play,
                    on_exit=[
                        TimerAction(
                            period=SETTLE_S, actions=[EmitEvent(event=Shutdown(reason="the bag has been played"))]
                        )
                    ],
                )
            ),
            Node(
                package="vi_fusion_ros",
                executable="evaluation_node",
                output="screen",
                condition=IfCondition(given["evaluate"]),
                parameters=[{"use_sim_time": True, "json": given["json"]}],
                remappings=[("visible/image", given["visible_image"]), ("thermal/image", given["thermal_image"])],
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(PathJoinSubstitution([launch_folder, "fusion.launch.py"])),
                launch_arguments={
                    "use_sim_time": "true",
                    "visible_image": given["visible_image"],
                    "thermal_image": given["thermal_image"],
                    "rig": given["rig"],
                }.items(),
            ),
        ]
    )
