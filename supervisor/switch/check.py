"""The check: one HTTP request that a new worker must answer before it gets traffic.

Asked over a private connection of that worker, so the answer cannot come from
the release that is being replaced. RFC 9112 as far as one ``GET`` needs it.
"""

from __future__ import annotations

import asyncio
import socket
import time
from urllib.parse import quote

from releve.config.frozen import dataclass
from releve.config.kinds.http import parse_expect
from releve.config.settings.upgrade import Check
from releve.supervisor.channels.worker import Worker
from releve.supervisor.generation.generation import Generation
from releve.supervisor.switch.page import first_words

ANSWER_MAX_BYTES = 1024 * 1024
EXCERPT_MAX = 200
_URL_SAFE = "/?&=#%:;@!$'()*+,[]~"
_OF_THE_SERVER = b"the application failed"  # on the page for an exception that the server caught, and logged
_REDIRECTS = (301, 302, 303, 307, 308)


class CheckFailed(Exception):
    """The worker did not pass; the text says what it answered."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """An answer that passed."""

    status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response: status, header fields (lower case names), decoded body."""

    status: int
    fields: dict[str, str]
    body: bytes


async def ask_worker(generation: Generation, worker: Worker, check: Check) -> CheckResult:
    """Ask one worker, on a private connection of its own. Raises CheckFailed, also when it is gone."""
    ours, theirs = socket.socketpair()
    with theirs:
        told = worker.tell("serve", (theirs.fileno(),), listener="private")
    try:
        if not told:
            raise CheckFailed(f"cannot check worker {worker.number} of generation {generation.number}: it exited")
        return await ask(ours, check)
    finally:
        ours.close()


async def ask(sock: socket.socket, check: Check) -> CheckResult:
    """Ask over a connected stream socket, which stays the caller's. Raises CheckFailed."""
    target = quote(check.path, safe=_URL_SAFE)
    started = time.monotonic()
    try:
        async with asyncio.timeout(check.timeout):
            answer = await _exchange(sock, _request(target, check))
    except TimeoutError:
        raise CheckFailed(
            f"cannot pass the check: GET {target} got no answer within {check.timeout:g} s; "
            "find what it waits for, or raise upgrade.check.timeout"
        ) from None
    except OSError as error:
        raise CheckFailed(
            f"cannot pass the check: GET {target}: {(error.strerror or str(error)).lower()}; the "
            "worker closed the connection"
        ) from error
    except _Malformed as error:
        raise CheckFailed(f"cannot pass the check: GET {target}: {error}") from error
    if not any(answer.status in statuses for statuses in parse_expect(check.expect)):
        what = f"GET {target} answered {answer.status} (expected {check.expect})"
        raise CheckFailed(f"cannot pass the check: {what}{_page(answer)}{_hint(answer, check)}")
    return CheckResult(answer.status, time.monotonic() - started)


class _Malformed(Exception):
    """What came is not one whole HTTP response."""


def _request(target: str, check: Check) -> bytes:
    fields = {"Host": check.host, "User-Agent": "releve-check", "Accept": "*/*", "Connection": "close"}
    if check.https:
        fields["X-Forwarded-Proto"] = "https"
    fields |= check.headers
    for name, value in fields.items():
        if not name or any(mark in name + value for mark in "\r\n\0") or ":" in name or " " in name:
            raise CheckFailed(
                f"cannot ask the check: the header {name!r} has a character that headers must not have; "
                "change upgrade.check.headers"
            )
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


async def _exchange(sock: socket.socket, request: bytes) -> Answer:
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    await loop.sock_sendall(sock, request)
    data = bytearray()
    while True:
        chunk = await loop.sock_recv(sock, 65536)
        data += chunk
        answer = _parse(bytes(data), ended=not chunk)
        if answer is not None:
            return answer
        if not chunk:
            raise _Malformed(
                "the connection closed before the answer was complete; the worker may have crashed" if data else _SILENT
            )
        if len(data) > ANSWER_MAX_BYTES:
            raise _Malformed(
                f"the answer is longer than {ANSWER_MAX_BYTES} bytes; choose a smaller page for upgrade.check.path"
            )


_SILENT = "the connection closed without an answer; the worker may have crashed"


def _parse(data: bytes, ended: bool) -> Answer | None:
    """The final response in ``data``, or None while more must come. Raises _Malformed."""
    head, mark, rest = data.partition(b"\r\n\r\n")
    if data[:5] != b"HTTP/"[: len(data)]:
        raise _Malformed(f"the answer is not HTTP{_excerpt(data)}")
    if not mark:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    parts = first.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or len(parts[1]) != 3 or not parts[1].isdecimal():
        raise _Malformed(f"the answer has no status{_excerpt(data)}")
    status = int(parts[1])
    if 100 <= status < 200 and status != 101:
        return _parse(rest, ended) if rest else None
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = _body(status, fields, rest, ended)
    return None if body is None else Answer(status, fields, body)


def _body(status: int, fields: dict[str, str], rest: bytes, ended: bool) -> bytes | None:
    """The whole body by the rules of RFC 9112, section 6.3, or None while more must come."""
    if status in (101, 204, 304):
        return b""
    if fields.get("transfer-encoding", "").lower().endswith("chunked"):
        return _dechunk(rest)
    length = fields.get("content-length")
    if length is None:
        return rest if ended else None
    if not length.isdecimal():
        raise _Malformed(f"the answer has an invalid Content-Length, {length!r}")
    return rest[: int(length)] if len(rest) >= int(length) else None


def _dechunk(rest: bytes) -> bytes | None:
    body = bytearray()
    while True:
        line, mark, rest = rest.partition(b"\r\n")
        if not mark:
            return None
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise _Malformed(f"the answer has an invalid chunk size, {line[:20]!r}") from None
        if size == 0:
            return bytes(body) if rest.startswith(b"\r\n") or b"\r\n\r\n" in rest else None
        if len(rest) < size + 2:
            return None
        body += rest[:size]
        rest = rest[size + 2 :]


def _excerpt(body: bytes) -> str:
    text = " ".join(body[: EXCERPT_MAX * 4].decode("utf-8", "replace").split())
    return f': "{text[:EXCERPT_MAX]}{"…" if len(text) > EXCERPT_MAX else ""}"' if text else ""


def _page(answer: Answer) -> str:
    words = first_words(answer.body, answer.fields.get("content-type", ""), EXCERPT_MAX)
    if words[: len(words) // 2] == words[len(words) // 2 + 1 :]:  # a title that is the heading too
        words = words[: len(words) // 2]
    return f', with the text "{words}"' if words else ""


def _hint(answer: Answer, check: Check) -> str:
    """What usually is the matter."""
    if answer.status == 400:
        return (
            f"; if the application refuses the Host {check.host!r} (Django's ALLOWED_HOSTS), set upgrade.check.host to "
            "one that it accepts"
        )
    if answer.status >= 500 and _OF_THE_SERVER not in answer.body:
        return "; a traceback is shown if the application logs it to standard error (Django: only with LOGGING)"
    where = answer.fields.get("location", "")
    if answer.status in _REDIRECTS and where.startswith("https:") and not check.https:
        return "; it redirects to https: set upgrade.check.https to true"
    if answer.status in _REDIRECTS:
        return f"; it redirects to {where}: set upgrade.check.path to a page that answers directly"
    return ""
