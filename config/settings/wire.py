"""Settings as a message: plain JSON values by the names of the fields, for the link and the keepsake.

The two sides are different releases by definition, so neither may insist: unknown keys are ignored, missing ones have
their defaults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from os.path import commonprefix
from typing import Any

from releve.config.settings.address import Address
from releve.config.settings.hooks import Command
from releve.config.settings.settings import GROUPS, Mount, Settings
from releve.config.settings.upgrade import Canary, Check

Wire = dict[str, Any]


def to_wire(settings: Settings) -> Wire:
    """Settings as plain JSON values; mounts as rows, since there may be a thousand in one message."""
    base = commonprefix([mount.place for mount in settings.mounts])
    rows = [[mount.prefix, mount.app, mount.place.removeprefix(base)] for mount in settings.mounts]
    plain = dataclasses.asdict(dataclasses.replace(settings, mounts=(), origins=None))
    del plain["origins"]
    return {**plain, "mounts": rows, "mounts_base": base}


def to_keep(settings: Settings) -> Wire:
    """The same for the next supervisor, with where they were written; for a master that would only make it longer."""
    return {**to_wire(settings), "origins": settings.origins}


def from_wire(wire: Wire) -> Settings:
    """Settings from the other side. Raises TypeError or ValueError for what cannot be any."""
    base = str(wire.get("mounts_base", ""))
    mounts = tuple(Mount(prefix, app, base + place) for prefix, app, place, *_ in wire.get("mounts", ()))
    settings: Settings = _block(Settings, {**wire, "mounts": mounts})
    return settings


def _block(block: type[Any], wire: Wire) -> Any:
    """A block with what ``wire`` says of its fields."""
    found = {}
    for field in dataclasses.fields(block):
        if field.name in wire:
            value, rules = wire[field.name], field.metadata
            read = _READERS.get(rules.get("kind", ""))
            if isinstance(value, dict) and rules.get("kind") == "group":
                value = _block(GROUPS[field.name], value)
            elif read is not None and not (value is None and "off" in rules):
                value = read(value)
            found[field.name] = value
    return block(**found)


def _block_or_word(block: type[Any]) -> Callable[[Any], Any]:
    return lambda value: _block(block, value) if isinstance(value, dict) else value


def _command(value: Any) -> Command | None:
    if not isinstance(value, dict):
        return None
    command: Command = _block(Command, value)
    return command


def _addresses(value: Any) -> tuple[Address, ...]:
    return tuple(_block(Address, address) for address in value)


# What JSON has no word for, by the kind of the setting.
_READERS: dict[str, Callable[[Any], Any]] = {
    "listen": _addresses,
    "check": _block_or_word(Check),
    "canary": _block_or_word(Canary),
    "command": _command,
    "run": lambda value: value if isinstance(value, str) else tuple(value),
    **dict.fromkeys(("patterns", "modules", "networks", "verbs", "folders"), tuple),
}
