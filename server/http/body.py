"""The body of a request: the chunked decoder (pure) and ``wsgi.input``.

A body that breaks off or breaks the rules never looks like one that ended: the application gets an OSError, at this
read and at every later one. Trailers are checked and dropped, never merged into the headers.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

from releve.config.settings.limits import Limits
from releve.config.settings.timeouts import Timeouts
from releve.server.http.channel import Channel
from releve.server.http.head import Head, HTTPError
from releve.server.http.spool import Spool
from releve.server.shared.native import time

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
READ_BYTES = 64 * 1024
DRAIN_BYTES = 64 * 1024
DRAIN_S = 2.0

LINE_MAX_BYTES = 4096  # a chunk-size line, or a line of the trailer section
EXTENSIONS_MAX_BYTES = 64 * 1024  # all chunk extensions of one body
TRAILERS_MAX_BYTES = 64 * 1024

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
# RFC 9112, 7.1 and 7.1.1. Fifteen digits fit 63 bits.
_size_line = re.compile(
    rb"([0-9A-Fa-f]{1,15})((?:[ \t]*;[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*)"
).fullmatch
_trailer_line = re.compile(_TOKEN + rb":[\t\x20-\x7e\x80-\xff]*").fullmatch


class ClientGone(ConnectionError):
    """The client closed the connection in the middle of its request or of our response."""


class ClientTooSlow(TimeoutError):
    """The client sent or took no byte for ``timeouts.body`` or ``timeouts.write``, or fewer than
    ``timeouts.min_rate``.
    """


class BodyRefused(OSError):
    """The body breaks the chunked grammar (``status`` 400) or is longer than ``limits.body`` (413)."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"cannot read the request body: {reason}")
        self.status = status
        self.reason = reason


