"""``releve init``: a first configuration, written from what a folder holds."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from releve.config.build import build
from releve.config.errors import ConfigError
from releve.config.load import parse
from releve.config.sources import logical_folder
from releve.importer import document
from releve.importer.applications import Found, find
from releve.importer.document import Entry
from releve.importer.gunicorn import ImportFailure
from releve.importer.output import write
from releve.importer.parser import init_parser
from releve.instance.instances import USUAL_FILE

DONE, USAGE = 0, 2
SHOWN_MAX = 4  # other applications that the file mentions


def run(arguments: Sequence[str]) -> int:
    """Do what the command line says, and return the exit status."""
    try:
        told = init_parser().main(list(arguments), prog_name="releve init", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    if not isinstance(told, dict):
        return int(told or DONE)
    try:
        return _init(Path(logical_folder(os.environ)), **told)
    except ImportFailure as error:
        print(error, file=sys.stderr)
        return USAGE


def _init(folder: Path, app: str | None, output: str, force: bool) -> int:
    found = find(folder)
    chosen = Found(app, "", "the command line", (0, 0, 0)) if app else _choose(found, folder)
    others = [one for one in found if one is not chosen and not one.speaks_asgi]
    text = document_for(folder, chosen, [one.app for one in others[:SHOWN_MAX]])
    if output == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return DONE
    write(Path(output), text, force)
    kind = f" ({chosen.framework}, {chosen.file})" if chosen.framework else f" ({chosen.file})"
    print(f"wrote {output}: app {chosen.app}{kind}", file=sys.stderr)
    if (folder / "gunicorn.conf.py").is_file():
        print("gunicorn.conf.py is not read here: `releve import` carries its settings over", file=sys.stderr)
    started = "releve" if output == USUAL_FILE else f"releve -c {output}"
    print(f"start it: {started}", file=sys.stderr)
    return DONE


def _choose(found: Sequence[Found], folder: Path) -> Found:
    """The likeliest application. Raises ImportFailure."""
    if not found:
        raise ImportFailure(
            f"cannot find a WSGI application in {folder}: no Python file there has one at its top level; "
            "name it: releve init MODULE:NAME"
        )
    if found[0].speaks_asgi:
        raise ImportFailure(
            f"cannot serve {found[0].app}: {found[0].framework} speaks ASGI, and Relève serves WSGI applications"
        )
    return found[0]


def document_for(folder: Path, chosen: Found, others: Sequence[str]) -> str:
    """The text of the file, which is valid. Raises ImportFailure."""
    entries = {"app": Entry(chosen.app, f"{chosen.framework}, {chosen.file}" if chosen.framework else chosen.file)}
    entries["listen"] = Entry("127.0.0.1:8000", "or unix:/run/site.sock, behind nginx")
    entries["workers"] = Entry("auto", "one per CPU")
    if (folder / ".env").is_file():
        entries["env_file"] = Entry(".env")
    tail = [f"Also found: {', '.join(others)}."] if others else []
    tail += _advice(chosen)
    head = ["Made by `releve init`. Every key has a default: docs/configuration.md. `releve check` reads it."]
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
        "An upgrade proceeds only if this page answers on every new worker:",
        "upgrade: {check: /health}",
    ]
    if chosen.framework == "Django":
        advice += [
            "Migrate the database before the new code serves; the old code has to work with the result:",
            "hooks: {before: python manage.py migrate --no-input}",
        ]
    return advice
