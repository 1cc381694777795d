"""The command line of ``releve import``, apart from what it does: a shell that completes it imports nothing else."""

from __future__ import annotations

import click

from releve.config.completion import by_metavar

SUMMARY = """Write the configuration that does what a gunicorn does: to standard output, or to a file.

FILE is gunicorn's own (default: ./gunicorn.conf.py, if it is there); it is Python code, and it is run. A command line
of gunicorn may follow after --: releve import -- gunicorn -w 3 -b :8000 mysite.wsgi. GUNICORN_CMD_ARGS and the other
variables of gunicorn count too.

What has no equivalent is said on standard error, and as comments in what is written."""


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
                help="Write to this file, which must not be there yet.",
                shell_complete=by_metavar,
            ),
            click.Option(["--force"], is_flag=True, help="Overwrite it."),
            click.Option(
                ["--python"],
                metavar="PATH",
                help="Interpreter that runs gunicorn's file; default: the site's own.",
                shell_complete=by_metavar,
            ),
        ],
        callback=lambda **told: told,
        help=SUMMARY,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
