"""Make a rig file from two running cameras: ros2 launch vi_fusion_ros calibrate.launch.py rig:=rig.yaml.

Saves pairs of images of an ordinary scene while you move the rig or the scene moves, then runs
``vi-fusion calibrate scene`` on them. Pictures of before and after lie in <folder>/pictures. An existing rig file is
replaced only by one that fits these images better. Where no rig file comes out the launch ends with status 1.
"""

from datetime import datetime
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from vi_fusion_ros.node import launch_support

# name: (default, description)
ARGUMENTS = {
    "rig": ("rig.yaml", "rig file to write"),
    "visible_image": ("visible/image", "visible image topic"),
    "thermal_image": ("thermal/image", "thermal image topic"),
    "compressed": ("false", "subscribe to <image topic>/compressed of both cameras"),
    "pairs": ("20", "pairs of images to save"),
    "period": ("1.0", "seconds between two of them at least"),
    "folder": ("", "new folder for the images and pictures; empty: <rig>_pairs/<date and time>"),
    "timeout": ("30.0", "seconds without a pair after which it gives up"),
}


def generate_launch_description() -> LaunchDescription:
    """The launch description; its arguments are ``ARGUMENTS``."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=collect_and_calibrate),
        ]
    )


def collect_and_calibrate(context: LaunchContext) -> list[object]:
    """The collector, and what follows when it ends.

    Raises:
        ValueError: an argument cannot be used; one sentence.
    """
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    for sentence in launch_support.misspelt(context.launch_configurations, ARGUMENTS):
        get_logger("calibrate.launch.py").warning(sentence)
    rig = Path(given["rig"])
    folder = Path(given["folder"] or rig.with_name(f"{rig.stem}_pairs") / f"{datetime.now():%Y%m%d_%H%M%S}")
    collector = Node(
        package="vi_fusion_ros",
        executable="pair_collector",
        output="screen",
        parameters=[
            {
                "out": str(folder),
                "pairs": launch_support.read(given, "pairs", launch_support.integer),
                "period": launch_support.read(given, "period", launch_support.number),
                "timeout": launch_support.read(given, "timeout", launch_support.number),
                "compressed": launch_support.read(given, "compressed", launch_support.boolean),
            }
        ],
        remappings=[
            remapping
            for camera in launch_support.CAMERAS
            for remapping in launch_support.image_remappings(camera, given[f"{camera}_image"])
        ],
    )
    calibrate = ExecuteProcess(
        cmd=["vi-fusion", "calibrate", "scene", "--visible", str(folder / "visible"), "--thermal",
             str(folder / "thermal"), "--out", str(rig), "--pictures", str(folder / "pictures")],
        output="screen",
    )  # fmt: skip

    def collected(event: ProcessExited, context: LaunchContext) -> list[object]:
        if context.is_shutdown:
            return []
        if event.returncode:
            raise RuntimeError("the images could not be collected")
        return [LogInfo(msg=f"calibrating from the pairs in {folder}"), calibrate]

    def calibrated(event: ProcessExited, context: LaunchContext) -> list[object]:
        if event.returncode and not context.is_shutdown:
            raise RuntimeError("calibration has failed")
        return [EmitEvent(event=Shutdown(reason="calibration has ended"))]

    return [
        collector,
        RegisterEventHandler(OnProcessExit(target_action=collector, on_exit=collected)),
        RegisterEventHandler(OnProcessExit(target_action=calibrate, on_exit=calibrated)),
    ]
