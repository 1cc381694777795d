"""The command lines of ``releve import`` and ``releve init``, apart from what they do.

A shell that completes them imports nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import click

from releve.config.completion import by_metavar
from releve.importer.document.failure import ImportFailure
from releve.instance.instances import USUAL_FILE
from releve.instance.protocol import Status

SUMMARY = """Convert the settings of gunicorn to a configuration, on standard output or in a file.

FILE is the configuration file of gunicorn (default: ./gunicorn.conf.py, if it exists). It is Python code, and `releve
import` runs it. A command line of gunicorn may follow after --: releve import -- gunicorn -w 3 -b :8000 mysite.wsgi.
GUNICORN_CMD_ARGS and the other variables of gunicorn count too.

Settings without an equivalent are listed on standard error, and as comments in the configuration."""

INIT_SUMMARY = f"""Write a first {USUAL_FILE} for the application in this folder.

It looks for Django (manage.py), Flask, Bottle, Falcon, Pyramid, and for files such as wsgi.py and app.py. It reads
Python files, and does not run them. APP (module:object) names the application if none is found."""


def parser() -> click.Command:
    """What our part of the command line may be; its result is what was told."""
    return click.Command(
        "releve import",
        params=[
            click.Argument(["file"], required=False, metavar="[FILE]"),
            click.Argument(["app"], required=False, metavar="[APP]"),
            click.Option(
                ["-o", "--output"],
                metavar="FILE",
                help="Write to this file, which must not exist yet.",
                shell_complete=by_metavar,
            ),
            click.Option(["--force"], is_flag=True, help="Overwrite the file if it exists."),
            click.Option(
                ["--python"],
                metavar="PATH",
                help="Interpreter that runs the file of gunicorn; default: that of the site.",
                shell_complete=by_metavar,
            ),
        ],
        callback=lambda **told: told,
        help=SUMMARY,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def init_parser() -> click.Command:
    """The command line of ``releve init``."""
    return click.Command(
        "releve init",
        params=[
            click.Argument(["app"], required=False, metavar="[APP]"),
            click.Option(
                ["-o", "--output"],
                metavar="FILE",
                default=USUAL_FILE,
                help=f"Write to this file (default: {USUAL_FILE}); - for standard output.",
                shell_complete=by_metavar,
            ),
            click.Option(["--force"], is_flag=True, help="Overwrite the file if it exists."),
        ],
        callback=lambda **told: told,
        help=INIT_SUMMARY,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run_parsed(command: click.Command, arguments: Sequence[str], action: Callable[..., int]) -> int:
    """Parse a command line, do ``action`` with what it says, by keyword, and return the exit status."""
    try:
        told = command.main(list(arguments), prog_name=command.name, standalone_mode=False)
        return action(**told) if isinstance(told, dict) else int(told or Status.DONE)  # --help has said everything
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ImportFailure as error:
        print(error, file=sys.stderr)
        return Status.USAGE
