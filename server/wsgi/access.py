"""In the worker: the access log, one line for each request.

``add`` runs once for each request and keeps nothing of it but the line; ``flush`` writes many lines at once. Whatever
a client or an application has given is escaped in a line: it can neither end it nor leave its field.

The presets ``combined`` and ``common`` have a short way for usual requests: their values are kept until there are many
lines to make, and escaped only if any of them needs it. All else is made of its pieces at once (``compile_format``).
"""

from __future__ import annotations

import base64
import binascii
import errno
import logging
import re
from collections.abc import Callable, Sequence
from itertools import chain
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from releve.server.shared import system
from releve.server.shared.lost_lines import lost, lost_words
from releve.server.shared.native import Lock, os, select, time

FULL_LINES = 512  # then it is time to flush
LONG_LINE = 4096  # characters; such a line is flushed at once
KEPT_MAX_BYTES = 1 << 20  # of what a slow reader has not taken; more is dropped
CLOSE_S = 1.0  # how long the last lines wait for a slow reader

COMMON = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s'
COMBINED = COMMON + ' "%(f)s" "%(a)s"'
PRESETS = {"common": COMMON, "combined": COMBINED}
# The same for a usual request; without referer and agent: formatted, and cut to nothing.
_SHORT = {
    "common": '%s - - %s "%s %s HTTP/1.1" %s %s%.0s%.0s\n',
    "combined": '%s - - %s "%s %s HTTP/1.1" %s %s "%s" "%s"\n',
}

REQUEST_LINE = "releve.request_line"  # in the place of an environ, for a request that never got one

Environ = dict[str, Any]
Headers = Sequence[tuple[str, str]]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PIECE = re.compile(r"%(?:\((?:\{(?P<name>[^{}]*)\}(?P<of>[a-z])|(?P<atom>[^(){}]*))\)s|%)")
_UNSAFE = re.compile(r"[^ !#-\[\]-~]")  # all but printable ASCII, and the quote and the backslash

log = logging.getLogger("releve.worker")


class Entry(NamedTuple):
    """One request, while its line is made."""

    environ: Environ
    status: int
    sent_bytes: int
    duration_s: float
    headers: Headers
    clock: str
    iso_clock: str


# remote, clock, method, target, status, bytes, referer, agent
Usual = tuple[str, str, str, str, int, int | str, str, str]
Atom = Callable[[Entry], Any]


def escape(value: Any) -> str:
    """A text, or what should have been one, as printable ASCII without quotes and backslashes: other bytes are
    ``\\xhh``.

    Characters up to U+00FF stand for bytes (PEP 3333); others for their UTF-8. Never raises.
    """
    return _UNSAFE.sub(_escaped, _text(value))


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    try:
        return str.__str__(value) if isinstance(value, str) else str(value)
    except Exception:  # an object of the application's
        return "-"


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    data = character.encode("latin-1") if character <= "\xff" else character.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in data)


def clock(moment: time.struct_time) -> str:
    """The time of the common log format, local, whatever the locale."""
    minutes = (moment.tm_gmtoff or 0) // 60
    sign, minutes = ("-", -minutes) if minutes < 0 else ("+", minutes)
    return (
        f"[{moment.tm_mday:02}/{_MONTHS[moment.tm_mon - 1]}/{moment.tm_year}:"
        f"{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02} {sign}{minutes // 60:02}{minutes % 60:02}]"
    )


def iso_clock(moment: time.struct_time) -> str:
    """The same time by RFC 3339, for JSON."""
    zone = clock(moment)[-6:-1]
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}{zone[:3]}:{zone[3:]}"


# What the atoms show


def _variable(name: str, missing: str = "-") -> Atom:
    return lambda entry: entry.environ.get(name, missing)


def _remote(entry: Entry) -> Any:
    return entry.environ.get("REMOTE_ADDR") or "-"


