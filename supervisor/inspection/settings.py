"""The settings in force, and where each was written, as ``ctl config`` shows them; secrets are left out."""

from __future__ import annotations

import dataclasses
import re
import shlex
from itertools import dropwhile
from operator import attrgetter
from typing import Any

from releve.config.kinds.defaults import value_text
from releve.config.settings.diff import UNKNOWN, changed
from releve.config.settings.hooks import Command
from releve.config.settings.key import Rules
from releve.config.settings.settings import Settings, rules
from releve.config.settings.upgrade import Check
from releve.instance.protocol import Event, Status, result
from releve.supervisor.service.service import Service

DEFAULT = "default"
HIDDEN = "***"
SCALED = "ctl scale"
MORE = "…"  # of a command
# Of a URL: who logs in, up to the last @ where there is a password, which may hold anything; a token may be a user's.
_LOGIN = re.compile(r"(\w://)(?:[^\s:/@]*:\S*|[^\s/?#]+)@")
_QUERY = re.compile(r"((?:\w://|(?<!\S)/)[^\s?]*\?)(\S+)")  # of a URL, or of a path of requests
_ASSIGNMENT = re.compile(r"\w+=[^$`(]*")  # of a shell; not one that begins a command
_PROGRAM = re.compile(r"[\w./+-]+")


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
    """A value in words, without secrets: of variables and headers only the names, of a command the program, of URLs
    neither who logs in nor the values of the query.
    """
    if rule["kind"] in ("variables", "headers") and isinstance(value, dict):
        return value_text(rule, dict.fromkeys(value, HIDDEN))
    return value_text(rule, _without_secrets(value))


def _without_secrets(value: Any) -> Any:
    """The same value, to be shown."""
    if isinstance(value, str):
        return _QUERY.sub(_hide_values, _LOGIN.sub(rf"\g<1>{HIDDEN}@", value))
    if isinstance(value, list | tuple):
        return [_without_secrets(one) for one in value]
    if isinstance(value, dict):
        return {_without_secrets(name): _without_secrets(one) for name, one in value.items()}
    if isinstance(value, Command):
        return dataclasses.replace(value, run=_program(value.run))
    if isinstance(value, Check):
        headers = dict.fromkeys(value.headers, HIDDEN)
        return dataclasses.replace(value, path=_without_secrets(value.path), headers=headers)
    return value


def _hide_values(found: re.Match[str]) -> str:
    named = [part.partition("=") for part in re.split("[&;]", found[2])]
    return found[1] + "&".join(f"{name}={HIDDEN}" if equals else HIDDEN for name, equals, _ in named)


def _program(run: str | tuple[str, ...]) -> str:
    """The program of a command line, without variables before it and arguments behind it."""
    words = list(run)
    if isinstance(run, str):
        try:
            words = shlex.split(run)
        except ValueError:
            return MORE
        words = list(dropwhile(_ASSIGNMENT.fullmatch, words))
    program = words[0] if words else ""
    if not _PROGRAM.fullmatch(program):
        return MORE
    return program if len(words) == 1 else f"{program} {MORE}"


def _origin(settings: Settings, key: str) -> str:
    """Where a setting was written; of one that is the default nobody need have kept it."""
    if isinstance(settings.origins, dict):
        written = ".".join(part.removesuffix("_") for part in key.split("."))
        return settings.origins.get(written) or settings.origins.get(key) or DEFAULT
    return UNKNOWN if key in changed(Settings(), settings) else DEFAULT
