"""The command ``ctl``: its verbs and their options.

Results go to standard output (``--json``: as one JSON value), progress and failures to standard error; the exit status
is the outcome (``releve.instance.protocol.Status``). What only some verbs need is imported when they need it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from releve import __version__
from releve.config.completion import by_metavar
from releve.ctl import hints, options
from releve.ctl.conversation.find import FindError
from releve.ctl.order import answer, locate, present, unfound
from releve.ctl.screens import render
from releve.instance.protocol import MEANING, Status

LEVELS = ("debug", "info", "warning", "error")  # of messages
INTERVAL_S = 1.0  # between two looks of top

EPILOG = "\b\nExit status:\n" + "\n".join(f"  {int(status)}  {meaning}" for status, meaning in MEANING.items())


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
        hints.led_on(error, ctl.commands).show()
        return Status.USAGE
    except (KeyboardInterrupt, click.Abort):
        render.say("interrupted; no request was sent")
        return Status.INTERRUPTED


class Verbs(click.Group):
    """The verbs in the order in which they stand here: what is used most comes first."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in their order."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the first word. Raises click.UsageError, which says what is meant by another."""
        if args[0] not in self.commands and not ctx.resilient_parsing:
            raise click.UsageError(f"cannot do {args[0]!r}: {hints.of_verb(args[0], self.commands)}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@options.of_instance
@click.version_option(__version__, "-V", "--version", prog_name="ctl", message="%(prog)s %(version)s")
def ctl(**_told: Any) -> None:
    """Control a running releve: the one started in this folder, else the only one that this user runs."""


@ctl.command()
@click.option("--watch", is_flag=True, help="Show it live, like `ctl top`.")
@options.asks
def status(watch: bool, **told: Any) -> int:
    """Show the service, its generations and their workers."""
    return _watch(told, INTERVAL_S, None) if watch else options.order("status", told, waits=False)


@ctl.command(short_help="Show live what the service does.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    default=INTERVAL_S,
    show_default=True,
    help="Time between two refreshes.",
)
@click.option("-n", "--count", type=click.IntRange(min=1), metavar="N", help="Exit after N refreshes.")
@options.asks
def top(interval: float, count: int | None, **told: Any) -> int:
    """Show live what the service does: requests per second, 5xx, durations, each worker, the phases of an upgrade.

    On a terminal, q or Ctrl-C exits. Elsewhere it prints one line per refresh (with --json: an object). Durations are
    rounded up to a power of two: p99 <33ms means that 99 of 100 requests took less than 33 ms.
    """
    return _watch(told, interval, count)


def _watch(told: dict[str, Any], interval_s: float, count: int | None) -> int:
    from releve.ctl.top.top import Manner, watch

    order = options.written("status", told)
    try:
        found = locate(order)
    except FindError as error:
        return present(order, unfound(error))
    found.socket.close()
    return watch(found.path, Manner(interval_s, count, order.json))


@ctl.command(short_help="Switch to the code and settings on disk.")
@click.option(
    "--directory",
    metavar="FOLDER",
    callback=options.path,
    shell_complete=by_metavar,
    help="Release to start (this upgrade only).",
)
@click.option(
    "--python",
    metavar="PATH",
    callback=options.path,
    shell_complete=by_metavar,
    help="Interpreter to use (this upgrade only).",
)
@click.option("--dry-run", is_flag=True, help="Boot and check the new generation, then stop it; it gets no traffic.")
@options.waits
def upgrade(directory: str | None, python: str | None, dry_run: bool, **told: Any) -> int:
    """Start the code and settings on disk in a new generation, and switch to it if it passes its checks."""
    return options.order("upgrade", told, waits=True, directory=directory, python=python, dry_run=dry_run or None)


@ctl.command(short_help="Apply new settings without new code.")
@options.waits
def reload(**told: Any) -> int:
    """Read the settings again and replace the workers; the code stays the same."""
    return options.order("reload", told, waits=True)


@ctl.command(short_help="Go back to the previous generation or release.")
@options.waits
def rollback(**told: Any) -> int:
    """Go back to the previous generation if it is on probation or standby, else start the previous release."""
    return options.order("rollback", told, waits=True)


@ctl.command(short_help="Stop the service gracefully.")
@click.option("--now", is_flag=True, help="Do not wait for requests in flight.")
@options.waits
def stop(now: bool, **told: Any) -> int:
    """Finish the requests in flight, then stop the service."""
    return options.order("stop", told, waits=True, now=now)


@ctl.command(short_help="Change the number of workers.", context_settings={"ignore_unknown_options": True})
@click.argument("workers", required=False, metavar="N|+N|-N")
@click.option("--reset", is_flag=True, help="Go back to the number in the configuration.")
@options.waits
def scale(workers: str | None, reset: bool, **told: Any) -> int:
    """Run N workers, or N more or fewer, until a reload or --reset."""
    if (workers is None) is not reset:
        raise click.UsageError("cannot scale: give a number of workers (5, +1, -1) or --reset")
    if workers is not None and not re.fullmatch(r"[+-]?[0-9]{1,6}", workers):
        raise click.UsageError(f"cannot scale to {workers!r}: write a number of workers, such as 5, +1 or -1")
    if workers is not None and int(workers) == 0:
        raise click.UsageError("cannot scale to 0 workers: `ctl stop` stops the service")
    number = None if workers is None else workers if workers[0] in "+-" else int(workers)
    return options.order("scale", told, waits=True, workers=number, reset=reset or None)


@ctl.command(short_help="Replace a worker; its replacement serves first.")
@click.argument("worker", required=False, metavar="[WORKER|PID]")
@click.option("--all", "every", is_flag=True, help="Replace all workers, one after another.")
@options.waits
def restart(worker: str | None, every: bool, **told: Any) -> int:
    """Replace a worker of the generation in service: another one serves first, then the old one finishes its requests.

    WORKER is a number such as 2 or 8.2, or a pid. Code and settings stay the same: `ctl upgrade` starts new code, `ctl
    reload` applies new settings.
    """
    if worker is None and not every:
        raise click.UsageError(
            "cannot restart: name a worker (2, 8.2, a pid) or --all; `ctl upgrade` starts new code, `ctl reload` "
            "applies new settings, and both replace all workers"
        )
    if worker is not None and every:
        raise click.UsageError("cannot restart: name a worker or --all, not both")
    return options.order("restart", told, waits=True, worker=worker, all=every or None)


@ctl.command(short_help="Cancel an operation before its commit.")
@options.timed
def abort(**told: Any) -> int:
    """Cancel an upgrade or a reload before its commit; the old generation keeps serving."""
    return options.order("abort", told, waits=False)


@ctl.command(short_help="Replace the supervisor itself.")
@options.waits
def reexec(**told: Any) -> int:
    """Replace the supervisor with the releve that is installed now; workers, listeners and pid stay."""
    return options.order("reexec", told, waits=True)


@ctl.command(short_help="Reopen the log files, after a rotation.")
@options.timed
def reopen(**told: Any) -> int:
    """Reopen the log files in every process; returns when no process writes to the old files."""
    return options.order("reopen", told, waits=False)


@ctl.command(short_help="List starts, upgrades and other operations.")
@click.argument("number", required=False, type=click.IntRange(min=1), metavar="[ID]")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Show at most N attempts (default: 20, or all with --since).",
)
@options.since
@options.asks
def history(number: int | None, limit: int | None, since: datetime | None, **told: Any) -> int:
    """List starts, upgrades and other operations, newest last; with ID, show one of them in full.

    ID is a number of the list. Of a failed upgrade you see what `ctl upgrade` has printed, with the traceback.
    """
    from releve.ctl import attempts

    order = options.written("history", told)
    if number is not None:
        if limit is not None or since is not None:
            raise click.UsageError("cannot show it: give an ID, or --limit and --since, not both")
        return present(order, attempts.one(order, number))
    found = attempts.last(order, limit) if since is None else attempts.since(order, since, limit)
    return present(order, found)


@ctl.command(short_help="Show the settings in force, and where each is set.")
@click.option("--all", "every", is_flag=True, help="Also show the defaults.")
@options.asks
def config(every: bool, **told: Any) -> int:
    """Show the settings of the generation in service, and where each comes from: file and line, variable or flag.

    They date from its start or its last reload; the file may have changed since (`ctl check` reads the file). Secrets
    are not shown: values of env and headers, logins and query values in URLs, arguments of hooks.
    """
    from releve.ctl.screens.config import written

    return options.order("config", told, waits=False, narrow=(lambda found: found) if every else written)


@ctl.command(short_help="Show the log, or the access log.")
@click.argument("of_worker", required=False, metavar="[WORKER]")
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines, also after a rotation, until Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    metavar="N",
    help="Show the last N entries (default: 100, or all with --since).",
)
@options.since
@click.option("--generation", type=click.IntRange(min=1), metavar="N", help="Only of this generation.")
@click.option("--worker", metavar="WORKER", help="The same as the argument.")
@click.option(
    "-p",
    "--level",
    type=options.Level(LEVELS),
    help="Only messages of Relève of this level or above. A traceback of the application is an error.",
)
@click.option("--access", is_flag=True, help="The access log.")
@click.option("--where", is_flag=True, help="Only print where the logs go and the command that reads them.")
@options.asks
def logs(
    of_worker: str | None,
    follow: bool,
    lines: int | None,
    since: datetime | None,
    generation: int | None,
    worker: str | None,
    level: str | None,
    access: bool,
    where: bool,
    **told: Any,
) -> int:
    """Show the log: from the journal under systemd, else from the file set by log.file or log.access.

    It contains the messages of Relève and the output of the application; with WORKER only those of one worker: 2, or
    8.2 for one of generation 8. ctl reads it with the rights of your user.
    """
    from releve.ctl.logs import logs as reading
    from releve.ctl.logs.selection import Selection, named_worker

    if worker is not None and of_worker is not None:
        raise click.UsageError("cannot show the log: name one worker, as in `ctl logs 8.2`")
    try:
        generation, number = named_worker(of_worker or worker, generation)
        wanted = Selection(since, generation, number, level, access, lines).checked()
    except ValueError as error:
        raise click.UsageError(f"cannot show the log: {error}") from None
    order = options.written("logs", told)
    said = reading.known(answer(order), order.config)
    if said["status"] != Status.DONE:
        return present(order, said)
    return reading.show(said, wanted, reading.Manner(follow, order.json, where))


@ctl.command(short_help="Validate the configuration and the release.")
@options.timed
def check(**told: Any) -> int:
    """Validate the configuration and the release that an upgrade would use; nothing is started."""
    return options.order("check", told, waits=False)


@ctl.command(short_help="Show each worker and its requests in flight.")
@options.asks
def workers(**told: Any) -> int:
    """Show each worker of each generation, and its requests in flight."""
    return options.order("workers", told, waits=False)


@ctl.command(short_help="Show the stacks of a process.")
@click.argument("process", required=False, metavar="[WORKER|master|PID]")
@click.option("--all", "every", is_flag=True, help="All workers and masters.")
@options.timed
def dump(process: str | None, every: bool, **told: Any) -> int:
    """Show the stack of each thread of a process, with the request that it serves.

    WORKER is a number: 2 (in the generation that serves) or 8.2 (in generation 8). master, or 8.master, is the process
    that forked the workers. This also works for a process that hangs, and does not interrupt it.
    """
    if (process is None) is not every:
        raise click.UsageError("cannot dump: name a worker (2, 8.2, a pid), master, or --all")
    return options.order("dump", told, waits=False, process=process, all=every or None)


@ctl.command(short_help="Tell load balancers to send no new clients.")
@options.asks
def drain(**told: Any) -> int:
    """Answer 503 at the path of `readiness` (or upgrade.check), so that load balancers send no new clients; serve all
    clients that still come.
    """
    return options.order("drain", told, waits=False)


@ctl.command(short_help="Tell load balancers to send clients again.")
@options.asks
def undrain(**told: Any) -> int:
    """End a drain: load balancers may send new clients again."""
    return options.order("undrain", told, waits=False)


@ctl.command(short_help="Find problems, and say what to do about them.")
@options.timed
def doctor(**told: Any) -> int:
    """Find problems of configuration, service and host, and say what to do; exit status 8 if there are any.

    `releve doctor -c FILE` examines a service that does not run.
    """
    return options.order("doctor", told, waits=False)


if __name__ == "__main__":
    main()
