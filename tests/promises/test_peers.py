"""Promise: a generation is one release, with the Relève that it brings: the frozen server of the first version beside
today's.

Upgrades and rollbacks between the two, connections that change hands both ways, orders, adoption and
re-exec, all under load. What the old one does not know is left out and said.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import peers
from harness.load import strictly
from harness.service import Service, serving


def bring(service: Service, peer: str | None) -> None:
    """The next release brings the server of a peer; None: it has none, and is lent today's."""
    service.configure(env=None if peer is None else {"PYTHONPATH": str(peers.peer(peer))})


@pytest.mark.parametrize("peer", peers.NAMES)
def test_there_and_back(tmp_path: Path, peer: str) -> None:
    with serving(tmp_path, start=False, upgrade={"check": "/healthz", "standby": "30s"}) as service:
        service.start()
        with strictly(*service.addresses, serving=1, clients=40) as load:
            service.release("two")
            service.flip("two")
            bring(service, peer)
            load.begin(2)
            service.do("upgrade")
            load.done(2)
            assert service.get("/imported?name=releve.server").decode().startswith(str(peers.peer(peer)))
            load.begin(1)
            service.do("rollback")
            load.done(1)
            load.begin(3)
            service.do("upgrade")
            load.done(3)
            service.settled()
            for verb in (("scale", "3"), ("reload",), ("reexec",)):
                service.must(*verb)
                load.wait(50)
            service.kill_supervisor()
            load.wait(50)
            assert service.serving() == 3
            bring(service, None)
            load.begin(4)
            service.do("upgrade")
            load.done(4)
            load.begin(3)
            service.do("rollback")
            load.done(3)


@pytest.mark.parametrize("peer", peers.NAMES)
def test_it_starts_a_service(tmp_path: Path, peer: str) -> None:
    with serving(tmp_path, start=False) as service:
        bring(service, peer)
        service.start()
        assert service.who()["release"] == "one"
        assert service.must("check")


def test_a_canary_needs_two_releases_that_know_it(tmp_path: Path) -> None:
    with serving(tmp_path, upgrade={"canary": {"share": "50%", "for": "60s"}}) as service:
        for brought, which in (("v1", "new"), (None, "old")):
            bring(service, brought)
            said = service.ask("upgrade")
            assert said["status"] == 0
            assert any(f"of the {which} release does not know canaries" in note for note in said["notes"])
            assert "canary" not in said["figures"]
