"""In the leader: the way of a usual request, from its bytes to those of its response, in one function.

Most requests are alike: one read brings a whole head without a body, and of the shape that the client's last one had
(``shape.py``); the application returns a list of one piece; one send takes all; the connection stays. Those go through
here. Whatever is different leaves at the point where it differs: to the loop, or to ``call.py``. Nothing is decided
here that they would decide otherwise.

The function is long because calling another one costs a tenth of a microsecond, of four in all; it is a closure because
a variable of an outer function is read in half the time of an attribute (``benchmarks/profile_worker.py``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import Context
from io import BytesIO

from releve.server.http.fasthead import Usual
from releve.server.http.forwarded import introduce
from releve.server.loop.connection import READ_BYTES, Connection, State
from releve.server.loop.connections import Connections
from releve.server.loop.handler import Handler
from releve.server.loop.threads import Threads
from releve.server.scoreboard.record import BUCKETS
from releve.server.shared.native import time
from releve.server.wsgi import call as calls
from releve.server.wsgi.call import Call
from releve.server.wsgi.outcome import Outcome

log = logging.getLogger("releve.worker")


def fast_path(
    connections: Connections,
    threads: Threads,
    answer: Handler,
    received: Callable[[Connection, bytes], None],
    settle: Callable[[Connection], None],
) -> Callable[[Connection], bool]:
    """What serves an idle connection that has a shape, an empty buffer, and something to read: whether the lead is
    still ours.

    ``received`` goes on with what was read, where that is not usual, ``settle`` with a connection that was answered.
    """
    application, access = answer.application, answer.access
    log_usual = access.usual if access is not None and access.short else None
    classes, ready, put_deadline = connections.classes, connections.ready, connections.deadlines.put
    put_token, take_token = threads.token.append, threads.token.remove
    durations, longest = connections.tally.durations, BUCKETS - 1
    inflight = connections.tally.inflight
    enter, inflight_view, place = inflight.pack, inflight.view, inflight.place
    own = answer.own
    now = time.monotonic
    idle, busy, over = State.IDLE, State.BUSY, calls.State.OVER

    def serve(connection: Connection) -> bool:
        try:
            data = connection.socket.recv(READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        shape, channel = connection.shape, connection.channel
        assert shape is not None and channel is not None
        environ = shape.read(str(data, "latin-1"))
        if environ is None:
            received(connection, data)
            return True
        environ["REMOTE_ADDR"] = host = connection.host
        environ["REMOTE_PORT"] = connection.port
        environ["wsgi.input"] = BytesIO()
        if shape.forwarded:
            introduce(environ, connection.trust)
            host = environ["REMOTE_ADDR"]
        method, target = shape.method, environ["RAW_URI"]
        if not threads.open or (own and environ["PATH_INFO"] in own):
            if not threads.open and answer.ours(connection, environ) is None and connections.share(connection, data):
                return True
            connection.state, connection.environ, connection.head = busy, environ, Usual(method, target, True)
            ready.append(connection)
            return True
        connection.state = busy  # not by `enter`: IDLE may become that
        # What the client sent, before the application can change it.
        referer, agent = environ.get("HTTP_REFERER", "-"), environ.get("HTTP_USER_AGENT", "-")
        call = connection.call = Call()
        call.method, call.target, call.keeps, call.channel, call.environ = (
            method,
            target,
            connection.keeps,
            channel,
            environ,
        )
        outcome: Outcome | None = None
        began = now()
        enter(inflight_view, place, began, connection.mark, data)
        threads.calls += 1
        put_token(connection)
        if threads.resting:
            threads.rouse()
        try:
            context = Context()
            try:
                iterable = context.run(application, environ, call.start_response)
            except BaseException as error:  # SystemExit in a view ends the request, not the worker
                outcome = call.fail(error)
            else:
                whole = call.whole(iterable) if connections.plain else None
                if whole is None:
                    outcome = context.run(call.complete, iterable)
                else:
                    try:
                        sent = connection.socket.send(whole)
                    except OSError:  # or the client takes nothing: `finish` finds out
                        sent = 0
                    call.state = over
                    if sent < len(whole):
                        outcome = call.finish(memoryview(whole)[sent:])
        except BaseException:  # ours: the application's own were answered
            log.exception("cannot finish a request: internal error")
            outcome = Outcome(500, 0, False, "internal error")
        if threads.forked:
            threads.end_child()
        ended = now()
        took_s = ended - began
        if log_usual is not None and outcome is None and not shape.authorized:
            log_usual(host, method, target, call.status, call.sent_bytes, referer, agent)
        elif access is not None:
            answer.note(environ, call, outcome or call.usual_outcome(), took_s)
        connection.call = None
        try:
            take_token(connection)
        except ValueError:
            connection.outcome, connection.head = outcome or call.usual_outcome(), Usual(method, target, True)
            connection.took_s = took_s
            threads.lose(connection)
            return False
        threads.answered += 1
        if outcome is not None:
            connection.outcome, connection.head = outcome, Usual(method, target, True)
            connection.took_s = took_s
            settle(connection)
            return True
        classes[call.status // 100] += 1
        number = int(took_s * 1e6).bit_length()
        durations[number if number < longest else longest] += 1
        connection.requests += 1
        connection.hops = 0
        connection.state = idle
        deadline = ended + connections.idle_s
        if connection.tick >= 0 and connection.deadline <= deadline:
            connection.deadline = deadline  # its bucket is early enough: all that `put` would do
        else:
            put_deadline(connection, deadline)
        return True

    return serve
