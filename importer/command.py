"""``releve import``: from a gunicorn, by its file, its command line or both, to a configuration of ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from releve.config.errors import ConfigError
from releve.config.grammar import counted
from releve.config.reading.build import build
from releve.config.reading.sources import logical_folder
from releve.config.reading.yaml_file import parse
from releve.importer.document import document
from releve.importer.document.failure import ImportFailure
from releve.importer.document.output import write
from releve.importer.gunicorn import gunicorn
from releve.importer.gunicorn.flags import COMMAND_LINE
from releve.importer.parser import parser, run_parsed
from releve.importer.settings.draft import Draft
from releve.importer.settings.site import Site
from releve.importer.translate import translate
from releve.instance.protocol import Status

PAGE = "docs/from-gunicorn.md"


def run(arguments: Sequence[str]) -> int:
    """Do what the command line says, and return the exit status."""
    ours, theirs = _split(arguments)
    return run_parsed(parser(), ours, partial(_import, theirs, os.environ))


def convert(site: Site, environ: Mapping[str, str]) -> tuple[str, Draft]:
    """The text of our configuration, which is valid, and what went into it. Raises ImportFailure."""
    draft = translate(site)
    for variable, key in (("PORT", "listen"), ("WEB_CONCURRENCY", "workers")):
        entry = draft.entries.get(key)
        if environ.get(variable) and (entry is None or variable not in entry.comment):
            draft.remarks[variable] = (
                f"{variable} is set in the environment, and overrides {key} of the file; start releve without it"
            )
    sources = [name for name in (site.file, COMMAND_LINE if site.app or _told(site) else None) if name]
    head = [
        (
            f"Made by `releve import` from {' and '.join(sources) or 'the defaults of gunicorn'}; {PAGE} "
            "says what is different."
        )
    ]
    tail = ["No equivalent, or different here:", *draft.remarks.values()] if draft.remarks else []
    try:
        text = document.render(head, draft.entries, tail)
        build(parse(text, "releve.yaml", site.folder), {})
    except ValueError as error:
        raise ImportFailure(f"cannot write it as YAML: {error}") from None
    except ConfigError as error:
        problems = "; ".join(problem.text for problem in error.problems)
        raise ImportFailure(f"cannot convert the settings of gunicorn: {problems}") from None
    return text, draft


def _import(
    theirs: Sequence[str],
    environ: Mapping[str, str],
    file: str | None,
    app: str | None,
    output: str | None,
    force: bool,
    python: str | None,
) -> int:
    folder = str(logical_folder(environ))
    site = gunicorn.read([*theirs, *([app] if app else [])], environ, folder, file, python)
    text, draft = convert(site, environ)
    if output in (None, "-"):
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write(Path(str(output)), text, force)
    for remark in draft.remarks.values():
        print(remark, file=sys.stderr)
    where, file = ("standard output", "FILE") if output in (None, "-") else (output, output)
    print(
        (
            f"wrote {counted(len(draft.entries), 'key')} to {where}, with "
            f"{counted(len(draft.remarks), 'remark')}; `releve check -c {file}` validates it"
        ),
        file=sys.stderr,
    )
    return Status.DONE


def _split(arguments: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Our arguments, and gunicorn's: what follows ``--``, or begins with ``gunicorn``."""
    for number, word in enumerate(arguments):
        if word == "--":
            return arguments[:number], arguments[number + 1 :]
        if os.path.basename(word) == "gunicorn":
            return arguments[:number], arguments[number:]
    return arguments, ()


def _told(site: Site) -> bool:
    return any(value.origin == COMMAND_LINE for value in site.values.values())
