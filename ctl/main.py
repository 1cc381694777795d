"""The command ``ctl``: its verbs and their options.

Results go to standard output (``--json``: as one JSON value), progress and failures to standard error; the exit status
is the outcome (``releve.instance.protocol.Status``). What only some verbs need (rich, YAML) is imported when they need
it.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any

import click

from releve import __version__
from releve.config.completion import by_metavar
from releve.config.frozen import dataclass
from releve.ctl import completion, outcome, render
from releve.ctl.aftermath import aftermath
from releve.ctl.client import ConversationLost, TimedOut, converse, has_ended, supervisor_pidfd
from releve.ctl.find import FindError, Found, find
from releve.ctl.progress import progress
from releve.ctl.verbs import VERBS
from releve.instance.instances import absolute, working_folder
from releve.instance.protocol import MEANING, Event, Status

ANSWER_TIMEOUT_S = 10.0  # for verbs that only ask
DEPARTURE_TIMEOUT_S = 5.0  # from the result of a stop until the supervisor's process has ended

EPILOG = "\b\nExit status:\n" + "\n".join(f"  {int(status)}  {meaning}" for status, meaning in MEANING.items())


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for. ``timeout_s`` None: wait as long as it takes."""

    verb: str
    config: str | None
    socket: str | None
    json: bool
    timeout_s: float | None
    arguments: dict[str, Any] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Never returns."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Do what the command line says, and return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # a terminal that lacks a sign still gets the rest
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        return int(ctl.main(list(arguments), prog_name="ctl", standalone_mode=False) or Status.DONE)
    except click.ClickException as error:
        error.show()
        return Status.USAGE
    except (KeyboardInterrupt, click.Abort):
        render.say("interrupted; nothing was asked for")
        return Status.INTERRUPTED


def carry_out(order: Order) -> int:
    """Find the instance, ask it, show the outcome, and return the exit status."""
    try:
        found = find(order.socket, order.config, os.environ, os.geteuid())
    except FindError as error:
        result: Event = {"status": int(error.status), "message": str(error)}
    else:
        if found.guessed:
            render.say(f"{render.line(found.label)}: the only running service")
        result = ask(found, order)
    try:
        show(order, result)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads it has seen enough, as `head` has
        render.mute(sys.stdout)
    except OSError as error:
        render.mute(sys.stdout)
        render.say(f"cannot write the result: {(error.strerror or str(error)).lower()}")
        if VERBS[order.verb].asks:
            return Status.UNEXPECTED
    return int(result["status"])


def ask(found: Found, order: Order) -> Event:
    """The result of the conversation, or what became of it."""
    pidfd = supervisor_pidfd(found.socket) if order.verb == "stop" else None
    attempts: list[int] = []
    try:
        with found.socket, progress() as shown:

            def show(event: Event) -> None:
                if event.get("event") == "attempt":
                    attempts.append(int(event["attempt"]))
                shown.show(event)

            result = converse(found.socket, order.verb, order.arguments, show, order.timeout_s)
    except KeyboardInterrupt:
        return {
            "status": int(Status.INTERRUPTED),
            "message": f"detached; {VERBS[order.verb].goes_on or 'nothing was touched'}",
        }
    except TimedOut as error:
        goes_on = VERBS[order.verb].goes_on or "the supervisor hangs, or is stopped; its log may say why"
        return {"status": int(Status.INTERRUPTED), "message": f"timed out: {error}; {goes_on}"}
    except ConversationLost as error:
        if attempts and (known := aftermath(found.path, order.verb, attempts[0])) is not None:
            return known
        if pidfd is not None and has_ended(pidfd, DEPARTURE_TIMEOUT_S) and not os.path.exists(found.path):
            # one that is killed leaves its socket
            return {"status": int(Status.DONE), "message": "stopped; it was being stopped already"}
        return {
            "status": int(Status.UNEXPECTED),
            "message": f"cannot tell how the {order.verb} ended: {error}",
            "serving": "unknown",
            "next": "`ctl status` shows what runs now, the service's log what happened",
        }
    if (
        pidfd is not None
        and order.arguments.get("wait")
        and result["status"] == Status.DONE
        and not has_ended(pidfd, DEPARTURE_TIMEOUT_S)
    ):
        render.say("warning: the supervisor's process has not ended yet")
    return result


