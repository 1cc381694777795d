"""Settings from what was written, by the table in ``settings``.

Reads every key, collects every problem, and only then says so: whoever mends a file wants the whole list, not its first
line. ``readers.py`` reads one key after the other; here is what settings are to each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from releve.config.errors import ConfigError, Place, Problem, in_order
from releve.config.kinds.paths import join
from releve.config.reading.readers import Problems, entries_of, read_block
from releve.config.reading.written import Written
from releve.config.settings.control import Control
from releve.config.settings.limits import Limits
from releve.config.settings.request import Request
from releve.config.settings.settings import Settings
from releve.config.settings.wire import to_wire

WIRE_MAX_BYTES = 128 * 1024  # settings travel over the link in one message


def build(document: Written, overrides: Mapping[str, Written]) -> Settings:
    """The settings in ``document``, with ``overrides`` (by dotted key) in place of what it says. Raises ConfigError."""
    problems: Problems = []
    entries = entries_of("", document, problems)
    found = read_block(Settings, "", entries, overrides, problems)
    problems += _of_what_is_served(document, entries, overrides)
    problems += _of_control(document, entries, found)
    problems += _of_chunked_bodies(document, entries, found)
    directory = found.setdefault("directory", document.folder)
    if found.get("python"):
        found["python"] = join(directory, found["python"])
    settings = Settings(**found)
    problems += _of_size(document, settings)
    if problems:
        raise ConfigError(in_order(problems))
    return settings


def _of_what_is_served(document: Written, entries: Mapping[str, Written], overrides: Mapping[str, Written]) -> Problems:
    """One of ``app`` and ``mounts`` says what is served, and not both."""
    app = overrides.get("app", entries.get("app"))
    if app is None and "mounts" not in entries and isinstance(document.content, (dict, type(None))):
        text = "cannot start without app, the application to serve: write app: mysite.wsgi:application"
        return [Problem(Place(document.place.source), text)]
    if app is not None and "mounts" in entries:
        text = f"cannot use mounts and app together (app is at {app.place}): mount it at '' instead"
        return [Problem(entries["mounts"].named_at, text)]
    return []


def _of_control(document: Written, entries: Mapping[str, Written], found: Mapping[str, Any]) -> Problems:
    """``control`` has no meaning without ``control_group``."""
    if found.get("control_group") is not None or found.get("control", Control()) == Control():
        return []
    text = "cannot use control without control_group: it limits the members of that group"
    return [Problem(_named_at(document, entries, "control"), text)]


def _of_chunked_bodies(document: Written, entries: Mapping[str, Written], found: Mapping[str, Any]) -> Problems:
    """A chunked body that is decoded first has to fit into the files for bodies."""
    spool = found.get("limits", Limits()).spool
    chunked = found.get("request", Request()).buffer_chunked
    if chunked is None or (spool is not None and chunked <= spool):
        return []
    text = f"cannot use {chunked} bytes as request.buffer_chunked: its files are those of limits.spool, which is "
    text += f"{spool} bytes; raise that" if spool is not None else "off; leave it out, or give it a size"
    return [Problem(_named_at(document, entries, "request"), text)]


def _of_size(document: Written, settings: Settings) -> Problems:
    """All of them have to fit into one message."""
    size = len(json.dumps(to_wire(settings)))
    if size <= WIRE_MAX_BYTES:
        return []
    text = (
        f"cannot use {size} bytes of settings: at most {WIRE_MAX_BYTES}; long variables can move from env to env_file"
    )
    return [Problem(Place(document.place.source), text)]


def _named_at(document: Written, entries: Mapping[str, Written], key: str) -> Place:
    return entries[key].named_at if key in entries else document.place
