"""Start evaluation_node: ros2 launch vi_fusion_ros evaluation.launch.py visible_image:=/cam/rgb json:=out.json.

Then ``ros2 bag play`` the topics; Ctrl-C ends the node, which writes the result. ``--show-args`` lists the arguments.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = {
    "visible_image": ("visible/image", "visible image topic"),
    "thermal_image": ("thermal/image", "thermal image topic"),
    "compressed": ("false", "subscribe to <image topic>/compressed of both cameras"),
    "rig": ("", "rig file that registers the thermal camera; empty: already registered"),
    "model": ("", "model (.onnx); empty: the one that the package ships"),
    "threads": ("2", "CPU threads of the inference engine"),
    "json": ("", "file for the result"),
    "use_sim_time": ("false", "take the time from /clock, for 'ros2 bag play --clock'"),
}


def generate_launch_description() -> LaunchDescription:
    """The launch description; its arguments are ``ARGUMENTS``."""
    argument = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            Node(
                package="vi_fusion_ros",
                executable="evaluation_node",
                output="screen",
                # Writing the result takes longer than launch waits by itself.
                sigterm_timeout="60",
                sigkill_timeout="60",
                parameters=[
                    {
                        "rig": ParameterValue(argument["rig"], value_type=str),
                        "model": ParameterValue(argument["model"], value_type=str),
                        "json": ParameterValue(argument["json"], value_type=str),
                        "threads": ParameterValue(argument["threads"], value_type=int),
                        "visible.compressed": ParameterValue(argument["compressed"], value_type=bool),
                        "thermal.compressed": ParameterValue(argument["compressed"], value_type=bool),
                        "use_sim_time": ParameterValue(argument["use_sim_time"], value_type=bool),
                    }
                ],
                remappings=[
                    ("visible/image", argument["visible_image"]),
                    ("visible/image/compressed", [argument["visible_image"], "/compressed"]),
                    ("thermal/image", argument["thermal_image"]),
                    ("thermal/image/compressed", [argument["thermal_image"], "/compressed"]),
                ],
            ),
        ]
    )