def show(order: Order, result: Event) -> None:
    """The result as JSON, as a picture, or as a sentence."""
    if order.json:
        value: Any = {key: value for key, value in result.items() if key != "event"}
        if order.verb == "history" and result["status"] == Status.DONE:
            value = result.get("entries", [])
        print(render.as_json(value))
    elif VERBS[order.verb].shows in result:
        picture = importlib.import_module(f"releve.ctl.{order.verb}")
        (picture.show_rich if render.on_terminal(sys.stdout) else picture.show_plain)(result, sys.stdout)
    else:
        outcome.say(result, sys.stdout if result["status"] in outcome.GOOD else sys.stderr)


def _order(verb: str, told: dict[str, Any], waits: bool, **arguments: Any) -> int:
    """The order for a verb from its options, carried out; the options of the group count where the verb has none."""
    group = click.get_current_context().parent
    outer = {} if group is None else group.params
    config, socket = told["config"] or outer.get("config"), told["socket"] or outer.get("socket")
    if config and socket:
        raise click.UsageError("cannot use both: -c FILE and --socket PATH name the same thing")
    if waits:
        arguments["wait"] = not told["no_wait"]
    given = {name: value for name, value in arguments.items() if value is not None}
    answers_at_once = told.get("no_wait", "timeout" not in told)
    timeout_s = told.get("timeout") or (ANSWER_TIMEOUT_S if answers_at_once else None)
    return carry_out(Order(verb, config, socket, told["json"], timeout_s, given))


Command = Callable[..., Any]


def _instance(command: Command) -> Command:
    """The options that say which instance."""
    command = click.option(
        "--socket", metavar="PATH", help="Control socket of the instance.", shell_complete=completion.sockets
    )(command)
    text = "Configuration file that the instance was started with."
    return click.option("-c", "--config", metavar="FILE", help=text, shell_complete=completion.configs)(command)


def _asks(command: Command) -> Command:
    """The options of every verb."""
    command = click.option("--json", is_flag=True, help="Print the result as JSON.")(command)
    return _instance(command)


def _timed(command: Command) -> Command:
    """The options of a verb that may take a while."""
    timeout = click.FloatRange(min=0, min_open=True)
    return _asks(
        click.option("--timeout", type=timeout, metavar="SECONDS", help="Wait at most so long; the operation goes on.")(
            command
        )
    )


def _waits(command: Command) -> Command:
    """The options of a verb that starts an operation."""
    return _timed(click.option("--no-wait", is_flag=True, help="Return when it has been accepted.")(command))


