"""Listeners on real sockets: what opens, what is refused and why, and what a plan leaves behind."""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.descriptors import descriptors
from releve.config import kernel
from releve.config.settings.address import Address
from releve.supervisor.host import system
from releve.supervisor.listeners import inherited as passed_on
from releve.supervisor.listeners.aside import bring_back, put_aside
from releve.supervisor.listeners.inherited import inherited_sockets, unclaimed
from releve.supervisor.listeners.listener import Listener, ListenError, close_listener
from releve.supervisor.listeners.opening import open_listener
from releve.supervisor.listeners.plan import plan_listeners


@pytest.fixture
def opened() -> Iterator[list[Listener]]:
    """Listeners put in here are closed at the end."""
    some: list[Listener] = []
    yield some
    for listener in some:
        close_listener(listener)


def _unix(path: Path, **more: object) -> Address:
    return Address("unix", path=str(path), **more)  # type: ignore[arg-type]


def _tcp(port: int = 0, host: str = "127.0.0.1") -> Address:
    return Address("tcp", host=host, port=port)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _answers(where: str | tuple[str, int]) -> bool:
    with socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET) as client:
        client.settimeout(2)
        try:
            client.connect(where)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        return True


def _open_fds() -> set[str]:
    return {
        f"{fd}:{os.readlink(f'/proc/self/fd/{fd}')}" for fd in descriptors() if os.path.exists(f"/proc/self/fd/{fd}")
    }


# ---- TCP


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("localhost", socket.AF_INET), ("::1", socket.AF_INET6)]
)
def test_a_tcp_listener_is_non_blocking_private_to_us_and_reachable(
    opened: list[Listener], host: str, family: socket.AddressFamily
) -> None:
    listener = open_listener(_tcp(host=host), 7, {})
    opened.append(listener)
    sock = listener.socket
    assert (listener.name, sock.family, sock.getblocking(), sock.get_inheritable()) == (
        str(_tcp(host=host)),
        family,
        False,
        False,
    )
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    if family == socket.AF_INET6:
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    with socket.create_connection(sock.getsockname()[:2], timeout=2):
        pass


def test_v4_and_v6_share_a_port(opened: list[Listener]) -> None:
    port = _free_port()
    opened += plan_listeners([], [_tcp(port, "0.0.0.0"), _tcp(port, "::")], 5, {}).all
    assert [one.name for one in opened] == [f"0.0.0.0:{port}", f"[::]:{port}"]


def test_an_address_in_use_says_so_and_what_to_do(opened: list[Listener]) -> None:
    opened.append(open_listener(_tcp(), 5, {}))
    port = opened[0].socket.getsockname()[1]
    with pytest.raises(
        ListenError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: address already in use; .*ss -ltnp"
    ):
        open_listener(_tcp(port), 5, {})


def test_a_foreign_address_and_an_unknown_host_say_so() -> None:
    with pytest.raises(ListenError, match="this host has no such address"):
        open_listener(_tcp(8000, "192.0.2.1"), 5, {})
    with pytest.raises(ListenError, match=r"cannot listen on no\.such\.invalid:80: .*write a numeric address"):
        open_listener(_tcp(80, "no.such.invalid"), 5, {})


def test_a_port_below_1024_without_the_right_says_what_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, where: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(
        ListenError, match=r"cannot listen on 127\.0\.0\.1:80: permission denied; .*CAP_NET_BIND_SERVICE"
    ):
        open_listener(_tcp(80), 5, {})


# ---- Unix sockets


def test_a_unix_listener_has_its_mode_and_leaves_nothing_beside_or_behind(tmp_path: Path) -> None:
    listener = open_listener(_unix(tmp_path / "http.sock", mode=0o640), 5, {})
    assert os.listdir(tmp_path) == ["http.sock"]
    assert stat.S_IMODE(os.stat(tmp_path / "http.sock").st_mode) == 0o640
    assert _answers(str(tmp_path / "http.sock"))
    close_listener(listener)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_unix_listener_is_given_to_owner_and_group(tmp_path: Path, opened: list[Listener]) -> None:
    group = grp.getgrgid(1)
    opened.append(open_listener(_unix(tmp_path / "s", owner="nobody", group=group.gr_name), 5, {}))
    entry = os.stat(tmp_path / "s")
    assert (entry.st_uid, entry.st_gid) == (65534, 1)


