"""One call of the application: PEP 3333 from ``start_response`` to ``close()``, and the bytes of its response.

Runs in the thread that owns the connection. Whatever the application does ends in exactly one response, or in a response
that breaks off with the connection.
"""

from __future__ import annotations

import contextvars
import io
import logging
import os
import stat
import traceback
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, BinaryIO, NamedTuple
from wsgiref.types import WSGIApplication

from releve.server.body import BodyRefused, ClientGone, ClientTooSlow, Input
from releve.server.channel import Channel
from releve.server.response import Asked, Framing, Start, check_start, frame, response_head, simple_response

Application = WSGIApplication
Environ = dict[str, Any]
ExcInfo = tuple[type[BaseException], BaseException, Any] | tuple[None, None, None]

JOIN_BYTES = 64 * 1024  # pieces up to this size are copied together and sent at once
FILE_BLOCK_BYTES = 64 * 1024
TARGET_LOGGED = 200  # characters
CLIENT_GONE = 499  # status of a request whose client left before the response began

log = logging.getLogger("releve.worker")


class Outcome(NamedTuple):
    """What became of one call.

    ``status`` is the one that was sent (499: none, since the client had gone), ``sent_bytes`` counts the body. Unless ``keep``,
    the connection must be closed. ``error`` is one line for the log, ``None`` if all went well.
    """

    status: int
    sent_bytes: int
    keep: bool
    error: str | None


class FileWrapper:
    """``wsgi.file_wrapper``: iterates over a file in blocks; a plain file on disk is sent by the kernel instead."""

    def __init__(self, file: Any, block_size: int = FILE_BLOCK_BYTES) -> None:
        self.file = file
        self.block_size = block_size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        """The blocks from the file's current position on."""
        return iter(lambda: self.file.read(self.block_size), b"")


def run_call(
    application: Application, head: Asked, environ: Environ, body: Input | None, channel: Channel, *, keep_alive: Callable[[], bool]
) -> Outcome:
    """Call ``application`` for one request and send its response.

    ``keep_alive`` is asked when the head of the response is made; False announces the end of the connection. Nothing that the
    application raises comes out of here, SystemExit and KeyboardInterrupt neither. Each call has a context of its own:
    a ``ContextVar`` set in one request is not seen by the next.
    """
    call = Call(head, body, channel, keep_alive)
    return contextvars.Context().run(call.run, application, environ)


class State(Enum):
    """Of a response: ``NEW`` until ``start_response``, ``STARTED`` until its head is sent, ``SENDING`` until its end, ``OVER``."""

    NEW = "new"
    STARTED = "started"
    SENDING = "sending"
    OVER = "over"


# Looking a member up in its Enum costs more than all else in a comparison; these are used in every request.
_NEW, _STARTED, _SENDING, _OVER = State.NEW, State.STARTED, State.SENDING, State.OVER


