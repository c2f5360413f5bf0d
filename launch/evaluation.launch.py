"""Start evaluation_node: ros2 launch vi_fusion_ros evaluation.launch.py visible_image:=/cam/rgb json:=out.json.

Then ``ros2 bag play`` the topics; Ctrl-C ends the node, which writes the result. ``--show-args`` lists the arguments.
Where there is no result the launch ends with status 1.
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration

from vi_fusion_ros.node import launch_support
from vi_fusion_ros.tools import launch_actions

ARGUMENTS = {
    "visible_image": ("visible/image", "visible image topic"),
    "thermal_image": ("thermal/image", "thermal image topic"),
    "visible_transport": ("", "how visible images come: raw, compressed, compressedDepth or zstd; empty: raw"),
    "thermal_transport": ("", "how thermal images come"),
    "compressed": ("", "the transport compressed of both cameras, an older name"),
    "rig": ("", "rig file that registers the thermal camera; empty: already registered"),
    "model": ("", "model (.onnx); empty: the one that the package ships"),
    "threads": ("", "CPU threads of the inference engine"),
    "params_file": ("", "parameter file of fusion_node, to measure what it does; the arguments that are given win"),
    "fusion_node": ("/fusion_node", "full name of the fusion node that params_file is for"),
    "json": ("", "file for the result"),
    "use_sim_time": ("false", "take the time from /clock, for 'ros2 bag play --clock'"),
}


def generate_launch_description() -> LaunchDescription:
    """The launch description; its arguments are ``ARGUMENTS``."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=evaluation_node),
        ]
    )


def evaluation_node(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The node, and what follows when it ends.

    Raises:
        ValueError: an argument or the parameter file cannot be used; one sentence.
    """
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    for sentence in launch_support.misspelt(context.launch_configurations, ARGUMENTS):
        get_logger("evaluation.launch.py").warning(sentence)
    of_file = launch_support.file_parameters(given["params_file"], given["fusion_node"]) if given["params_file"] else {}
    node = launch_actions.evaluation_node(given, of_file or {})

    def ended(event: ProcessExited, _context: LaunchContext) -> None:
        if event.returncode:
            raise RuntimeError(f"evaluation_node has failed (status {event.returncode})")

    return [
        RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended)),
        launch_actions.interrupted_at_shutdown(node),
        node,
    ]
