"""An order: which instance is said to be meant."""

from __future__ import annotations

import socket
import sys

import pytest

from releve.ctl import order
from releve.ctl.conversation.find import Found
from releve.ctl.order import Order, locate
from releve.instance.cards import Card

CARD = Card(1, "/srv/shop", None, "/run/shop/ctl.sock")


@pytest.mark.parametrize(("terminal", "guessed", "said"), [(True, True, 1), (True, False, 0), (False, True, 0)])
def test_a_guess_is_said_once_and_to_a_person(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool, guessed: bool, said: int
) -> None:
    with socket.socket() as sock:
        found = Found(sock, CARD.socket, CARD, guessed)
        monkeypatch.setattr(order, "find", lambda *_: found)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
        monkeypatch.setenv("TERM", "xterm")
        order._say_which.cache_clear()
        for _ in range(2):
            assert locate(Order("status", None, None, json=False, timeout_s=None)) is found
    assert capsys.readouterr().err.count("the only running service") == said
