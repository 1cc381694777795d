"""The command ``releve``: reads its command line, then becomes the supervisor.

Exit statuses: 0 stopped when told to, 1 unexpected, 2 usage or configuration error, 4 the first generation failed to
boot; of ``releve doctor`` also 8 where there are problems.
"""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from releve import __version__
from releve.config.completion import by_metavar
from releve.config.reading.sections import Names, is_paste
from releve.instance.instances import USUAL_FILE, InstanceError, absolute, working_folder
from releve.instance.protocol import Status
from releve.supervisor import completion, hints
from releve.supervisor.service.configuration import Configuration

if TYPE_CHECKING:
    from releve.config.reading.load import Loaded
    from releve.config.settings.settings import Settings

EXIT_PIPE = 128 + signal.SIGPIPE  # as a shell tells of programs that SIGPIPE has ended

# flags -> dotted key of the setting, metavar, help, may be given several times
FLAGS: tuple[tuple[tuple[str, ...], str, str, str, bool], ...] = (
    (("-w", "--workers"), "workers", "N", "Number of worker processes, or auto.", False),
    (
        ("-b", "--bind"),
        "listen",
        "ADDRESS",
        "Address to listen on, as 127.0.0.1:8000 or unix:/run/my.sock; may be repeated.",
        True,
    ),
    (("-t", "--threads"), "threads", "N", "Requests that a worker runs at the same time.", False),
    (
        ("--directory", "--chdir"),
        "directory",
        "FOLDER",
        "Folder of the release; default: the current one, or that of the file.",
        False,
    ),
    (
        ("--python",),
        "python",
        "PATH",
        "Interpreter; default: .venv or venv of the folder, or the one that runs releve.",
        False,
    ),
    (
        ("--watch",),
        "watch",
        "off|release|code",
        "Upgrade automatically when the symlink flips (release) or code is saved (code).",
        False,
    ),
)
PATHS = ("directory", "python")

# the same of a PasteDeploy file: not settings, but what of the file is meant
OF_PASTE: tuple[tuple[tuple[str, ...], str, str, str, bool], ...] = (
    (
        ("--server-name",),
        "server_name",
        "NAME",
        "Section [server:NAME] of a PasteDeploy file (-c FILE.ini); default: main.",
        False,
    ),
    (("--app-name",), "app_name", "NAME", "Application [app:NAME] of a PasteDeploy file; default: main.", False),
    (("--define",), "define", "NAME=VALUE", "Variable for a PasteDeploy file; may be repeated.", True),
)

EPILOG = f"""Without -c and APP, releve uses ./{USUAL_FILE} if it exists. `releve check` validates the same command line
and changes nothing, `releve systemd-unit -c FILE` prints a unit for systemd, `releve init` writes a first
configuration, `releve import` converts one of gunicorn, `releve schema` prints the JSON Schema of the file. While
releve runs, use `ctl status`, `ctl upgrade`, `ctl stop` in the same folder."""


def configuration(file: str | None, app: str | None, options: dict[str, Any]) -> Configuration:
    """What the command line says. Raises click.UsageError if it does not say what to run."""
    folder = working_folder(os.environ)
    given: dict[str, str | list[str]] = {}
    names = _names(file, app, {key: options.pop(key, None) for _, key, *_ in OF_PASTE})
    for key, value in options.items():
        if value in (None, ()):
            continue
        elif isinstance(value, tuple):
            given[key] = list(value)
        else:
            given[key] = str(absolute(value, folder)) if key in PATHS and value != "auto" else value
    if app in SUBCOMMANDS:
        raise click.UsageError(
            f"cannot run an application called {app!r}: write {app}:app; a command comes first, as in `releve {app}`"
        )
    if app is not None and (error := hints.misread(app, SUBCOMMANDS)):
        raise error
    if file is None and app is None:
        if not (folder / USUAL_FILE).exists():
            raise click.UsageError(
                "cannot start: no application is given; use -c FILE, or an application as in `releve -w 3 "
                f"hello:app`, or write ./{USUAL_FILE} with `releve init`"
            )
        file = USUAL_FILE
    return Configuration(
        path=None if file is None else absolute(file, folder), folder=folder, options=given, app=app, names=names
    )


