"""An order: what the command line asks a supervisor for, carried out to its exit status."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import field
from typing import Any

from releve.config.frozen import dataclass
from releve.ctl.aftermath import aftermath
from releve.ctl.conversation.client import ConversationLost, TimedOut, converse, has_ended, supervisor_pidfd
from releve.ctl.conversation.find import FindError, Found, find
from releve.ctl.screens import outcome, render
from releve.ctl.screens.progress import progress
from releve.ctl.verbs import VERBS
from releve.instance.protocol import Event, Status

DEPARTURE_TIMEOUT_S = 5.0  # from the result of a stop until the supervisor's process has ended


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for. ``timeout_s`` None: wait as long as it takes."""

    verb: str
    config: str | None
    socket: str | None
    json: bool
    timeout_s: float | None
    arguments: dict[str, Any] = field(default_factory=dict)
    narrow: Callable[[Event], Event] = lambda result: result  # what of the result is shown


def carry_out(order: Order) -> int:
    """Find the instance, ask it, show the outcome, and return the exit status."""
    return present(order, order.narrow(answer(order)))


def answer(order: Order) -> Event:
    """Find the instance and ask it: the result, also where nobody was found."""
    try:
        return ask(locate(order), order)
    except FindError as error:
        return unfound(error)


def locate(order: Order) -> Found:
    """The instance that is meant, connected. Raises FindError."""
    found = find(order.socket, order.config, os.environ, os.geteuid())
    if found.guessed and render.on_terminal(sys.stderr):
        _say_which(found.label)
    return found


@functools.cache
def _say_which(label: str) -> None:
    """Say which service is meant; once, however often it is asked."""
    render.say(f"{render.line(label)}: the only running service")


def unfound(error: FindError) -> Event:
    """The result where there is none."""
    return {"status": int(error.status), "message": str(error)}


def present(order: Order, result: Event) -> int:
    """Show a result, and return the exit status."""
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
            "message": f"detached; {VERBS[order.verb].goes_on or 'nothing was changed'}",
        }
    except TimedOut as error:
        goes_on = VERBS[order.verb].goes_on or "the supervisor hangs or is stopped; its log may say why"
        return {"status": int(Status.INTERRUPTED), "message": f"timed out: {error}; {goes_on}"}
    except ConversationLost as error:
        if attempts and (known := aftermath(found.path, order.verb, attempts[0])) is not None:
            return known
        if pidfd is not None and has_ended(pidfd, DEPARTURE_TIMEOUT_S) and not os.path.exists(found.path):
            # one that is killed leaves its socket
            return {"status": int(Status.DONE), "message": "stopped; a stop was already under way"}
        return {
            "status": int(Status.UNEXPECTED),
            "message": f"cannot tell how the {order.verb} ended: {error}",
            "serving": "unknown",
            "next": "`ctl status` shows what runs now, and the log of the service what happened",
        }
    if (
        pidfd is not None
        and order.arguments.get("wait")
        and result["status"] == Status.DONE
        and not has_ended(pidfd, DEPARTURE_TIMEOUT_S)
    ):
        render.say("warning: the supervisor process has not exited yet")
    return result


def show(order: Order, result: Event) -> None:
    """The result as JSON, as a picture, or as a sentence."""
    if order.json:
        value: Any = {key: value for key, value in result.items() if key != "event"}
        if order.verb == "history" and result["status"] == Status.DONE:
            value = result.get("entries", [])
        print(render.as_json(value))
    elif VERBS[order.verb].shows in result:
        picture = importlib.import_module(f"releve.ctl.screens.{order.verb}")
        (picture.show_rich if render.on_terminal(sys.stdout) else picture.show_plain)(result, sys.stdout)
    else:
        outcome.say(result, sys.stdout if result["status"] in outcome.GOOD else sys.stderr)
