"""Connections that change hands between workers, and those that wait at a door when a worker pauses."""

from __future__ import annotations

import os
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path

import pytest

from harness.workers import Client, Generation, Worker, busy, connect, eventually, finish, freeze, request, switch, thaw
from releve.config.settings.timeouts import Timeouts
from releve.server.handover.exchange import HOPS_MAX, Parcel, give, take
from releve.server.loop.connection import REST_MAX_BYTES
from releve.server.shared.system import raise_descriptor_limit

NAME = "127.0.0.1:8000"


def settled(generation: Generation, answered: int) -> None:
    """Wait until the threads have given back the connections of so many answers: a client reads its response a moment
    earlier.
    """
    eventually(
        lambda: sum(worker.numbers.requests for worker in generation.workers) == answered, f"{answered} answers counted"
    )


def test_an_idle_connection_survives_its_worker(old: Generation, new: Generation) -> None:
    one, other = old.start(), new.start()
    one.resume()
    client = connect(old)
    assert client.ask().pid == one.pid
    port = client.socket.getsockname()
    settled(old, 1)
    assert switch(one, other, new)["given"] == 1
    one.quit()
    assert one.ended() == 0
    answer = client.ask()
    assert (answer.pid, answer.kept) == (other.pid, True)
    assert client.ask("/address").body.decode().split()[2:4] == [port[0], str(port[1])]
    assert (one.numbers.given, other.numbers.received) == (1, 1)


def test_a_fresh_connection_is_given_too(old: Generation, new: Generation) -> None:
    one, other = old.start(), new.start()
    one.resume()
    client = connect(old)
    eventually(lambda: one.numbers.accepted == 1, "accepted")
    assert switch(one, other, new)["given"] == 1
    assert client.ask().pid == other.pid


def test_the_beginning_of_a_request_travels_along(old: Generation, new: Generation) -> None:
    one, other = old.start(), new.start()
    one.resume()
    client = connect(old)
    client.ask()
    settled(old, 1)
    whole = request("/echo", method="POST", body=b"cut in two", more="X-Long: " + "y" * 5000 + "\r\n")
    client.send(whole[:3000])
    time.sleep(0.05)  # let it be read; the test is right either way
    assert switch(one, other, new)["given"] == 1
    client.send(whole[3000:])
    assert client.answer().body == b"cut in two"
    assert client.ask().pid == other.pid


def test_a_generation_outlives_what_another_one_puts_into_its_exchange(old: Generation, new: Generation) -> None:
    """A deadline of five hundred years would be more than epoll takes for a timeout; an empty message is not
    the end.
    """
    other = new.start(timeouts={"keepalive": 0.5})
    client, server = socket.socketpair()
    sender = socket.socket(fileno=os.dup(new.send))
    sender.send(b"")
    give(new.send, Parcel(NAME, "192.0.2.1:4711", 0, 2**64 - 1, fresh=True), server.fileno())
    for fds in ([], [sender.fileno()], [server.fileno()] * 3):
        socket.send_fds(sender, [b"\1" * 40], fds)
    server.close()
    other.resume()
    with client:
        client.settimeout(10)
        client.sendall(request())
        assert client.recv(12) == b"HTTP/1.1 200"
        while client.recv(65536):
            pass  # until it is closed after its keepalive time, as every connection of that worker
    assert connect(new).ask().pid == other.pid
    assert new.log.count("ignored a message of the exchange") == 1
    sender.close()


def test_a_connection_of_another_generation_holds_no_worker_up_when_it_ends(new: Generation) -> None:
    """It lingers, and its client reads nothing: the last close would wait for 25 s."""
    other = new.start(threads=1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        lingering = socket.create_connection(listening.getsockname())
        client, _ = listening.accept()
    with client:
        lingering.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                lingering.send(b"x" * 65536)
        lingering.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 25))
        rest = b"no header of the PROXY protocol\r\n"
        parcel = Parcel(NAME, "192.0.2.1:4711", 0, time.monotonic_ns() + 10**10, rest=rest, owes_preface=True)
        give(new.send, parcel, lingering.fileno())
        lingering.close()
        other.resume()
        began = time.monotonic()
        assert connect(new).ask().pid == other.pid
        assert time.monotonic() - began < 2.5


def test_too_long_a_beginning_is_served_where_it_is_and_follows_then(old: Generation, new: Generation) -> None:
    one, other = old.start(limits={"header": 20_000}), new.start()
    one.resume()
    client = connect(old)
    head = request(more="X-Long: " + "y" * (REST_MAX_BYTES + 1000) + "\r\n")
    client.send(head[:-2])
    # Sent in one piece over loopback; the worker has read it when it has read what came before.
    eventually(lambda: _unread(old, client) == 0, "it is read")
    assert switch(one, other, new) == {"type": "state", "state": "paused", "given": 0, "kept": 0}
    client.send(head[-2:])
    answer = client.answer()
    assert (answer.pid, answer.kept) == (one.pid, True)
    assert client.ask().pid == other.pid


