"""The grammar of ``log.access_format``: what a line of the access log may be made of.

The server has its own table, from an atom to what it shows (``server/wsgi/access_line.py``), since it may be of another
release than the supervisor that reads the YAML; a test compares the two.
"""

from __future__ import annotations

import re

from releve.config.errors import nearest
from releve.config.kinds.words import parse_text
from releve.config.settings.key import Rules

PRESETS = {
    "common": '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s',
    "combined": '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
    "json": "one JSON object per line",
}

ATOMS = {
    "h": "remote address; `-` for a Unix socket",
    "l": "`-`",
    "u": "user of Basic authorization",
    "t": "time of the line, as in `[24/Nov/2026:03:05:08 +0000]`",
    "r": "request line",
    "m": "method",
    "U": "path of the request with the prefix of a mounted application, percent-decoded, without the query",
    "q": "query, or empty",
    "H": "protocol",
    "s": "status",
    "B": "bytes of the response body",
    "b": "bytes of the response body, `-` for 0",
    "f": "`Referer`",
    "a": "`User-Agent`",
    "T": "duration of the request in whole seconds",
    "D": "duration in microseconds",
    "M": "duration in milliseconds",
    "L": "duration in seconds, as in `0.001234`",
    "p": "pid of the worker, as in `<812>`",
    "id": "`X-Request-ID`",
}

# %({name}i)s and so on: the last letter, and of what the name is.
NAMED = {"i": "request header", "o": "response header", "e": "variable of the WSGI environ"}

CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})

_PERCENT = re.compile(r"%(?:\((?:\{(?P<name>[^{}]*)\}(?P<of>[a-z])|(?P<atom>[^(){}]*))\)s|(?P<percent>%))?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_VARIABLE = re.compile(r"[\w.-]+")


def parse_access_format(text: str, rules: Rules) -> str:
    """A preset, or a format as written, once ``check_format`` understands it."""
    if text.lower() in PRESETS:
        return text.lower()
    check_format(parse_text(text, rules))
    return text


def check_format(text: str) -> None:
    """Refuse a format with a percent sign that is no atom, an unknown atom or a credential.

    Raises ValueError with the reason.
    """
    atoms = 0
    for match in _PERCENT.finditer(text):
        if match["name"] is not None:
            _check_named(match["name"], match["of"])
        elif match["atom"] is not None:
            _check_atom(match["atom"])
        elif match["percent"] is None:
            raise ValueError(
                f"the % at column {match.start() + 1} does not start an atom such as %(h)s or "
                f"%({{x-request-id}}i)s; write %% for a percent sign"
            )
        atoms += match["percent"] is None
    if not atoms:
        meant = nearest(text, PRESETS)
        raise ValueError(
            f"did you mean {meant!r}?"
            if meant
            else "expected common, combined, json, or a format with atoms such as %(h)s"
        )


def _check_atom(atom: str) -> None:
    if atom not in ATOMS:
        raise ValueError(
            f"unknown atom %({atom})s; the atoms are {', '.join(ATOMS)} and "
            f"{', '.join(f'{{name}}{of}' for of in NAMED)}"
        )


def _check_named(name: str, of: str) -> None:
    if of not in NAMED:
        raise ValueError(
            f"unknown atom %({{{name}}}{of})s; after the name comes "
            f"{', '.join(f'{of} ({what})' for of, what in NAMED.items())}"
        )
    if not (_VARIABLE if of == "e" else _TOKEN).fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a {NAMED[of]}")
    if name.lower().removeprefix("http_" if of == "e" else "").replace("_", "-") in CREDENTIALS:
        raise ValueError(f"{name} contains credentials, which are never logged")