def _user(entry: Entry) -> str:
    """The user of Basic authorization (RFC 7617), never the password."""
    scheme, _, credentials = _text(entry.environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    if scheme.lower() != "basic":
        return "-"
    try:
        user, colon, _ = base64.b64decode(credentials.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return "-"
    return user.decode("latin-1") if user and colon else "-"


def _request_line(entry: Entry) -> Any:
    environ = entry.environ
    if REQUEST_LINE in environ:
        return environ[REQUEST_LINE]
    return " ".join(_text(environ.get(name, "-")) for name in ("REQUEST_METHOD", "RAW_URI", "SERVER_PROTOCOL"))


def _path(entry: Entry) -> str:
    """As the client wrote it, but for escapes; ``PATH_INFO`` lacks the prefix of a mounted application."""
    target = _text(entry.environ.get("RAW_URI", ""))
    if not target.startswith("/"):
        return _text(entry.environ.get("PATH_INFO", "-"))
    path = target.partition("?")[0]
    return unquote_to_bytes(path.encode("latin-1", "replace")).decode("latin-1") if "%" in path else path


def _request_header(name: str) -> Atom:
    key = name.upper().replace("-", "_")
    return _variable(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}")


def _response_header(name: str) -> Atom:
    wanted = name.lower()
    return lambda entry: ", ".join(_text(value) for key, value in entry.headers if _text(key).lower() == wanted) or "-"


ATOMS: dict[str, Atom] = {
    "h": _remote,
    "l": lambda entry: "-",
    "u": _user,
    "t": lambda entry: entry.clock,
    "r": _request_line,
    "m": _variable("REQUEST_METHOD"),
    "U": _path,
    "q": _variable("QUERY_STRING", ""),
    "H": _variable("SERVER_PROTOCOL"),
    "s": lambda entry: entry.status,
    "B": lambda entry: entry.sent_bytes,
    "b": lambda entry: entry.sent_bytes or "-",
    "f": _variable("HTTP_REFERER"),
    "a": _variable("HTTP_USER_AGENT"),
    "T": lambda entry: int(entry.duration_s),
    "D": lambda entry: int(entry.duration_s * 1e6),
    "M": lambda entry: int(entry.duration_s * 1e3),
    "L": lambda entry: f"{entry.duration_s:.6f}",
    "p": lambda entry: f"<{os.getpid()}>",
    "id": _variable("HTTP_X_REQUEST_ID"),
}
NAMED: dict[str, Callable[[str], Atom]] = {"i": _request_header, "o": _response_header, "e": _variable}
_SPACED = ("t", "r")  # made by us with spaces in them


def compile_format(text: str) -> Callable[[Entry], str]:
    """What makes the line of a request, without its end.

    An atom that is not known (a newer supervisor's) shows ``-``. Outside of quotes a space in a value is escaped too:
    it would pass for the end of its field.
    """
    template, atoms, at, quotes = [], [], 0, 0
    for match in _PIECE.finditer(text):
        literal, at = text[at : match.start()], match.end()
        quotes += literal.count('"')
        template.append(literal.replace("%", "%%"))
        if match["name"] is None and match["atom"] is None:
            template.append("%%")
            continue
        named = NAMED.get(match["of"]) if match["of"] else None
        atom = named(match["name"]) if named else ATOMS.get(match["atom"] or "", ATOMS["l"])
        atoms.append((atom, quotes % 2 == 1 or match["atom"] in _SPACED))
        template.append("%s")
    template.append(text[at:].replace("%", "%%"))
    whole = "".join(template)

    def line(entry: Entry) -> str:
        return whole % tuple(
            escape(atom(entry)) if spaced else escape(atom(entry)).replace(" ", "\\x20") for atom, spaced in atoms
        )

    return line


def json_line(entry: Entry) -> str:
    """One JSON object, ASCII only; what a request has not is null.

    Of a refused request, ``target`` is its request line as far as it is known.
    """
    environ = entry.environ
    user = _user(entry)
    return (
        f'{{"time": "{entry.iso_clock}", "remote": {_json(environ.get("REMOTE_ADDR") or None)}, '
        f'"user": {_json(None if user == "-" else user)}, "method": {_json(environ.get("REQUEST_METHOD"))}, '
        f'"target": {_json(environ.get("RAW_URI", environ.get(REQUEST_LINE)))}, "protocol": '
        f"{_json(environ.get('SERVER_PROTOCOL'))}, "
        f'"status": {entry.status}, "bytes": {entry.sent_bytes}, "duration_s": {entry.duration_s:.6f}, '
        f'"referer": {_json(environ.get("HTTP_REFERER"))}, "agent": {_json(environ.get("HTTP_USER_AGENT"))}, '
        f'"id": {_json(environ.get("HTTP_X_REQUEST_ID"))}, "pid": {os.getpid()}}}'
    )


def _json(value: Any) -> str:
    return "null" if value is None else encode_basestring_ascii(_text(value))


class AccessLog:
    """The lines of one worker that are not yet written. Any thread may ``add``; ``flush`` is called by the loop.

    ``full`` says that it is time to flush, ``pending`` that there is something to flush, ``kept`` that a slow reader
    did not take all: flush again when it may have read.
    """

    def __init__(self, fd: int, access_format: str) -> None:
        """``fd`` is where to write, not owned; ``access_format`` a preset or a format with atoms."""
        self.long = False
        self._fd = fd
        self._pipe = not system.is_regular(fd)
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
        self, remote: str, method: str, target: str, status: int, sent_bytes: int, referer: str, agent: str
    ) -> None:
        """The same in a short way, for a preset that is ``short``: an HTTP/1.1 request without credentials, all of it
        printable text.
        """
        second = int(time.time())
        if second != self._second:
            self._tick(second)
        self.lines.append((remote or "-", self._clock, method, target, status, sent_bytes or "-", referer, agent))

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
        remote, clock, method, target, status, sent_bytes, referer, agent = line
        values = (escape(remote), clock, method, escape(target), status, sent_bytes, escape(referer), escape(agent))
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

    def _write(self, data: bytes) -> bytes:
        """Write; returns what is left to write later."""
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
            last = data[data.rfind(b"\n", 0, -1) + 1 :]  # is kept, so that something tries again
            self._lose(max(0, data.count(b"\n", at) - 1), error, waiting=1)
            return last
        if data and self._troubled:
            log.warning("the access log is written again; %s", lost_words(self._lost))
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
