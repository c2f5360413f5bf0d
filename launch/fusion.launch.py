"""Start fusion_node: ros2 launch vi_fusion_ros fusion.launch.py visible:=/cam/rgb thermal:=/cam/ir.

Every argument is listed by ``ros2 launch vi_fusion_ros fusion.launch.py --show-args``.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, PythonExpression
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = {
    "namespace": ("", "namespace of the node and of its relative topics"),
    "name": ("fusion_node", "name of the node"),
    "visible": ("visible", "prefix of the visible camera's topics: <prefix>/image and <prefix>/camera_info"),
    "thermal": ("thermal", "prefix of the thermal camera's topics"),
    "visible_image": (
        [LaunchConfiguration("visible"), "/image"],
        "visible image topic, where it is not <prefix>/image",
    ),
    "thermal_image": (
        [LaunchConfiguration("thermal"), "/image"],
        "thermal image topic, where it is not <prefix>/image",
    ),
    "rig": ("", "rig file that registers the thermal camera; empty: already registered"),
    "model": ("", "model (.onnx); empty: the one that the package ships"),
    "threads": ("2", "CPU threads of ONNX Runtime"),
    "backend": ("auto", "what runs the model: auto, tensorrt or onnxruntime (docs/gpu.md)"),
    "engine_precision": ("fp16", "precision of TensorRT engines: fp32, fp16, or int8 for a quantized model"),
    "engine_cache": ("", "folder of TensorRT engines; empty: in the user's cache folder"),
    "compressed": ("false", "subscribe to <image topic>/compressed of both cameras"),
    "params_file": (
        PathJoinSubstitution([FindPackageShare("vi_fusion_ros"), "config", "fusion.yaml"]),
        "parameter file; the arguments above win over it",
    ),
    "autostart": ("true", "configure and activate at once; false leaves that to a lifecycle manager"),
    "use_sim_time": ("false", "take the time from /clock"),
    "respawn": ("false", "start the node again when it ends"),
    "dds_profile": ("true", "use the package's Fast DDS and Cyclone DDS profiles for large images"),
}


def generate_launch_description() -> LaunchDescription:
    """The launch description; its arguments are ``ARGUMENTS``."""
    argument = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    dds = PathJoinSubstitution([FindPackageShare("vi_fusion_ros"), "config", "dds"])
    fast_dds = PathJoinSubstitution([dds, "fastdds.xml"])
    with_profile = IfCondition(argument["dds_profile"])
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            # Humble and Jazzy read the first name, Kilted's Fast DDS 3 the second.
            SetEnvironmentVariable("FASTRTPS_DEFAULT_PROFILES_FILE", fast_dds, condition=with_profile),
            SetEnvironmentVariable("FASTDDS_DEFAULT_PROFILES_FILE", fast_dds, condition=with_profile),
            SetEnvironmentVariable(
                "CYCLONEDDS_URI",
                ["file://", PathJoinSubstitution([dds, "cyclonedds.xml"])],
                condition=with_profile,
            ),
            LifecycleNode(
                package="vi_fusion_ros",
                executable="fusion_node",
                name=argument["name"],
                namespace=argument["namespace"],
                output="screen",
                respawn=PythonExpression(["'", argument["respawn"], "'.lower() == 'true'"]),
                parameters=[
                    argument["params_file"],
                    {
                        "rig": ParameterValue(argument["rig"], value_type=str),
                        "model": ParameterValue(argument["model"], value_type=str),
                        "threads": ParameterValue(argument["threads"], value_type=int),
                        "backend": ParameterValue(argument["backend"], value_type=str),
                        "engine.precision": ParameterValue(argument["engine_precision"], value_type=str),
                        "engine.cache_dir": ParameterValue(argument["engine_cache"], value_type=str),
                        "visible.compressed": ParameterValue(argument["compressed"], value_type=bool),
                        "thermal.compressed": ParameterValue(argument["compressed"], value_type=bool),
                        "autostart": ParameterValue(argument["autostart"], value_type=bool),
                        "use_sim_time": ParameterValue(argument["use_sim_time"], value_type=bool),
                    },
                ],
                remappings=[
                    ("visible/image", argument["visible_image"]),
                    ("visible/image/compressed", [argument["visible_image"], "/compressed"]),
                    ("visible/camera_info", [argument["visible"], "/camera_info"]),
                    ("thermal/image", argument["thermal_image"]),
                    ("thermal/image/compressed", [argument["thermal_image"], "/compressed"]),
                    ("thermal/camera_info", [argument["thermal"], "/camera_info"]),
                ],
            ),
        ]
    )
