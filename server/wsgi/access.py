"""In the worker: the access log, one line for each request.

``add`` runs once for each request and keeps nothing of it but the line (``access_line.py``); ``flush`` writes many
lines at once.

The presets ``combined`` and ``common`` have a short way for usual requests: their values are kept until there are many
lines to make, and escaped only if any of them needs it. All else is made of its pieces at once (``compile_format``).
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping
from itertools import chain

from releve.server.shared import system
from releve.server.shared.journal import leads_there, open_stream
from releve.server.shared.lost_lines import lost, lost_words
from releve.server.shared.native import Lock, os, select, time
from releve.server.wsgi.access_line import (
    COMBINED,
    COMMON,
    PRESETS,
    REQUEST_LINE,
    Entry,
    Environ,
    Headers,
    clock,
    compile_format,
    escape,
    iso_clock,
    json_line,
)

FULL_LINES = 512  # then it is time to flush
IDENTIFIER, PRIORITY = "releve-access", 6  # in the journal: SYSLOG_IDENTIFIER, and `info` of syslog(3)
LONG_LINE = 4096  # characters; such a line is flushed at once
KEPT_MAX_BYTES = 1 << 20  # of what a slow reader has not taken; more is dropped
CLOSE_S = 1.0  # how long the last lines wait for a slow reader

_BROKEN = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)  # a stream whose reader has gone

# The presets for a usual request; without referer and agent: formatted, and cut to nothing.
_SHORT = {
    "common": '%s - - %s "%s %s %s" %s %s%.0s%.0s\n',
    "combined": '%s - - %s "%s %s %s" %s %s "%s" "%s"\n',
}

# remote, clock, method, target, protocol, status, bytes, referer, agent
Usual = tuple[str, str, str, str, str, int, int | str, str, str]

log = logging.getLogger("releve.worker")


def nowhere() -> int:
    """No stream to open."""
    return -1


def stream(fd: int, form: str, environ: Mapping[str, str] = os.environ) -> int:
    """A stream of its own to the journal, if ``fd`` leads there and the form of the log is ``auto``; -1: there is none.

    There, lines of requests can be told from all that is written to standard output.
    """
    if form in ("text", "json") or not leads_there(fd, environ):
        return -1
    try:
        return open_stream(IDENTIFIER, PRIORITY)
    except OSError:
        return -1


class AccessLog:
    """The lines of one worker that are not yet written. Any thread may ``add``; ``flush`` is called by the loop.

    ``full`` says that it is time to flush, ``pending`` that there is something to flush, ``kept`` that a slow reader
    did not take all: flush again when it may have read.
    """

    def __init__(self, fd: int, access_format: str, connect: Callable[[], int] = nowhere) -> None:
        """``fd`` is where to write, not owned; ``access_format`` a preset or a format with atoms.

        ``connect`` opens a stream to write to instead, or returns -1; it is called again when that stream breaks.
        """
        self.long = False
        self._given = self._fd = fd
        self._connect = connect
        self._choose()
        self._line = json_line if access_format == "json" else compile_format(PRESETS.get(access_format, access_format))
        self._preset = (
            "common"
            if access_format in ("common", COMMON)
            else "combined"
            if access_format in ("combined", COMBINED)
            else ""
        )
        self.short = bool(self._preset)  # `usual` may be called
        self.wants_headers = "}o)" in access_format
        self.lines: list[str | Usual] = []
        self._kept = b""
        self._lost = 0  # lines, since writing last succeeded
        self._troubled = False
        self._midline = False  # what was written last is the beginning of a line
        self._ragged = False  # and its rest is lost: end it before anything else
        self._flushing = Lock()
        self._second = -1
        self._clock = self._iso = ""

    @property
    def full(self) -> bool:
        """Whether it is time to flush."""
        return self.long or len(self.lines) >= FULL_LINES

    @property
    def pending(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.lines or self._kept)

    @property
    def kept(self) -> bool:
        """Whether some of it could not be written at the last flush."""
        return bool(self._kept)

    def add(
        self, environ: Environ, status: int, sent_bytes: int, duration_s: float, response_headers: Headers = ()
    ) -> None:
        """Make the line of a request that was answered. Never raises for what the environ holds."""
        second = int(time.time())
        if second != self._second:
            self._tick(second)
        self._append(
            self._line(Entry(environ, status, sent_bytes, duration_s, response_headers, self._clock, self._iso))
        )

    def usual(
        self,
        remote: str,
        method: str,
        target: str,
        protocol: str,
        status: int,
        sent_bytes: int,
        referer: str,
        agent: str,
    ) -> None:
        """The same in a short way, for a preset that is ``short``: a request without credentials, all of it printable
        text.
        """
        second = int(time.time())
        if second != self._second:
            self._tick(second)
        self.lines.append(
            (remote or "-", self._clock, method, target, protocol, status, sent_bytes or "-", referer, agent)
        )
        if len(target) + len(referer) + len(agent) > LONG_LINE:
            self.long = True

    def refuse(
        self, peer: str, status: int, sent_bytes: int = 0, duration_s: float = 0.0, request_line: str = "-"
    ) -> None:
        """Make the line of a request that never got an environ.

        ``peer`` is ``host:port`` or empty, ``request_line`` what of it is known, as it came.
        """
        environ = {"REMOTE_ADDR": peer.rpartition(":")[0].strip("[]"), REQUEST_LINE: request_line}
        self.add(environ, status, sent_bytes, duration_s)

    def flush(self) -> None:
        """Write what is there, whole lines at a time, as far as it can be done without waiting. Never raises."""
        with self._flushing:
            lines = self.lines
            count = len(lines)
            data = self._kept + self._text(lines[:count]).encode("utf-8", "backslashreplace")
            del lines[:count]  # never another list: a thread may be about to append to this one
            self.long = False
            self._kept = self._write(data)

    def reopen(self, fd: int) -> None:
        """Go on in the file of ``fd``, which stays the caller's, once everything so far is in the one before."""
        self.flush()
        with self._flushing:
            os.dup2(fd, self._fd, inheritable=False)
            self._pipe = not system.is_regular(fd)

    def close(self, wait_s: float = CLOSE_S) -> None:
        """Write the last lines; wait that long for a slow reader."""
        until = time.monotonic() + wait_s
        self.flush()
        while self._kept and not self._troubled and (left_s := until - time.monotonic()) > 0:
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            poll.poll(left_s * 1000)
            self.flush()

    def _text(self, lines: list[str | Usual]) -> str:
        """The lines with their ends. Usual ones are made here, many at once: that takes half the time."""
        if set(map(type, lines)) == {tuple}:
            template = _SHORT[self._preset]
            text = template * len(lines) % tuple(chain.from_iterable(lines))
            # No field has a control character; one with a quote or a backslash, or beyond ASCII, has to be escaped.
            if text.isascii() and "\\" not in text and text.count('"') == template.count('"') * len(lines):
                return text
        return "\n".join([*(line if type(line) is str else self._escaped(line) for line in lines), ""])

    def _escaped(self, line: str | Usual) -> str:
        assert not isinstance(line, str)
        remote, clock, method, target, protocol, status, sent_bytes, referer, agent = line
        client, words = escape(remote), (method, escape(target), protocol)
        values = (client, clock, *words, status, sent_bytes, escape(referer), escape(agent))
        return (_SHORT[self._preset] % values).removesuffix("\n")

    def _tick(self, second: int) -> None:
        moment = time.localtime(second)
        self._clock, self._iso = clock(moment), iso_clock(moment)
        self._second = second  # last: another thread takes it for done

    def _append(self, line: str) -> None:
        lines = self.lines
        lines.append(line)
        if len(line) > LONG_LINE:
            self.long = True

    def _choose(self) -> bool:
        """Write to a new stream from now on, or else to what was given; False if that is where it went before."""
        broken, fd = self._fd, self._connect()
        self._fd = self._given if fd < 0 else fd
        self._pipe = not system.is_regular(self._fd)
        if broken != self._given:
            os.close(broken)
        return self._fd != broken

    def _write(self, data: bytes, *, elsewhere: bool = True) -> bytes:
        """Write; returns what is left to write later. ``elsewhere``: to another stream, if this one breaks."""
        at = 0
        try:
            if self._ragged and data:
                system.write_now(self._fd, b"\n")
                self._ragged = self._midline = False
            while at < len(data):
                at += system.write_now(self._fd, data[at : system.piece_end(data, at)] if self._pipe else data[at:])
                self._midline = data[at - 1 : at] != b"\n"
        except BlockingIOError:
            return self._bounded(data[at:])
        except OSError as error:
            if elsewhere and error.errno in _BROKEN and self._choose():
                self._midline = self._ragged = False
                return self._write(data[data.rfind(b"\n", 0, at) + 1 :], elsewhere=False)
            last = data[data.rfind(b"\n", 0, -1) + 1 :]  # is kept, so that something tries again
            self._lose(max(0, data.count(b"\n", at) - 1), error, waiting=1)
            return last
        if data and self._troubled:
            log.warning("the access log can be written again; %s", lost_words(self._lost))
            self._troubled, self._lost = False, 0
            lost.note(self, 0)
        return b""

    def retry(self) -> None:
        """Write the line that was kept, if that can be."""
        self.flush()

    def _bounded(self, rest: bytes) -> bytes:
        """As much of ``rest`` as may be kept, in whole lines."""
        if len(rest) <= KEPT_MAX_BYTES:
            return rest
        end = rest.rfind(b"\n", 0, KEPT_MAX_BYTES) + 1
        self._lose(rest.count(b"\n", end), BlockingIOError(errno.EAGAIN, "its reader is too slow"), ragged=end == 0)
        return rest[:end]

    def _lose(self, lines: int, error: OSError, *, ragged: bool = True, waiting: int = 0) -> None:
        self._lost += lines
        lost.note(self, self._lost + waiting)
        self._ragged = ragged and self._midline
        if not self._troubled:
            self._troubled = True
            log.error(
                "cannot write the access log: %s; lines are dropped until it can be written again, requests are served",
                error.strerror,
            )
