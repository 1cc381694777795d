"""What became of a call: its outcome; and of what went wrong in it, whose fault it is and what the client hears."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import NamedTuple

from releve.server.http import websocket
from releve.server.http.body import BodyRefused, ClientGone, ClientTooSlow

CLIENT_GONE = 499  # status of a request whose client left before the response began


class Outcome(NamedTuple):
    """What became of one call.

    ``status`` is the one that was sent (499: none, since the client had gone), ``sent_bytes`` counts the body. Unless
    ``keep``, the connection must be closed. ``error`` is one line for the log, ``None`` if all went well.
    """

    status: int
    sent_bytes: int
    keep: bool
    error: str | None


class Failure(NamedTuple):
    """What has ended a call."""

    error: str  # one line for the log
    status: int  # of the answer, where nothing was sent so far; 0: nobody is there to get one
    reason: str
    of_application: bool = False


def judge(
    error: BaseException,
    gone: ClientGone | ClientTooSlow | None,
    failure: ClientGone | ClientTooSlow | BodyRefused | None,
    *,
    begun: bool,
) -> Failure | None:
    """Whose fault it is that ``error`` came out of the application; None: of the client, who is ``gone``.

    ``failure`` is that of the request's body, if it has one; ``begun``: the response is on its way.
    """
    chain = list(causes(error))
    if gone is not None and any(one is gone for one in chain):
        return None
    if failure is not None and any(one is failure for one in chain):
        if isinstance(failure, BodyRefused):
            return Failure(str(failure), failure.status, failure.reason)
        return Failure(str(failure), 0 if isinstance(failure, ClientGone) else 408, "the body does not arrive")
    # who made the environ a handshake's says it (`handler.py`)
    if not begun and any(isinstance(one, websocket.NoWebSocket) for one in chain):
        return Failure(websocket.REASON, websocket.STATUS, websocket.REASON)
    line = "".join(traceback.format_exception_only(error)).split("\n", 1)[0]
    return Failure(line, 500, "the application failed", of_application=True)


def causes(error: BaseException) -> Iterator[BaseException]:
    """An exception, and each that it was raised from, or that was being handled when it was raised."""
    seen: set[int] = set()  # applications chain them as they like, in circles too
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        yield at
        seen.add(id(at))
        at = at.__cause__ or at.__context__