def _path(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """A path as the supervisor, who lives in another folder, can use it; links are not followed."""
    return value if value in (None, "auto") else str(absolute(value, working_folder(os.environ)))


class Verbs(click.Group):
    """The verbs in the order in which they stand here: what is used most comes first."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in their order."""
        return list(self.commands)


@click.group(cls=Verbs, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@_instance
@click.version_option(__version__, "-V", "--version", prog_name="ctl", message="%(prog)s %(version)s")
def ctl(**_told: Any) -> None:
    """Control a running releve: the one started in this folder, else the only one that this user runs."""


@ctl.command()
@_asks
def status(**told: Any) -> int:
    """Show the service, its generations and their workers."""
    return _order("status", told, waits=False)


@ctl.command(short_help="Switch to what is on disk now.")
@click.option(
    "--directory", metavar="FOLDER", callback=_path, shell_complete=by_metavar, help="Release to start, this time only."
)
@click.option(
    "--python", metavar="PATH", callback=_path, shell_complete=by_metavar, help="Interpreter to use, this time only."
)
@click.option("--dry-run", is_flag=True, help="Boot and check it, and end it again; what serves is not touched.")
@_waits
def upgrade(directory: str | None, python: str | None, dry_run: bool, **told: Any) -> int:
    """Start what is on disk beside what runs, and switch to it once it has proved good."""
    return _order("upgrade", told, waits=True, directory=directory, python=python, dry_run=dry_run or None)


@ctl.command(short_help="Apply new settings, never new code.")
@_waits
def reload(**told: Any) -> int:
    """Read the settings again and replace the workers; never new code."""
    return _order("reload", told, waits=True)


@ctl.command(short_help="Go back to what served before.")
@_waits
def rollback(**told: Any) -> int:
    """Go back: end a probation, or to the generation that stands by, or else to the release before."""
    return _order("rollback", told, waits=True)


@ctl.command(short_help="End the service gracefully.")
@click.option("--now", is_flag=True, help="Do not wait for requests in flight.")
@_waits
def stop(now: bool, **told: Any) -> int:
    """Answer what has been accepted, then end the service."""
    return _order("stop", told, waits=True, now=now)


@ctl.command(short_help="Run more workers, or fewer.", context_settings={"ignore_unknown_options": True})
@click.argument("workers", required=False, metavar="N|+N|-N")
@click.option("--reset", is_flag=True, help="Go back to the number in the configuration.")
@_waits
def scale(workers: str | None, reset: bool, **told: Any) -> int:
    """Run N workers, or N more or fewer; it sticks until a reload or --reset."""
    if (workers is None) is not reset:
        raise click.UsageError("cannot scale: give a number of workers (5, +1, -1) or --reset")
    if workers is not None and not re.fullmatch(r"[+-]?[0-9]{1,6}", workers):
        raise click.UsageError(f"cannot scale to {workers!r}: write a number of workers, as 5, +1 or -1")
    if workers is not None and int(workers) == 0:
        raise click.UsageError("cannot scale to 0 workers: `ctl stop` ends the service")
    number = None if workers is None else workers if workers[0] in "+-" else int(workers)
    return _order("scale", told, waits=True, workers=number, reset=reset or None)


@ctl.command(short_help="End an operation before its commit.")
@_timed
def abort(**told: Any) -> int:
    """End an upgrade or a reload before its commit; what served before goes on."""
    return _order("abort", told, waits=False)


@ctl.command(short_help="Replace the supervisor itself.")
@_waits
def reexec(**told: Any) -> int:
    """Replace the supervisor by the releve that is installed now; workers, listeners and pid stay."""
    return _order("reexec", told, waits=True)


@ctl.command(short_help="Reopen the log files, after a rotation.")
@_timed
def reopen(**told: Any) -> int:
    """Reopen the log files in every process; returns when nothing is written to the old ones any more."""
    return _order("reopen", told, waits=False)


@ctl.command()
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    default=20,
    show_default=True,
    help="Show at most so many.",
)
@_asks
def history(limit: int, **told: Any) -> int:
    """List the attempts, the newest last."""
    return _order("history", told, waits=False, limit=limit)


@ctl.command(short_help="Validate what an upgrade would read.")
@_timed
def check(**told: Any) -> int:
    """Validate what an upgrade would read now; nothing is started."""
    return _order("check", told, waits=False)


@ctl.command(short_help="Show each worker and what it serves now.")
@_asks
def workers(**told: Any) -> int:
    """Show each worker of each generation, and the requests that it serves now."""
    return _order("workers", told, waits=False)


@ctl.command(short_help="Show where the threads of a process are.")
@click.argument("process", required=False, metavar="[WORKER|master|PID]")
@click.option("--all", "every", is_flag=True, help="Of all workers and masters.")
@_timed
def dump(process: str | None, every: bool, **told: Any) -> int:
    """Show the stack of each thread of a process, with the request that it serves.

    WORKER is a number, as 2 (of the generation in service) or 8.2; master, or 8.master, is the process that has forked
    them. It answers whatever it is doing, also when it hangs; what it does goes on.
    """
    if (process is None) is not every:
        raise click.UsageError("cannot dump: name a worker (2, 8.2, a pid), master, or --all")
    return _order("dump", told, waits=False, process=process, all=every or None)


@ctl.command(short_help="Tell load balancers to go elsewhere.")
@_asks
def drain(**told: Any) -> int:
    """Answer 503 at `readiness` (or at upgrade.check's path), so that load balancers send no new clients; serve as
    before.
    """
    return _order("drain", told, waits=False)


@ctl.command(short_help="End the draining.")
@_asks
def undrain(**told: Any) -> int:
    """Be ready again for load balancers."""
    return _order("undrain", told, waits=False)


@ctl.command(short_help="Look for trouble to come, and say what to do.")
@_timed
def doctor(**told: Any) -> int:
    """Examine configuration, service and host, and say what to do; exit status 8 if there are problems.

    `releve doctor -c FILE` does the same, as far as it can, for a service that does not run.
    """
    return _order("doctor", told, waits=False)


if __name__ == "__main__":
    main()
