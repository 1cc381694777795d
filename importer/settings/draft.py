"""What a site has become so far: keys of ours with their values, and remarks."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import Any

from releve.config.frozen import dataclass
from releve.config.kinds.defaults import default_text
from releve.config.kinds.numbers import DURATION_MAX_S, duration_text
from releve.config.settings.settings import GROUPS, Settings, rules
from releve.importer.document.document import Entry
from releve.importer.settings import values
from releve.importer.settings.site import DEFAULT, Site

COUNT_MAX = 1 << 31  # where a key of ours has no maximum of its own


@dataclass(slots=True)
class Draft:
    """What has been carried over of ``site``: ``entries`` by our keys, ``remarks`` by the settings they are on."""

    site: Site
    entries: dict[str, Entry] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)

    def put(self, key: str, value: Any, *, of: str) -> None:
        """Write the value of the setting ``of``; one that nobody gave only where our default is another."""
        origin, ours = self.site.values[of].origin, _default(key)
        if origin != DEFAULT:
            self.entries[key] = Entry(value, f"{of}, {origin}")
        elif ours != (", ".join(map(str, value)) if isinstance(value, list) else str(value)):
            self.entries[key] = Entry(value, f"{DEFAULT} of {of}; Relève's is {ours}")

    def remark(self, name: str, text: str) -> None:
        """Say something about a setting, after its value and where that is from; a second remark replaces the first."""
        held = self.site.values[name]
        self.remarks[name] = f"{name} = {values.shown(held.value)} ({held.origin}): {text}"


def within(key: str, number: int) -> int:
    """The number, or the nearest one that a key of ours takes."""
    rule = rules()[key]
    return int(min(max(number, rule.get("minimum", 0)), rule.get("maximum", COUNT_MAX)))


def seconds_text(seconds: int) -> str:
    """Whole seconds as a duration of ours: at least the shortest, at most the longest that there is."""
    return duration_text(min(seconds, int(DURATION_MAX_S)) or 0.001)


def _default(key: str) -> str:
    """The default of a key of ours, as it is written."""
    group, _, name = key.rpartition(".")
    kind = GROUPS[group] if group else Settings
    return next(default_text(one) for one in dataclasses.fields(kind) if one.name == name)
