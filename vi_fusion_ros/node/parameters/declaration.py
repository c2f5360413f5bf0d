"""The node's parameters: declared, validated and documented from one schema, parameters.schema.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from vi_fusion_ros.node.parameters.schema import fault, schema

_ROS_TYPE = {
    "boolean": Parameter.Type.BOOL,
    "integer": Parameter.Type.INTEGER,
    "number": Parameter.Type.DOUBLE,
    "string": Parameter.Type.STRING,
    "array": Parameter.Type.DOUBLE_ARRAY,
}


def declare(node: Node) -> dict[str, Any]:
    """Declare every parameter of the schema on ``node``.

    Returns:
        The values in force by name. An override of the wrong type or out of range does not stop the node: it is logged
        and the default is used.
    """
    values = {}
    for name, rule in schema().items():
        try:
            node.declare_parameter(name, rule["default"], _descriptor(rule))
        except Exception as error:  # rclpy raises different classes for type and range, varying with the release
            node.get_logger().error(f"parameter {name}: {error}; using the default {rule['default']!r}")
            node.declare_parameter(name, rule["default"], _descriptor(rule), ignore_override=True)
        value = _plain(node.get_parameter(name).value)
        reason = fault(name, value)
        if reason:
            node.get_logger().error(f"{reason}; using the default {rule['default']!r}")
            if rule["x-applies"] != "start":
                node.set_parameters([Parameter(name, _ROS_TYPE[rule["type"]], rule["default"])])
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


def _descriptor(rule: Mapping[str, Any]) -> ParameterDescriptor:
    unit = f" [{rule['x-unit']}]" if "x-unit" in rule else ""
    descriptor = ParameterDescriptor(
        description=rule["description"] + unit,
        read_only=rule["x-applies"] == "start",
        additional_constraints="one of " + ", ".join(rule["enum"]) if "enum" in rule else "",
    )
    if rule["type"] == "integer":
        descriptor.integer_range = [IntegerRange(from_value=rule["minimum"], to_value=rule["maximum"], step=1)]
    elif rule["type"] == "number":
        descriptor.floating_point_range = [FloatingPointRange(from_value=rule["minimum"], to_value=rule["maximum"])]
    return descriptor


def _plain(value: Any) -> Any:
    return list(value) if hasattr(value, "tolist") or isinstance(value, tuple) else value