@pytest.mark.parametrize("quits", [False, True])
def test_pipelined_requests_that_do_not_fit_a_message_are_served_until_the_rest_does(
    old: Generation, new: Generation, quits: bool
) -> None:
    """More than a message carries is read already: none of it is lost, and nobody is told to close."""
    one, other = old.start(), new.start()
    one.resume()
    client = connect(old)
    assert client.ask().pid == one.pid
    count = 400
    client.send(request("/count?ms=1", more=f"X-Long: {'y' * 60}\r\n") * count)
    assert client.answer().status == 200
    switch(one, other, new)
    if quits:  # as at an upgrade, a reload, when scaled or recycled
        one.quit()
    answers = [client.answer() for _ in range(count - 1)]
    assert all(answer.kept for answer in answers)
    assert {answer.pid for answer in answers} == {one.pid, other.pid}
    assert answers[-1].pid == other.pid, "the rest was handed over"
    assert client.ask().pid == other.pid


def test_pipelined_requests_are_answered_at_a_stop(old: Generation) -> None:
    one = old.start()
    one.resume()
    client = connect(old)
    client.send(request("/count?ms=1") * 400)
    assert client.answer().status == 200
    one.quit(linger_s=1.0)
    answers = [client.answer() for _ in range(399)]
    assert [answer.kept for answer in answers] == [True] * 398 + [False]
    assert client.ended()
    assert one.ended() == 0


def test_pipelined_requests_are_answered_though_nobody_takes_their_connection(old: Generation) -> None:
    one = old.start()
    one.resume()
    client = connect(old)
    client.send(request("/count?ms=1") * 300)
    assert client.answer().status == 200
    receive_end, send_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    receive_end.close()
    with send_end:
        one.tell("pause", (send_end.fileno(),), to=8)
        one.await_state("paused")
    answers = [client.answer() for _ in range(299)]
    assert [answer.kept for answer in answers] == [True] * 298 + [False]
    assert client.ended()


def _unread(generation: Generation, client: Client) -> int:
    """Bytes that the server's side of the connection has not read."""
    port = f"{client.socket.getsockname()[1]:04X}"
    with open("/proc/net/tcp") as file:
        for line in file:
            fields = line.split()
            if fields[2].endswith(":" + port):
                return int(fields[4].split(":")[1], 16)
    return -1


def test_a_busy_connection_follows_after_its_response(old: Generation, new: Generation, tmp_path: Path) -> None:
    one, other = old.start(), new.start()
    one.resume()
    client = connect(old)
    busy(client, tmp_path)
    assert switch(one, other, new)["given"] == 0
    one.quit()
    finish(tmp_path)
    answer = client.answer()
    assert (answer.pid, answer.kept) == (one.pid, True)
    assert client.ask().pid == other.pid
    assert one.ended() == 0


def test_what_a_leaving_worker_gives_has_its_whole_keepalive_time(
    old: Generation, new: Generation, tmp_path: Path
) -> None:
    one = old.start()
    one.resume()
    client = connect(old)
    busy(client, tmp_path)
    one.pause(new)
    one.quit()  # from now on its own idle connections are closed after timeouts.linger
    finish(tmp_path)
    client.answer()
    assert one.ended() == 0
    taken = take(new.hold_exchange().fileno())
    assert taken is not None
    parcel, connection = taken
    connection.close()
    left_s = (parcel.deadline_ns - time.monotonic_ns()) / 1e9
    assert left_s > 5 * Timeouts().linger


def test_a_pipelined_request_is_answered_once_and_in_order(old: Generation, new: Generation, tmp_path: Path) -> None:
    one, other = old.start(), new.start()
    one.resume()
    client = connect(old)
    busy(client, tmp_path)
    client.send(request("/echo", method="POST", body=b"second") + request("/echo", method="POST", body=b"third"))
    switch(one, other, new)
    finish(tmp_path)
    first, *more = (client.answer() for _ in range(3))
    assert (first.pid, [answer.body for answer in more]) == (one.pid, [b"second", b"third"])
    assert client.ask().pid == other.pid


def test_a_thousand_idle_connections(old: Generation, new: Generation) -> None:
    raise_descriptor_limit(2048)  # a login often gives 1,024, and the clients are all of this process
    ones, others = [old.start() for _ in range(2)], [new.start() for _ in range(2)]
    for worker in ones:
        worker.resume()
    clients = [connect(old) for _ in range(1000)]
    assert {client.ask().pid for client in clients} <= {worker.pid for worker in ones}
    settled(old, 1000)
    for worker in others:
        worker.resume()
    for worker in ones:
        worker.tell("pause", (new.send,), to=new.number)
    paused = [worker.await_state("paused") for worker in ones]
    assert sum(message["given"] for message in paused) == 1000
    for worker in ones:
        worker.quit()
    assert [worker.ended() for worker in ones] == [0, 0]
    assert {client.ask().pid for client in clients} <= {worker.pid for worker in others}


