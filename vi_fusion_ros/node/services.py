"""The fusion node's services: each is answered with one sentence, whatever happens.

What takes long is a coroutine that does it off the executor (background_work.py).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from vi_fusion_ros.errors import sentence


class Controls(Protocol):
    """What the services do. Each returns one sentence, and raises ValueError or OSError with one where it cannot."""

    def set_enabled(self, enabled: bool) -> str:
        """Stop or resume taking images."""

    def reset_registration(self) -> str:
        """Go back to the rig file."""

    async def reload_rig(self) -> str:
        """Read the rig file again."""

    async def reload_engine(self) -> str:
        """Load the model again."""

    async def capture(self) -> str:
        """Write the latest pair, result and status."""


def offer(node: Node, controls: Controls) -> None:
    """Offer ``~/set_enabled``, ``~/reset_registration``, ``~/reload_rig``, ``~/reload_engine`` and ``~/capture``."""
    group = ReentrantCallbackGroup()  # one that waits keeps none of the others

    async def set_enabled(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        return await _answer(node, response, lambda: controls.set_enabled(request.data))

    node.create_service(SetBool, "~/set_enabled", set_enabled, callback_group=group)
    for name in ("reset_registration", "reload_rig", "reload_engine", "capture"):
        node.create_service(Trigger, f"~/{name}", _trigger(node, getattr(controls, name)), callback_group=group)


def _trigger(node: Node, work: Callable[[], str | Awaitable[str]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def callback(_request: Any, response: Any) -> Any:
        return await _answer(node, response, work)

    return callback


async def _answer(node: Node, response: Any, work: Callable[[], str | Awaitable[str]]) -> Any:
    try:
        answer = work()
        response.success, response.message = True, await answer if inspect.isawaitable(answer) else answer
        node.get_logger().info(response.message)
    except Exception as error:  # rclpy would leave the client without an answer
        response.success, response.message = False, sentence(error)
        node.get_logger().error(response.message)
    return response
