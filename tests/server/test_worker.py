"""Orders: resume, pause, quit, serve; connections that change hands between workers; the ways to leave."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.workers import Client, Generation, Worker, eventually, hold, listening, request
from releve.config.settings import Timeouts
from releve.server.exchange import HOPS_MAX, REST_MAX_BYTES, Parcel, give, take
from releve.server.posture import POSTURES, Posture

NAME = "127.0.0.1:8000"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listening() as sock:
        yield sock


@pytest.fixture
def old(listener: socket.socket) -> Iterator[Generation]:
    made = Generation(7, [(NAME, listener)])
    yield made
    made.close()


@pytest.fixture
def new(listener: socket.socket) -> Iterator[Generation]:
    made = Generation(8, [(NAME, listener)])
    yield made
    made.close()


def connect(generation: Generation) -> Client:
    return Client(generation.listeners[0][1].getsockname())


def busy(client: Client, folder: Path) -> None:
    """Have the client's request wait in the application until `finish`."""
    client.send(request(f"/wait?at={folder}/at&until={folder}/until"))
    eventually((folder / "at").exists, "the request runs")


def finish(folder: Path) -> None:
    (folder / "until").touch()


def switch(before: Worker, after: Worker, to: Generation) -> dict[str, object]:
    after.resume()
    return before.pause(to)


def freeze(worker: Worker) -> None:
    """Stop the process, and wait until it is."""
    hold(worker.pid)


def thaw(worker: Worker) -> None:
    worker.process.send_signal(signal.SIGCONT)


def settled(generation: Generation, answered: int) -> None:
    """Wait until the threads have given back the connections of so many answers: a client reads its response a moment earlier."""
    eventually(lambda: sum(worker.numbers.requests for worker in generation.workers) == answered, f"{answered} answers counted")


# Posture


def test_a_worker_that_was_not_resumed_accepts_nothing(old: Generation) -> None:
    worker = old.start()
    client = connect(old)
    client.send(request())
    client.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.socket.recv(1)
    client.socket.settimeout(10)
    worker.resume()
    assert client.answer().pid == worker.pid


@pytest.mark.parametrize("threads", [1, 4])
def test_resume_and_pause_back_and_forth(old: Generation, new: Generation, threads: int) -> None:
    one, other = old.start(threads=threads), new.start(threads=threads)
    one.resume()
    client = connect(old)
    assert client.ask().pid == one.pid
    for number in range(6):
        giver, taker, to = (one, other, new) if number % 2 == 0 else (other, one, old)
        paused = switch(giver, taker, to)
        assert paused["kept"] == 0
        assert client.ask().pid == taker.pid
        assert connect(old).ask().pid == taker.pid


def test_every_posture_and_order_is_decided() -> None:
    for posture in Posture:
        legal = {verb for verb in ("attend", "divert", "resume", "pause", "quit") if (posture, verb) in POSTURES}
        more = {Posture.READY: {"attend", "divert"}, Posture.ATTENDING: {"attend"}, Posture.SERVING: {"divert"}}
        assert legal == ({"quit"} if posture is Posture.LEAVING else {"resume", "pause", "quit"} | more.get(posture, set()))


def test_illegal_and_unknown_orders_change_nothing(old: Generation, new: Generation, tmp_path: Path) -> None:
    worker = old.start()
    worker.resume()
    client = connect(old)
    worker.tell("dance", (new.send,), steps=3)
    worker.tell("pause", to=8)  # without its exchange
    worker.tell("serve", listener=NAME)
    worker.tell("quit", deadline_s="soon")
    busy(client, tmp_path)
    worker.quit()
    worker.tell("resume")
    finish(tmp_path)
    assert client.answer().status == 200
    eventually(lambda: "cannot resume: the worker is leaving" in old.log, "the order is refused")
    assert old.log.count("ignored an order") == 4
    assert worker.ended() == 0


# Connections change hands


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


def test_too_long_a_beginning_is_served_where_it_is(old: Generation, new: Generation) -> None:
    one, other = old.start(limits={"header": 20_000}), new.start()
    one.resume()
    client = connect(old)
    head = request(more="X-Long: " + "y" * (REST_MAX_BYTES + 1000) + "\r\n")
    client.send(head[:-2])
    # Sent in one piece over loopback; the worker has read it when it has read what came before.
    eventually(lambda: _unread(old, client) == 0, "it is read")
    assert switch(one, other, new) == {"type": "state", "state": "paused", "given": 0, "kept": 1}
    client.send(head[-2:])
    answer = client.answer()
    assert (answer.pid, answer.kept) == (one.pid, False)
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


