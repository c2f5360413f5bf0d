"""The node's parameters: declared, validated and documented from one schema, parameters.schema.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

SCHEMA_PATH = Path(__file__).with_name("parameters.schema.json")

_ROS_TYPE = {
    "boolean": Parameter.Type.BOOL,
    "integer": Parameter.Type.INTEGER,
    "number": Parameter.Type.DOUBLE,
    "string": Parameter.Type.STRING,
    "array": Parameter.Type.DOUBLE_ARRAY,
}


_PYTHON_TYPE: dict[str, type] = {"boolean": bool, "integer": int, "number": float, "string": str, "array": list}


@cache
def schema() -> dict[str, dict[str, Any]]:
    """The schema's properties by parameter name, in the order of the file."""
    properties: dict[str, dict[str, Any]] = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))["properties"]
    return properties


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


def fault(name: str, value: Any) -> str | None:
    """What is wrong with ``value`` for parameter ``name``: one sentence, or None."""
    rule = schema()[name]
    kind = type(value)  # bool is an int to isinstance
    if kind is not _PYTHON_TYPE[rule["type"]]:
        return f"parameter {name} is {value!r}; expected {rule['type']}"
    if "enum" in rule and value not in rule["enum"]:
        return f"parameter {name} is {value!r}; expected one of {', '.join(rule['enum'])}"
    if "minimum" in rule and not rule["minimum"] <= value <= rule["maximum"]:  # false for NaN too
        return f"parameter {name} is {value}; expected {rule['minimum']} to {rule['maximum']}"
    if "minItems" in rule and not rule["minItems"] <= len(value) <= rule["maxItems"]:
        return f"parameter {name} has {len(value)} values; expected {rule['minItems']}"
    return None


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
