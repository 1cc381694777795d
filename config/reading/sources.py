"""Where a setting may come from besides the file: a flag comes before a variable, a variable before YAML.

The tables here name them; the log names the ones in use, since a stray ``PORT``
in some shell would otherwise win over the file without a word.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from releve.config.errors import ConfigError, Place, Problem, nearest
from releve.config.frozen import dataclass
from releve.config.kinds.addresses import port_address
from releve.config.reading.written import Written
from releve.config.settings.settings import rules

Option = str | int | Sequence[str]

PREFIX = "RELEVE_"

# Settings that have a flag of another name than their own.
FLAGS = {"app": "APP", "listen": "--bind"}

# Variables that platforms set: name, the setting, and their text as that setting is written.
PLATFORM: dict[str, tuple[str, Callable[[str], str]]] = {
    "PORT": ("listen", lambda text: str(port_address(text))),
    "WEB_CONCURRENCY": ("workers", str),
}

# Kinds that one variable cannot hold, and kinds of which it holds several, with commas between them.
_BLOCKS = {"variables", "headers", "mounts", "patterns"}
_LISTS = {"listen", "modules", "verbs", "folders"}


@dataclass(frozen=True, slots=True)
class Overrides:
    """What was said outside of the file.

    ``options`` are flags by the settings' dotted keys, as given (``app`` for the
    argument), ``environ`` the environment; relative paths in both start in
    ``folder``, by default the current one.
    """

    options: Mapping[str, Option] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


def overrides(
    options: Mapping[str, Option], environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> Overrides:
    """Overrides from flags and, unless told otherwise, this process's environment."""
    return Overrides(options, os.environ if environ is None else environ, folder)


def variable_names() -> dict[str, str]:
    """Every setting that a variable can hold: ``RELEVE_TIMEOUTS_BOOT`` to ``timeouts.boot``, in the table's order."""
    return {PREFIX + key.replace(".", "_").upper(): key for key, rule in rules().items() if rule["kind"] not in _BLOCKS}


def flag_name(key: str) -> str:
    """The flag of a setting, for messages."""
    return FLAGS.get(key, "--" + key.replace(".", "-").replace("_", "-"))


def read_overrides(given: Overrides) -> tuple[dict[str, Written], dict[str, str], tuple[str, ...]]:
    """What ``given`` says, by dotted key; where each came from, in words; and notes. Raises ConfigError."""
    folder = str(given.folder or logical_folder(given.environ))
    found: dict[str, Written] = {}
    sources: dict[str, str] = {}
    table = rules()
    for variable, (key, translate) in PLATFORM.items():
        text = given.environ.get(variable)
        if text:
            try:
                found[key] = _written(translate(text), variable, folder)
            except ValueError as error:
                raise ConfigError([Problem(Place(variable), f"cannot use {text!r} as {key}: {error}")]) from None
            sources[key] = f"{variable} in the environment"
    for variable, key in variable_names().items():
        text = given.environ.get(variable)
        if text:
            listed = (
                [part.strip() for part in text.split(",")] if table[key]["kind"] in _LISTS and "," in text else text
            )
            found[key] = _written(listed, variable, folder)
            sources[key] = f"{variable} in the environment"
    for key, option in given.options.items():
        if key not in table:
            raise ConfigError([Problem(Place(flag_name(key)), f"cannot use {key!r}: unknown setting")])
        found[key] = _written(str(option) if isinstance(option, int) else option, flag_name(key), folder)
        sources[key] = f"{flag_name(key)} on the command line"
    return found, sources, _notes(given.environ)


def logical_folder(environ: Mapping[str, str]) -> Path:
    """The current folder as its user sees it: ``PWD``, where that is the current folder, does not have its links
    resolved.
    """
    actual = os.getcwd()
    logical = environ.get("PWD", "")
    try:
        return Path(logical) if os.path.isabs(logical) and os.path.samefile(logical, actual) else Path(actual)
    except OSError:
        return Path(actual)


def _written(content: str | Sequence[str], source: str, folder: str) -> Written:
    place = Place(source)
    if isinstance(content, str):
        return Written(content, place, place, folder)
    if len(content) == 1:
        return _written(content[0], source, folder)
    return Written([_written(item, source, folder) for item in content], place, place, folder)


def _notes(environ: Mapping[str, str]) -> tuple[str, ...]:
    """A remark for each variable that looks like a misspelt setting; others of our prefix are not ours to judge."""
    known = {name.removeprefix(PREFIX).lower(): name for name in variable_names()}
    found = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known.values():
            meant = nearest(name.removeprefix(PREFIX), known, likeness=0.75)
            if meant:
                found.append(f"{name} in the environment is not a setting and is ignored; did you mean {known[meant]}?")
    return tuple(found)
