"""New addresses are bound before the switch, dropped ones refused after it, and a rollback has the old ones back."""

from __future__ import annotations

import socket
from pathlib import Path

from harness.service import Service, eventually, free_port, serving


def answers(address: str) -> bool:
    """Whether somebody serves HTTP there; False if the connection is refused.

    Whoever accepts and says nothing fails the test.
    """
    kind, _, where = address.partition(":")
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        try:
            client.connect(where if kind == "unix" else ("127.0.0.1", int(where)))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        client.sendall(b"GET /release HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    return True


def listen(service: Service, *addresses: str) -> None:
    service.configure(listen=[a if a.startswith("unix:") else f"127.0.0.1:{a.removeprefix('tcp:')}" for a in addresses])


def served(*addresses: str) -> list[bool]:
    return [answers(address) for address in addresses]


def test_a_start_says_once_where_it_serves(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1) as service:
        line = f"serving http://127.0.0.1:{service.port}, unix:{service.unix} (1 worker, generation 1)"
        eventually(lambda: line in service.log(), "the log says where it serves")
        service.do("upgrade")
        service.kill_supervisor()
        assert service.log().count(" serving http://") == 1


def test_a_rollback_has_the_dropped_addresses_back_and_drops_the_new_ones(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        old = [f"tcp:{service.port}", f"unix:{service.unix}"]
        new = [f"tcp:{free_port()}", f"unix:{tmp_path / 'new.sock'}"]
        assert served(*old, *new) == [True, True, False, False]
        listen(service, *new)
        service.do("upgrade")
        assert served(*old, *new) == [False, False, True, True]
        service.do("rollback")
        assert served(*old, *new) == [True, True, False, False]
        service.settled()
        assert not (tmp_path / "new.sock").exists()
        service.do("upgrade")
        assert served(*old, *new) == [False, False, True, True]
        listen(service, *old)
        service.do("upgrade")
        assert served(*old, *new) == [True, True, False, False]


def test_a_reload_changes_addresses_and_a_rollback_after_it_changes_them_back(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        old, new = [f"tcp:{service.port}", f"unix:{service.unix}"], [f"tcp:{free_port()}"]
        service.do("upgrade")
        listen(service, *new)
        service.do("reload")
        assert served(*old, *new) == [False, False, True]
        service.do("rollback")
        assert served(*old, *new) == [True, True, False]


def test_a_dropped_address_is_free_for_others_once_the_old_generation_has_left(tmp_path: Path) -> None:
    with serving(tmp_path, upgrade={"standby": "off"}) as service:
        old, new = service.port, free_port()
        listen(service, f"tcp:{new}")
        service.do("upgrade")
        service.settled()
        service.port = new

        def bindable() -> bool:
            with socket.socket() as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    other.bind(("127.0.0.1", old))
                    other.listen()
                except OSError:
                    return False
            return True

        eventually(bindable, "the dropped address is free")


def test_what_a_reload_drops_is_kept_only_for_a_generation_that_has_it(tmp_path: Path) -> None:
    """A supervisor that was killed left the file of a socket behind which no rollback could have brought back."""
    with serving(tmp_path) as service:
        files = service.files()
        old, extra = [f"tcp:{service.port}", f"unix:{service.unix}"], f"unix:{tmp_path / 'extra.sock'}"
        listen(service, *old, extra)
        service.do("upgrade")
        listen(service, *old)
        service.do("reload")
        assert served(*old, extra) == [True, True, False]
        assert service.files() - files <= {"run/gen-N.sock"}
        service.do("rollback")
        assert served(*old, extra) == [True, True, False]


def test_killed_with_files_set_aside(tmp_path: Path) -> None:
    with serving(tmp_path, upgrade={"standby": "3s"}) as service:
        files = service.files()
        old = [f"tcp:{service.port}", f"unix:{service.unix}"]
        listen(service, *old, f"unix:{tmp_path / 'extra.sock'}")
        service.do("upgrade")
        listen(service, *old)
        service.do("upgrade")
        assert len(service.files() - files) == 1, "the file of the address that was dropped is kept for a rollback"
        service.kill_supervisor()
        service.settled()
        eventually(lambda: service.files() == files, "no file is left once nothing stands by")
