"""Writing results: whole or not at all, in numbers that JSON knows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

DECIMALS = 6


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that it is never seen half-written; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)


def write_text(path: Path, text: str) -> None:
    """As ``write_bytes``, in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, result: dict[str, Any]) -> None:
    """Write ``result`` with floats rounded to 6 decimals; NaN and infinity become null."""
    write_text(path, json_text(result, indent=1) + "\n")


def json_text(result: dict[str, Any], indent: int | None = None) -> str:
    """``result`` as JSON, floats rounded to 6 decimals; NaN and infinity become null."""
    return json.dumps(_plain(result), indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):  # numpy's float64 is one
        return round(float(value), DECIMALS) if math.isfinite(value) else None
    return value
