"""The control protocol between ``ctl`` and the supervisor: requests, statuses, framing.

Pure; both sides import it. One JSON object per line over a Unix stream socket
(``docs/protocol.md``).
"""

from __future__ import annotations

import enum
import json
from collections.abc import Collection
from typing import Any

VERSION = 1
LINE_MAX_BYTES = 1024 * 1024

Event = dict[str, Any]


class Status(enum.IntEnum):
    """Exit statuses of ``ctl``; also the ``status`` of every result."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_RUNNING = 3
    FAILED = 4
    ROLLED_BACK = 5
    INTERRUPTED = 6
    BUSY = 7
    DEGRADED = 8


MEANING = {
    Status.DONE: "done",
    Status.UNEXPECTED: "unexpected error, or permission denied",
    Status.USAGE: "usage or configuration error; nothing was changed",
    Status.NOT_RUNNING: "not running",
    Status.FAILED: "failed; the old generation is still serving",
    Status.ROLLED_BACK: "rolled back",
    Status.INTERRUPTED: "timed out waiting, or interrupted; the operation continues",
    Status.BUSY: "busy: another operation is running",
    Status.DEGRADED: "done, but the service is degraded",
}


class ProtocolError(Exception):
    """What came over the control socket is not a message of this protocol."""


def encode(event: Event) -> bytes:
    """An event as one line, with its end."""
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Event:
    """The object on a line. Raises ProtocolError."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"cannot read a message: {error}") from error
    if not isinstance(event, dict):
        raise ProtocolError("cannot read a message: not a JSON object")
    return event


def request(verb: str, arguments: dict[str, Any]) -> Event:
    """What ``ctl`` sends first: the only message in that direction."""
    return {"version": VERSION, "verb": verb, "arguments": arguments}


def read_request(event: Event, verbs: Collection[str]) -> tuple[str, dict[str, Any]]:
    """Verb and arguments of a request, which is one of ``verbs``.

    Raises ProtocolError with what the user can do about it.
    """
    version, verb, arguments = event.get("version"), event.get("verb"), event.get("arguments", {})
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise ProtocolError(
            f"cannot serve a request of version {version!r}: this supervisor speaks {VERSION}; use the "
            "ctl of its release"
        )
    if not isinstance(verb, str) or verb not in verbs:
        raise ProtocolError(f"cannot do {verb!r}: no such verb; this supervisor knows {', '.join(verbs)}")
    if not isinstance(arguments, dict):
        raise ProtocolError(f"cannot {verb}: its arguments are not an object")
    return verb, arguments


def result(status: Status, message: str, **more: Any) -> Event:
    """The last event of every conversation."""
    return {"event": "result", "status": int(status), "message": message, **more}
