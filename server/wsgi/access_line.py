"""One line of the access log: what a format may show of a request, escaped.

Whatever a client or an application has given can neither end its line nor leave its field.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from releve.server.shared.native import os, time

COMMON = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s'
COMBINED = COMMON + ' "%(f)s" "%(a)s"'
PRESETS = {"common": COMMON, "combined": COMBINED}

REQUEST_LINE = "releve.request_line"  # in the place of an environ, for a request that never got one

Environ = dict[str, Any]
Headers = Sequence[tuple[str, str]]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PIECE = re.compile(r"%(?:\((?:\{(?P<name>[^{}]*)\}(?P<of>[a-z])|(?P<atom>[^(){}]*))\)s|%)")
_UNSAFE = re.compile(r"[^ !#-\[\]-~]")  # all but printable ASCII, and the quote and the backslash


class Entry(NamedTuple):
    """One request, while its line is made."""

    environ: Environ
    status: int
    sent_bytes: int
    duration_s: float
    headers: Headers
    clock: str
    iso_clock: str


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
        user, colon, _ = binascii.a2b_base64(credentials.strip(), strict_mode=True).partition(b":")
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