def test_an_unknown_owner_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    before = _open_fds()
    with pytest.raises(ListenError, match="there is no group nobody-has-this-group"):
        open_listener(_unix(tmp_path / "s", group="nobody-has-this-group"), 5, {})
    assert os.listdir(tmp_path) == []
    assert _open_fds() == before


def _dead_server(path: Path) -> None:
    """A socket file whose server was killed."""
    script = (
        "import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); "
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], timeout=20).returncode == -9


def test_the_file_of_a_dead_server_is_replaced(tmp_path: Path, opened: list[Listener]) -> None:
    _dead_server(tmp_path / "s")
    opened.append(open_listener(_unix(tmp_path / "s"), 5, {}))
    assert _answers(str(tmp_path / "s"))
    assert os.listdir(tmp_path) == ["s"]


@pytest.mark.parametrize("full", [False, True])
def test_a_live_server_is_left_alone(tmp_path: Path, full: bool) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, ExitStack() as clients:
        server.bind(path)
        server.listen(0)
        while full:  # until its queue takes no more: connect then says EAGAIN, not that nobody is there
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            full = client.connect_ex(path) == 0
        with pytest.raises(ListenError, match="another server is alive on it, and goes on"):
            open_listener(_unix(tmp_path / "s"), 5, {})
        assert os.listdir(tmp_path) == ["s"]


def test_a_live_datagram_socket_and_a_plain_file_are_left_alone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "d"))
        with pytest.raises(ListenError, match="alive"):
            open_listener(_unix(tmp_path / "d"), 5, {})
    (tmp_path / "f").write_text("precious")
    with pytest.raises(ListenError, match="not a socket, and it is left alone"):
        open_listener(_unix(tmp_path / "f"), 5, {})
    assert (tmp_path / "f").read_text() == "precious"


def test_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="its folder does not exist: .*RuntimeDirectory="):
        open_listener(_unix(tmp_path / "none" / "s"), 5, {})


@pytest.mark.parametrize(
    ("length", "name"), [(107, "s"), (107, "http.sock"), (107, "a-very-long-name-of-a-socket.sock")]
)
def test_a_path_of_the_greatest_length_works_whatever_its_last_name(
    length: int, name: str, opened: list[Listener]
) -> None:
    base = f"/tmp/releve-test-{os.getpid()}-"  # tmp_path is too long
    folder = base + "x" * (length - len(base) - len(name) - 1)
    os.mkdir(folder)
    try:
        opened.append(open_listener(_unix(Path(folder) / name), 5, {}))
        assert _answers(f"{folder}/{name}")
        close_listener(opened.pop())
        with pytest.raises(ListenError, match="more than 107 bytes"):
            open_listener(_unix(Path(folder) / (name + "1")), 5, {})
    finally:
        os.rmdir(folder)


def test_the_file_of_a_successor_is_not_removed(tmp_path: Path, opened: list[Listener]) -> None:
    old = open_listener(_unix(tmp_path / "s"), 5, {})
    os.unlink(tmp_path / "s")
    opened.append(open_listener(_unix(tmp_path / "s"), 5, {}))
    close_listener(old)
    assert _answers(str(tmp_path / "s"))


# ---- sockets passed on


