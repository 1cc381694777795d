"""What a cold start takes, and where a late rollback goes, by the history."""

from __future__ import annotations

from typing import Any

import pytest

from releve.supervisor.operations.coldstart import choose, previous


def release(name: str, revision: str | None = None) -> dict[str, Any]:
    return {"directory": f"/srv/{name}", "python": f"/srv/{name}/.venv/bin/python", "revision": revision}


A, B, C = release("a"), release("b"), release("c")


def attempt(verb: str, outcome: str | None, **more: Any) -> dict[str, Any]:
    return {"verb": verb, "outcome": outcome, **more}


def committed(new: dict[str, Any], old: dict[str, Any] | None = None, verb: str = "upgrade") -> dict[str, Any]:
    return attempt(verb, "done", target=new, to=new, **({"from": old} if old else {}))


START = committed(A, verb="start")


@pytest.mark.parametrize(
    ("entries", "taken", "words"),
    [
        ([], None, ""),
        ([START], None, ""),
        ([START, committed(B, A)], None, ""),
        ([START, attempt("upgrade", "failed", target=B, to=A)], A, "failed"),
        ([START, attempt("upgrade", "rolled back", target=B, to=A)], A, "was rolled back"),
        ([START, attempt("upgrade", "aborted", target=B, to=A)], None, ""),
        ([START, attempt("upgrade", "dry run", target=B, to=A)], None, ""),
        # before the switch: nothing is known against it
        ([START, attempt("upgrade", "interrupted", target=B)], None, ""),
        ([START, attempt("upgrade", "interrupted", target=B, switched=True)], A, "never committed"),
        ([START, attempt("upgrade", "failed", target=B, to=A), committed(B, A)], None, ""),  # mended since
        ([START, committed(B, A), attempt("rollback", "done", to=A, **{"from": B})], A, "was rolled back"),
        ([START, committed(B, A), attempt("upgrade", "failed", target=B, to=B)], None, ""),  # B served all the while
        ([START, committed(B, A), attempt("upgrade", "interrupted", target=B, switched=True)], None, ""),
        ([START, committed(B, A), attempt("upgrade", "rolled back", target=B, to=B)], None, ""),  # by itself
        ([START, committed(B, A), attempt("rollback", "done", to=B, **{"from": B})], None, ""),
        ([START, committed(B, A), attempt("start", "failed", target=B)], None, ""),
        ([START, committed(B, A), attempt("recover", "failed", target=B, to=B)], None, ""),
        ([START, committed(B, A), committed(A, B), attempt("upgrade", "failed", target=B, to=A)], None, ""),
        (
            [START, committed(B, A), committed(A, B), attempt("upgrade", "rolled back", target=B, to=A)],
            A,
            "was rolled back",
        ),
        (
            [
                START,
                committed(B, A),
                attempt("rollback", "done", to=A, **{"from": B}),
                attempt("upgrade", "failed", target=B, to=A),
            ],
            A,
            "was rolled back",
        ),
        (
            [
                START,
                attempt("upgrade", "interrupted", target=B, switched=True),
                attempt("adopt", "rolled back", target=B, to=A),
            ],
            A,
            "rolled",
        ),
        (
            [
                START,
                committed(B, A),
                attempt("upgrade", "failed", target=B, to=B),
                attempt("rollback", "done", to=A, **{"from": B}),
            ],
            A,
            "was",
        ),
        ([attempt("start", "failed", target=B)], None, ""),  # there is no other one
    ],
)
def test_a_cold_start(entries: list[dict[str, Any]], taken: dict[str, Any] | None, words: str) -> None:
    decision = choose(entries, B, lambda one: True)
    assert decision.release == taken
    assert words in decision.reason


def test_a_cold_start_where_the_last_committed_release_was_deleted() -> None:
    entries = [START, attempt("upgrade", "failed", target=B, to=A)]
    decision = choose(entries, B, lambda one: False)
    assert decision.release is None and "no longer exists" in decision.reason


def test_a_fix_in_place_is_another_release_where_the_revision_is_known() -> None:
    bad, mended = release("b", "1" * 40), release("b", "2" * 40)
    entries = [START, attempt("upgrade", "failed", target=bad, to=A)]
    assert choose(entries, bad, lambda one: True).release == A
    assert choose(entries, mended, lambda one: True).release is None


@pytest.mark.parametrize(
    ("entries", "current", "back"),
    [
        ([START, committed(B, A), committed(C, B)], C, B),
        ([START, committed(B, A), committed(C, B), attempt("rollback", "done", to=B, **{"from": C})], B, A),
        ([START, committed(B, A), attempt("rollback", "done", to=A, **{"from": B}), committed(C, A)], C, A),
        ([START, committed(B, A), attempt("upgrade", "failed", target=C, to=B)], B, A),
        ([START, committed(B, A), committed(B, B)], B, A),  # the same release once more
        ([START, committed(B, A), committed(A, B)], A, B),
    ],
)
def test_the_release_before(entries: list[dict[str, Any]], current: dict[str, Any], back: dict[str, Any]) -> None:
    assert previous(entries, current).release == back


def test_no_release_before() -> None:
    assert previous([START], A).release is None
    assert "has no release" in previous([START], A).reason
    one, two = release("a", "1" * 40), release("a", "2" * 40)
    decision = previous([committed(one, verb="start"), committed(two, one)], two)
    assert decision.release is None and "same folder" in decision.reason
