"""Gunicorn's command line, by our table: what its flags say, and which interpreter it is started with."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any, NoReturn

from releve.importer.document.failure import ImportFailure
from releve.importer.settings.setting import Setting
from releve.importer.settings.table import SETTINGS

COMMAND_LINE = "the command line"


def parse(arguments: Sequence[str], source: str) -> argparse.Namespace:
    """What was told, by the settings' names; None for what was not. Raises ImportFailure, which names ``source``."""
    made = parser()
    made.source = source  # type: ignore[attr-defined]
    return made.parse_args(list(arguments))


def program(arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The program in front of the arguments, if there is one: ``gunicorn``, its path, or ``python -m gunicorn``."""
    if len(arguments) >= 3 and list(arguments[1:3]) in (["-m", "gunicorn"], ["-m", "gunicorn.app.wsgiapp"]):
        return arguments[0], arguments[3:]
    if arguments and os.path.basename(arguments[0]) in ("gunicorn", "gunicorn3"):
        return arguments[0], arguments[1:]
    return "", arguments


def interpreter_of(program: str) -> str | None:
    """The interpreter of the environment that a program with a path is in."""
    folder, name = os.path.split(program)
    if not folder:
        return None
    python = os.path.join(os.path.abspath(folder), name if name.startswith("python") else "python")
    return python if os.path.exists(python) else None


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
