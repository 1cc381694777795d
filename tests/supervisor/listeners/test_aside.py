"""Listeners that are put aside, and brought back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.addresses import answers, tcp, unix
from harness.service import free_port
from releve.supervisor.listeners.aside import bring_back, put_aside
from releve.supervisor.listeners.listener import Listener, ListenError, close_listener
from releve.supervisor.listeners.plan import plan_listeners


def test_a_listener_set_aside_refuses_although_another_process_holds_it_and_comes_back(
    tmp_path: Path, opened: list[Listener]
) -> None:
    held = plan_listeners([], [tcp(free_port()), unix(tmp_path / "http.sock")], 5, {}).all
    opened += held
    places: list[str | tuple[str, int]] = [held[0].socket.getsockname(), str(tmp_path / "http.sock")]
    with held[0].socket.dup(), held[1].socket.dup():  # as a generation that stands by holds them
        for listener, place in zip(held, places, strict=True):
            assert answers(place)
            put_aside(listener)
            put_aside(listener)
            assert not answers(place)
            bring_back(listener, 5)
            assert answers(place)
    assert os.listdir(tmp_path) == ["http.sock"]


def test_a_place_that_was_taken_meanwhile_is_not_taken_back(tmp_path: Path, opened: list[Listener]) -> None:
    port = free_port()
    held = plan_listeners([], [tcp(port), unix(tmp_path / "http.sock")], 5, {}).all
    opened += held
    for listener in held:
        put_aside(listener)
    successors = plan_listeners([], [tcp(port), unix(tmp_path / "http.sock")], 5, {}).all
    opened += successors
    with pytest.raises(ListenError, match="address already in use"):
        bring_back(held[0], 5)
    with pytest.raises(ListenError, match="another server listens there"):
        bring_back(held[1], 5)
    close_listener(held[1])
    assert os.listdir(tmp_path) == ["http.sock"]
    assert answers(str(tmp_path / "http.sock"))
