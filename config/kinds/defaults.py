"""Values of settings, and their defaults, as they are written in YAML."""

from __future__ import annotations

import dataclasses
from typing import Any

from releve.config.kinds.numbers import duration_text, mode_text, share_text, size_text
from releve.config.settings.key import Rules, key_of, settings_of


def default_text(field: dataclasses.Field[Any]) -> str:
    """The default of a setting as it is written in YAML; empty if there is none."""
    return value_text(field.metadata, _default(field))


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def value_text(rules: Rules, value: Any) -> str:
    """A value of a setting as it may be written in YAML, on one line."""
    match rules["kind"], value:
        case _, None:
            return str(rules["off"])
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
        case "mounts", mounts:
            return _block({mount.prefix or "''": mount.app for mount in mounts})
        case _, dict():
            return _block(value)
        case _, list() | tuple():
            return f"[{', '.join(map(str, value))}]"
        case _, value if dataclasses.is_dataclass(value):
            parts = [(one, getattr(value, one.name)) for one in settings_of(type(value))]
            said = {key_of(one): value_text(one.metadata, part) for one, part in parts if part != _default(one)}
            return _block(said)
        case _:
            return str(value)


def _block(pairs: dict[str, Any]) -> str:
    return f"{{{', '.join(f'{name}: {value}' for name, value in pairs.items())}}}"
