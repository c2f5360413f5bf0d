"""Writes config/fusion.yaml and docs/parameters.md: ``python -m vi_fusion_ros.node.parameters.docs``."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from vi_fusion_ros.node.parameters.schema import schema

_APPLIES = {
    "start": "when the node starts",
    "configure": "when the node is configured",
    "run": "at once",
}


def yaml_text() -> str:
    """config/fusion.yaml: every parameter with its default and its description as a comment."""
    lines = [
        "# Parameters of fusion_node. Generated from vi_fusion_ros/node/parameters/parameters.schema.json by",
        "# python -m vi_fusion_ros.node.parameters.docs: copy this file rather than edit it.",
        "/**:",
        "  ros__parameters:",
    ]
    for name, rule in schema().items():
        note = f"{rule['description']} {_range(rule)} Applies {_APPLIES[rule['x-applies']]}."
        lines += textwrap.wrap(" ".join(note.split()), 110, initial_indent="    # ", subsequent_indent="    # ")
        lines.append(f"    {name}: {json.dumps(rule['default'])}")
    return "\n".join(lines) + "\n"


def markdown_text() -> str:
    """docs/parameters.md: the parameters as a table."""
    lines = [
        "# Parameters of fusion_node",
        "",
        "Generated from `vi_fusion_ros/node/parameters/parameters.schema.json` by "
        "`python -m vi_fusion_ros.node.parameters.docs`.",
        "QoS of each topic is set by the standard ROS parameters",
        "`qos_overrides./<topic>.<subscription|publisher>.<policy>`.",
        "",
        "| parameter | type | default | range | applies | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for name, rule in schema().items():
        lines.append(
            f"| `{name}` | {rule['type']} | `{json.dumps(rule['default'])}` | {_range(rule).rstrip('.')} "
            f"| {_APPLIES[rule['x-applies']]} | {rule['description']} |"
        )
    return "\n".join(lines) + "\n"


def _range(rule: dict[str, Any]) -> str:
    unit = f" {rule['x-unit']}" if "x-unit" in rule else ""
    if "enum" in rule:
        return "One of " + ", ".join(rule["enum"]) + "."
    if "minimum" in rule:
        return f"{rule['minimum']} to {rule['maximum']}{unit}."
    return ""


def main() -> None:
    """Write both files into the source tree."""
    root = Path(__file__).parents[3]
    (root / "config" / "fusion.yaml").write_text(yaml_text(), encoding="utf-8")
    (root / "docs" / "parameters.md").write_text(markdown_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
