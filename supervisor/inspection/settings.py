"""The settings in force, and where each was written, as ``ctl config`` shows them; secrets are left out."""

from __future__ import annotations

import dataclasses
import re
from operator import attrgetter
from typing import Any

from releve.config.kinds.defaults import value_text
from releve.config.settings.diff import UNKNOWN, changed
from releve.config.settings.key import Rules
from releve.config.settings.settings import Settings, rules
from releve.instance.protocol import Event, Status, result
from releve.supervisor.service.service import Service

DEFAULT = "default"
HIDDEN = "***"
SCALED = "ctl scale"
_PASSWORD = re.compile(r"(\w://[^\s:/@]*:)[^\s@]+@")  # of a URL


def picture(service: Service) -> Event:
    """The settings of the generation in service, as the result of the verb."""
    generation = service.active
    settings = service.settings
    rows = [_row(settings, key, rule) for key, rule in rules().items()]
    if service.scaled is not None:
        scaled = {"key": "workers", "value": str(service.scaled), "from": SCALED}
        rows = [scaled if row["key"] == "workers" else row for row in rows]
    told = sum(row["from"] != DEFAULT for row in rows)
    return result(
        Status.DONE,
        f"{told} of {len(rows)} settings are not the default",
        generation=None if generation is None else generation.number,
        revision=None if generation is None else generation.revision,
        settings=rows,
    )


def _row(settings: Settings, key: str, rule: Rules) -> dict[str, Any]:
    return {
        "key": ".".join(part.removesuffix("_") for part in key.split(".")),
        "value": shown(rule, attrgetter(key)(settings)),
        "from": _origin(settings, key),
    }


def shown(rule: Rules, value: Any) -> str:
    """A value in words, without secrets: of variables and headers only the names, of URLs no password."""
    if rule["kind"] in ("variables", "headers") and isinstance(value, dict):
        value = dict.fromkeys(value, HIDDEN)
    elif getattr(value, "headers", None):
        value = dataclasses.replace(value, headers=dict.fromkeys(value.headers, HIDDEN))
    return _PASSWORD.sub(rf"\g<1>{HIDDEN}@", value_text(rule, value))


def _origin(settings: Settings, key: str) -> str:
    """Where a setting was written; of one that is the default nobody need have kept it."""
    if isinstance(settings.origins, dict):
        written = ".".join(part.removesuffix("_") for part in key.split("."))
        return settings.origins.get(written) or settings.origins.get(key) or DEFAULT
    return UNKNOWN if key in changed(Settings(), settings) else DEFAULT
