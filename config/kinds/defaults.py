"""Defaults of settings, as they are written in YAML."""

from __future__ import annotations

import dataclasses
from typing import Any

from releve.config.kinds.numbers import duration_text, mode_text, share_text, size_text


def default_text(field: dataclasses.Field[Any]) -> str:
    """The default of a setting as it is written in YAML; empty if there is none."""
    value: Any = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    match field.metadata["kind"], value:
        case _, None:
            return str(field.metadata["off"])
        case "duration", seconds:
            return duration_text(seconds)
        case "share", share:
            return share_text(share)
        case "size", size_bytes:
            return size_text(size_bytes)
        case "mode", mode:
            return mode_text(mode)
        case "flag", flag:
            return str(flag).lower()
        case "listen", addresses:
            return ", ".join(map(str, addresses))
        case "networks", networks:
            return ", ".join(networks)
        case "modules" | "patterns", _:
            return "[]"
        case "mounts", _:
            return "{}"
        case _, dict():
            return "{}"
        case _:
            return str(value)