class Call:
    """One response in the making."""

    __slots__ = ("_body", "_channel", "_error", "_framing", "_gone", "_head", "_keep_alive", "_sent_bytes", "_start", "_state", "_status")

    def __init__(self, head: Asked, body: Input | None, channel: Channel, keep_alive: Callable[[], bool]) -> None:
        self._head = head
        self._body = body
        self._channel = channel
        self._keep_alive = keep_alive
        self._state = _NEW
        self._start: Start | None = None
        self._framing: Framing | None = None
        self._status = 0  # sent
        self._sent_bytes = 0
        self._gone: ClientGone | ClientTooSlow | None = None  # nothing can be sent any more
        self._error: str | None = None

    def run(self, application: Application, environ: Environ) -> Outcome:
        """Call the application, send what it gives, close it, and drop what it left of the request."""
        complete = False
        try:
            iterable = application(environ, self.start_response)
            if type(iterable) is list and len(iterable) == 1 and self._send_whole(iterable[0]):
                return Outcome(self._status, self._sent_bytes, self._framing.keep, None)  # type: ignore[union-attr]
            try:
                self._send_all(iterable)
                complete = self._finish()
            finally:
                close = getattr(iterable, "close", None)
                if close is not None:
                    close()
        except BaseException as error:  # SystemExit in a view ends the request, not the worker
            self._failed(error, complete)
        keep = complete and self._gone is None and self._framing is not None and self._framing.keep
        self._state = _OVER
        if self._gone is not None and self._error is None:
            self._error = str(self._gone)
        if self._body is not None:
            keep = keep and self._body.drain()
            self._body.abandon()
        return Outcome(self._status or CLIENT_GONE, self._sent_bytes, keep, self._error)

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None, /) -> Callable[[bytes], None]:
        """PEP 3333, "The start_response() Callable".

        Raises ValueError for a status or headers that cannot be sent, RuntimeError if called again without ``exc_info``, and
        the exception in ``exc_info`` if the head has been sent.
        """
        try:
            if exc_info is not None and self._state is _SENDING and exc_info[1] is not None:
                raise exc_info[1].with_traceback(exc_info[2])
        finally:
            error_given = exc_info is not None
            exc_info = None  # breaks the cycle of traceback and frame
        if self._state is _OVER:
            raise RuntimeError("cannot start a response: the request is over")
        if self._state is not _NEW and not error_given:
            raise RuntimeError("cannot start the response twice without exc_info")
        self._start = check_start(status, headers)
        self._state = _STARTED
        return self.write

    def write(self, data: bytes, /) -> None:
        """Send one piece of the body at once (PEP 3333, "The write() Callable")."""
        self._send(data, None)

    def _send_whole(self, data: object) -> bool:
        """The usual response, a list of one piece that is the whole body, in one send. False: not usual, and nothing was sent."""
        start = self._start
        if (
            self._state is not _STARTED
            or type(data) is not bytes
            or not data
            or self._body is not None
            or start is None
            or start.status < 200
            or start.status in (204, 205, 304)
            or (start.content_length is not None and start.content_length != len(data))
            or self._head.method == "HEAD"
            or self._head.version != (1, 1)
        ):
            return False
        self._framing = framing = Framing(True, len(data), False, self._head.keep_alive and self._keep_alive())
        self._state = _SENDING
        self._status = start.status
        try:
            head = response_head(start, framing, (1, 1))
            if len(data) > JOIN_BYTES:
                self._channel.write(head)
                self._channel.finish(data)
            else:
                self._channel.finish(head + data)
        except (ClientGone, ClientTooSlow) as error:
            self._gone = error
            raise
        self._sent_bytes = len(data)
        self._state = _OVER
        return True

    def _send_all(self, iterable: Iterable[bytes]) -> None:
        if isinstance(iterable, FileWrapper) and self._send_file(iterable.file):
            return
        if type(iterable) in (list, tuple):
            self._send_pieces(iterable)  # type: ignore[arg-type]
            return
        single = _length_hint(iterable) == 1
        for piece in iterable:
            if not self._send(piece, len(piece) if single and isinstance(piece, bytes) else None):
                return

    def _send_pieces(self, pieces: list[bytes] | tuple[bytes, ...]) -> None:
        """A body that is all here: its length is known, and if it is small it leaves in one piece."""
        for piece in pieces:
            _check_piece(piece)
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
        _check_piece(data)
        if not data:
            return True  # an empty piece does not send the head
        prefix, framing = self._begin(known_length)
        if not framing.body:
            if self._head.method != "HEAD":
                self._note(f"a response with status {self._status} has no body: cut")
            self._put(prefix)
            return False
        room = len(data) if framing.length is None else framing.length - self._sent_bytes
        over = len(data) > room
        if over:
            self._note("the body is longer than its Content-Length: cut")
            data = data[:room]
        if framing.chunked:
            self._put(prefix + b"%x\r\n" % len(data), data, b"\r\n")
        else:
            # The last piece of a known length: a client that takes it slowly holds the loop's memory, and no thread.
            self._put(prefix, data, last=framing.length is not None and len(data) == room)
        self._sent_bytes += len(data)
        return not over

    def _send_file(self, file: Any) -> bool:
        """Send a file by the kernel; False if this one, or this response, cannot be sent so, and nothing was."""
        found = _plain_file(file)
        if found is None or self._state is not _STARTED:
            return False
        descriptor, offset, available = found
        prefix, framing = self._begin(available)
        if not framing.body:
            self._put(prefix)
            return True
        assert framing.length is not None, "its length is known"
        self._put(prefix)
        count = min(framing.length, available)
        try:
            self._sent_bytes += self._channel.sendfile(descriptor, offset, count)
        except (ClientGone, ClientTooSlow) as error:
            self._gone = error
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
            self._put(prefix)
        if framing.body and framing.length is not None and self._sent_bytes < framing.length:
            self._note(f"the body has {self._sent_bytes} bytes, its Content-Length is {framing.length}: closing the connection")
            return False
        return True

    def _begin(self, known_length: int | None) -> tuple[bytes, Framing]:
        """The head, the first time (then an empty one), and how the response is framed."""
        if self._state is _SENDING:
            assert self._framing is not None
            return b"", self._framing
        if self._state is _OVER:
            raise RuntimeError("cannot send: the request is over")
        if self._start is None:
            raise RuntimeError("cannot send: the application has not called start_response")
        keep = self._head.keep_alive and (self._body is None or self._body.droppable()) and self._keep_alive()
        self._framing = frame(self._start, self._head, known_length, keep)
        self._begun(self._start.status)
        return response_head(self._start, self._framing, self._head.version), self._framing

    def _begun(self, status: int) -> None:
        if self._body is not None:
            self._body.forget_continue()
        self._status = status
        self._state = _SENDING

    def _put(self, *parts: bytes, last: bool = False) -> None:
        """Send the parts: in one piece where copying them together costs less than a system call. ``last``: nothing follows."""
        if self._gone is not None:
            raise self._gone
        if sum(map(len, parts)) <= JOIN_BYTES:
            parts = (b"".join(parts),)
        try:
            for part in parts[:-1] if last else parts:
                if part:
                    self._channel.write(part)
            if last:
                self._channel.finish(parts[-1])
        except (ClientGone, ClientTooSlow) as error:
            self._gone = error
            raise

    def _note(self, error: str) -> None:
        if self._error is None:
            self._error = error
            log.warning("%s: %s", self._request(), error)

    def _request(self) -> str:
        """Method and target for the log, without control characters, and not endless."""
        target = self._head.target[:TARGET_LOGGED].encode("ascii", "backslashreplace").decode()
        return f"{self._head.method[:TARGET_LOGGED]} {target}"

    def _failed(self, error: BaseException, complete: bool) -> None:
        """Say what went wrong, and answer if nothing was sent so far."""
        status, reason = 500, "the application failed"
        failure = self._body.failure if self._body is not None else None
        if self._gone is not None and _caused_by(error, self._gone):
            return
        if failure is not None and _caused_by(error, failure):
            self._error = str(failure)
            if isinstance(failure, ClientGone):
                return
            status, reason = (failure.status, failure.reason) if isinstance(failure, BodyRefused) else (408, "the body does not arrive")
        else:
            self._error = "".join(traceback.format_exception_only(error)).split("\n", 1)[0]
            when = "after its response was complete" if complete else "in the middle of its response"
            log.error("%s: the application failed%s", self._request(), f" {when}" if self._state is _SENDING else "", exc_info=error)
        if self._state is _SENDING:
            return
        self._begun(status)
        answer = simple_response(status, reason, head=self._head.method == "HEAD")
        try:
            self._channel.write(answer)
        except (ClientGone, ClientTooSlow) as gone:
            self._gone = gone