def _names(file: str | None, app: str | None, told: Mapping[str, Any]) -> Names | None:
    """What of a PasteDeploy file is meant; None where the file is not one. Raises click.UsageError."""
    if file is None or not (is_paste(Path(file)) or any(told.values())):
        if any(told.values()):
            raise click.UsageError(
                "cannot use --server-name, --app-name and --define without a PasteDeploy file: give -c FILE.ini"
            )
        return None
    if app is not None:
        raise click.UsageError(
            f"cannot serve {app!r} and {file}: the file makes the application; --app-name chooses it"
        )
    variables = []
    for text in told["define"] or ():
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.UsageError(f"cannot use {text!r} as a variable: expected NAME=VALUE")
        variables.append((name, value))
    return Names(told["server_name"] or "main", told["app_name"] or "main", tuple(variables))


def command(name: str, summary: str) -> click.Command:
    """A click command whose result is a Configuration; it starts nothing."""
    params: list[click.Parameter] = [
        click.Argument(["app"], required=False, metavar="[APP]"),
        click.Option(
            ["-c", "--config", "file"],
            metavar="FILE",
            help="Configuration file (YAML, or PasteDeploy's .ini).",
            shell_complete=by_metavar,
        ),
    ]
    params += [
        click.Option([*flags, key], metavar=metavar, help=text, multiple=several, shell_complete=by_metavar)
        for flags, key, metavar, text, several in (*FLAGS, *OF_PASTE)
    ]
    params.append(
        click.Option(
            ["-V", "--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Show the version.",
        )
    )
    return click.Command(
        name,
        params=params,
        callback=_collect,
        help=summary,
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Never returns: exits with one of the statuses above."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Do what the command line says, and return the exit status."""
    if asked := os.environ.get(completion.VARIABLE):
        return completion.complete(command("releve", SUMMARY), commands(), asked)
    subcommand = SUBCOMMANDS.get(arguments[0]) if arguments else None
    if subcommand is None:
        return _configured("releve", SUMMARY, _supervise, arguments)
    try:
        status = subcommand(arguments[1:])
        sys.stdout.flush()
    # whoever reads it has seen enough, as `head` has; what the interpreter flushes at its end has a place to go
    except BrokenPipeError:
        from releve.supervisor.host import system

        system.mute(sys.stdout.fileno())
        return EXIT_PIPE
    return status


def commands() -> dict[str, click.Command]:
    """The parsers of the commands that come as a first word."""
    from releve.importer.parser import init_parser, parser

    configured = {name: command(f"releve {name}", summary) for name, (summary, _) in CONFIGURED.items()}
    return {**configured, "import": parser(), "init": init_parser(), "schema": _schema_parser()}


def _configured(name: str, summary: str, action: Callable[[Configuration], int], arguments: Sequence[str]) -> int:
    """Read the command line of ``name``, which says a configuration, and do ``action`` with that."""
    parser = command(name, summary)
    try:
        parsed = parser.main(list(arguments), prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        hints.led_on(error, arguments, SUBCOMMANDS).show()
        return error.exit_code
    if not isinstance(parsed, Configuration):  # --help and --version have said everything
        return int(parsed or 0)
    return _guarded(parsed, action)


def check(told: Configuration) -> int:
    """Read everything; say where unusual values come from. Raises ConfigError."""
    loaded: Loaded = told.read()
    untold = _check_environment(loaded.settings)
    source = "the command line" if told.path is None else str(told.path)
    print(f"{source}: valid; {loaded.settings.served} on {', '.join(map(str, loaded.settings.listen))}")
    for key, origin in sorted(loaded.sources.items()):
        print(f"{key} comes from {origin}")
    for note in (*loaded.notes, *untold):
        print(note)
    return Status.DONE


def _check_environment(settings: Settings) -> list[str]:
    """Refuse variables with which nothing can be started; notes on what this user cannot tell. Raises ConfigError."""
    from releve.config import kernel
    from releve.config.errors import ConfigError, Place, Problem
    from releve.config.reading.env_file import read_env_file

    notes: list[str] = []
    variables: dict[str, str] = {}
    path = settings.env_file
    if path is not None and os.access(path, os.R_OK):
        variables = read_env_file(path)
    elif path is not None:
        notes = [
            (
                f"env_file {path} was not checked: "
                f"{'this user may not read it' if os.path.exists(path) else 'it does not exist here'}"
            )
        ]
    if (reason := kernel.environment_objection({**os.environ, **variables, **settings.env})) is not None:
        where = Place("the environment" if path is None else path)
        raise ConfigError(
            [Problem(where, f"cannot start a program with these variables and those of this shell: {reason}")]
        )
    return notes


def print_unit(told: Configuration) -> int:
    """A systemd unit for the configuration. Raises ConfigError."""
    from releve.supervisor.release.release import real_places
    from releve.supervisor.systemd import unit
    from releve.supervisor.systemd.quoting import UnitError

    loaded: Loaded = told.read()
    if told.path is None:
        print(
            "cannot make a unit: give the configuration file, as in releve systemd-unit -c /etc/releve/shop.yaml",
            file=sys.stderr,
        )
        return Status.USAGE
    config, commands = str(told.path), _commands()
    flags = () if told.names is None else told.names.flags()
    place = unit.Place(config, commands, told.path.stem, flags, real_places(loaded.settings, config, commands))
    try:
        print(unit.unit(loaded.settings, place), end="")
    except UnitError as error:
        print(f"cannot make a unit: {error}", file=sys.stderr)
        return Status.USAGE
    return Status.DONE


def doctor(told: Configuration) -> int:
    """Examine the configuration and the host, for a service that need not run. Raises ConfigError."""
    import asyncio

    from releve.supervisor.inspection import doctor as examination
    from releve.supervisor.inspection import facts
    from releve.supervisor.systemd.loaded import of_installed

    settings = told.read().settings
    installed = asyncio.run(of_installed(told.path))
    findings = examination.examine(facts.of_configuration(told, settings, installed))
    result = examination.report(findings)
    print("\n".join([*examination.lines(findings), result["message"]]))
    return int(result["status"])


def _commands() -> str:
    """The folder that ``releve`` and ``ctl`` are in: where this was started from, else where this Python installs
    commands.
    """
    started = os.path.abspath(sys.argv[0])
    return os.path.dirname(started) if os.path.basename(started) == "releve" else sysconfig.get_path("scripts")


def _supervise(told: Configuration) -> int:
    from releve.supervisor.startup import run as supervise

    return supervise(told)


def _guarded(told: Configuration, action: Callable[[Configuration], int]) -> int:
    from releve.config.errors import ConfigError
    from releve.supervisor.service.lock import LockError, LockHeld

    try:
        return int(action(told))
    # not the configuration's fault: the other one may be on its way out, a later start may do
    except LockHeld as error:
        print(error, file=sys.stderr)
    except (ConfigError, InstanceError, LockError) as error:
        print(error, file=sys.stderr)
        return Status.USAGE
    except KeyboardInterrupt:
        print("interrupted before the service started", file=sys.stderr)
    return Status.UNEXPECTED


SUMMARY = "Serve APP (module:object), or the application of the configuration file, and supervise it."
SCHEMA_SUMMARY = "Print the JSON Schema of the configuration file, for editors."


def _import(arguments: Sequence[str]) -> int:
    from releve.importer import command as importer

    return importer.run(arguments)


def _init(arguments: Sequence[str]) -> int:
    from releve.importer import init

    return init.run(arguments)


def _schema_parser() -> click.Command:
    help_flags = {"help_option_names": ["-h", "--help"]}
    return click.Command("releve schema", callback=_schema_text, help=SCHEMA_SUMMARY, context_settings=help_flags)


def _schema_text() -> str:
    from releve.config.kinds.schema import schema_text

    return schema_text()


def _schema(arguments: Sequence[str]) -> int:
    try:
        told = _schema_parser().main(list(arguments), prog_name="releve schema", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    if isinstance(told, str):  # not --help; out of click, which has an answer of its own to a broken pipe
        print(told, end="")
    return Status.DONE


# commands that take a configuration as ``releve`` does -> their help, and what they do with it
CONFIGURED: dict[str, tuple[str, Callable[[Configuration], int]]] = {
    "check": ("Validate the configuration without starting anything.", check),
    "doctor": (
        (
            "Examine the configuration and this host; `ctl doctor` examines the running service too. Exit "
            "status 8: problems."
        ),
        doctor,
    ),
    "systemd-unit": (
        "Print a hardened systemd unit for the configuration, with timeouts computed from the settings.",
        print_unit,
    ),
}

# first word of the command line -> what does the rest of it, and returns the exit status
SUBCOMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    **{name: partial(_configured, f"releve {name}", summary, action) for name, (summary, action) in CONFIGURED.items()},
    "import": _import,
    "init": _init,
    "schema": _schema,
}


def _collect(file: str | None, app: str | None, **options: Any) -> Configuration:
    return configuration(file, app, options)


def _print_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        print(f"releve {__version__}")
        context.exit()
