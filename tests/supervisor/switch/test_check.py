"""The check, asked of a scripted worker at the other end of a real socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import pytest

from releve.config.settings.upgrade import Check
from releve.supervisor.switch.check import CheckFailed, CheckResult, ask


def _ask(check: Check, answer: bytes | Sequence[bytes], *, close: bool = True) -> tuple[CheckResult | str, bytes]:
    """The result, or the reason of the failure; and the request as the worker got it."""
    pieces = [answer] if isinstance(answer, bytes) else list(answer)

    async def both() -> tuple[CheckResult | str, bytes]:
        ours, theirs = socket.socketpair()
        with ours:
            reader, writer = await asyncio.open_unix_connection(sock=theirs)

            requests: list[bytes] = []

            async def work() -> None:
                requests.append(await reader.readuntil(b"\r\n\r\n"))
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if close:
                    writer.close()

            worker = asyncio.create_task(work())
            try:
                outcome: CheckResult | str = await ask(ours, check)
            except CheckFailed as error:
                outcome = str(error)
            assert ours.fileno() >= 0  # the socket stays the caller's
            worker.cancel()
            writer.close()
            return outcome, requests[0]

    return asyncio.run(asyncio.wait_for(both(), 20))


def _response(status: str, body: bytes = b"", *fields: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]).encode() + body


def test_the_request_says_what_the_settings_say() -> None:
    check = Check(path="/up?deep=1&x=é", host="www.example.org", headers={"X-Token": "abc"}, https=True)
    outcome, request = _ask(check, _response("200 OK", b"fine"))
    assert isinstance(outcome, CheckResult)
    assert outcome.status == 200
    assert 0 <= outcome.seconds < 5
    first, *fields = request.decode().rstrip("\r\n").split("\r\n")
    assert first == "GET /up?deep=1&x=%C3%A9 HTTP/1.1"
    assert set(fields) >= {"Host: www.example.org", "X-Token: abc", "X-Forwarded-Proto: https", "Connection: close"}


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "302 Found", "399 Odd", "200"])
def test_the_expected_statuses_pass(status: str) -> None:
    assert isinstance(_ask(Check(), _response(status))[0], CheckResult)


@pytest.mark.parametrize(
    "answer",
    [
        _response("200 OK", b"x" * 300_000),
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nwiki\r\n0\r\nTrailer: 1\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + _response("200 OK"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
    ],
)
def test_every_way_to_end_a_body_passes_whole_or_byte_by_byte(answer: bytes) -> None:
    assert isinstance(_ask(Check(), answer)[0], CheckResult)
    if len(answer) < 1000:
        assert isinstance(_ask(Check(), [bytes([byte]) for byte in answer])[0], CheckResult)


@pytest.mark.parametrize(
    "answer", [_response("200 OK", b"x"), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"]
)
def test_a_whole_answer_passes_though_the_connection_stays(answer: bytes) -> None:
    assert isinstance(_ask(Check(), answer, close=False)[0], CheckResult)


@pytest.mark.parametrize(
    ("check", "answer", "reason"),
    [
        (
            Check(path="/healthz"),
            _response("500 Internal Server Error", b"500 Internal Server Error\nthe application   failed"),
            "cannot pass the check: GET /healthz answered 500 (expected 200-399), with the text "
            '"500 Internal Server Error the application failed"; a traceback is shown if the application logs it to '
            "standard error (Django: only with LOGGING)",
        ),
        (
            Check(path="/healthz"),
            _response("500 Internal Server Error", b"500 Internal Server Error\nthe application failed\n"),
            "cannot pass the check: GET /healthz answered 500 (expected 200-399), with the text "
            '"500 Internal Server Error the application failed"',
        ),
        (
            Check(),
            _response("503 Service Unavailable", b"<title>Down (1)</title><h1>Down (1)</h1>"),
            'cannot pass the check: GET / answered 503 (expected 200-399), with the text "Down (1)"; a traceback '
            "is shown if the application logs it to standard error (Django: only with LOGGING)",
        ),
        (Check(expect="204"), _response("200 OK"), "cannot pass the check: GET / answered 200 (expected 204)"),
        (
            Check(),
            _response("400 Bad Request", b"<h1>Bad Request (400)</h1>"),
            'cannot pass the check: GET / answered 400 (expected 200-399), with the text "Bad Request (400)"; '
            "if the application refuses the Host 'localhost' (Django's ALLOWED_HOSTS), set upgrade.check.host to one "
            "that it accepts",
        ),
        (
            Check(expect="200"),
            _response("301 Moved Permanently", b"", "Location: https://localhost/"),
            (
                "cannot pass the check: GET / answered 301 (expected 200); it redirects to https: set "
                "upgrade.check.https to true"
            ),
        ),
        (
            Check(expect="200"),
            _response("302 Found", b"", "Location: /login"),
            "cannot pass the check: GET / answered 302 (expected 200); it redirects to /login: "
            "set upgrade.check.path to a page that answers directly",
        ),
        (
            Check(),
            b"",
            "cannot pass the check: GET /: the connection closed without an answer; the worker may have crashed",
        ),
        (
            Check(),
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
            "cannot pass the check: GET /: the connection closed before the answer was complete; the worker may have "
            "crashed",
        ),
        (
            Check(),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n",
            "cannot pass the check: GET /: the connection closed before the answer was complete; the worker may have "
            "crashed",
        ),
        (Check(), b"SSH-2.0-OpenSSH\r\n", 'cannot pass the check: GET /: the answer is not HTTP: "SSH-2.0-OpenSSH"'),
        (Check(), b"HTTP/1.1 OK\r\n\r\n", 'cannot pass the check: GET /: the answer has no status: "HTTP/1.1 OK"'),
        (
            Check(),
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "cannot pass the check: GET /: the answer has an invalid Content-Length, 'many'",
        ),
    ],
)
def test_a_failure_says_what_came_and_what_to_do(check: Check, answer: bytes, reason: str) -> None:
    assert _ask(check, answer)[0] == reason


def test_a_long_error_page_is_clipped() -> None:
    reason = _ask(Check(), _response("500 Oops", b"word " * 10_000))[0]
    assert isinstance(reason, str)
    assert len(reason) < 450
    assert '…"; a traceback is shown if' in reason


def test_an_endless_answer_is_given_up() -> None:
    reason = _ask(Check(timeout=10), [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 65536] * 32])[0]
    assert reason == (
        "cannot pass the check: GET /: the answer is longer than 1048576 bytes; choose a smaller page "
        "for upgrade.check.path"
    )


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", _response("200 OK", b"half")[:-1]])
def test_silence_and_a_stuck_answer_end_at_the_timeout(answer: bytes) -> None:
    reason = _ask(Check(timeout=0.1), answer, close=False)[0]
    assert isinstance(reason, str)
    assert "GET / got no answer within 0.1 s" in reason


def test_a_header_that_would_break_the_request_is_refused() -> None:
    async def refused() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs, pytest.raises(CheckFailed, match="the header 'X-A'"):
            await ask(ours, Check(headers={"X-A": "1\r\nX-B: 2"}))

    asyncio.run(refused())