def _check_piece(data: object) -> None:
    if not isinstance(data, bytes):
        raise TypeError(f"cannot send {type(data).__name__}: the body is made of bytes")


def _length_hint(iterable: Any) -> int | None:
    """``len()`` of what the application returned, if it has one (PEP 3333, "Handling the Content-Length Header")."""
    try:
        return len(iterable)
    except Exception:
        return None


def _plain_file(file: Any) -> tuple[int, int, int] | None:
    """Descriptor, position and bytes left of a file on disk that Python reads as it is; ``None`` for any other.

    Only exact types are trusted: ``fileno()`` of a ``GzipFile`` or a text file leads to other bytes than ``read()`` does.
    """
    raw = file.raw if type(file) in (io.BufferedReader, io.BufferedRandom) else file
    if type(raw) is not io.FileIO:
        return None
    try:
        file.flush()
        offset = file.tell()
        status = os.fstat(raw.fileno())
    except (OSError, ValueError):
        return None
    left = status.st_size - offset
    return (raw.fileno(), offset, left) if stat.S_ISREG(status.st_mode) and left > 0 else None  # files of /proc have size 0


def _caused_by(error: BaseException, cause: BaseException) -> bool:
    """Whether ``cause`` is ``error``, or was being handled when it was raised."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        if at is cause:
            return True
        seen.add(id(at))
        at = at.__cause__ or at.__context__
    return False
