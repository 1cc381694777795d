"""Pins and listeners come back as they were packed, also across versions that know more of them, or less."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from harness.keepsakes import PIN
from releve.config.settings.address import Address
from releve.config.settings.settings import Settings
from releve.supervisor.keepsake.packing import pack_listener, pack_pin, unpack_listener, unpack_pin
from releve.supervisor.listeners.listener import Listener

UNFIT = (KeyError, TypeError, ValueError, AttributeError, IndexError)


def listener(**more: Any) -> Listener:
    address = Address("unix", path="/run/shop.sock", mode=0o660)
    values: dict[str, Any] = {"inherited": False, "inode": (5, 77), "aside": "/run/.shop.sock.1", **more}
    return Listener("unix:/run/shop.sock", address, None, **values)  # type: ignore[arg-type]


def by_wire(packed: Any) -> Any:
    return json.loads(json.dumps(packed))


def test_a_pin_comes_back_with_its_settings() -> None:
    settings = Settings(workers=7)
    packed = by_wire(pack_pin(PIN, settings))
    assert unpack_pin(packed) == (PIN, settings)
    newer = {**packed, "novelty": 1, "identity": {**packed["identity"], "novelty": 1}}
    assert unpack_pin(newer) == (PIN, settings)
    older = {key: value for key, value in packed.items() if key != "identity"}
    assert unpack_pin(older)[0].identity.user is None, "it was the supervisor's own user before there were others"


@pytest.mark.parametrize("more", [{}, {"inode": None, "aside": None}, {"inherited": True}], ids=str)
def test_a_listener_comes_back_with_the_socket_that_was_found(more: dict[str, Any]) -> None:
    packed = by_wire(pack_listener(listener(**more)))
    with socket.socket() as sock:
        found = unpack_listener({**packed, "novelty": 1, "address": {**packed["address"], "novelty": 1}}, sock)
        assert found.socket is sock
    expected = listener(**more)
    for name in ("name", "address", "inherited", "inode", "aside"):
        assert getattr(found, name) == getattr(expected, name)
    older = {key: packed[key] for key in ("name", "address")}
    plain = unpack_listener(older, None)
    assert (plain.inherited, plain.inode, plain.aside) == (False, None, None)


@pytest.mark.parametrize("packed", [{}, {"settings": {}, "identity": 3}, {"settings": None}, [], None], ids=str)
def test_what_is_no_pin_raises_one_of_a_few(packed: Any) -> None:
    with pytest.raises(UNFIT):
        unpack_pin(packed)


@pytest.mark.parametrize(
    "packed", [{}, {"name": "a"}, {"name": "a", "address": 3}, {"name": "a", "address": {"kind": "tcp"}, "inode": [1]}]
)
def test_what_is_no_listener_raises_one_of_a_few(packed: Any) -> None:
    with pytest.raises(UNFIT):
        unpack_listener(packed, None)