def test_what_a_leaving_worker_gives_has_its_whole_keepalive_time(old: Generation, new: Generation, tmp_path: Path) -> None:
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
    """A complete request in the parcel is answered though not a byte follows; a partial one has what is left of its time."""
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


# The accept queue


def test_the_accept_queue_is_swept_at_a_pause(old: Generation, new: Generation) -> None:
    one, other = old.start(threads=1), new.start(threads=1)
    one.resume()
    freeze(one)
    clients = [connect(old) for _ in range(50)]
    for client in clients:
        client.send(request())
    one.tell("pause", (new.send,), to=new.number)
    thaw(one)
    one.await_state("paused")
    eventually(lambda: one.numbers.connections == 0, "nothing stays")
    other.resume()
    assert {client.answer().status for client in clients} == {200}


def test_a_worker_killed_between_wake_and_accept_strands_nobody(old: Generation) -> None:
    victim, sibling = old.start(), old.start()
    victim.resume()
    freeze(victim)
    sibling.resume()
    freeze(sibling)
    client = connect(old)
    client.send(request())
    victim.process.kill()
    victim.ended()
    thaw(sibling)
    assert client.answer().pid == sibling.pid


def test_a_paused_worker_wakes_nobody_less(old: Generation) -> None:
    one, other = old.start(), old.start()
    one.resume()
    other.resume()
    for _ in range(10):
        one.pause()
        assert connect(old).ask().pid == other.pid
        one.resume()
        other.pause()
        assert connect(old).ask().pid == one.pid
        other.resume()


# Private connections


def test_a_private_connection_is_served_in_every_posture_and_never_given(old: Generation, new: Generation) -> None:
    one = old.start()

    def private() -> tuple[socket.socket, int]:
        ours, theirs = socket.socketpair()
        ours.settimeout(10)
        one.tell("serve", (theirs.fileno(),), listener=NAME)
        theirs.close()
        ours.sendall(request("/address", more="X-Forwarded-Proto: https\r\n"))
        answer = ours.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200") and b"127.0.0.1 8000" in answer
        return ours, one.pid

    ready, _ = private()
    one.resume()
    serving, _ = private()
    assert one.pause(new) == {"type": "state", "state": "paused", "given": 0, "kept": 0}
    paused, _ = private()
    for sock in (ready, serving, paused):
        with sock:
            sock.sendall(request())
            assert f"X-Pid: {one.pid}".encode() in sock.recv(65536)


# Leaving


def test_a_stop_answers_whoever_asks_while_it_lingers(old: Generation) -> None:
    one = old.start()
    one.resume()
    asks, silent = connect(old), connect(old)
    assert asks.ask().kept and silent.ask().kept
    started = time.monotonic()
    one.quit(linger_s=1.0)
    answer = asks.ask()
    assert (answer.pid, answer.kept) == (one.pid, False)
    assert asks.ended()
    assert silent.ended()
    assert time.monotonic() - started >= 1.0
    assert one.ended() == 0


def test_a_stop_serves_the_accept_queue(old: Generation, listener: socket.socket) -> None:
    one = old.start(threads=1)
    one.resume()
    freeze(one)
    clients = [connect(old) for _ in range(100)]
    for client in clients[:-1]:
        client.send(request())
    one.tell("quit", deadline_s=20, linger_s=2)
    thaw(one)
    one.await_state("leaving")
    clients[-1].send(request())
    answers = [client.answer() for client in clients]
    assert {answer.status for answer in answers} == {200}
    assert sum(answer.kept for answer in answers) <= 1  # the one that was accepted before the order was read
    assert one.ended() == 0


def test_a_stop_serves_what_waits_in_the_exchange(old: Generation) -> None:
    one = old.start()
    one.resume()
    freeze(one)
    client, server = socket.socketpair()
    with client:
        client.settimeout(10)
        give(old.send, Parcel(NAME, "", 1, time.monotonic_ns() + 10**10, rest=request()), server.fileno())
        server.close()
        one.tell("quit", deadline_s=20, linger_s=2)
        thaw(one)
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    assert one.ended() == 0


