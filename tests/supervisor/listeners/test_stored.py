"""Under which name a listener is stored at systemd, and how it is found again."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from releve.supervisor.listeners import stored


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as one:
        yield one


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "[::1]:80", "unix:/run/shop/http sock;1.2", "unix:/größe:%3b"])
@pytest.mark.parametrize("inode", [None, (66, 1234567)])
def test_it_is_found_by_its_address_and_nothing_else(
    address: str, inode: tuple[int, int] | None, sock: socket.socket
) -> None:
    name = stored.name_of(address, inode)
    assert name is not None and name.isascii() and name.isprintable() and ":" not in name  # systemd takes no others
    assert stored.is_ours(name)
    assert stored.find(address, {"web": sock, name: sock}) == (sock, inode)
    assert stored.find(f"{address}0", {name: sock}) is None


def test_what_is_too_long_for_a_name_is_not_stored() -> None:
    assert stored.name_of("unix:/" + "x" * 230, None) is not None
    assert stored.name_of("unix:/" + "ö" * 50, None) is None  # six characters each


@pytest.mark.parametrize("name", ["web", "releve.127.0.0.1%3A8000;x.1", "releve.127.0.0.1%3A8000;1", "releve."])
def test_names_that_are_none_of_ours_are_passed_over(name: str, sock: socket.socket) -> None:
    assert stored.find("127.0.0.1:8000", {name: sock}) is None