class ChunkDecoder:
    """Takes a chunked body apart (RFC 9112, 7.1), however it is cut into pieces. Pure.

    ``finished`` is true once the final CRLF is read; ``rest`` is what follows it.
    """

    def __init__(self) -> None:
        self.finished = False
        self.rest = b""
        self._step: Callable[[list[bytes]], bool] = self._size
        self._buffer = bytearray()  # an incomplete line, or what a step has not looked at yet
        self._searched = 0  # bytes of an incomplete line in which its end was not found
        self._left = 0  # bytes of the current chunk still to come
        self._extensions_bytes = 0
        self._trailers_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces of the body that ``data`` completes.

        Raises HTTPError (400) on any error, and is of no more use then.
        """
        pieces: list[bytes] = []
        self._buffer += data
        while self._step(pieces):
            pass
        return pieces

    # A step takes what it can from the buffer, names the next step, and says whether the next has something to do.

    def _size(self, pieces: list[bytes]) -> bool:
        line = self._line()
        if line is None:
            return False
        match = _size_line(line)
        if match is None:
            raise HTTPError(400, "a chunk size is invalid")
        self._extensions_bytes += len(match[2])
        if self._extensions_bytes > EXTENSIONS_MAX_BYTES:
            raise HTTPError(400, "the chunk extensions are too long")
        self._left = int(match[1], 16)
        self._step = self._data if self._left else self._trailer
        return True

    def _data(self, pieces: list[bytes]) -> bool:
        if not self._buffer:
            return False
        piece = bytes(memoryview(self._buffer)[: self._left])
        del self._buffer[: len(piece)]
        pieces.append(piece)
        self._left -= len(piece)
        if self._left == 0:
            self._step = self._data_end
        return True

    def _data_end(self, pieces: list[bytes]) -> bool:
        if not b"\r\n".startswith(bytes(self._buffer[:2])):
            raise HTTPError(400, "a chunk is longer than its size")
        if len(self._buffer) < 2:
            return False
        del self._buffer[:2]
        self._step = self._size
        return True

    def _trailer(self, pieces: list[bytes]) -> bool:
        line = self._line()
        if line is None:
            return False
        if not line:
            self.finished = True
            self._step = self._end
            return True
        if not _trailer_line(line):
            raise HTTPError(400, "a trailer field is invalid")
        self._trailers_bytes += len(line)
        if self._trailers_bytes > TRAILERS_MAX_BYTES:
            raise HTTPError(400, "the trailer section is too long")
        return True

    def _end(self, pieces: list[bytes]) -> bool:
        self.rest += bytes(self._buffer)
        self._buffer.clear()
        return False

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched, LINE_MAX_BYTES + 2)
        if end < 0:
            if len(self._buffer) > LINE_MAX_BYTES + 1:
                raise HTTPError(400, "a line of the chunked body is too long")
            self._searched = len(self._buffer)
            return None
        self._searched = 0
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        if not line.endswith(b"\r"):
            raise HTTPError(400, "a line of the chunked body ends without CR")
        return line[:-1]


class Input:
    """``wsgi.input``: the body of one request, read from its channel as the application asks for it.

    ``buffered`` are the bytes read behind the head; those behind the body end up in ``rest``. ``on_first_read`` is
    called once, before the first byte is waited for. Belongs to the thread that runs the call.

    A chunked body with ``whole_bytes`` is for the application when it is complete (``whole``), and has no more bytes
    than that.

    Every read raises ClientGone, ClientTooSlow or BodyRefused (all OSErrors, kept in ``failure``) once the body failed.
    """

    def __init__(
        self,
        channel: Channel,
        head: Head,
        buffered: bytes,
        limits: Limits,
        on_first_read: Callable[[], None] | None = None,
        *,
        timeout_s: float = Timeouts().body,
        whole_bytes: int | None = None,
    ) -> None:
        self.whole = whole_bytes is not None
        self.arrived_bytes = 0  # of a chunked body, decoded
        self.failure: ClientGone | ClientTooSlow | BodyRefused | None = None
        self.finished = False  # every byte of the body has arrived
        self.rest = b""
        self._channel = channel
        self._max_bytes = limits.body
        if whole_bytes is not None and (limits.body is None or whole_bytes < limits.body):
            self._max_bytes = whole_bytes
        self._on_first_read = on_first_read
        self._timeout_s = timeout_s
        self._buffer = bytearray()  # arrived, and not yet given to the application
        self._spool: Spool | None = None  # holds what arrived before that; once it is `rewind`ed:
        self._tail = b""  # what arrived after that, and before what is still to arrive
        self._decoder = ChunkDecoder() if head.chunked else None
        self._left = head.content_length or 0  # bytes still to arrive, unless chunked
        # RFC 9110, 10.1.1: may be left out then
        self._continue = head.expect_continue and head.has_body and not buffered
        self._unasked = False  # the client waits for a 100 that it will not get: it may send the body, or not
        if not head.has_body:
            self._finish(buffered)
        elif buffered:
            self.take(buffered)

    def read(self, size: int | None = -1, /) -> bytes:
        """``size`` bytes, fewer only at the end of the body; all of it without a size."""
        wanted = _wanted(size)
        while (wanted is None or len(self._buffer) < wanted) and self._more():
            pass
        return self._give(len(self._buffer) if wanted is None else wanted)

    def readline(self, size: int | None = -1, /) -> bytes:
        """One line with its end, at most ``size`` bytes of it."""
        wanted = _wanted(size)
        searched = 0
        while True:
            end = self._buffer.find(b"\n", searched) + 1
            searched = len(self._buffer)
            if end or (wanted is not None and searched >= wanted) or not self._more():
                count = end or len(self._buffer)
                return self._give(count if wanted is None else min(count, wanted))

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """The lines of the body, until they come to ``hint`` bytes."""
        wanted = _wanted(hint)
        lines: list[bytes] = []
        total = 0
        for line in self:
            lines.append(line)
            total += len(line)
            if wanted and total >= wanted:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        """The lines of the body."""
        return iter(self.readline, b"")

    # In the loop, before a thread has it

    @property
    def held_bytes(self) -> int:
        """Bytes that have arrived and are in memory."""
        return len(self._buffer)

    @property
    def due_bytes(self) -> int:
        """Bytes still to arrive, at least."""
        return self._left if self._decoder is None else int(not self.finished)

    def spill(self, spool: Spool) -> None:
        """Move what is in memory to a file, always the same one. Raises OSError; then the body is of no more use."""
        self._spool = spool
        spool.write(self._buffer)
        self._buffer.clear()

    def rewind(self) -> None:
        """From here on it is read, from its beginning."""
        if self._spool is not None:
            self._tail = bytes(self._buffer)
            self._buffer.clear()

    @property
    def waits_for_continue(self) -> bool:
        """Whether the client waits for ``100 Continue``, and has sent nothing yet."""
        return self._continue

    def take(self, data: bytes) -> None:
        """More of the body, or of what follows it, has arrived. What is wrong with it is kept in ``failure``."""
        with contextlib.suppress(BodyRefused):
            self._take(data)

    def asked(self) -> bool:
        """Whether the client waits for ``100 Continue``; whoever asks sends it."""
        asked, self._continue = self._continue, False
        return asked

    def forget_continue(self) -> None:
        """The response begins: from now on an interim ``100 Continue`` would be taken for the next response."""
        if self._continue:
            self._continue = False
            self._unasked = True

    def droppable(self, max_bytes: int = DRAIN_BYTES) -> bool:
        """Whether ``drain`` may succeed: asked before the head of the response says keep-alive or close."""
        if self.failure is not None or (not self.finished and (self._continue or self._unasked)):
            return False
        return self.finished or self._decoder is not None or self._left <= max_bytes

    def drain(self, max_bytes: int = DRAIN_BYTES, timeout_s: float = DRAIN_S) -> bool:
        """Read and drop what is left of the body, after the application has returned.

        At most ``max_bytes`` in at most ``timeout_s`` altogether. False: the connection must be closed, since the next
        request cannot be found.
        """
        deadline = time.monotonic() + timeout_s
        end = self.arrived_bytes + max_bytes
        droppable = self.droppable(max_bytes)
        self._spool, self._tail = None, b""
        self._buffer.clear()
        with contextlib.suppress(OSError):
            while droppable and not self.finished and self.arrived_bytes <= end and time.monotonic() < deadline:
                self._timeout_s = max(0.001, deadline - time.monotonic())
                self._more()
                self._buffer.clear()
        return self.finished and self.failure is None

    def abandon(self) -> None:
        """The request is over: no later read, from a thread that outlives it say, touches the channel."""
        self._spool, self._tail = None, b""
        self._buffer.clear()
        if not self.finished and self.failure is None:
            self.failure = ClientGone("cannot read the request body: the request has ended")

    def _more(self) -> bool:
        """Get at least one more piece; False at the end of the body."""
        if self._spool is not None and (data := self._kept(self._spool)):
            self._buffer += data
            return True
        if self.finished and self.failure is None:
            return False
        try:
            if self.failure is not None:
                raise self.failure
            self._take(self._receive())
        except OSError:
            self._buffer.clear()  # no later read may find a line in it, and go on as if nothing had happened
            raise
        return True

    def _kept(self, spool: Spool) -> bytes:
        """The next piece of what arrived before a thread had it; ``b""`` after the last one."""
        try:
            data = spool.read(READ_BYTES)
        except OSError as error:
            self.failure = BodyRefused(503, "it cannot be read back from its file")
            self.abandon()
            raise self.failure from error
        if not data:
            self._spool = None
            data, self._tail = self._tail, b""
        return data

    def _receive(self) -> bytes:
        if self._on_first_read is not None:
            hook, self._on_first_read = self._on_first_read, None
            hook()
        try:
            if self._continue:
                self._continue = False
                self._channel.write(CONTINUE)
            data = self._channel.read(
                READ_BYTES if self._decoder is not None else min(READ_BYTES, self._left), self._timeout_s
            )
        except (ClientGone, ClientTooSlow) as error:
            self.failure = error
            raise
        except TimeoutError as error:
            self.failure = ClientTooSlow("cannot read the request body: the client sends nothing, or too slowly")
            raise self.failure from error
        except OSError as error:
            self.failure = ClientGone(f"cannot read the request body: {error.strerror or error}")
            raise self.failure from error
        if not data:
            self.failure = ClientGone("cannot read the request body: the client closed the connection")
            raise self.failure
        return data

    def _take(self, data: bytes) -> None:
        if self._decoder is None:
            body_bytes = min(len(data), self._left)
            self._left -= body_bytes
            self._buffer += data[:body_bytes]
            if self._left == 0:
                self._finish(data[body_bytes:])
            return
        try:
            for piece in self._decoder.feed(data):
                self.arrived_bytes += len(piece)
                if self._max_bytes is not None and self.arrived_bytes > self._max_bytes:
                    raise HTTPError(413, "the request body is too long")
                self._buffer += piece
        except HTTPError as error:
            self.failure = BodyRefused(error.status, error.reason)
            raise self.failure from error
        if self._decoder.finished:
            self._finish(self._decoder.rest)

    def _finish(self, rest: bytes) -> None:
        self.finished = True
        self._continue = False
        self.rest = rest

    def _give(self, count: int) -> bytes:
        data = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        return data


def _wanted(size: int | None) -> int | None:
    return None if size is None or size < 0 else size
