"""When a service fails, and what the log hears of it."""

from __future__ import annotations

import pytest

from releve.supervisor.condition.error_rate import ErrorRate
from releve.supervisor.generation.totals import Totals

STORM, CALM, NOTHING = Totals(requests=240, errors=230), Totals(requests=120, errors=2), Totals()
WORDS = "230 of 240 requests in the last 10 s were answered with 5xx (95.8%)"


@pytest.mark.parametrize(
    ("answered", "fails"),
    [
        (Totals(requests=100, errors=10), True),
        (Totals(requests=101, errors=10), False),
        (Totals(requests=9, errors=9), False),
        (Totals(requests=1010, errors=10, polled=1000), True),
        (Totals(requests=100, errors=60, polled=60, polled_errors=60), False),
        (NOTHING, False),
    ],
)
def test_bounds(answered: Totals, fails: bool) -> None:
    """One in ten, and ten; polls of load balancers do not count."""
    assert (ErrorRate().look(answered, 10.0) is not None) is fails


def test_the_log_hears_of_it_when_it_begins_and_when_it_has_been_over_for_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    now = 1000.0
    errors = ErrorRate(lambda: now)

    def look(answered: Totals) -> tuple[str | None, list[str]]:
        caplog.clear()
        return errors.look(answered, 10.2), caplog.messages

    assert look(CALM) == (None, [])
    assert look(STORM) == (WORDS, [f"failing: {WORDS}"])
    now += 5
    assert look(STORM) == (WORDS, [])
    now += 5
    assert look(CALM) == (None, []), "it may be for a moment"
    now += 4
    assert look(STORM) == (WORDS, [])
    now += 10
    over = "no longer failing after 14 s: 0 of 0 requests in the last 10 s were answered with 5xx (0.0%)"
    assert look(NOTHING) == (None, [over])
    assert look(NOTHING) == (None, [])
