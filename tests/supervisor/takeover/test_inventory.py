"""What a master hands over at its door is taken or closed, and no close of it has the supervisor wait."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.descriptors import descriptors, only_open
from harness.garbage import KINDS, VALUES, make_descriptor
from harness.pins import PIN
from releve.config.settings.address import Address
from releve.config.settings.settings import Settings
from releve.server.scoreboard import scoreboard
from releve.server.shared.link import Link, LinkError, pair
from releve.supervisor.channels import reports
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.host import evidence
from releve.supervisor.host.mark import mark
from releve.supervisor.keepsake import keepsake, record
from releve.supervisor.keepsake.keepsake import Held, Keepsake, Role
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.takeover import inventory
from releve.supervisor.takeover.verification import AdoptionError

SETTINGS = Settings(app="shop:app", directory="/srv/shop")
LINGER_S = 100

# A master that says what it is told to, keeps nothing of it, and lives until it is ended.
MASTER = """
import array, json, os, socket, sys
link = socket.socket(fileno=int(sys.argv[1]))
for said, fds in json.loads(sys.argv[2]):
    link.sendmsg([said.encode("latin-1")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
    for fd in fds:
        os.close(fd)
print(flush=True)
sys.stdin.read()
"""


def lingering() -> int:
    """A connection whose last close waits for its peer to read, which it never does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        peer = server.accept()[0].detach()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER_S))
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            ours.send(b"x" * 65536)
    PEERS.append(peer)
    return ours.detach()


PEERS: list[int] = []
LIES: dict[str, Callable[[], int]] = {
    "listener": lambda: socket.create_server(("127.0.0.1", 0)).detach(),
    "receive": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)[0].detach(),
    "send": lambda: os.memfd_create("x"),
    "board": scoreboard.make,
    "crash": lingering,
    "keepsake": lingering,
}


@pytest.fixture(autouse=True)
def no_peers() -> Iterator[None]:
    yield
    while PEERS:
        os.close(PEERS.pop())


@dataclass(frozen=True)
class Drawn:
    """What a master says and hands over that is not what it should be."""

    hello: tuple[bytes, list[str]] = (b'{"type": "hello"}', [])  # with the kinds of the descriptors that come with it
    inventory: bytes | dict[str, Any] = field(default_factory=dict)  # in its place, or what differs of it
    instead: dict[str, str] = field(default_factory=dict)  # name of what is recorded -> kind of what is handed over
    more: list[str] = field(default_factory=list)  # kinds of what comes after that


@contextmanager
def master(
    folder: Path, lie: str = "", drawn: Drawn | None = None, **said: Any
) -> Iterator[tuple[Path, Link, tuple[int, ...], subprocess.Popen[bytes]]]:
    """One that has said everything: the path of its door, our end of its link, the mark of its listener, and its
    process.
    """
    drawn = drawn or Drawn()
    server = socket.create_server(("127.0.0.1", 0))
    address = Address("tcp", host="127.0.0.1", port=server.getsockname()[1])
    listener = Listener(str(address), address, server, inherited=False, inode=None)
    receive, send = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    given = {"listener": server.detach(), "receive": receive.detach(), "send": send.detach()}
    given |= {"board": scoreboard.make(), "crash": os.memfd_create("crash"), "keepsake": os.memfd_create("x")}
    marks = {name: mark(fd) for name, fd in given.items()}
    if lie:
        os.close(given[lie])
        given[lie] = LIES[lie]()
    for name, kind in drawn.instead.items():
        os.close(given[name])
        given[name] = make_descriptor(kind)
    greeted, brought = drawn.hello
    beside = [make_descriptor(kind) for kind in brought]
    more = [make_descriptor(kind) for kind in drawn.more]
    ours, theirs = pair()
    ours.vouch()
    stock = {"type": "inventory", "generation": 3, "posture": "resumed", "listeners": [listener.name], **said}
    if isinstance(drawn.inventory, dict):
        stock |= drawn.inventory
    told = drawn.inventory if isinstance(drawn.inventory, bytes) else json.dumps(stock).encode()
    handed = [*given.values(), *more]
    script = [(greeted.decode("latin-1"), beside), (told.decode("latin-1"), handed), ('{"type": "ready"}', [])]
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", MASTER, str(theirs.fileno()), json.dumps(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(theirs.fileno(), *handed, *beside),
        start_new_session=True,
    )
    theirs.close()
    for fd in (*handed, *beside):
        os.close(fd)
    process = evidence.look(child.pid)
    assert process is not None and child.stdin is not None and child.stdout is not None and child.stdout.readline()
    sockets = (marks.pop("listener"),)
    del marks["keepsake"]
    held = Held(child.pid, process.started, **marks, sockets=sockets)
    door = folder / "gen-3.sock"
    record.write(
        record.beside(door),
        keepsake.record(Keepsake(Role.ACTIVE, 1, PIN, SETTINGS, (listener,), None, None, 3, {}, 1.5, None, held)),
    )
    try:
        yield door, ours, sockets[0], child
    finally:
        ours.close()
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


