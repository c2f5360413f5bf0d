"""The fusion node's services: each is answered with one sentence, whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger


class Controls(Protocol):
    """What the services do. Each returns one sentence, and raises ValueError or OSError with one where it cannot."""

    def set_enabled(self, enabled: bool) -> str:
        """Stop or resume taking images."""

    def reset_registration(self) -> str:
        """Go back to the rig file."""

    def reload_rig(self) -> str:
        """Read the rig file again."""

    def reload_engine(self) -> str:
        """Load the model again."""

    def capture(self) -> str:
        """Write the latest pair, result and status."""


def offer(node: Node, controls: Controls) -> None:
    """Offer ``~/set_enabled``, ``~/reset_registration``, ``~/reload_rig``, ``~/reload_engine`` and ``~/capture``."""

    def set_enabled(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        return _answer(node, response, lambda: controls.set_enabled(request.data))

    node.create_service(SetBool, "~/set_enabled", set_enabled)
    for name in ("reset_registration", "reload_rig", "reload_engine", "capture"):
        node.create_service(Trigger, f"~/{name}", _trigger(node, getattr(controls, name)))


def _trigger(node: Node, work: Callable[[], str]) -> Callable[[Any, Any], Any]:
    def callback(_request: Any, response: Any) -> Any:
        return _answer(node, response, work)

    return callback


def _answer(node: Node, response: Any, work: Callable[[], str]) -> Any:
    try:
        response.success, response.message = True, work()
        node.get_logger().info(response.message)
    except Exception as error:  # rclpy would leave the client without an answer
        told = isinstance(error, (ValueError, OSError))
        response.success = False
        response.message = str(error) if told else f"{type(error).__name__}: {error}"
        node.get_logger().error(response.message)
    return response
