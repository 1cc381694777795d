"""One worker over real sockets: HTTP, slow clients, deadlines, threads."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from pathlib import Path

import pytest

from harness.workers import Client, Generation, connect, eventually, listening, request


def serve(generation: Generation, **settings: object) -> Client:
    """A client of a worker that has just been resumed."""
    worker = generation.start(**settings)  # type: ignore[arg-type]
    worker.resume()
    return connect(generation)


# Requests and responses


def test_keep_alive(generation: Generation) -> None:
    client = serve(generation)
    for _ in range(3):
        answer = client.ask()
        assert (answer.status, answer.pid) == (200, generation.workers[0].pid)
        assert answer.kept
    numbers = generation.workers[0].numbers
    eventually(lambda: generation.workers[0].numbers.requests == 3, "three requests counted")
    assert (numbers.accepted, generation.workers[0].numbers.status_2xx) == (1, 3)


def test_close_is_honoured(generation: Generation) -> None:
    client = serve(generation)
    assert not client.ask(more="Connection: close\r\n").kept
    assert client.ended()


def test_pipelined_requests_are_answered_in_order(generation: Generation) -> None:
    client = serve(generation)
    client.send(b"".join(request("/echo", method="POST", body=b"%d" % number) for number in range(50)))
    assert [client.answer().body for _ in range(50)] == [b"%d" % number for number in range(50)]


def test_pipelined_byte_by_byte(generation: Generation) -> None:
    client = serve(generation)
    for byte in request("/echo", method="POST", body=b"one") + request("/echo", method="POST", body=b"two"):
        client.send(bytes([byte]))
    assert [client.answer().body, client.answer().body] == [b"one", b"two"]


def test_chunked_both_ways(generation: Generation) -> None:
    client = serve(generation)
    client.send(b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    client.send(b"6\r\n world\r\n0\r\n\r\n" + request("/stream?pieces=3"))
    assert client.answer().body == b"hello world"
    streamed = client.answer()
    assert (streamed.headers["transfer-encoding"], streamed.body) == ("chunked", b"0\n1\n2\n")


def test_expect_continue(generation: Generation) -> None:
    client = serve(generation)
    client.send(b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    assert client.answer().status == 100
    client.send(b"body")
    assert client.answer().body == b"body"


def test_head(generation: Generation) -> None:
    client = serve(generation)
    answer = client.ask("/big?bytes=1000", method="HEAD")
    assert (answer.status, answer.headers["content-length"]) == (200, "1000")
    assert client.ask().status == 200


def test_an_empty_line_after_a_body_is_no_request(generation: Generation) -> None:
    client = serve(generation, timeouts={"header": 0.2})
    client.send(request("/echo", method="POST", body=b"x") + b"\r\n")
    assert client.answer().body == b"x"
    time.sleep(0.5)  # longer than timeouts.header: silence is what is tested
    assert client.ask().status == 200


def test_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "http.sock")
    with listening(path) as sock:
        generation = Generation(8, [(f"unix:{path}", sock)])
        try:
            generation.start().resume()
            client = Client(path)
            assert client.ask("/address").body == b"localhost 80   True"
            assert client.ask().status == 200
        finally:
            generation.close()


def test_addresses(generation: Generation) -> None:
    client = serve(generation, threads=1)
    host, port = client.socket.getsockname()
    assert client.ask("/address").body.decode() == f"127.0.0.1 {client.socket.getpeername()[1]} {host} {port} False"


def test_a_large_response_to_a_slow_reader_arrives_whole(generation: Generation) -> None:
    client = serve(generation)
    client.send(request("/big?bytes=8000000"))
    assert connect(generation).ask().status == 200
    assert len(client.answer().body) == 8_000_000


# What is no request


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET /" + b"x" * 9000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000, 431),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
    ],
)
def test_bad_requests_are_answered_and_closed(generation: Generation, data: bytes, status: int) -> None:
    client = serve(generation)
    client.send(data)
    answer = client.answer()
    assert (answer.status, answer.kept) == (status, False)
    assert client.ended()


def test_a_refused_client_that_is_still_sending_reads_its_answer(generation: Generation) -> None:
    """Closing over unread bytes would reset the connection and destroy the answer."""
    client = serve(generation)
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 60000\r\n\r\n" + b"x" * 30_000)
    assert client.answer().status == 400
    for _ in range(3):
        client.send(b"x" * 10_000)  # to a closed socket the second would raise
        time.sleep(0.02)
    assert client.ended()


def test_an_endless_sender_is_cut_off(generation: Generation) -> None:
    client = serve(generation)
    client.send(b"nonsense\r\n\r\n")
    assert client.answer().status == 400
    with pytest.raises(OSError):
        for _ in range(1000):
            client.send(b"x" * 65536)


def test_nothing_pipelined_behind_a_bad_request_is_run(generation: Generation, tmp_path: Path) -> None:
    client = serve(generation)
    client.send(b"GET / HTTP/9.9\r\nHost: a\r\n\r\n" + request(f"/wait?at={tmp_path}/ran&until=/"))
    assert client.answer().status == 505
    assert client.ended()
    assert not (tmp_path / "ran").exists()


# Deadlines


def test_a_slow_head_is_answered_408(generation: Generation) -> None:
    client = serve(generation, timeouts={"header": 0.3})
    client.send(b"GET / HTTP/1.1\r\n")
    started = time.monotonic()
    assert client.answer().status == 408
    assert time.monotonic() - started < 3
    assert client.ended()


def test_the_time_for_a_head_is_counted_from_its_first_byte(generation: Generation) -> None:
    client = serve(generation, timeouts={"header": 0.5})
    with pytest.raises(AssertionError, match="closed|unexpected"):
        for byte in request(more="X-Long: " + "x" * 1000 + "\r\n"):
            client.send(bytes([byte]))
            client.socket.settimeout(0.02)
            try:
                assert client.ended(0.02) is False
            finally:
                client.socket.settimeout(5)


@pytest.mark.parametrize("first", [False, True])
def test_silence_is_closed_silently(generation: Generation, first: bool) -> None:
    client = serve(generation, timeouts={"keepalive": 0.3} if first else {"header": 0.3})
    if first:
        assert client.ask().status == 200
    assert client.ended(5)


def test_a_request_in_time_keeps_the_connection(generation: Generation) -> None:
    client = serve(generation, timeouts={"keepalive": 0.6})
    for _ in range(4):
        time.sleep(0.3)
        assert client.ask().status == 200
    assert client.ended(5)


def test_a_body_that_does_not_come(generation: Generation) -> None:
    client = serve(generation, timeouts={"body": 0.3})
    client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
    assert client.answer().status == 408
    assert client.ended()


def test_a_client_that_reads_nothing_frees_its_thread(generation: Generation) -> None:
    client = serve(generation, threads=1, timeouts={"write": 0.3})
    client.send(request("/big?bytes=50000000"))
    assert connect(generation).ask().status == 200
    eventually(lambda: generation.workers[0].numbers.busy == 0, "the thread is free")


# Threads


def test_slow_clients_occupy_no_thread(generation: Generation) -> None:
    first = serve(generation, threads=1)
    idle = [connect(generation) for _ in range(30)]
    half = [connect(generation) for _ in range(30)]
    for client in half:
        client.send(b"GET /pid HTTP/1.1\r\nHost:")
    assert first.ask().status == 200
    for client in half:
        client.send(b" test\r\n\r\n")
    assert [client.answer().status for client in half] == [200] * 30
    assert [client.ask().status for client in idle] == [200] * 30


def test_one_slow_request_holds_nobody_up(generation: Generation, tmp_path: Path) -> None:
    slow = serve(generation, threads=2)
    slow.send(request(f"/wait?at={tmp_path}/at&until={tmp_path}/until"))
    eventually((tmp_path / "at").exists, "the slow request runs")
    quick = connect(generation)
    assert quick.ask().status == 200
    eventually(lambda: generation.workers[0].numbers.busy == 1, "one thread is busy")
    (tmp_path / "until").touch()
    assert slow.answer().status == 200


def test_a_worker_without_a_free_thread_leaves_the_accept_queue_alone(generation: Generation, tmp_path: Path) -> None:
    slow = serve(generation, threads=1)
    slow.send(request(f"/wait?at={tmp_path}/at&until={tmp_path}/until"))
    eventually((tmp_path / "at").exists, "the slow request runs")
    other = connect(generation)
    other.send(request())
    second = generation.start(threads=1)
    second.resume()
    assert other.answer().pid == second.pid
    (tmp_path / "until").touch()
    assert slow.answer().pid == generation.workers[0].pid
    assert connect(generation).ask().status == 200


def test_newcomers_come_in_beside_a_crowd_of_kept_connections(generation: Generation) -> None:
    """Each answer is followed by more requests of the crowd, so no thread is ever free; the newcomer must not wait for
    the end of it.
    """
    crowd = [serve(generation, threads=1), *(connect(generation) for _ in range(3))]
    newcomer = connect(generation)
    for client in crowd:
        client.send(request() * 500)
    newcomer.send(request())
    left = [500] * len(crowd)
    served_beside = False
    poll = select.poll()
    poll.register(newcomer.socket, select.POLLIN)
    while any(left) and not served_beside:
        for number, client in enumerate(crowd):
            if left[number]:
                client.answer()
                left[number] -= 1
        served_beside = bool(poll.poll(0))
    assert served_beside
    assert newcomer.answer().status == 200


@pytest.mark.parametrize(("threads", "name"), [(1, b"main"), (2, b"other")])
def test_where_the_application_runs(generation: Generation, threads: int, name: bytes) -> None:
    client = serve(generation, threads=threads)
    assert client.ask("/thread").body == name


@pytest.mark.parametrize("threads", [1, 4])
def test_sys_exit_in_a_view_is_a_500(generation: Generation, threads: int) -> None:
    client = serve(generation, threads=threads)
    assert client.ask("/exit").status == 500
    for _ in range(5):
        assert connect(generation).ask().pid == generation.workers[0].pid


def test_an_idle_worker_sleeps(generation: Generation) -> None:
    client = serve(generation)
    client.ask()
    eventually(lambda: _stable(generation), "it comes to rest")
    resting = generation.workers[0].numbers.heartbeat_ns
    time.sleep(0.5)  # nothing may happen
    assert generation.workers[0].numbers.heartbeat_ns == resting


def test_bytes_behind_a_running_request_do_not_keep_the_loop_awake(generation: Generation, tmp_path: Path) -> None:
    client = serve(generation)
    client.send(request(f"/wait?at={tmp_path}/at&until={tmp_path}/until"))
    eventually((tmp_path / "at").exists, "the request runs")
    client.send(request())
    eventually(lambda: _stable(generation), "the loop comes to rest")
    (tmp_path / "until").touch()
    assert [client.answer().status, client.answer().status] == [200, 200]


def _stable(generation: Generation) -> bool:
    first = generation.workers[0].numbers.heartbeat_ns
    time.sleep(0.1)
    return generation.workers[0].numbers.heartbeat_ns == first


# Limits


def test_without_free_descriptors_a_worker_backs_off_and_recovers(generation: Generation) -> None:
    worker = generation.start(limit_descriptors=40)
    worker.resume()
    clients = [connect(generation) for _ in range(60)]
    eventually(lambda: "cannot accept a connection: Too many open files" in generation.log, "it says so")
    for client in clients[:40]:
        client.close()
    for client in clients[40:]:
        assert client.ask().status == 200
    assert generation.log.count("Too many open files") == 1


# Children that the application forks


def test_a_child_of_the_application_holds_nothing_of_ours(generation: Generation) -> None:
    client = serve(generation)
    other = connect(generation)
    assert other.ask().status == 200
    child = int(client.ask("/fork").body)
    try:
        eventually(lambda: not _sockets(child), "the child has closed everything")
        worker = generation.workers[0]
        os.kill(worker.pid, signal.SIGKILL)
        worker.ended()
        assert other.ended()
        assert worker.hear() is None
    finally:
        os.kill(child, signal.SIGKILL)


def _sockets(pid: int) -> list[str]:
    return [
        os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd") if int(fd) > 2 and _ours(pid, fd)
    ]


def _ours(pid: int, fd: str) -> bool:
    name = os.readlink(f"/proc/{pid}/fd/{fd}")
    return name.startswith(("socket:", "pipe:", "anon_inode:"))


def test_a_child_that_comes_back_from_the_view_ends(generation: Generation) -> None:
    client = serve(generation)
    assert client.ask("/stray").body == b"70"
    assert client.ask().status == 200


def test_nagle_is_off(generation: Generation) -> None:
    """Two small writes of one response arrive without waiting for an acknowledgement (40 ms)."""
    client = serve(generation)
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
    times = []
    for _ in range(5):
        started = time.monotonic()
        client.ask("/stream?pieces=3")
        times.append(time.monotonic() - started)
    assert min(times) < 0.03
