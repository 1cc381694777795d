"""A worker at its limit of connections, and those that never say anything."""

from __future__ import annotations

import re
from pathlib import Path

from harness.workers import Client, Generation, connect, eventually, request


def serve(generation: Generation, **settings: object) -> Client:
    generation.start(**settings).resume()  # type: ignore[arg-type]
    return connect(generation)


def test_at_its_limit_a_worker_closes_the_longest_idle_connection_for_a_new_one(generation: Generation) -> None:
    first = serve(generation, limits={"connections": 3}, constants={"handover.room.YOUNG_S": 0.0})
    second, silent = connect(generation), connect(generation)
    assert [client.ask().status for client in (first, second)] == [200] * 2
    eventually(lambda: generation.workers[0].numbers.connections == 3, "all are there")
    newcomer = connect(generation)
    assert newcomer.ask().status == 200
    assert silent.ended(), "it never said anything"
    assert second.ask().status == 200
    another = connect(generation)
    assert another.ask().status == 200
    assert first.ended(), "it was idle for longest"
    assert [client.ask().status for client in (second, newcomer, another)] == [200] * 3
    another.close()
    newcomer.close()
    over = re.compile(r"limits\.connections \(3\) is no longer reached; closed ([0-9]+) idle connections? until then")
    # twice perhaps, if this was slow
    eventually(lambda: sum(map(int, over.findall(generation.log))) == 2, "it says so")
    assert generation.log.count("limits.connections (3) is reached") == len(over.findall(generation.log))


def test_at_its_limit_a_worker_spares_who_has_only_just_come(generation: Generation) -> None:
    kept = [
        serve(generation, limits={"connections": 3}, constants={"handover.room.YOUNG_S": 60.0}),
        connect(generation),
    ]
    assert [client.ask().status for client in kept] == [200] * 2
    newcomer = connect(generation)
    eventually(lambda: generation.workers[0].numbers.connections == 3, "all are there")
    another = connect(generation)
    assert another.ask().status == 200
    assert newcomer.ask().status == 200
    assert kept[0].ended(), "it was idle for longest"
    assert kept[1].ask().status == 200


def test_at_its_limit_a_worker_takes_nothing_from_who_has_begun_a_request(
    generation: Generation, tmp_path: Path
) -> None:
    clients = [serve(generation, limits={"connections": 2}), connect(generation)]
    clients[0].send(request(f"/wait?at={tmp_path}/at&until={tmp_path}/until"))
    clients[1].send(request()[:-2])
    eventually((tmp_path / "at").exists, "the request runs")
    waiting = connect(generation)
    waiting.send(request())
    assert waiting.waits(0.5)
    clients[1].send(b"\r\n")
    assert clients[1].answer().status == 200
    assert waiting.answer().status == 200
    (tmp_path / "until").touch()
    assert clients[0].answer().status == 200


def test_a_flood_of_silent_connections_holds_up_nobody(generation: Generation) -> None:
    serve(generation, limits={"connections": 20}, constants={"handover.room.CALM_S": 60.0}).close()
    silent = [connect(generation) for _ in range(60)]
    for _ in range(3):
        assert connect(generation).ask().status == 200
    assert generation.log.count("limits.connections (20) is reached") == 1
    for client in silent:
        client.close()


def test_at_its_limit_a_worker_leaves_newcomers_to_siblings_that_have_room(generation: Generation) -> None:
    kept = [
        serve(generation, limits={"connections": 2}, constants={"handover.acceptor.PRESS_S": 30.0}),
        connect(generation),
    ]
    assert [client.ask().pid for client in kept] == [generation.workers[0].pid] * 2
    sibling = generation.start(limits={"connections": 2})
    sibling.resume()
    newcomers = [connect(generation) for _ in range(2)]
    assert [client.ask().pid for client in newcomers] == [sibling.pid] * 2
    assert [client.ask().pid for client in kept] == [generation.workers[0].pid] * 2


def test_who_never_says_anything_has_the_time_of_a_head(generation: Generation) -> None:
    spoken = serve(generation, timeouts={"header": 0.3, "keepalive": 60.0})
    assert spoken.ask().status == 200
    assert connect(generation).ended(10)
    assert spoken.ask().status == 200
