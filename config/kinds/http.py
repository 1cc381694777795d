"""Parts of a request and of an answer: paths, prefixes, hosts, header fields, statuses."""

from __future__ import annotations

import re
from urllib.parse import unquote

from releve.config.kinds.words import printable
from releve.config.settings.key import Rules

_STATUSES = re.compile(r"([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2


def parse_prefix(text: str) -> str:
    """A path prefix, as text and not percent-encoded: empty, or segments with one ``/`` before each.

    Raises ValueError.
    """
    if text == "/":
        raise ValueError("the prefix for all paths is ''")
    if not text:
        return text
    if not text.startswith("/"):
        raise ValueError(f"a prefix begins with /; write /{text.strip('/')}")
    if "//" in text:
        raise ValueError(f"a prefix has no empty segment; write {re.sub('/+', '/', text).rstrip('/')}")
    if text.endswith("/"):
        raise ValueError(f"a prefix also covers all paths below it and ends without /; write {text.rstrip('/')}")
    if re.search("%[0-9A-Fa-f]{2}", text):
        raise ValueError(f"a prefix is written as text, not percent-encoded; write {unquote(text)}")
    if not text.isprintable() or any(character in text for character in "?#"):
        raise ValueError("a prefix is a path: no control characters, '?' or '#'")
    if {".", ".."}.intersection(text.split("/")):
        raise ValueError("a prefix has no segment . or ..")
    return text


def parse_target(text: str, rules: Rules) -> str:
    """Path and query of a request, in origin form (RFC 9112, section 3.2.1)."""
    if not text.startswith("/"):
        raise ValueError(
            f"expected a path; write /{text}"
            if re.fullmatch(r"[\w.-][\w./-]*", text)
            else "expected a path such as /healthz"
        )
    if not text.isascii() or not text.isprintable() or " " in text or "#" in text:
        raise ValueError("a path has no spaces, '#' or characters beyond ASCII; write them as %20 and so on")
    return text


def parse_host(text: str, rules: Rules) -> str:
    """A host name, with a port if need be, for the Host header."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+(?::[0-9]+)?|\[[0-9A-Fa-f:.]+\](?::[0-9]+)?", text):
        raise ValueError("expected a host name such as www.example.org")
    return text


def parse_statuses(text: str, rules: Rules) -> str:
    """Statuses as written, once ``parse_expect`` understands them."""
    parse_expect(text)
    return text


def parse_expect(text: str) -> tuple[range, ...]:
    """The statuses in ``200-299,404`` as ranges; a status is expected if it is ``in`` any of them.

    Raises ValueError.
    """
    ranges = []
    for part in text.split(","):
        match = _STATUSES.fullmatch(part.strip())
        if match is None:
            raise ValueError("expected statuses such as 200 or 200-299,404")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"the range {part.strip()} is empty; write {last}-{first}")
        ranges.append(range(first, last + 1))
    return tuple(ranges)


def check_header(name: str, value: str) -> None:
    """Refuse what is not a header field (RFC 9110, section 5). Raises ValueError."""
    if not _TOKEN.fullmatch(name):
        raise ValueError("expected the name of a header field")
    if name.lower() in ("host", "content-length", "transfer-encoding", "connection"):
        raise ValueError("use host for it" if name.lower() == "host" else "the check sets it itself")
    printable(value)