def _pass_on(environment: dict[str, str], *sockets: socket.socket) -> dict[str, socket.socket]:
    """Call ``inherited_sockets`` as a process does that systemd gave these sockets to: they are its descriptors from 3
    on.
    """
    first = max(sock.fileno() for sock in sockets) + 50
    for offset, sock in enumerate(sockets):
        os.dup2(sock.fileno(), first + offset, inheritable=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passed_on, "FIRST_INHERITED_FD", first)
        return inherited_sockets(
            {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), **environment}, os.getpid()
        )


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_inherited_sockets_go_by_name_and_are_duplicated(server: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        inherited = _pass_on({"LISTEN_FDNAMES": "web:web"}, server, other)
        assert list(inherited) == ["web", "web:2"]
        assert not any(sock.get_inheritable() for sock in inherited.values())
        made = plan_listeners([], [Address("fd", name="web")], 5, inherited)
        assert [one.name for one in made.all] == ["fd:web", "fd:web:2"]
        assert [one.socket.getsockname() for one in made.all] == [server.getsockname(), other.getsockname()]
        assert all(one.inherited and not one.socket.getblocking() for one in made.all)
        made.abandon()
        again = plan_listeners([], [Address("fd", name="web")], 5, inherited)  # dropped and wanted again
        assert len(again.all) == 2
        again.abandon()
        for sock in inherited.values():
            sock.close()


def test_sockets_of_another_process_or_nonsense(server: socket.socket) -> None:
    assert inherited_sockets({}, 1) == {}
    assert inherited_sockets({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, 2) == {}
    with pytest.raises(ListenError, match="LISTEN_FDS is 'x'"):
        inherited_sockets({"LISTEN_PID": "2", "LISTEN_FDS": "x"}, 2)
    with pytest.raises(ListenError, match="is not open"):
        _pass_on({"LISTEN_FDS": "2"}, server)


def test_a_name_that_was_not_passed_on_and_one_that_nobody_wants(server: socket.socket) -> None:
    inherited = _pass_on({}, server)
    assert list(inherited) == ["unknown"]
    with pytest.raises(
        ListenError, match=r"cannot listen on fd:web: no such socket was passed on \(passed on: unknown\)"
    ):
        open_listener(Address("fd", name="web"), 5, inherited)
    assert unclaimed([_tcp()], inherited) == ["unknown"]
    assert unclaimed([Address("fd", name="unknown")], inherited) == []
    inherited["unknown"].close()


def test_an_inherited_socket_must_listen_and_be_a_stream() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram, socket.socket() as silent:
        inherited = _pass_on({"LISTEN_FDNAMES": "a:b"}, datagram, silent)
        for name in "ab":
            with pytest.raises(ListenError, match="not a listening stream socket"):
                open_listener(Address("fd", name=name), 5, inherited)
            inherited[name].close()


# ---- plans


def test_a_plan_keeps_what_is_held_and_lists_what_is_dropped(tmp_path: Path, opened: list[Listener]) -> None:
    port = _free_port()
    first = plan_listeners([], [_tcp(port), _unix(tmp_path / "a")], 5, {})
    opened += first.all
    second = plan_listeners(first.all, [_unix(tmp_path / "b"), _tcp(port)], 5, {})
    assert second.keep == [first.all[0]]
    assert second.dropped == [first.all[1]]
    assert [one.name for one in second.added] == [f"unix:{tmp_path}/b"]
    assert [one.name for one in second.all] == [f"unix:{tmp_path}/b", f"127.0.0.1:{port}"]
    assert _answers(str(tmp_path / "a"))  # dropped ones are the caller's to close
    second.abandon()
    assert sorted(os.listdir(tmp_path)) == ["a"]
    assert _answers(("127.0.0.1", port))


def test_a_plan_that_fails_closes_what_it_opened_and_nothing_else(
    tmp_path: Path, opened: list[Listener], server: socket.socket
) -> None:
    held = plan_listeners([], [_unix(tmp_path / "a")], 5, {}).all
    opened += held
    before = _open_fds()
    with pytest.raises(ListenError, match="address already in use"):
        plan_listeners(held, [_unix(tmp_path / "a"), _unix(tmp_path / "b"), _tcp(server.getsockname()[1])], 5, {})
    assert _open_fds() == before
    assert os.listdir(tmp_path) == ["a"]
    assert _answers(str(tmp_path / "a"))


def test_nobody_sends_descriptors_to_a_unix_listener(tmp_path: Path, opened: list[Listener]) -> None:
    """A worker that reads what came with one would drop it, and wait as long as that takes."""
    opened += plan_listeners([], [_unix(tmp_path / "a")], 5, {}).all
    try:
        opened[0].socket.getsockopt(socket.SOL_SOCKET, system._SO_PASSRIGHTS)
    except OSError:
        pytest.skip("this kernel has no SO_PASSRIGHTS")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(tmp_path / "a"))
        with pytest.raises(PermissionError):
            socket.send_fds(client, [b"GET"], [0])
        client.send(b"GET")
        accepted, _ = opened[0].socket.accept()
        with accepted, pytest.raises(PermissionError):
            socket.send_fds(client, [b"GET"], [0])


def test_a_held_listener_that_somebody_has_shut_down_serves_after_the_next_plan(
    tmp_path: Path, opened: list[Listener]
) -> None:
    """As a generation can, which shares the socket; a new one is to have clients all the same."""
    wanted = [_unix(tmp_path / "a"), _tcp(_free_port())]
    held = plan_listeners([], wanted, 5, {}).all
    opened += held
    for listener in held:
        with socket.socket(fileno=os.dup(listener.socket.fileno())) as shared:
            shared.shutdown(socket.SHUT_RDWR)
    healed = plan_listeners(held, wanted, 5, {})
    opened += healed.added
    assert healed.commit() == []
    for listener in healed.all:
        where: Any = str(tmp_path / "a") if listener.inode else ("127.0.0.1", wanted[1].port)
        with socket.socket(listener.socket.family, socket.SOCK_STREAM) as client:
            client.connect(where)


def test_a_held_unix_listener_whose_file_was_removed_is_bound_anew(tmp_path: Path, opened: list[Listener]) -> None:
    held = plan_listeners([], [_unix(tmp_path / "a")], 5, {}).all
    opened += held
    os.unlink(tmp_path / "a")
    healed = plan_listeners(held, [_unix(tmp_path / "a")], 5, {})
    opened += healed.all
    assert healed.dropped == held
    close_listener(held[0])
    assert _answers(str(tmp_path / "a"))


def test_a_commit_changes_mode_and_backlog_of_what_is_kept(tmp_path: Path, opened: list[Listener]) -> None:
    held = plan_listeners([], [_unix(tmp_path / "a", mode=0o600), _tcp()], 5, {}).all
    opened += held
    changed = plan_listeners(held, [_unix(tmp_path / "a", mode=0o666), _tcp()], 1, {})
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o600
    assert changed.commit() == []
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o666
    assert held[0].address.mode == 0o666
    with ExitStack() as clients:  # a backlog of 1 lets two wait, 5 would let six
        for _ in range(2):
            clients.enter_context(socket.socket(socket.AF_UNIX)).connect(str(tmp_path / "a"))
        with pytest.raises(BlockingIOError), socket.socket(socket.AF_UNIX) as third:
            third.setblocking(False)
            third.connect(str(tmp_path / "a"))


def test_a_commit_that_cannot_give_a_socket_away_says_so_and_goes_on(tmp_path: Path, opened: list[Listener]) -> None:
    held = plan_listeners([], [_unix(tmp_path / "a")], 5, {}).all
    opened += held
    problems = plan_listeners(held, [_unix(tmp_path / "a", owner="nobody-has-this-name")], 5, {}).commit()
    assert len(problems) == 1
    assert "there is no user nobody-has-this-name" in problems[0]
    assert _answers(str(tmp_path / "a"))


# ---- set aside and brought back


def test_a_listener_set_aside_refuses_although_another_process_holds_it_and_comes_back(
    tmp_path: Path, opened: list[Listener]
) -> None:
    held = plan_listeners([], [_tcp(_free_port()), _unix(tmp_path / "http.sock")], 5, {}).all
    opened += held
    places: list[str | tuple[str, int]] = [held[0].socket.getsockname(), str(tmp_path / "http.sock")]
    with held[0].socket.dup(), held[1].socket.dup():  # as a generation that stands by holds them
        for listener, place in zip(held, places, strict=True):
            assert _answers(place)
            put_aside(listener)
            put_aside(listener)
            assert not _answers(place)
            bring_back(listener, 5)
            assert _answers(place)
    assert os.listdir(tmp_path) == ["http.sock"]


def test_a_place_that_was_taken_meanwhile_is_not_taken_back(tmp_path: Path, opened: list[Listener]) -> None:
    port = _free_port()
    held = plan_listeners([], [_tcp(port), _unix(tmp_path / "http.sock")], 5, {}).all
    opened += held
    for listener in held:
        put_aside(listener)
    successors = plan_listeners([], [_tcp(port), _unix(tmp_path / "http.sock")], 5, {}).all
    opened += successors
    with pytest.raises(ListenError, match="address already in use"):
        bring_back(held[0], 5)
    with pytest.raises(ListenError, match="alive"):
        bring_back(held[1], 5)
    close_listener(held[1])
    assert os.listdir(tmp_path) == ["http.sock"]
    assert _answers(str(tmp_path / "http.sock"))


def test_more_sockets_than_the_kernel_passes_on_are_not_opened() -> None:
    """Also where a few names stand for many: a host has several addresses, and so has a name of inherited sockets."""
    wanted = [Address("tcp", "127.0.0.1", port) for port in range(20_000, 20_001 + kernel.LISTENERS_MAX)]
    with pytest.raises(ListenError, match="241 sockets, and the kernel passes on 240 at once"):
        plan_listeners([], wanted, 64, {})
