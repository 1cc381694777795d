"""One call of the application: PEP 3333 from ``start_response`` to ``close()``, and the bytes of its response.

Runs in the thread that owns the connection. Whatever the application does ends in exactly one response, or in a
response that breaks off with the connection.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, BinaryIO
from wsgiref.types import WSGIApplication

from releve.server.http import websocket
from releve.server.http.body import ClientGone, ClientTooSlow, Input
from releve.server.http.channel import Channel
from releve.server.http.response import (
    Asked,
    Framing,
    Headers,
    Start,
    body_bytes,
    check_piece,
    check_start,
    frame,
    length_hint,
    response_head,
    simple_response,
)
from releve.server.scoreboard.recorder import Kind, Recorder
from releve.server.wsgi.access_line import Environ, escape
from releve.server.wsgi.file_wrapper import FILE_BLOCK_BYTES, FileWrapper, plain_file
from releve.server.wsgi.outcome import CLIENT_GONE, Outcome, judge

ExcInfo = tuple[type[BaseException], BaseException, Any] | tuple[None, None, None]

JOIN_BYTES = 64 * 1024  # pieces up to this size are copied together and sent at once
WORD_LOGGED = 200  # characters of a target, or of a request id

log = logging.getLogger("releve.worker")


def new_call(head: Asked, body: Input | None, channel: Channel, keeps: Callable[[], bool]) -> Call:
    """The call for one request.

    ``keeps`` is asked when the head of the response is made; False announces the end of the connection.
    """
    call = Call()
    call.method, call.target, call.version, call.keep_alive = head.method, head.target, head.version, head.keep_alive
    call.body, call.channel, call.keeps = body, channel, keeps
    return call


class State(Enum):
    """Of a response: NEW until ``start_response``, STARTED until its head is sent, SENDING until its end, OVER."""

    NEW = "new"
    STARTED = "started"
    SENDING = "sending"
    OVER = "over"


# Looking a member up in its Enum costs more than all else in a comparison; these are used in every request.
_NEW, _STARTED, _SENDING, _OVER = State.NEW, State.STARTED, State.SENDING, State.OVER


class Call:
    """One response in the making. It knows of its request what ``response.Asked`` says.

    Made without arguments, its attributes set by whoever makes it: most of them are never needed.
    """

    recorder: Recorder | None = None  # of this worker

    method = "GET"
    target = "/"
    version = (1, 1)
    keep_alive = True
    body: Input | None = None
    channel: Channel
    environ: Environ | None = None
    keeps: Callable[[], bool]
    state = _NEW
    start: Start | None = None
    framing: Framing | None = None
    status = 0  # sent
    sent_bytes = 0
    gone: ClientGone | ClientTooSlow | None = None  # nothing can be sent any more
    error: str | None = None
    shown = False  # its stack was logged: it lasts
    kind: Kind | None = Kind.ANSWERED  # of failure, if it fails; None: that says nothing of the application
    cause: BaseException | None = None  # of the status that is about to be sent

    def run(self, application: WSGIApplication, environ: Environ) -> Outcome:
        """Call the application and send its response, in a context of its own: a ``ContextVar`` set in one request is
        not seen by the next.

        Nothing that the application raises comes out of here, SystemExit and KeyboardInterrupt neither.
        """
        return contextvars.Context().run(self._run, application, environ)

    def _run(self, application: WSGIApplication, environ: Environ) -> Outcome:
        try:
            self.environ = environ
            iterable = application(environ, self.start_response)
        except BaseException as error:  # SystemExit in a view ends the request, not the worker
            return self.fail(error)
        return self.complete(iterable)

    def complete(self, iterable: Iterable[bytes]) -> Outcome:
        """Send what the application has returned, close it, and drop what it left of the request."""
        complete = False
        try:
            whole = self.whole(iterable) if type(iterable) is list and (not self.keep_alive or self.keeps()) else None
            if whole is not None:
                self.state = _OVER
                return self.finish(memoryview(whole))
            try:
                self._send_all(iterable)
                complete = self._finish()
            finally:
                close = getattr(iterable, "close", None)
                if close is not None:
                    close()
        except BaseException as error:
            self._failed(error, complete)
        return self._outcome(complete)

    def fail(self, error: BaseException) -> Outcome:
        """The application has raised this instead of returning something."""
        self._failed(error, False)
        return self._outcome(False)

    def _outcome(self, complete: bool) -> Outcome:
        keep = complete and self.gone is None and self.framing is not None and self.framing.keep
        self.state = _OVER
        if self.gone is not None and self.error is None:
            self.error = str(self.gone)
        if self.body is not None:
            keep = keep and self.body.drain()
            self.body.abandon()
        return Outcome(self.status or CLIENT_GONE, self.sent_bytes, keep, self.error)

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None, /
    ) -> Callable[[bytes], None]:
        """PEP 3333, "The start_response() Callable".

        Raises ValueError for a status or headers that cannot be sent, RuntimeError if called again without
        ``exc_info``, and the exception in ``exc_info`` if the head has been sent.
        """
        try:
            if exc_info is not None:
                if self.state is _SENDING and exc_info[1] is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
                self.cause = exc_info[1]
        finally:
            error_given = exc_info is not None
            exc_info = None  # breaks the cycle of traceback and frame
        if self.state is _OVER:
            raise RuntimeError("cannot start a response: the request has ended")
        if self.state is not _NEW and not error_given:
            raise RuntimeError("cannot start the response twice without exc_info")
        self.start = check_start(status, headers)
        self.state = _STARTED
        return self.write

    def write(self, data: bytes, /) -> None:
        """Send one piece of the body at once (PEP 3333, "The write() Callable")."""
        self._send(data, None)

    def whole(self, iterable: object) -> bytes | None:
        """The usual response: a list of one piece that is all of a small body, to a client that may stay, or wants to
        go. Its bytes, to be sent at once. ``None``: it is another one, and nothing is decided.
        """
        if type(iterable) is not list or len(iterable) != 1:
            return None
        data, start = iterable[0], self.start
        if (
            type(data) is not bytes
            or start is None
            or not start.plain
            or self.state is not _STARTED
            or self.body is not None
            or self.method == "HEAD"
        ):
            return None
        length = len(data)
        if length == 0 or length > JOIN_BYTES or (start.content_length is not None and start.content_length != length):
            return None
        self.state = _SENDING
        self.status = start.status
        self.sent_bytes = length
        return start.head(length, self.keep_alive, self.version) + data

    def finish(self, data: memoryview) -> Outcome:
        """Send what is due of ``whole``, and that was all."""
        try:
            self.channel.finish(data)
        except ClientGone as error:
            return Outcome(self.status, 0, False, str(error))
        return self.usual_outcome()

    def usual_outcome(self) -> Outcome:
        """What became of a call whose response was ``whole``."""
        return Outcome(self.status, self.sent_bytes, self.keep_alive, None)

    @property
    def headers(self) -> Headers:
        """Those of the response, as far as the application gave them."""
        if self.start is None:
            return []
        return self.start.headers(self.start.content_length if self.framing is None else self.framing.length)

    def _send_all(self, iterable: Iterable[bytes]) -> None:
        if isinstance(iterable, FileWrapper) and self._send_file(iterable.file):
            return
        if type(iterable) in (list, tuple):
            self._send_pieces(iterable)  # type: ignore[arg-type]
            return
        single = length_hint(iterable) == 1
        for piece in iterable:
            if not self._send(piece, len(piece) if single and isinstance(piece, bytes) else None):
                return

    def _send_pieces(self, pieces: list[bytes] | tuple[bytes, ...]) -> None:
        """A body that is all here: its length is known, and if it is small it leaves in one piece."""
        for piece in pieces:
            check_piece(piece)
        length = sum(map(len, pieces))
        if length <= JOIN_BYTES and len(pieces) > 1:
            pieces = (b"".join(pieces),)
        for piece in pieces:
            if not self._send(piece, length):
                return

    def _send(self, data: bytes, known_length: int | None) -> bool:
        """Send ``data``, behind the head if that is due; False: the body is full, nothing more is of use.

        ``known_length`` is that of the whole body, if it is known before its head is sent.
        """
        check_piece(data)
        if not data:
            return True  # an empty piece does not send the head
        prefix, framing = self._begin(known_length)
        if not framing.body:
            if self.method != "HEAD":
                self._note(f"a response with status {self.status} has no body: cut")
            self._put(prefix, last=True)
            return False
        room = len(data) if framing.length is None else framing.length - self.sent_bytes
        over = len(data) > room
        if over:
            self._note("the body is longer than its Content-Length: cut")
            data = data[:room]
        if framing.chunked:
            self._put(prefix + b"%x\r\n" % len(data), data, b"\r\n")
        else:
            # The last piece of a known length: a client that takes it slowly holds the loop's memory, and no thread.
            self._put(prefix, data, last=framing.length is not None and len(data) == room)
        self.sent_bytes += len(data)
        return not over

    def _send_file(self, file: Any) -> bool:
        """Send a file by the kernel; False if this one, or this response, cannot be sent so, and nothing was."""
        found = plain_file(file)
        if found is None or self.state is not _STARTED:
            return False
        descriptor, offset, available = found
        prefix, framing = self._begin(available)
        if not framing.body:
            self._put(prefix, last=True)
            return True
        assert framing.length is not None, "its length is known"
        self._put(prefix)
        count = min(framing.length, available)
        try:
            self.sent_bytes += self.channel.finish_file(descriptor, offset, count)
        except (ClientGone, ClientTooSlow) as error:
            self.gone = error
            raise
        except OSError:
            self._send_blocks(file, count)
        return True

    def _send_blocks(self, file: BinaryIO, count: int) -> None:
        while count > 0 and (data := file.read(min(count, FILE_BLOCK_BYTES))):
            self._send(data, None)
            count -= len(data)

    def _finish(self) -> bool:
        """The application has given all: send what is still due of the response. False if its body is too short."""
        prefix, framing = self._begin(0)
        if framing.chunked:
            self._put(prefix + b"0\r\n\r\n")
        elif prefix:
            self._put(prefix, last=True)
        if framing.body and framing.length is not None and self.sent_bytes < framing.length:
            self._note(
                f"the body has {self.sent_bytes} bytes, its Content-Length is {framing.length}: closing the connection"
            )
            return False
        return True

    def _begin(self, known_length: int | None) -> tuple[bytes, Framing]:
        """The head, the first time (then an empty one), and how the response is framed."""
        if self.state is _SENDING:
            assert self.framing is not None
            return b"", self.framing
        if self.state is _OVER:
            raise RuntimeError("cannot send: the request has ended")
        if self.start is None:
            raise RuntimeError("cannot send: the application has not called start_response")
        keep = self.keep_alive and (self.body is None or self.body.droppable()) and self.keeps()
        self.framing = frame(self.start, self, known_length, keep)
        self._begun(self.start.status)
        return response_head(self.start, self.framing, self.version), self.framing

    def _begun(self, status: int) -> None:
        if self.body is not None:
            self.body.forget_continue()
        if status >= 500:
            self._tell(Kind.ANSWERED, status)
        self.cause = None
        self.status = status
        self.state = _SENDING

    def _tell(self, kind: Kind, status: int) -> None:
        """Recorded before the client has its answer: its release may be judged by it. Never raises."""
        cause, self.cause = self.cause, None  # it leads back here
        if self.recorder is None or self.kind is None:
            return
        with contextlib.suppress(BaseException):  # an exception makes its own words
            handshake = websocket.socket_of(self.environ or {})
            if handshake is None or not handshake.used:  # else it says nothing of the release
                request = f"{self.method} {self.target} HTTP/{'.'.join(map(str, self.version))}"
                self.recorder.sample(kind if self.kind is Kind.ANSWERED else self.kind, status, request, cause)

    def _put(self, *parts: bytes, last: bool = False) -> None:
        """Send the parts: in one piece where copying them together costs less than a system call.

        ``last``: nothing follows.
        """
        if self.gone is not None:
            raise self.gone
        if sum(map(len, parts)) <= JOIN_BYTES:
            parts = (b"".join(parts),)
        try:
            if last and len(parts) == 2:
                self.channel.finish(parts[1], parts[0])
                return
            for part in parts[:-1] if last else parts:
                if part:
                    self.channel.write(part)
            if last and parts[-1]:
                self.channel.finish(parts[-1])
        except (ClientGone, ClientTooSlow) as error:
            self.gone = error
            raise

    def _note(self, error: str) -> None:
        if self.error is None:
            self.error = error
            log.warning("%s: %s", self.request(), error)

    def request(self) -> str:
        """Method, target and request id for the log, without control characters, and not endless."""
        words = [self.method, self.target]
        if self.environ is not None and "HTTP_X_REQUEST_ID" in self.environ:
            words += ["id", str(self.environ["HTTP_X_REQUEST_ID"])]
        return " ".join(escape(word[:WORD_LOGGED]) for word in words)

    def _failed(self, error: BaseException, complete: bool) -> None:
        """Say what went wrong, and answer if nothing was sent so far."""
        begun = self.state is _SENDING
        failure = judge(error, self.gone, self.body.failure if self.body is not None else None, begun=begun)
        if failure is None:
            return
        self.error = failure.error
        if failure.of_application:
            self.cause = error
            when = ""
            if begun:
                self._tell(Kind.BROKEN, self.status)
                when = " after its response was complete" if complete else " in the middle of its response"
            log.error("%s: the application failed%s", self.request(), when, exc_info=error)
        if begun or not failure.status:
            return
        self._begun(failure.status)
        answer = simple_response(failure.status, failure.reason, head=self.method == "HEAD")
        try:
            self.channel.write(answer)
            self.sent_bytes = body_bytes(answer)
        except (ClientGone, ClientTooSlow) as gone:
            self.gone = gone
