"""What changed between two settings, and how much of it a reload can apply."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter
from typing import Any

from releve.config.settings.settings import GROUPS, Settings, rules

UNKNOWN = "unknown"  # where a setting was written that an older release has kept


def changed(old: Settings, new: Settings) -> list[str]:
    """The dotted keys whose values differ, in the order of the table."""
    return [key for key in rules() if attrgetter(key)(old) != attrgetter(key)(new)]


def needs_upgrade(keys: Iterable[str]) -> list[str]:
    """Those of ``keys`` that a reload cannot apply and an upgrade can."""
    return [key for key in keys if rules()[key].get("upgrade")]


def needs_restart(keys: Iterable[str]) -> list[str]:
    """Those of ``keys`` that only a new supervisor applies."""
    return [key for key in keys if rules()[key].get("restart")]


def apply_reload(old: Settings, new: Settings) -> Settings:
    """``new``, but ``old`` where a reload cannot apply it."""
    keys = changed(old, new)
    return _keep(old, new, {*needs_upgrade(keys), *needs_restart(keys)})


def apply_upgrade(old: Settings, new: Settings) -> Settings:
    """``new``, but ``old`` where only a new supervisor can apply it."""
    return _keep(old, new, set(needs_restart(changed(old, new))))


def _keep(old: Settings, new: Settings, keys: set[str]) -> Settings:
    top: dict[str, Any] = {key: getattr(old, key) for key in keys if "." not in key}
    for group in GROUPS:
        below = {key.partition(".")[2]: attrgetter(key)(old) for key in keys if key.startswith(f"{group}.")}
        if below:
            top[group] = replace(getattr(new, group), **below)
    if new.origins is not None:
        before = dict.fromkeys(keys, UNKNOWN) if old.origins is None else old.origins
        kept = {key: before[key] for key in keys if key in before}
        top["origins"] = {**{key: origin for key, origin in new.origins.items() if key not in keys}, **kept}
    return replace(new, **top)
