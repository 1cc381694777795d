"""``releve init``: a first configuration, written from what a folder holds."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from releve.config.errors import ConfigError
from releve.config.reading.build import build
from releve.config.reading.sources import logical_folder
from releve.config.reading.yaml_file import parse
from releve.importer.applications import Found, find
from releve.importer.document import document
from releve.importer.document.document import Entry
from releve.importer.document.failure import ImportFailure
from releve.importer.document.output import write
from releve.importer.parser import init_parser, run_parsed
from releve.instance.instances import USUAL_FILE
from releve.instance.protocol import Status

CURRENT = "current"  # what a link to the release is called, as in docs/deploying.md
_LINKED = "a link to the release; an upgrade follows it again"
SHOWN_MAX = 4  # other applications that the file mentions


def run(arguments: Sequence[str]) -> int:
    """Do what the command line says, and return the exit status."""
    return run_parsed(init_parser(), arguments, partial(_init, Path(logical_folder(os.environ))))


def _init(folder: Path, app: str | None, output: str, force: bool) -> int:
    try:
        found, release = find(folder), folder
        if not found and (folder / CURRENT).is_dir():  # the folder of a site, where a link leads to its release
            found, release = find(folder / CURRENT), folder / CURRENT
    except OSError as error:
        raise ImportFailure(f"cannot look into {folder}: {(error.strerror or str(error)).lower()}") from None
    chosen = _choose(found, app, release)
    others = [one.app for one in found if one != chosen and not one.speaks_asgi]
    elsewhere = output != "-" and Path(output).absolute().parent != folder
    text = document_for(release, chosen, others[:SHOWN_MAX], within=None if elsewhere else folder)
    if output == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return Status.DONE
    write(Path(output), text, force)
    kind = f" ({chosen.framework}, {chosen.file})" if chosen.framework else f" ({chosen.file})"
    print(f"wrote {output}: app {chosen.app}{kind}", file=sys.stderr)
    if (folder / "gunicorn.conf.py").is_file():
        print("`releve init` does not read gunicorn.conf.py; `releve import` converts its settings", file=sys.stderr)
    started = "releve" if output == USUAL_FILE else f"releve -c {output}"
    print(f"start it: {started}", file=sys.stderr)
    return Status.DONE


def _choose(found: Sequence[Found], app: str | None, folder: Path) -> Found:
    """The application that is named, or else the likeliest. Raises ImportFailure."""
    if app is not None:
        found = [one for one in found if one.app == app] or [Found(app, "", "the command line", (0, 0, 0))]
    if not found:
        raise ImportFailure(
            f"cannot find a WSGI application in {folder}: no Python file defines one at its top level; "
            "name it: releve init MODULE:NAME"
        )
    if found[0].speaks_asgi:
        raise ImportFailure(
            f"cannot serve {found[0].app}: it is an ASGI application ({found[0].framework}), and Relève serves WSGI"
        )
    return found[0]


def document_for(folder: Path, chosen: Found, others: Sequence[str], *, within: Path | None) -> str:
    """The text of the file, which is valid. ``folder``: of the release; ``within``: of the file, None for another one.

    Raises ImportFailure.
    """
    entries = {"app": Entry(chosen.app, f"{chosen.framework}, {chosen.file}" if chosen.framework else chosen.file)}
    entries["listen"] = Entry("127.0.0.1:8000", "or unix:/run/site.sock, behind nginx")
    entries["workers"] = Entry("auto", "one per CPU")
    if folder != within:
        named = folder.name if folder.parent == within else str(folder)
        entries["directory"] = Entry(named, _LINKED if folder.is_symlink() else "")
    if (folder / ".env").is_file():
        path = folder / ".env"
        entries["env_file"] = Entry(str(path if within is None else path.relative_to(within)))
    tail = [f"Also found: {', '.join(others)}."] if others else []
    tail += _advice(chosen)
    head = ["Made by `releve init`. Every key has a default: man releve.yaml. `releve check` validates it."]
    try:
        text = document.render(head, entries, tail)
        build(parse(text, USUAL_FILE, str(folder)), {})
    except ValueError as error:
        raise ImportFailure(f"cannot write it as YAML: {error}") from None
    except ConfigError as error:
        raise ImportFailure(
            f"cannot serve {chosen.app}: {'; '.join(problem.text for problem in error.problems)}"
        ) from None
    return text


def _advice(chosen: Found) -> list[str]:
    advice = [
        "An upgrade switches only if every new worker answers this page:",
        "upgrade: {check: /health}",
    ]
    if chosen.framework == "Django":
        advice += [
            "Migrate the database before the new code serves; the old code must work with the new schema:",
            "hooks: {before: python manage.py migrate --no-input}",
        ]
    return advice
