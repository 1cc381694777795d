"""The command ``releve``: reads its command line, then becomes the supervisor.

Exit statuses: 0 stopped when told to, 1 unexpected, 2 usage or configuration error, 4 the first generation failed to boot.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from releve import __version__
from releve.supervisor.configuration import Configuration
from releve.supervisor.instances import USUAL_FILE, InstanceError, absolute, working_folder
from releve.supervisor.protocol import Status

if TYPE_CHECKING:
    from releve.config.load import Loaded

# flags -> dotted key of the setting, metavar, help, may be given several times
FLAGS: tuple[tuple[tuple[str, ...], str, str, str, bool], ...] = (
    (("-w", "--workers"), "workers", "N", "Number of worker processes, or auto.", False),
    (("-b", "--bind"), "listen", "ADDRESS", "Address to listen on, as 127.0.0.1:8000 or unix:/run/my.sock; may be repeated.", True),
    (("-t", "--threads"), "threads", "N", "Requests at once in one worker.", False),
    (("--directory", "--chdir"), "directory", "FOLDER", "Folder of the release; default: the current one, or the file's own.", False),
    (("--python",), "python", "PATH", "Interpreter; default: the folder's .venv or venv, else the one that runs releve.", False),
    (("--watch",), "watch", "off|release|code", "Upgrade by itself, on a flipped symlink or on saved code.", False),
)
PATHS = ("directory", "python")

EPILOG = f"""Without -c and APP, ./{USUAL_FILE} is used if it is there. `releve check` validates the same command line and
touches nothing, `releve systemd-unit -c FILE` prints a unit for systemd. While it runs: `ctl status`,
`ctl upgrade`, `ctl stop` in the same folder."""


def configuration(file: str | None, app: str | None, options: dict[str, Any]) -> Configuration:
    """What the command line says. Raises click.UsageError if it does not say what to run."""
    folder = working_folder(os.environ)
    given: dict[str, str | list[str]] = {}
    for key, value in options.items():
        if value in (None, ()):
            continue
        elif isinstance(value, tuple):
            given[key] = list(value)
        else:
            given[key] = str(absolute(value, folder)) if key in PATHS and value != "auto" else value
    if app in SUBCOMMANDS:
        raise click.UsageError(f"cannot run an application called {app!r}: write {app}:app; a command, as in `releve {app}`, comes first")
    if file is None and app is None:
        if not (folder / USUAL_FILE).exists():
            raise click.UsageError(
                f"cannot start: nothing says what to run; give -c FILE or an application (`releve -w 3 test:app`), or write ./{USUAL_FILE}"
            )
        file = USUAL_FILE
    return Configuration(path=None if file is None else absolute(file, folder), folder=folder, options=given, app=app)


def command(name: str, summary: str) -> click.Command:
    """A click command whose result is a Configuration; it starts nothing."""
    params: list[click.Parameter] = [
        click.Argument(["app"], required=False, metavar="[APP]"),
        click.Option(["-c", "--config", "file"], metavar="FILE", help="Configuration file (YAML)."),
    ]
    params += [click.Option([*flags, key], metavar=metavar, help=text, multiple=several) for flags, key, metavar, text, several in FLAGS]
    params.append(
        click.Option(
            ["-V", "--version"], is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
        )
    )
    return click.Command(
        name, params=params, callback=_collect, help=summary, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Never returns: exits with one of the statuses above."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Do what the command line says, and return the exit status."""
    name = arguments[0] if arguments else ""
    summary, action = SUBCOMMANDS.get(name, (SUMMARY, _supervise))
    told = name in SUBCOMMANDS
    parser = command(f"releve {name}" if told else "releve", summary)
    try:
        parsed = parser.main(list(arguments[1:] if told else arguments), prog_name=parser.name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    if not isinstance(parsed, Configuration):  # --help and --version have said everything
        return int(parsed or 0)
    return _guarded(parsed, action)


def check(told: Configuration) -> int:
    """Read everything; say where unusual values come from. Raises ConfigError."""
    loaded: Loaded = told.read()
    source = "the command line" if told.path is None else str(told.path)
    print(f"{source}: valid; {loaded.settings.served} on {', '.join(map(str, loaded.settings.listen))}")
    for key, origin in sorted(loaded.sources.items()):
        print(f"{key} comes from {origin}")
    for note in loaded.notes:
        print(note)
    return Status.DONE


def print_unit(told: Configuration) -> int:
    """A systemd unit for the configuration. Raises ConfigError."""
    from releve.supervisor import unit

    loaded: Loaded = told.read()
    if told.path is None:
        print("cannot make a unit: give the configuration file, as in releve systemd-unit -c /etc/releve/shop.yaml", file=sys.stderr)
        return Status.USAGE
    print(unit.unit(loaded.settings, unit.Place(str(told.path), _commands(), told.path.stem)), end="")
    return Status.DONE


def _commands() -> str:
    """The folder that ``releve`` and ``ctl`` are in: where this was started from, else where this Python installs commands."""
    started = os.path.abspath(sys.argv[0])
    return os.path.dirname(started) if os.path.basename(started) == "releve" else sysconfig.get_path("scripts")


def _supervise(told: Configuration) -> int:
    from releve.supervisor.supervisor import run as supervise

    return supervise(told)


def _guarded(told: Configuration, action: Callable[[Configuration], int]) -> int:
    from releve.config.errors import ConfigError
    from releve.supervisor.lock import LockError, LockHeld

    try:
        return int(action(told))
    except LockHeld as error:  # not the configuration's fault: the other one may be on its way out, a later start may do
        print(error, file=sys.stderr)
    except (ConfigError, InstanceError, LockError) as error:
        print(error, file=sys.stderr)
        return Status.USAGE
    except KeyboardInterrupt:
        print("interrupted before the service had started", file=sys.stderr)
    return Status.UNEXPECTED


SUMMARY = "Serve APP (module:object), or what the configuration file says, and supervise it."

# first word of the command line -> its help, and what it does
SUBCOMMANDS: dict[str, tuple[str, Callable[[Configuration], int]]] = {
    "check": ("Validate the configuration and start nothing.", check),
    "systemd-unit": ("Print a hardened systemd unit for the configuration, its timeouts computed from the settings.", print_unit),
}


def _collect(file: str | None, app: str | None, **options: Any) -> Configuration:
    return configuration(file, app, options)


def _print_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        print(f"releve {__version__}")
        context.exit()
