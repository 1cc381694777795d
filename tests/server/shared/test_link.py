"""The link between two processes: what it says when one of them has gone."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable

import pytest

from releve.server.shared.link import Garbled, Link, LinkError, Message, pair


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


def types(messages: Iterable[tuple[Message, list[int]]]) -> list[str]:
    return [message["type"] for message, _ in messages]


def test_messages_are_all_that_can_be_read_now() -> None:
    ours, theirs = pair()
    theirs.send({"type": "one"})
    theirs.send({"type": "two"}, [theirs.fileno()])
    (_, none), (_, (fd,)) = ours.messages()
    assert not none
    os.close(fd)
    assert not ours.ended
    theirs.send({"type": "three"})
    theirs.close()
    assert types(ours.messages()) == ["three"]
    assert (ours.ended, ours.trouble) == (True, "")
    assert types(ours.messages()) == []
    ours.close()


def test_what_is_no_message_is_passed_over_where_somebody_hears_of_it() -> None:
    ours, theirs = pair()
    heard: list[Garbled] = []
    for data in (b"{", b"[]", b'{"type": "one"}'):
        theirs.socket.send(data)
    assert types(ours.messages(heard.append)) == ["one"]
    assert len(heard) == 2
    assert not ours.ended
    ours.close()
    theirs.close()


def test_what_is_no_message_ends_a_link_that_nobody_sends_such() -> None:
    ours, theirs = pair()
    for data in (b"[]", b'{"type": "one"}'):
        theirs.socket.send(data)
    assert types(ours.messages()) == []
    assert (ours.ended, ours.trouble) == (True, "a message that is not a JSON object")
    ours.close()
    theirs.close()


def test_most_counts_what_is_no_message_too() -> None:
    """Or one that says nothing else would keep its reader for ever."""
    ours, theirs = pair()
    for data in (b"{", b'{"type": "one"}', b'{"type": "two"}'):
        theirs.socket.send(data)
    assert types(ours.messages(lambda error: None, 2)) == ["one"]
    assert types(ours.messages(lambda error: None, 2)) == ["two"]
    ours.close()
    theirs.close()


def test_an_error_of_the_socket_is_an_end_that_says_why() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours = Link(one)
    with open(os.devnull) as null:
        os.dup2(null.fileno(), ours.fileno(), inheritable=False)
    assert types(ours.messages()) == []
    assert ours.ended
    assert "Socket operation on non-socket" in ours.trouble
    ours.close()
    other.close()


def test_a_link_that_is_closed_meanwhile_says_no_more() -> None:
    ours, theirs = pair()
    theirs.send({"type": "one"})
    theirs.send({"type": "two"})
    for message, _ in ours.messages():
        assert message == {"type": "one"}
        ours.close()
    assert not ours.ended
    theirs.close()


def test_until_holds_for_what_is_no_message_too_and_one_packet_is_read_in_any_case() -> None:
    """A large one takes milliseconds to be found invalid, and thousands of them a turn of the loop that others need."""
    ours, theirs = pair()
    heard: list[Garbled] = []
    for data in (b"[]", b"{", b'{"type": "one"}', b'{"type": "two"}'):
        theirs.socket.send(data)
    for count in (1, 2):
        assert types(ours.messages(heard.append, until=0.0)) == [] and len(heard) == count
    assert types(ours.messages(heard.append, until=0.0)) == ["one"]
    assert types(ours.messages(heard.append, until=time.monotonic() + 600)) == ["two"]
    ours.close()
    theirs.close()
