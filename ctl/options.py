"""The options that commands of ``ctl`` have in common, and the order that comes of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

import click

from releve.ctl import completion, moment
from releve.ctl.order import Order, carry_out
from releve.instance.instances import absolute, working_folder
from releve.instance.protocol import Event

ANSWER_TIMEOUT_S = 10.0  # for verbs that only ask


def order(
    verb: str,
    told: dict[str, Any],
    waits: bool,
    narrow: Callable[[Event], Event] = lambda result: result,
    **arguments: Any,
) -> int:
    """The order for a verb from its options, carried out. ``narrow``: what of the result is shown."""
    return carry_out(written(verb, told, waits, narrow, **arguments))


def written(
    verb: str,
    told: dict[str, Any],
    waits: bool = False,
    narrow: Callable[[Event], Event] = lambda result: result,
    **arguments: Any,
) -> Order:
    """The order for a verb from its options; those of the group count where the verb has none. Raises UsageError."""
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
    return Order(verb, config, socket, told["json"], timeout_s, given, narrow)


Command = Callable[..., Any]


def of_instance(command: Command) -> Command:
    """The options that say which instance."""
    command = click.option(
        "--socket", metavar="PATH", help="Control socket of the service.", shell_complete=completion.sockets
    )(command)
    text = "Configuration file that the service was started with."
    return click.option("-c", "--config", metavar="FILE", help=text, shell_complete=completion.configs)(command)


def asks(command: Command) -> Command:
    """The options of every verb."""
    command = click.option("--json", is_flag=True, help="Print the result as JSON.")(command)
    return of_instance(command)


def timed(command: Command) -> Command:
    """The options of a verb that may take a while."""
    timeout = click.FloatRange(min=0, min_open=True)
    return asks(
        click.option(
            "--timeout", type=timeout, metavar="SECONDS", help="Wait at most this long; the operation continues."
        )(command)
    )


def waits(command: Command) -> Command:
    """The options of a verb that starts an operation."""
    return timed(click.option("--no-wait", is_flag=True, help="Return when the operation has started.")(command))


def since(command: Command) -> Command:
    """The option that takes the moment where a list or a log begins."""
    text = f"Only entries since TIME: {moment.EXAMPLES}."
    return click.option("--since", callback=moment.option, metavar="TIME", help=text)(command)


class Level(click.Choice[str]):
    """A level of messages, also by the name that syslog and journalctl have for it."""

    OTHERS: ClassVar = {"err": "error", "warn": "warning", "notice": "info"}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The level. Raises BadParameter."""
        return super().convert(self.OTHERS.get(value, value), param, ctx)


def path(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """A path as the supervisor, who lives in another folder, can use it; links are not followed."""
    return value if value in (None, "auto") else str(absolute(value, working_folder(os.environ)))
