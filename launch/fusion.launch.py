"""Start fusion_node: ros2 launch vi_fusion_ros fusion.launch.py visible:=/cam/rgb thermal:=/cam/ir.

Every argument is listed by ``ros2 launch vi_fusion_ros fusion.launch.py --show-args``. An argument that is left empty
leaves its parameter to the parameter file.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.substitutions import FindPackageShare

BOOLEAN = ["true", "false", "True", "False"]
UNSET_OR_BOOLEAN = ["", *BOOLEAN]
BACKENDS = ["", "auto", "tensorrt", "onnxruntime", "openvino"]
PRECISIONS = ["", "fp32", "fp16", "int8"]
RELIABILITY = ["", "best_effort", "reliable", "system_default"]

# name: (default, description, choices or None)
ARGUMENTS = {
    "namespace": ("", "namespace of the node and of its relative topics", None),
    "name": ("fusion_node", "name of the node", None),
    "visible": ("visible", "prefix of the visible camera's topics: <prefix>/image and <prefix>/camera_info", None),
    "thermal": ("thermal", "prefix of the thermal camera's topics", None),
    "visible_image": (
        [LaunchConfiguration("visible"), "/image"],
        "visible image topic, where it is not <prefix>/image",
        None,
    ),
    "thermal_image": (
        [LaunchConfiguration("thermal"), "/image"],
        "thermal image topic, where it is not <prefix>/image",
        None,
    ),
    "compressed": ("", "subscribe to <image topic>/compressed of both cameras", UNSET_OR_BOOLEAN),
    "image_reliability": ("", "QoS reliability of both image subscriptions; empty: best_effort", RELIABILITY),
    "rig": ("", "rig file that registers the thermal camera, or camera_info; empty: already registered", None),
    "model": ("", "model (.onnx); empty: the one that the package ships", None),
    "threads": ("", "CPU threads of ONNX Runtime or OpenVINO", None),
    "backend": ("", "what runs the model; empty: auto (docs/gpu.md)", BACKENDS),
    "engine_precision": ("", "of TensorRT engines; empty: fp16; int8 needs a quantized model", PRECISIONS),
    "engine_cache": ("", "folder of TensorRT engines; empty: in the user's cache folder", None),
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
    "dds_profile": ("true", "use the package's Fast DDS and Cyclone DDS profiles for large images", BOOLEAN),
}

# argument: (the parameters it sets, how its text is read)
PARAMETERS = {
    "rig": (["rig"], str),
    "model": (["model"], str),
    "threads": (["threads"], int),
    "backend": (["backend"], str),
    "engine_precision": (["engine.precision"], str),
    "engine_cache": (["engine.cache_dir"], str),
    "compressed": (["visible.compressed", "thermal.compressed"], lambda text: text.lower() == "true"),
    "autostart": (["autostart"], lambda text: text.lower() == "true"),
    "use_sim_time": (["use_sim_time"], lambda text: text.lower() == "true"),
}


def generate_launch_description() -> LaunchDescription:
    """The launch description; its arguments are ``ARGUMENTS``."""
    dds = PathJoinSubstitution([FindPackageShare("vi_fusion_ros"), "config", "dds"])
    fast_dds = PathJoinSubstitution([dds, "fastdds.xml"])
    with_profile = IfCondition(LaunchConfiguration("dds_profile"))
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
                for name, (default, description, choices) in ARGUMENTS.items()
            ),
            # Humble and Jazzy read the first name, Kilted's Fast DDS 3 the second.
            SetEnvironmentVariable("FASTRTPS_DEFAULT_PROFILES_FILE", fast_dds, condition=with_profile),
            SetEnvironmentVariable("FASTDDS_DEFAULT_PROFILES_FILE", fast_dds, condition=with_profile),
            SetEnvironmentVariable(
                "CYCLONEDDS_URI",
                ["file://", PathJoinSubstitution([dds, "cyclonedds.xml"])],
                condition=with_profile,
            ),
            OpaqueFunction(function=fusion_node),
        ]
    )


def fusion_node(context: LaunchContext) -> list[LifecycleNode]:
    """The node, with the parameters and topics that the arguments name."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    return [
        LifecycleNode(
            package="vi_fusion_ros",
            executable="fusion_node",
            name=given["name"],
            namespace=given["namespace"],
            output="screen",
            respawn=given["respawn"].lower() == "true",
            respawn_delay=float(given["respawn_delay"]),
            arguments=["--ros-args", "--log-level", given["log_level"]],
            parameters=[given["params_file"], {**_parameters(given), **_image_qos(given)}],
            remappings=[
                (f"{camera}/{topic}", target)
                for camera in ("visible", "thermal")
                for topic, target in (
                    ("image", given[f"{camera}_image"]),
                    ("image/compressed", f"{given[f'{camera}_image']}/compressed"),
                    ("camera_info", f"{given[camera]}/camera_info"),
                )
            ],
        )
    ]


def _parameters(given: dict[str, str]) -> dict[str, object]:
    return {
        parameter: read(given[argument])
        for argument, (parameters, read) in PARAMETERS.items()
        if given[argument]
        for parameter in parameters
    }


def _image_qos(given: dict[str, str]) -> dict[str, object]:
    """``qos_overrides`` of the image topics, by the names that they have after remapping."""
    if not given["image_reliability"]:
        return {}
    suffix = "/compressed" if given["compressed"].lower() == "true" else ""
    topics = [_resolved(given[f"{camera}_image"] + suffix, given["namespace"]) for camera in ("visible", "thermal")]
    return {f"qos_overrides.{topic}.subscription.reliability": given["image_reliability"] for topic in topics}


def _resolved(topic: str, namespace: str) -> str:
    return topic if topic.startswith("/") else "/" + "/".join(filter(None, (namespace.strip("/"), topic)))
