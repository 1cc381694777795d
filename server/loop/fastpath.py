"""In the leader: the way of a usual request, from its bytes to those of its response, in one function.

Most requests are alike: one read brings all of one, most often of the shape that the client's last one had
(``shape.py``), or else one that ``reader.py`` finds usual; the application returns a list of one piece; one send takes
all. Those go through here. Whatever is different leaves at the point where it differs: to the loop, or to ``call.py``.
Nothing is decided here that they would decide otherwise.

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
from releve.server.loop.connection import READ_BYTES, REST_MAX_BYTES, Connection, State
from releve.server.loop.connections import Connections
from releve.server.loop.handler import Handler
from releve.server.loop.reader import Reader
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
    reader: Reader,
    settle: Callable[[Connection], None],
) -> Callable[[Connection], bool]:
    """What serves an idle connection of a client, just accepted or with something to read, and with an empty buffer:
    whether the lead is still ours.

    ``reader`` reads what has no known shape, ``settle`` goes on with a connection that was answered.
    """
    application, access = answer.application, answer.access
    log_usual = access.usual if access is not None and access.short else None
    classes, put_deadline = connections.classes, connections.deadlines.put
    put_token, take_token = threads.token.append, threads.token.remove
    durations, longest = connections.tally.durations, BUCKETS - 1
    inflight = connections.tally.inflight
    register = connections.register
    read_usual, unusual, make_ready, prepare = reader.usual, reader.unusual, reader.make_ready, answer.prepare
    enter, inflight_view, place = inflight.pack, inflight.view, inflight.place
    own = answer.own
    now = time.monotonic
    idle, busy, over = State.IDLE, State.BUSY, calls.State.OVER

    def serve(connection: Connection) -> bool:
        try:
            # While connections are given away, what is left behind a request has to fit the message.
            data = connection.socket.recv(REST_MAX_BYTES if connections.giving else READ_BYTES)
        except BlockingIOError:
            if not connection.registered:  # it was just accepted, as below
                register(connection)
            return True
        except OSError:
            data = b""
        shape = connection.shape
        environ = None if shape is None else shape.read(str(data, "latin-1"))
        if environ is None:
            found = read_usual(connection, data)
            if found is None:
                unusual(connection, data)
                return True
            environ, head, whole_bytes = found
            method, target, keep_alive, version = head
            host, protocol = environ["REMOTE_ADDR"], environ["SERVER_PROTOCOL"]
            authorized = "HTTP_AUTHORIZATION" in environ
        else:
            assert shape is not None
            head = None
            environ["REMOTE_ADDR"] = host = connection.host
            environ["REMOTE_PORT"] = connection.port
            environ["wsgi.input"] = BytesIO()
            if shape.forwarded:
                introduce(environ, connection.trust)
                host = environ["REMOTE_ADDR"]
            method, target, protocol, authorized = shape.method, environ["RAW_URI"], "HTTP/1.1", shape.authorized
            whole_bytes = len(data)
        if not threads.open or (own and environ["PATH_INFO"] in own):
            make_ready(connection, data, environ, head or Usual(method, target, True), whole_bytes)
            return True
        channel = connection.channel or prepare(connection)
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
        if head is not None:
            connection.fresh = False
            call.keep_alive, call.version = keep_alive, version
            if whole_bytes < len(data):
                connection.buffer += data[whole_bytes:]
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
                whole = call.whole(iterable) if connections.plain and not connection.polite else None
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
                    elif head is not None and (not keep_alive or connection.buffer):
                        outcome = call.usual_outcome()  # `settle` closes it, or goes on with what is there
        except BaseException:  # ours: the application's own were answered
            log.exception("cannot finish a request: internal error")
            outcome = Outcome(500, 0, False, "internal error")
        if threads.forked:
            threads.end_child()
        ended = now()
        took_s = ended - began
        if log_usual is not None and call.state is over and not authorized and (outcome is None or not outcome.error):
            log_usual(host, method, target, protocol, call.status, call.sent_bytes, referer, agent)
        elif access is not None:
            answer.note(environ, call, outcome or call.usual_outcome(), took_s)
        connection.call = None
        try:
            take_token(connection)
        except ValueError:
            connection.outcome, connection.head = outcome or call.usual_outcome(), head or Usual(method, target, True)
            connection.took_s = took_s
            threads.lose(connection)
            return False
        threads.answered += 1
        if outcome is not None:
            connection.outcome, connection.head = outcome, head or Usual(method, target, True)
            connection.took_s = took_s
            settle(connection)
            return True
        classes[call.status // 100] += 1
        number = int(took_s * 1e6).bit_length()
        durations[number if number < longest else longest] += 1
        connection.requests += 1
        connection.hops = 0
        connection.state = idle
        if not connection.registered:  # it was just accepted
            register(connection)
        deadline = ended + connections.idle_s
        if connection.tick >= 0 and connection.deadline <= deadline:
            connection.deadline = deadline  # its bucket is early enough: all that `put` would do
        else:
            put_deadline(connection, deadline)
        return True

    return serve
