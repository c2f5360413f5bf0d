"""The node's parameters: declared, validated and documented from one schema, parameters.schema.json."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from vi_fusion_ros.node.parameters.schema import fault, fitting, schema, transport_suffixes

_ROS_TYPE = {
    "boolean": Parameter.Type.BOOL,
    "integer": Parameter.Type.INTEGER,
    "number": Parameter.Type.DOUBLE,
    "string": Parameter.Type.STRING,
}
_ARRAY_TYPE = {"integer": Parameter.Type.INTEGER_ARRAY, "number": Parameter.Type.DOUBLE_ARRAY}
_QOS = "qos_overrides."
_OF_EVERY_NODE = ("/clock", "/parameter_events", "/rosout")
_QOS_ENDS = ("subscription.reliability", "publisher.reliability")


def declare(node: Node, names: Collection[str] | None = None, *, strict: bool = False) -> dict[str, Any]:
    """Declare parameters of the schema on ``node``.

    Args:
        node: has none of them yet.
        names: of the parameters; None: all of the schema.
        strict: whether an override of the wrong type or out of range stops the node; else it is logged, and the default
            is used.

    Returns:
        The values that apply, by name.

    Raises:
        ValueError: an override is wrong, where that is strict; one sentence.
    """
    values = {}
    _fit_overrides(node)
    for name in schema() if names is None else names:
        rule = schema()[name]
        try:
            node.declare_parameter(name, rule["default"], _descriptor(rule))
        except Exception as error:  # rclpy raises different classes for type and range, varying with the release
            if strict:
                raise ValueError(f"parameter {name}: {error}") from error
            node.get_logger().error(f"parameter {name}: {error}; using the default {rule['default']!r}")
            node.declare_parameter(name, rule["default"], _descriptor(rule), ignore_override=True)
        value = _plain(node.get_parameter(name).value)
        reason = fault(name, value)
        if reason and strict:
            raise ValueError(reason)
        if reason:
            node.get_logger().error(f"{reason}; using the default {rule['default']!r}")
            if rule["x-applies"] != "start":
                node.set_parameters([Parameter(name, _ros_type(rule), rule["default"])])
            value = rule["default"]
        values[name] = value
    return values


def changes(parameters: Iterable[Parameter], *, configured: bool) -> dict[str, Any]:
    """The new values in a set request, checked as a whole.

    Args:
        parameters: as given to an on-set-parameters callback; names that are not in the schema are passed over.
        configured: whether the node is beyond the unconfigured state.

    Raises:
        ValueError: one sentence about the first value that cannot be taken.
    """
    accepted: dict[str, Any] = {}
    for parameter in parameters:
        rule = schema().get(parameter.name)
        if rule is None:
            continue
        value = _plain(parameter.value)
        reason = fault(parameter.name, value)
        if reason:
            raise ValueError(reason)
        if rule["x-applies"] == "configure" and configured:
            raise ValueError(
                f"parameter {parameter.name} takes effect when the node is configured: deactivate and clean it up first"
            )
        accepted[parameter.name] = value
    return accepted


def unused_qos(node: Node) -> list[str]:
    """The topics whose ``qos_overrides`` reach nothing, once the node has its publishers and subscriptions.

    The other transport of a topic that the node has, raw or compressed, is none of them: launch files set both.
    """
    given = {name.split(".")[1] for name in _overrides(node) if name.count(".") >= 2 and name.startswith(_QOS)}
    return sorted(
        topic
        for topic in given
        if topic not in _OF_EVERY_NODE
        and not any(node.has_parameter(f"{_QOS}{other}.{end}") for other in _transports(topic) for end in _QOS_ENDS)
    )


def _transports(topic: str) -> tuple[str, ...]:
    suffix = next((suffix for suffix in transport_suffixes()[1:] if topic.endswith(suffix)), "")
    return tuple(topic.removesuffix(suffix) + other for other in transport_suffixes())


def _ros_type(rule: Mapping[str, Any]) -> Parameter.Type:
    return _ARRAY_TYPE[rule["items"]["type"]] if rule["type"] == "array" else _ROS_TYPE[rule["type"]]


def _overrides(node: Node) -> dict[str, Parameter]:
    # There is no public way to them.
    overrides: dict[str, Parameter] = getattr(node, "_parameter_overrides", {})
    return overrides


def _fit_overrides(node: Node) -> None:
    overrides = _overrides(node)
    for name in schema().keys() & overrides.keys():
        overrides[name] = Parameter(name, value=fitting(name, _plain(overrides[name].value)))


def take_integer(node: Node, name: str) -> None:
    """Take an integer that was given for a float parameter, about to be declared, as what it was meant to be."""
    given = _overrides(node).get(name)
    if given is not None and given.type_ == Parameter.Type.INTEGER:
        _overrides(node)[name] = Parameter(name, value=float(given.value))


def _descriptor(rule: Mapping[str, Any]) -> ParameterDescriptor:
    unit = f" [{rule['x-unit']}]" if "x-unit" in rule else ""
    descriptor = ParameterDescriptor(
        description=rule["description"] + unit,
        read_only=rule["x-applies"] == "start",
        additional_constraints="one of " + ", ".join(rule["enum"]) if "enum" in rule else "",
    )
    if rule["type"] == "integer":
        descriptor.integer_range = [
            IntegerRange(from_value=rule["minimum"], to_value=rule["maximum"], step=rule.get("multipleOf", 1))
        ]
    elif rule["type"] == "number":
        descriptor.floating_point_range = [FloatingPointRange(from_value=rule["minimum"], to_value=rule["maximum"])]
    return descriptor


def _plain(value: Any) -> Any:
    return list(value) if hasattr(value, "tolist") or isinstance(value, tuple) else value
