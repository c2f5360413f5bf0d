"""What launch files share of launch itself; the rest is in ``node/launch_support.py``."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from launch.action import Action
from launch.actions import EmitEvent, RegisterEventHandler
from launch.event_handlers import OnShutdown
from launch.events.process import SignalProcess
from launch_ros.actions import Node

from vi_fusion_ros.node import launch_support

_WRITE_WITHIN_S = "600"  # after Ctrl-C: the node fuses what waits and measures it


def evaluation_node(
    given: Mapping[str, str],
    parameters: Mapping[str, Any],
    namespace: str = "",
    environment: Mapping[str, str] | None = None,
) -> Node:
    """evaluation_node, with time enough to write its result; ``interrupted_at_shutdown`` goes with it.

    Args:
        given: the launch arguments: ``visible_image``, ``thermal_image``, ``json`` and those that set parameters.
        parameters: of the fusion node that is measured; those that arguments set win.
        namespace: of the node.
        environment: added to the process's.
    """
    values: dict[Any, Any] = {**parameters, **launch_support.given_parameters(given), "json": given["json"]}
    return Node(
        package="vi_fusion_ros",
        executable="evaluation_node",
        namespace=namespace,
        output="screen",
        sigterm_timeout=_WRITE_WITHIN_S,
        sigkill_timeout=_WRITE_WITHIN_S,
        additional_env=dict(environment or {}),
        parameters=[values],
        remappings=[
            remapping
            for camera in launch_support.CAMERAS
            for remapping in launch_support.image_remappings(camera, given[f"{camera}_image"])
        ],
    )


def interrupt(node: Node) -> EmitEvent:
    """Sends SIGINT to the node's process, where it runs."""

    def runs(action: Action) -> bool:
        return action is node and "pid" in (node.process_details or {})

    return EmitEvent(event=SignalProcess(signal_number=signal.SIGINT, process_matcher=runs))


def interrupted_at_shutdown(node: Node) -> RegisterEventHandler:
    """Sends SIGINT to the node when the launch is interrupted.

    launch leaves that to the terminal, and would wait for ``sigterm_timeout`` where there is none.
    """
    return RegisterEventHandler(OnShutdown(on_shutdown=[interrupt(node)]))
