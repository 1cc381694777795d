"""What gunicorn would serve with: its command line, ``GUNICORN_CMD_ARGS``, its file and its defaults, in its
own order.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, NoReturn

from releve.config.errors import nearest
from releve.config.frozen import dataclass
from releve.importer import words
from releve.importer.failure import ImportFailure
from releve.importer.table import SETTINGS, Setting

USUAL_FILE = "gunicorn.conf.py"
ARGUMENTS = "GUNICORN_CMD_ARGS"
DEFAULT = "gunicorn's default"
COMMAND_LINE = "the command line"
VENV_FOLDERS = (".venv", "venv")
_EXECUTE = Path(__file__).with_name("execute.py")
_FILE_TIMEOUT_S = 60.0

# Variables that gunicorn takes its defaults from: the setting, and its value.
_VARIABLES = {
    "PORT": ("bind", "0.0.0.0:{}"),
    "WEB_CONCURRENCY": ("workers", "{}"),
    "FORWARDED_ALLOW_IPS": ("forwarded_allow_ips", "{}"),
}


@dataclass(frozen=True, slots=True)
class Value:
    """The value of one setting, and where it comes from, in words."""

    value: Any
    origin: str = DEFAULT

    @property
    def given(self) -> bool:
        """Whether somebody said so."""
        return self.origin != DEFAULT


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that a gunicorn would serve with.

    ``folder`` is where it is started, ``app`` the application named on its command line, ``python`` the interpreter it
    runs on where that is known. ``environment`` is what the file sets in ``os.environ``; ``notes`` are remarks on the
    file.
    """

    values: Mapping[str, Value]
    folder: str
    app: str | None = None
    python: str | None = None
    file: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.values[name].value


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
    program, rest = _program(arguments)
    told = _parse(rest, COMMAND_LINE)
    try:
        more = _parse(shlex.split(environ.get(ARGUMENTS, "")), ARGUMENTS)
    except ValueError as error:
        raise ImportFailure(f"cannot read {ARGUMENTS}: {error}") from None
    if file is not None and told.config:
        raise ImportFailure(f"cannot read two files, {file} and {told.config}: name one")
    location = file or told.config or more.config
    if location is None and os.path.exists(os.path.join(folder, USUAL_FILE)):
        location = USUAL_FILE
    beside = _beside(program)
    values = {
        name: Value(words.convert(setting.kind, setting.default))
        for name, setting in SETTINGS.items()
        if setting.kind != "hook"
    }
    values |= {name: Value(None) for name, setting in SETTINGS.items() if setting.kind == "hook"}
    for variable, (name, meaning) in _VARIABLES.items():
        if environ.get(variable):
            _set(values, name, meaning.format(environ[variable]), f"{variable} in the environment")
    environment: dict[str, str] = {}
    notes: list[str] = []
    if location is not None:
        found = _execute(location, folder, environ, python or beside or _venv(folder) or sys.executable)
        for name, value in found["values"].items():
            if name in SETTINGS:
                _set(values, name, value, _short(location))
        environment = found["set"]
        notes += _notes(found, _short(location))
    for source, origin in ((more, ARGUMENTS), (told, COMMAND_LINE)):
        for name, value in vars(source).items():
            if value is not None and name != "args":
                _set(values, name, value, origin)
    app = told.args[0] if told.args else None
    return Site(values, folder, app, beside, location, environment, tuple(notes))


def parser() -> argparse.ArgumentParser:
    """Gunicorn's command line, by our table."""
    made = _Parser(prog="gunicorn", add_help=False)
    made.add_argument("args", nargs="*")
    for setting in SETTINGS.values():
        if setting.flags:
            made.add_argument(*setting.flags, dest=setting.name, default=None, **_options(setting))
    return made


class _Parser(argparse.ArgumentParser):
    source = COMMAND_LINE

    def error(self, message: str) -> NoReturn:
        raise ImportFailure(f"cannot read {self.source} of gunicorn: {message}")


def _options(setting: Setting) -> dict[str, Any]:
    match setting.action:
        case "true" | "false":
            return {"action": "store_const", "const": setting.action == "true"}
        case "append":
            return {"action": "append"}
        case "optional":
            return {"nargs": "?", "const": "auto"}
        case _:
            return {}