def test_who_stands_by_does_not_answer_for_the_generation_in_service(old: Generation, new: Generation) -> None:
    one, other = old.start(), new.start()
    one.resume()
    switch(one, other, new)
    freeze(other)
    client = connect(old)
    client.send(request())
    one.quit(linger_s=2)
    assert one.ended() == 0
    thaw(other)
    assert client.answer().pid == other.pid


def test_requests_in_flight_are_finished(old: Generation, tmp_path: Path) -> None:
    one = old.start()
    one.resume()
    client = connect(old)
    busy(client, tmp_path)
    one.quit(linger_s=1)
    finish(tmp_path)
    answer = client.answer()
    assert (answer.status, answer.kept) == (200, False)
    assert client.ended()
    assert one.ended() == 0


def test_the_deadline_of_a_quit_counts(old: Generation, tmp_path: Path) -> None:
    one = old.start()
    one.resume()
    client = connect(old)
    busy(client, tmp_path)
    one.quit(deadline_s=60, linger_s=None)
    one.tell("quit", deadline_s=0.3, linger_s=0.1)  # a stop meets a generation that retires
    assert one.ended() == 0
    assert "1 requests unfinished" in old.log


def test_a_worker_with_nothing_left_leaves_at_once(old: Generation) -> None:
    one = old.start()
    one.resume()
    started = time.monotonic()
    one.quit(linger_s=10)
    assert one.ended() == 0
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("threads", [1, 4])
def test_sigterm_is_a_graceful_quit(old: Generation, tmp_path: Path, threads: int) -> None:
    one = old.start(threads=threads, timeouts={"linger": 0.3})
    one.resume()
    client = connect(old)
    busy(client, tmp_path)
    one.process.send_signal(signal.SIGTERM)
    one.await_state("leaving")
    finish(tmp_path)
    assert client.answer().status == 200
    assert one.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH])
def test_signals_of_the_supervisor_do_nothing(old: Generation, number: signal.Signals) -> None:
    one = old.start()
    one.resume()
    one.process.send_signal(number)
    assert connect(old).ask().pid == one.pid


def test_a_worker_that_nobody_commands_serves_on_for_a_while_and_leaves_gracefully(old: Generation, tmp_path: Path) -> None:
    one = old.start(timeouts={"linger": 0.5})  # and a while of one second
    one.resume()
    client, silent = connect(old), connect(old)
    busy(client, tmp_path)
    one.control.close()
    assert silent.ask().pid == one.pid
    assert connect(old).ask().pid == one.pid  # a new one too
    finish(tmp_path)
    assert client.answer().status == 200
    assert one.ended() == 0


def test_nothing_is_left_open_by_pauses(old: Generation, new: Generation) -> None:
    one, other = old.start(), new.start()
    one.resume()
    client = connect(old)
    client.ask()
    counts = []
    for _ in range(5):
        switch(one, other, new)
        switch(other, one, old)
        client.ask()
        eventually(lambda: (one.numbers.connections, other.numbers.connections) == (1, 0), "it is back")
        counts.append((len(one.descriptors()), len(other.descriptors())))
    assert counts[1:] == counts[:-1]


# Boot


def test_a_failed_import_is_reported(old: Generation) -> None:
    worker = old.launch("no_such_module_here")
    message = worker.hear()
    assert message is not None
    assert (message["type"], message["step"]) == ("failed", "import")
    assert "no_such_module_here" in message["reason"] and "ModuleNotFoundError" in message["traceback"]
    assert worker.ended() == 3


@pytest.mark.parametrize("threads", [1, 4])
def test_an_internal_error_ends_the_process(old: Generation, threads: int) -> None:
    """The master replaces a worker that has ended; it cannot know of one whose loop has."""
    one = old.start("sabotage", threads=threads)
    one.resume()
    client = connect(old)
    assert client.ask().status == 200
    client.send(request())
    assert one.ended() == 70
    assert "internal error in the loop" in old.log and "Traceback" in old.log


def test_a_descriptor_that_is_no_socket_is_refused(old: Generation) -> None:
    one = old.start()
    one.resume()
    before = len(one.descriptors())
    with open(__file__) as file:
        one.tell("serve", (file.fileno(),), listener=NAME)
    client = connect(old)
    assert client.ask().pid == one.pid
    client.close()
    eventually(lambda: len(one.descriptors()) == before, "it is closed")
