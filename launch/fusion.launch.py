"""Start fusion_node: ros2 launch vi_fusion_ros fusion.launch.py visible:=/cam/rgb thermal:=/cam/ir.

Every argument is listed by ``ros2 launch vi_fusion_ros fusion.launch.py --show-args``. An argument that is left empty
leaves its parameter to the parameter file.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.substitutions import FindPackageShare
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

from vi_fusion_ros.node import launch_support

BOOLEAN = ["true", "false", "True", "False"]
UNSET_OR_BOOLEAN = ["", *BOOLEAN]
BACKENDS = ["", "auto", "tensorrt", "onnxruntime", "openvino"]
PRECISIONS = ["", "fp32", "fp16", "int8"]
TRANSPORTS = ["", "raw", "compressed", "compressedDepth", "zstd", "ffmpeg", "foxglove"]
RELIABILITY = ["", "best_effort", "reliable", "system_default"]

# name: (default, description, choices or None)
ARGUMENTS = {
    "namespace": ("", "namespace of the node and of its relative topics", None),
    "name": ("fusion_node", "name of the node", None),
    "visible": (
        "",
        "prefix of the visible camera's topics: <prefix>/image_raw and <prefix>/camera_info, as of drivers; empty: "
        "visible/image and visible/camera_info",
        None,
    ),
    "thermal": ("", "prefix of the thermal camera's topics, in the same way", None),
    "visible_image": ("", "visible image topic, where it is not that of the prefix", None),
    "thermal_image": ("", "thermal image topic, where it is not that of the prefix", None),
    "visible_transport": ("", "how visible images come; empty: by the parameter file, which says raw", TRANSPORTS),
    "thermal_transport": ("", "how thermal images come", TRANSPORTS),
    "compressed": ("", "the transport compressed of both cameras, an older name", UNSET_OR_BOOLEAN),
    "image_reliability": ("", "QoS reliability of both image subscriptions; empty: best_effort", RELIABILITY),
    "rig": ("", "rig file that registers the thermal camera, or camera_info; empty: already registered", None),
    "model": ("", "model (.onnx); empty: the one that the package ships", None),
    "threads": ("", "CPU threads of ONNX Runtime or OpenVINO", None),
    "backend": ("", "what runs the model; empty: auto (docs/gpu.md)", BACKENDS),
    "engine_precision": ("", "of TensorRT engines; empty: fp16; int8 needs a quantized model", PRECISIONS),
    "engine_cache": ("", "folder of TensorRT engines; empty: in the user's cache folder", None),
    "profile": (
        "",
        "set of parameters for a use, under params_file (docs/profiles.md)",
        ["", *launch_support.profiles()],
    ),
    "params_file": (
        PathJoinSubstitution([FindPackageShare("vi_fusion_ros"), "config", "fusion.yaml"]),
        "parameter file; the arguments that are given win over it",
        None,
    ),
    "autostart": (
        "",
        "configure and activate at once (the default); false leaves that to a lifecycle manager",
        UNSET_OR_BOOLEAN,
    ),
    "use_sim_time": ("", "take the time from /clock", UNSET_OR_BOOLEAN),
    "respawn": ("false", "start the node again when it ends", BOOLEAN),
    "respawn_delay": ("1.0", "seconds before it is started again", None),
    "log_level": ("info", "debug, info, warn, error or fatal", None),
    "dds_profile": ("true", "give the node the package's DDS profiles for large images, where none is set", BOOLEAN),
}


def generate_launch_description() -> LaunchDescription:
    """The launch description; its arguments are ``ARGUMENTS``."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
                for name, (default, description, choices) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=fusion_node),
        ]
    )


def fusion_node(context: LaunchContext) -> list[LifecycleNode]:
    """The node, with the parameters and topics that the arguments name.

    Raises:
        ValueError: an argument or the parameter file cannot be used; one sentence.
    """
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    # A group may have pushed a namespace.
    pushed = context.launch_configurations.get("ros_namespace")
    namespace = make_namespace_absolute(prefix_namespace(pushed, given["namespace"])) or "/"
    warn = get_logger("fusion.launch.py").warning
    for sentence in launch_support.misspelt(context.launch_configurations, ARGUMENTS):
        warn(sentence)
    node = launch_support.resolved(given["name"], namespace, "")
    if launch_support.file_parameters(given["params_file"], node) is None:
        warn(f"params_file {given['params_file']} has no section for {node}: the node runs on defaults")
    topics = {camera: launch_support.camera_topics(given, camera) for camera in launch_support.CAMERAS}
    parameters = {
        **launch_support.given_parameters(given),
        **launch_support.image_qos(
            [image for image, _ in topics.values()], namespace, given["name"], given["image_reliability"]
        ),
    }
    with_profile = launch_support.boolean(given["dds_profile"])
    return [
        LifecycleNode(
            package="vi_fusion_ros",
            executable="fusion_node",
            name=given["name"],
            namespace=given["namespace"],
            output="screen",
            respawn=launch_support.boolean(given["respawn"]),
            respawn_delay=launch_support.read(given, "respawn_delay", launch_support.number),
            arguments=["--ros-args", "--log-level", given["log_level"]],
            # Not SetEnvironmentVariable: that would reach every node that is launched after this one.
            additional_env=launch_support.dds_environment(context.environment) if with_profile else {},
            parameters=[*launch_support.parameter_files(given["profile"], given["params_file"]), parameters],
            remappings=[
                remapping
                for camera, (image, camera_info) in topics.items()
                for remapping in (
                    *launch_support.image_remappings(camera, image),
                    (f"{camera}/camera_info", camera_info),
                )
            ],
        )
    ]