def _parse(arguments: Sequence[str], source: str) -> argparse.Namespace:
    made = parser()
    made.source = source  # type: ignore[attr-defined]
    return made.parse_args(list(arguments))


def _program(arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The program in front of the arguments, if there is one: ``gunicorn``, its path, or ``python -m gunicorn``."""
    if len(arguments) >= 3 and list(arguments[1:3]) in (["-m", "gunicorn"], ["-m", "gunicorn.app.wsgiapp"]):
        return arguments[0], arguments[3:]
    if arguments and os.path.basename(arguments[0]) in ("gunicorn", "gunicorn3"):
        return arguments[0], arguments[1:]
    return "", arguments


def _beside(program: str) -> str | None:
    """The interpreter of the environment that a program with a path is in."""
    folder, name = os.path.split(program)
    if not folder:
        return None
    python = os.path.join(os.path.abspath(folder), name if name.startswith("python") else "python")
    return python if os.path.exists(python) else None


def _venv(folder: str) -> str | None:
    candidates = [os.path.join(folder, name, "bin", "python") for name in VENV_FOLDERS]
    return next((path for path in candidates if os.path.exists(path)), None)


def _set(values: dict[str, Value], name: str, value: Any, origin: str) -> None:
    try:
        values[name] = Value(words.convert(SETTINGS[name].kind, value), origin)
    except ValueError as error:
        raise ImportFailure(
            f"cannot use {words.shown(value)} as {name} ({origin}): {error}; gunicorn refuses it too"
        ) from None


def _execute(location: str, folder: str, environ: Mapping[str, str], python: str) -> dict[str, Any]:
    """Run the file by itself, in a process of its own, and return what it says. Raises ImportFailure."""
    target = location.removeprefix("file:")
    name = _short(location)
    if not target.startswith("python:"):
        target = os.path.join(folder, target)
        if not os.path.isfile(target):
            raise ImportFailure(f"cannot read {name}: there is no such file")
    out = os.memfd_create("configuration")
    try:
        ended = subprocess.run(
            [python, str(_EXECUTE), target, str(out)],
            pass_fds=[out], cwd=folder, env=dict(environ), stdin=subprocess.DEVNULL, stdout=2,
            timeout=_FILE_TIMEOUT_S, check=False,
        )  # fmt: skip
        size = os.fstat(out).st_size
        said: dict[str, Any] = (
            json.loads(os.pread(out, size, 0)) if size else {"error": f"Python ended with status {ended.returncode}"}
        )
    except subprocess.TimeoutExpired:
        raise ImportFailure(f"cannot read {name}: it ran for {_FILE_TIMEOUT_S:g}s without an end") from None
    except OSError as error:
        raise ImportFailure(
            f"cannot run {name} with {python}: {(error.strerror or str(error)).lower()}; choose another by --python"
        ) from None
    finally:
        os.close(out)
    if "error" in said:
        lines = "".join(f"\n  {line}" for line in said.get("lines", ()))
        advice = ""
        if "ImportError" in said["error"] or "ModuleNotFoundError" in said["error"]:
            advice = f"; it was run with {python}: name the site's own interpreter by --python PATH"
        raise ImportFailure(f"cannot read {name}: {said['error']}{advice}{lines}")
    return said


def _notes(found: Mapping[str, Any], name: str) -> list[str]:
    """What gunicorn passes over in a file without a word, and what its author may not have meant."""
    notes = []
    for word, value in found["values"].items():
        if word not in SETTINGS and isinstance(value, (bool, int, str, list)):
            meant = nearest(word, SETTINGS, likeness=0.85)
            if meant and not word.isupper():
                notes.append(
                    f"{word} = {words.shown(value)} ({name}): no setting of gunicorn, which ignores "
                    f"it; was {meant} meant?"
                )
    if found["unset"]:
        notes.append(f"{name} removes {', '.join(found['unset'])} from the environment: start releve without")
    return notes


def _short(location: str) -> str:
    return location if location.startswith("python:") else os.path.basename(location.removeprefix("file:"))
