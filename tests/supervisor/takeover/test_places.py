"""Who serves, is on trial and stands by, of the generations that a killed supervisor has left."""

from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace
from typing import Any

import pytest

from releve.supervisor.keepsake.keepsake import Role
from releve.supervisor.takeover.places import places


def left(number: int, role: Role) -> Any:
    return SimpleNamespace(generation=SimpleNamespace(number=number), kept=SimpleNamespace(role=role))


ACTIVE, STANDBY, TRIAL, CANDIDATE = Role.ACTIVE, Role.STANDBY, Role.TRIAL, Role.CANDIDATE


@pytest.mark.parametrize(
    ("roles", "active", "standby", "trial"),
    [
        pytest.param({1: ACTIVE}, 1, None, None, id="one that serves"),
        pytest.param({1: STANDBY, 2: ACTIVE}, 2, 1, None, id="one stands by"),
        pytest.param({1: ACTIVE, 2: CANDIDATE}, 1, None, None, id="an upgrade before its switch"),
        pytest.param({1: ACTIVE, 2: TRIAL}, 1, None, 2, id="an upgrade after its switch"),
        pytest.param({1: STANDBY, 2: ACTIVE, 3: TRIAL}, 2, None, 3, id="beside a trial nobody stands by"),
        pytest.param({1: ACTIVE, 2: ACTIVE}, 2, 1, None, id="killed in the middle of a commit: the newer one"),
        pytest.param({2: ACTIVE, 1: TRIAL}, 2, None, None, id="a trial that was committed, and has not heard of it"),
        pytest.param({2: TRIAL}, 2, None, None, id="a trial whose old generation has died"),
        pytest.param({1: STANDBY}, 1, None, None, id="only the one that stood by is left"),
        pytest.param({1: CANDIDATE}, 1, None, None, id="only a candidate is left"),
        pytest.param({1: STANDBY, 2: CANDIDATE}, 1, None, None, id="what has served goes before a candidate"),
    ],
)
def test_places_go_by_roles_and_the_newest_first(
    roles: dict[int, Role], active: int, standby: int | None, trial: int | None
) -> None:
    for order in permutations(left(number, role) for number, role in roles.items()):
        found = places(list(order))
        given = [None if one is None else one.generation.number for one in (found.active, found.standby, found.trial)]
        assert given == [active, standby, trial]
        assert found.serving.generation.number == (trial or active)
