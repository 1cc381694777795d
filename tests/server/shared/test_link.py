"""The link between two processes: what it says when one of them has gone."""

from __future__ import annotations

import pytest

from releve.server.shared.link import LinkError, pair


def test_a_peer_that_left_is_the_end() -> None:
    ours, theirs = pair()
    theirs.close()
    assert ours.receive() is None
    with pytest.raises(LinkError, match="cannot send alive"):
        ours.send({"type": "alive"})
    ours.close()


def test_last_words_are_heard_though_ours_were_not() -> None:
    """The kernel says ECONNRESET first, where the peer has closed with something unread: once a master's traceback was
    lost so.
    """
    ours, theirs = pair()
    ours.send({"type": "alive"})
    theirs.send({"type": "phase"})
    theirs.send({"type": "failed"})
    theirs.close()
    assert [ours.receive(), ours.receive(), ours.receive()] == [({"type": "phase"}, []), ({"type": "failed"}, []), None]
    ours.close()


def test_a_peer_that_left_with_nothing_said() -> None:
    ours, theirs = pair()
    ours.send({"type": "alive"})
    theirs.close()
    assert ours.receive() is None
    ours.close()
