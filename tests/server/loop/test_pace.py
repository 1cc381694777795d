"""Whether a client keeps up: judged once a window, by what it has moved in it."""

from __future__ import annotations

import pytest

from releve.server.loop.pace import Pace, min_bytes


@pytest.mark.parametrize(("window_s", "rate", "found"), [(10.0, 100, 1000), (0.001, 100, 1), (10.0, None, 0)])
def test_what_has_to_move_in_a_window(window_s: float, rate: int | None, found: int) -> None:
    assert min_bytes(window_s, rate) == found


def test_who_moves_its_share_is_not_too_slow() -> None:
    pace = Pace(1.0, 100)
    assert not pace.too_slow(0.5, 0)  # the window is not over
    assert not pace.too_slow(0.5, 100)
    assert not pace.too_slow(0.9, 99)
    assert pace.too_slow(0.1, 0)


def test_each_window_is_judged_for_itself() -> None:
    pace = Pace(1.0, 100)
    assert not pace.too_slow(1.0, 1000)
    assert pace.too_slow(1.0, 0)


def test_without_a_rate_any_pace_will_do() -> None:
    assert not Pace(1.0, None).too_slow(3600.0, 0)
