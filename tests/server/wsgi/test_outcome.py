"""Whose fault it is that something came out of the application, and what its client hears of it."""

from __future__ import annotations

import pytest

from releve.server.http import websocket
from releve.server.http.body import BodyRefused, ClientGone, ClientTooSlow
from releve.server.wsgi.outcome import Failure, judge


def raised(cause: BaseException) -> BaseException:
    """An error of an application that was raised while it handled another one."""
    try:
        try:
            raise cause
        except type(cause):
            raise KeyError("of the application") from None
    except KeyError as error:
        return error


def test_an_error_of_the_application_is_its_own() -> None:
    found = judge(RuntimeError("a\nb"), ClientGone("gone"), ClientGone("too"), begun=True)
    assert found == Failure("RuntimeError: a", 500, "the application failed", of_application=True)


def test_a_client_that_has_gone_is_nobodys_fault() -> None:
    gone = ClientGone("gone")
    assert judge(raised(gone), gone, None, begun=True) is None


@pytest.mark.parametrize(
    ("failure", "status", "reason"),
    [
        (ClientGone("gone"), 0, "the body does not arrive"),
        (ClientTooSlow("slow"), 408, "the body does not arrive"),
        (BodyRefused(413, "too large"), 413, "too large"),
    ],
)
def test_a_body_that_fails_is_not_the_applications(
    failure: ClientGone | ClientTooSlow | BodyRefused, status: int, reason: str
) -> None:
    assert judge(raised(failure), None, failure, begun=False) == Failure(str(failure), status, reason)


def test_an_error_whose_causes_form_a_circle_is_judged() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    found = judge(one, ClientGone("gone"), None, begun=False)
    assert found is not None
    assert found.of_application


def test_an_attempt_to_accept_a_websocket_is_refused_until_the_response_has_begun() -> None:
    error = raised(websocket.NoWebSocket(websocket.REASON))
    refused = judge(error, None, None, begun=False)
    assert refused == Failure(websocket.REASON, websocket.STATUS, websocket.REASON)
    late = judge(error, None, None, begun=True)
    assert late is not None
    assert late.of_application