@pytest.mark.parametrize("lie", ["", "keepsake"])
def test_what_is_recorded_is_taken(tmp_path: Path, lie: str) -> None:
    """And its keepsake is not looked at, where there is a record."""

    async def story() -> None:
        before = descriptors()
        with master(tmp_path, lie) as (door, link, listener, _):
            begun = time.monotonic()
            adopted = await inventory.take(3, door, link, None)
            assert time.monotonic() - begun < LINGER_S / 2, "nobody waits for the close of what it is"
            generation = adopted.generation
            (taken,) = generation.listeners
            assert mark(taken.socket.fileno()) == listener and generation.state is GenerationState.SERVING
            generation.kill()
            async with asyncio.timeout(10):
                await generation.ended.wait()
            taken.socket.close()
        while PEERS:
            os.close(PEERS.pop())
        await only_open(before)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        *((lie, {}) for lie in LIES if lie != "keepsake"),
        ("", {"generation": 4}),
        ("", {"listeners": []}),
        ("", {"listeners": ["x"]}),
    ],
)
def test_what_is_not_taken_is_closed(tmp_path: Path, lie: str, said: dict[str, Any]) -> None:
    async def story() -> None:
        before = descriptors()
        begun = time.monotonic()
        with master(tmp_path, lie, **said) as (door, link, *_):
            with pytest.raises(AdoptionError):
                await inventory.take(3, door, link, None)
            assert time.monotonic() - begun < LINGER_S / 2
        while PEERS:
            os.close(PEERS.pop())
        await only_open(before)

    asyncio.run(story())


def said(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """Values of any form for what a message of that type may say."""
    one = reports.DOOR[kind]
    return st.dictionaries(st.sampled_from([*one.needs, *one.may, "novelty"]), VALUES, max_size=3)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


NOISE = (
    st.binary(max_size=64)
    | VALUES.map(encoded)
    | said("inventory").map(lambda rest: encoded({**rest, "type": "state"}))
)
HELLO = said("hello").map(lambda rest: encoded({**rest, "type": "hello"}))
KINDS_BEYOND = st.lists(st.sampled_from(KINDS), min_size=1, max_size=2)
INSTEAD = st.dictionaries(st.sampled_from(list(LIES)), st.sampled_from(KINDS), min_size=1, max_size=2)
# What of it is not what it should be: the rest is, so that it is heard.
SPOILT: dict[str, st.SearchStrategy[Drawn]] = {
    "hello": st.builds(Drawn, hello=st.tuples(HELLO, KINDS_BEYOND)),
    "no hello": st.builds(Drawn, hello=st.tuples(NOISE, KINDS_BEYOND)),
    "inventory": st.builds(Drawn, inventory=said("inventory")),
    "no inventory": st.builds(Drawn, inventory=NOISE),
    "descriptors": st.builds(Drawn, instead=INSTEAD),
    "more descriptors": st.builds(Drawn, more=KINDS_BEYOND),
}


@pytest.mark.parametrize("what", SPOILT)
@settings(max_examples=5, derandomize=True, database=None)
@given(data=st.data())
def test_a_master_may_say_and_hand_over_anything_at_its_door(what: str, data: st.DataObject) -> None:
    """It is refused, or taken with what is recorded of it; who is refused is left alone."""
    drawn = data.draw(SPOILT[what])

    async def story(folder: Path) -> None:
        escaped: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: escaped.append(context))
        before = descriptors()
        with master(folder, drawn=drawn) as (door, link, listener, process):
            try:
                adopted = await inventory.take(3, door, link, None)
            except (AdoptionError, LinkError):
                assert process.poll() is None
            else:
                assert not drawn.more and not set(drawn.instead) - {"keepsake"}
                (taken,) = adopted.generation.listeners
                assert mark(taken.socket.fileno()) == listener
                adopted.generation.kill()
                async with asyncio.timeout(10):
                    await adopted.generation.ended.wait()
                taken.socket.close()
        await only_open(before)
        assert not escaped

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder)))


def test_a_door_that_nobody_looks_after_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "gen-1.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(str(path))
        door.listen(0)
        first = inventory.knock(path)
        with pytest.raises(BlockingIOError):
            inventory.knock(path)
        first.close()
    with pytest.raises(ConnectionRefusedError):
        inventory.knock(path)
