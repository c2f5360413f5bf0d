"""A DDS domain in which nobody else publishes what the processes of the demo, the soak and the benchmark do."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator

import rclpy
from rclpy.context import Context
from rclpy.node import Node

from vi_fusion_ros.tools.processes import ProcessError

CAMERA_TOPICS = ("/visible/image", "/thermal/image", "/player_node/faults")
TOPICS = (*CAMERA_TOPICS, "/fusion_node/fused/image", "/fusion_node/classification", "/fusion_node/status")

_ADVICE = "expected a DDS domain of our own: set ROS_DOMAIN_ID to another number"
_DISCOVERY_S = 3.5
"""A little more than the 3 s after which Fast DDS announces a participant again: what a participant that is new says of
itself may be lost, and then those that were there before are first heard of when they speak next."""
_MOST = 232  # of the default ports of DDS
_TRIED = 10


@contextlib.contextmanager
def own_domain() -> Iterator[int]:
    """A domain that is ours as long as the block lasts: that of ``ROS_DOMAIN_ID``, or the first free one where not set.

    Other machines are seen by what they publish, other processes of this package on this machine by a reservation, too,
    for they may be about to begin.

    Raises:
        ProcessError: somebody publishes one of ``TOPICS`` there; one sentence that names both.
        ValueError: ``ROS_DOMAIN_ID`` is no domain.
    """
    wanted = os.environ.get("ROS_DOMAIN_ID", "")
    if wanted and not (wanted.isdecimal() and int(wanted) <= _MOST):
        raise ValueError(f"ROS_DOMAIN_ID is '{wanted}'; expected a whole number from 0 to {_MOST}")
    faults = []
    for domain in [int(wanted)] if wanted else range(_TRIED):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reservation:
            fault = _reserved(reservation, domain) or _published(domain)
            if not fault:
                yield domain
                return
            faults.append(fault)
    raise ProcessError(f"{faults[0]}; {_ADVICE}")


def _reserved(reservation: socket.socket, domain: int) -> str:
    """Reserve a domain; why that cannot be, where it cannot."""
    try:
        # An abstract socket: it belongs to the network namespace, as DDS does, and ends with the process.
        reservation.bind(f"\0vi_fusion_ros/domain/{domain}")
    except OSError:
        return f"another demo, soak or benchmark of this machine runs in DDS domain {domain}"
    return ""


def require_no_cameras(node: Node, domain: int, ours: int = 0) -> None:
    """See to it, when our own fusion node runs, that nobody else's cameras are there.

    Discovery takes longer than the first look where the machine is busy. This one does not wait: ``node`` has
    discovered for as long as the fusion node took to start.

    Args:
        node: there since before the fusion node was started.
        domain: that it is in.
        ours: how many publishers of each topic of the cameras are our own: 1 when our cameras have begun.

    Raises:
        ProcessError: somebody publishes a topic of the cameras; one sentence.
    """
    fault = _publisher(node, CAMERA_TOPICS, domain, ours)
    if fault:
        raise ProcessError(f"{fault}; {_ADVICE}")


def _published(domain: int) -> str:
    """Who publishes one of the topics; empty where nobody is seen to within the time that discovery is given."""
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("vi_fusion_look", context=context)
    fault, end = "", time.monotonic() + _DISCOVERY_S
    try:
        while not fault and time.monotonic() < end:
            fault = _publisher(node, TOPICS, domain)
            time.sleep(0.05)  # discovery has no end that could be waited for
        return fault
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def _publisher(node: Node, topics: tuple[str, ...], domain: int, ours: int = 0) -> str:
    for topic in topics:
        publishers = node.get_publishers_info_by_topic(topic)
        for publisher in publishers if len(publishers) > ours else ():
            name = f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
            who = "somebody" if "UNKNOWN" in name else name  # its node is discovered after its topics
            return f"{who} publishes {topic} in DDS domain {domain}"
    return ""