def test_paused_is_said_only_when_all_are_given_even_if_nobody_takes_for_long(old: Generation, new: Generation) -> None:
    one = old.start()
    one.resume()
    clients = [connect(old) for _ in range(600)]
    assert all(client.ask().pid == one.pid for client in clients)
    settled(old, 600)
    one.tell("pause", (new.send,), to=new.number)
    eventually(lambda: one.numbers.given > 100 and _rests(one), "the exchange is full")
    left = 600 - one.numbers.given
    assert left > 0
    # Those that wait are served meanwhile, and no response of theirs is the last.
    answers = [client.ask() for client in clients[-5:]]
    assert {(answer.pid, answer.kept) for answer in answers} == {(one.pid, True)}
    settled(old, 605)
    other = new.start()
    other.resume()
    assert one.await_state("paused")["given"] == 600
    assert {client.ask().pid for client in clients} == {other.pid}


def _rests(worker: Worker) -> bool:
    before = worker.numbers.given
    time.sleep(0.05)
    return worker.numbers.given == before


def test_without_any_receiver_connections_are_kept_and_closed_politely(old: Generation) -> None:
    one = old.start()
    one.resume()
    clients = [connect(old) for _ in range(5)]
    assert all(client.ask().kept for client in clients)
    settled(old, 5)
    receive_end, send_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    receive_end.close()
    with send_end:
        one.tell("pause", (send_end.fileno(),), to=8)
        assert one.await_state("paused")["kept"] == 5
    for client in clients:
        answer = client.ask()
        assert (answer.pid, answer.kept) == (one.pid, False)
        assert client.ended()


def test_a_connection_that_was_handed_over_too_often_stays(old: Generation, new: Generation) -> None:
    one = old.start()
    one.resume()
    client, server = socket.socketpair()
    with client, server:
        parcel = Parcel(NAME, "", HOPS_MAX, time.monotonic_ns() + 10**10, rest=b"")
        give(old.send, parcel, server.fileno())
        eventually(lambda: one.numbers.received == 1, "taken")
        assert one.pause(new)["kept"] == 1


def test_bytes_and_deadline_of_a_parcel_count_at_once(old: Generation) -> None:
    """A complete request in the parcel is answered though not a byte follows; a partial one has what is left of its
    time.
    """
    one = old.start()
    one.resume()
    ends = [socket.socketpair() for _ in range(2)]
    rests = (request("/pid"), request("/pid")[:10])
    for (_, server), rest in zip(ends, rests, strict=True):
        give(old.send, Parcel(NAME, "", 1, time.monotonic_ns() + 3 * 10**8, 5, False, rest), server.fileno())
        server.close()
    for client, _ in ends:
        client.settimeout(5)
    assert ends[0][0].recv(65536).startswith(b"HTTP/1.1 200")
    assert ends[1][0].recv(65536).startswith(b"HTTP/1.1 408")
    for client, _ in ends:
        client.close()


def test_a_connection_of_a_listener_that_is_gone_is_closed_politely(old: Generation) -> None:
    one = old.start()
    one.resume()
    client, server = socket.socketpair()
    with client:
        client.settimeout(5)
        give(old.send, Parcel("127.0.0.1:9999", "", 1, time.monotonic_ns() + 10**10, rest=request()), server.fileno())
        server.close()
        assert b"Connection: close" in client.recv(65536)


def test_what_waits_in_the_exchange_when_a_worker_pauses_is_passed_on(old: Generation, new: Generation) -> None:
    one = old.start()
    client, server = socket.socketpair()
    with client:
        one.resume()
        freeze(one)  # so that it cannot have taken it before it reads the order
        give(old.send, Parcel(NAME, "", 4, time.monotonic_ns() + 10**10, rest=b"GET "), server.fileno())
        server.close()
        one.tell("pause", (new.send,), to=new.number)
        thaw(one)
        assert one.await_state("paused")["given"] == 1
        taken = take(new.hold_exchange().fileno())
        assert taken is not None
        parcel, sock = taken
        with sock:
            assert (parcel.hops, parcel.rest) == (5, b"GET ")


def test_pausing_to_the_own_exchange_leaves_the_rest_to_siblings(old: Generation) -> None:
    """A scale-down: given to a sibling, not to itself."""
    one, other = old.start(), old.start()
    one.resume()
    clients = [connect(old) for _ in range(20)]
    assert {client.ask().pid for client in clients} == {one.pid}
    settled(old, 20)
    other.resume()
    assert one.pause(old)["given"] == 20
    one.quit()
    assert one.ended() == 0
    assert {client.ask().pid for client in clients} == {other.pid}


def test_what_waits_in_the_own_exchange_stays_there_for_siblings(old: Generation) -> None:
    one = old.start()
    client, server = socket.socketpair()
    with client:
        one.resume()
        freeze(one)
        # epoll reports in the order of arrival: the order comes first.
        one.tell("pause", (old.send,), to=old.number)
        give(old.send, Parcel(NAME, "", 4, time.monotonic_ns() + 10**10), server.fileno())
        server.close()
        thaw(one)
        one.await_state("paused")
        assert (one.numbers.received, one.numbers.given) == (0, 0)
        assert old.queued() == 1
