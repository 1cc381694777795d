"""What gunicorn would serve with: its command line, ``GUNICORN_CMD_ARGS``, its file and its defaults, in its order."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from releve.importer.document.failure import ImportFailure
from releve.importer.gunicorn.file import USUAL_FILE, execute, notes_on, short
from releve.importer.gunicorn.flags import COMMAND_LINE, interpreter_of, parse, program
from releve.importer.settings.site import Site, Value
from releve.importer.settings.table import SETTINGS
from releve.importer.settings.values import convert, shown

ARGUMENTS = "GUNICORN_CMD_ARGS"
VENV_FOLDERS = (".venv", "venv")

# Variables that gunicorn takes its defaults from: the setting, and its value.
_VARIABLES = {
    "PORT": ("bind", "0.0.0.0:{}"),
    "WEB_CONCURRENCY": ("workers", "{}"),
    "FORWARDED_ALLOW_IPS": ("forwarded_allow_ips", "{}"),
}


def read(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    folder: str,
    file: str | None = None,
    python: str | None = None,
) -> Site:
    """The site that ``gunicorn ARGUMENTS`` would be, started in ``folder``; ``file`` is as ``-c FILE``, ``python`` runs
    that file.

    Raises ImportFailure.
    """
    started, rest = program(arguments)
    told = parse(rest, COMMAND_LINE)
    try:
        more = parse(shlex.split(environ.get(ARGUMENTS, "")), ARGUMENTS)
    except ValueError as error:
        raise ImportFailure(f"cannot read {ARGUMENTS}: {error}") from None
    if file is not None and told.config:
        raise ImportFailure(f"cannot read two files, {file} and {told.config}: give one")
    location = file or told.config or more.config
    if location is None and os.path.exists(os.path.join(folder, USUAL_FILE)):
        location = USUAL_FILE
    beside = interpreter_of(started)
    values = defaults()
    for variable, (name, meaning) in _VARIABLES.items():
        if environ.get(variable):
            give(values, name, meaning.format(environ[variable]), f"{variable} in the environment")
    environment: dict[str, str] = {}
    notes: list[str] = []
    if location is not None:
        found = execute(location, folder, environ, python or beside or _venv(folder) or sys.executable)
        for name, value in found["values"].items():
            if name in SETTINGS:
                give(values, name, value, short(location))
        environment = found["set"]
        notes += notes_on(found, short(location))
    for source, origin in ((more, ARGUMENTS), (told, COMMAND_LINE)):
        for name, value in vars(source).items():
            if value is not None and name != "args":
                give(values, name, value, origin)
    app = told.args[0] if told.args else None
    return Site(values, folder, app, beside, location, environment, tuple(notes))


def defaults() -> dict[str, Value]:
    """Every setting, of which nobody has said anything."""
    return {
        name: Value(None if setting.kind == "hook" else convert(setting.kind, setting.default))
        for name, setting in SETTINGS.items()
    }


def give(values: dict[str, Value], name: str, value: Any, origin: str) -> None:
    """Set one of them to what ``origin`` says. Raises ImportFailure for what gunicorn refuses."""
    try:
        values[name] = Value(convert(SETTINGS[name].kind, value), origin)
    except ValueError as error:
        raise ImportFailure(
            f"cannot use {shown(value)} as {name} ({origin}): {error}; gunicorn refuses it too"
        ) from None


def _venv(folder: str) -> str | None:
    candidates = [os.path.join(folder, name, "bin", "python") for name in VENV_FOLDERS]
    return next((path for path in candidates if os.path.exists(path)), None)
