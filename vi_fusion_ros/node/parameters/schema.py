"""The schema of the node's parameters, parameters.schema.json, and values checked against it. Imports no ROS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

SCHEMA_PATH = Path(__file__).with_name("parameters.schema.json")

_PYTHON_TYPE: dict[str, type] = {"boolean": bool, "integer": int, "number": float, "string": str, "array": list}
_YAML_BOOLEANS = {False: ("off", "no"), True: ("on", "yes")}


@cache
def schema() -> dict[str, dict[str, Any]]:
    """The schema's properties by parameter name, in the order of the file."""
    properties: dict[str, dict[str, Any]] = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))["properties"]
    return properties


@cache
def transport_suffixes() -> tuple[str, ...]:
    """What image_transport puts behind the name of an image topic, for each transport; "" for ``raw``, the first."""
    transports = schema()["visible.image_transport"]["enum"]
    return tuple("" if transport == "raw" else f"/{transport}" for transport in transports)


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
    if "multipleOf" in rule and value % rule["multipleOf"]:
        return f"parameter {name} is {value}; expected a multiple of {rule['multipleOf']}"
    if "minItems" in rule and not rule["minItems"] <= len(value) <= rule["maxItems"]:
        return f"parameter {name} has {len(value)} values; expected {rule['minItems']}"
    if "items" in rule and any(type(item) is not _PYTHON_TYPE[rule["items"]["type"]] for item in value):
        return f"parameter {name} is {value!r}; expected {rule['minItems']} values of type {rule['items']['type']}"
    return None


def fitting(name: str, value: Any) -> Any:
    """``value`` as parameter ``name`` takes it, where YAML has read another type than was meant; else as it is.

    An integer for a float (``1``), also within an array; and the words that YAML takes for booleans (``off``).
    """
    rule = schema()[name]
    if rule["type"] == "number" and type(value) is int:  # bool is an int to isinstance
        return float(value)
    if rule["type"] == "array" and not isinstance(value, str) and isinstance(value, Sequence):
        to_float = rule["items"]["type"] == "number"
        return [float(number) if to_float and type(number) is int else number for number in value]
    if "enum" in rule and isinstance(value, bool):
        return next((word for word in _YAML_BOOLEANS[value] if word in rule["enum"]), value)
    return value


def defaults() -> dict[str, Any]:
    """The default of each parameter."""
    return {name: rule["default"] for name, rule in schema().items()}


def from_file(path: Path) -> dict[str, Any]:
    """The parameters of a ROS parameter file that are in the schema, defaults for the rest; for use without ROS.

    Args:
        path: YAML with one node's ``ros__parameters``, such as config/fusion.yaml.

    Raises:
        ValueError: the file cannot be read, or a value cannot be; one sentence.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"parameter file {path} cannot be read: {' '.join(str(error).split())}") from error
    nodes = list(document.values()) if isinstance(document, Mapping) else []
    sections = [node["ros__parameters"] for node in nodes if isinstance(node, Mapping) and "ros__parameters" in node]
    if len(sections) != 1 or not isinstance(sections[0], Mapping):
        raise ValueError(f"parameter file {path}: expected one node with ros__parameters, as in config/fusion.yaml")
    values = defaults()
    for name, value in _flat(sections[0]).items():
        if name not in values:
            raise ValueError(f"parameter file {path}: parameter {name} is unknown")
        value = fitting(name, value)
        reason = fault(name, value)
        if reason:
            raise ValueError(f"parameter file {path}: {reason}")
        values[name] = value
    return values


def _flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots, without the ones that ROS knows itself."""
    flat: dict[str, Any] = {}
    for key, value in section.items():
        if key in ("qos_overrides", "use_sim_time"):
            continue
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value})
    return flat
