"""The relay: connections that come too late for one generation reach the next."""

import asyncio
import os
import socket

from harness.descriptors import descriptors, only_open
from releve.supervisor.channels.relay import Relay


def exchange() -> tuple[socket.socket, socket.socket]:
    receive, send = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    receive.setblocking(False)
    send.setblocking(False)
    return receive, send


def give(send: socket.socket, text: bytes) -> socket.socket:
    """Give one end of a fresh connection; the other is returned."""
    client, server = socket.socketpair()
    socket.send_fds(send, [text], [server.fileno()])
    server.close()
    return client


async def take(receive: socket.socket) -> tuple[bytes, socket.socket]:
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(receive.fileno(), readable.set)
    try:
        async with asyncio.timeout(10):
            await readable.wait()
    finally:
        loop.remove_reader(receive.fileno())
    data, fds, _, _ = socket.recv_fds(receive, 65536, 4)
    return data, socket.socket(fileno=fds[0])


def test_a_late_connection_reaches_the_successor() -> None:
    async def story() -> None:
        (old_receive, old_send), (new_receive, new_send) = exchange(), exchange()
        relay = Relay(old_receive, lambda: new_send)
        client = give(old_send, b"rest of a request")
        data, server = await take(new_receive)
        assert data == b"rest of a request"
        server.sendall(b"hello")
        assert client.recv(10) == b"hello"
        relay.close()

    asyncio.run(story())


def test_what_cannot_be_passed_on_is_held_until_it_can() -> None:
    async def story() -> None:
        (old_receive, old_send), (new_receive, new_send) = exchange(), exchange()
        successor: list[socket.socket] = []
        asked = asyncio.Event()

        def target() -> socket.socket | None:
            asked.set()
            return successor[0] if successor else None

        relay = Relay(old_receive, target)
        client = give(old_send, b"x")
        async with asyncio.timeout(10):
            await asked.wait()
        successor.append(new_send)
        _, server = await take(new_receive)
        server.close()
        assert client.recv(1) == b""
        relay.close()

    asyncio.run(story())


def test_it_outlives_the_generation_and_ends_with_the_last_sender() -> None:
    async def story() -> None:
        (old_receive, old_send), (new_receive, new_send) = exchange(), exchange()
        before = len(descriptors())
        Relay(old_receive, lambda: new_send)
        old_receive.close()  # the generation has gone, a straggler still holds the send end
        client = give(old_send, b"late")
        _, server = await take(new_receive)
        server.close()
        client.close()
        old_send.close()
        async with asyncio.timeout(10):
            while len(os.listdir("/proc/self/fd")) > before - 2:
                await asyncio.sleep(0)

    asyncio.run(story())


def test_what_is_no_connection_ends_neither_the_relay_nor_anything_else() -> None:
    """The socket is shared with every worker: they may have the kernel add credentials, say nothing, or bring what they
    like.
    """

    async def story() -> None:
        (old_receive, old_send), (new_receive, new_send) = exchange(), exchange()
        relay = Relay(old_receive, lambda: new_send)
        old_receive.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        old_receive.setblocking(True)  # for the relay too: it is one open file description
        client, server = socket.socketpair()
        before = descriptors()
        with open(os.devnull) as file:
            for data, fds in (
                (b"", []),
                (b"x", []),
                (b"x", [file.fileno()]),
                (b"x", [server.fileno()] * 5),
                (b"", [server.fileno()]),
            ):
                socket.send_fds(old_send, [data], fds)
        old_send.send(b"y" * 70_000)
        late = give(old_send, b"late")
        data, taken = await take(new_receive)
        assert data == b"late"
        taken.close()
        late.close()
        await only_open(before)
        for one in (client, server):
            one.close()
        relay.close()

    asyncio.run(story())
