"""A worker that has no descriptor for a connection: what its log says when that begins and when it ends."""

from __future__ import annotations

from harness.workers import Generation, connect, eventually

BEGINS = "cannot accept a connection: Too many open files; raise LimitNOFILE"
ENDS = "accepting connections again after "


def test_one_line_when_it_begins_and_one_when_it_ends_each_time(generation: Generation) -> None:
    generation.start(limit_descriptors=40, constants={"handover.shortage.CALM_S": 0.3}).resume()
    for number in (1, 2):
        clients = [connect(generation) for _ in range(60)]
        eventually(lambda number=number: generation.log.count(BEGINS) >= number, "it says so")
        for client in clients:
            client.close()
        eventually(lambda: generation.log.count(ENDS) == generation.log.count(BEGINS), "it says that it is over")
    assert connect(generation).ask().status == 200
