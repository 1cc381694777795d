"""What becomes of the listening sockets of a service when another set of them is in service."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from releve.config.settings.address import Address
from releve.supervisor.listeners.listener import ListenError
from releve.supervisor.service.held_listeners import HeldListeners
from releve.supervisor.systemd.notify import Notifier

OLD: Any = object()  # generations, which own what is put aside and are not asked for anything
OTHER: Any = object()


def unix(path: Path) -> Address:
    return Address(kind="unix", path=str(path))


def listening(held: HeldListeners, *addresses: Address) -> None:
    held.commit(held.plan(addresses, 10).all)


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


@pytest.fixture
def held() -> HeldListeners:
    return HeldListeners({}, Notifier({}))


def test_what_a_commit_drops_is_refused_and_can_be_brought_back(tmp_path: Path, held: HeldListeners) -> None:
    kept, dropped = tmp_path / "kept", tmp_path / "dropped"
    listening(held, unix(kept), unix(dropped))
    both = held.in_service
    (gone,) = held.commit(held.plan([unix(kept)], 10).all)
    assert held.in_service == [both[0]] and held.beyond(both) == [gone]
    held.put_aside(OLD, [gone])
    assert answers(kept) and not answers(dropped) and held.aside(OLD) == [gone]
    held.bring_back(OLD, 10)
    assert answers(dropped)
    held.put_back(OLD)
    assert not answers(dropped)
    held.bring_back(OLD, 10)
    assert held.commit(both) == []
    held.take_back(OLD)
    held.forget(OLD)
    assert answers(kept) and answers(dropped), "what serves again is not closed with what it was put aside for"
    held.close()
    assert not any(tmp_path.iterdir()) and held.in_service == []


def test_what_is_put_aside_has_no_file_from_the_moment_its_owner_retires(tmp_path: Path, held: HeldListeners) -> None:
    listening(held, unix(tmp_path / "a"), unix(tmp_path / "b"))
    first, second = held.commit([])
    held.put_aside(OLD, [first])
    held.put_aside(OTHER, [second])
    assert len(list(tmp_path.iterdir())) == 2
    held.retire(OLD)
    assert len(list(tmp_path.iterdir())) == 1 and first.socket.fileno() >= 0, "its owner may still serve what it has"
    held.forget(OLD)
    assert first.socket.fileno() < 0 and held.aside(OLD) == [] and held.aside(OTHER) == [second]
    held.close()
    assert not any(tmp_path.iterdir()) and second.socket.fileno() < 0


def test_a_place_that_was_taken_meanwhile_is_not_taken_back(tmp_path: Path, held: HeldListeners) -> None:
    path = tmp_path / "a"
    listening(held, unix(path))
    held.put_aside(OLD, held.commit([]))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(ListenError, match="cannot listen on"):
            held.bring_back(OLD, 10)
    held.close()


def test_a_plan_that_another_supervisor_has_carried_out_is_found_again(tmp_path: Path, held: HeldListeners) -> None:
    listening(held, unix(tmp_path / "kept"), unix(tmp_path / "dropped"))
    kept, dropped = held.in_service
    made = held.plan([kept.address, unix(tmp_path / "added")], 7)
    found = held.planned(made.all, 7)
    assert found == made and found.dropped == [dropped]
    made.abandon()
    held.close()


def test_a_commit_ends_what_an_operation_was_opening(tmp_path: Path, held: HeldListeners) -> None:
    plan = held.plan([unix(tmp_path / "a")], 10)
    held.opening = plan.added
    held.commit(plan.all)
    assert held.opening == []
    held.close()


def test_at_the_end_what_systemd_keeps_keeps_its_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        held = HeldListeners({}, Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}))
        listening(held, unix(tmp_path / "a"))
        held.store.keep(held.in_service)
        listening(held, unix(tmp_path / "a"), unix(tmp_path / "b"))  # which it has not been told of
        held.close()
    assert (tmp_path / "a").exists() and not (tmp_path / "b").exists()
