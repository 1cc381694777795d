"""Moments as a person writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from releve.ctl.moment import moment

ZONE = timezone(timedelta(hours=1))
NOW = datetime(2026, 11, 30, 8, 33, 28, tzinfo=ZONE)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("now", NOW),
        ("90s", NOW - timedelta(seconds=90)),
        ("2h", NOW - timedelta(hours=2)),
        ("10 minutes ago", NOW - timedelta(minutes=10)),
        ("10 min", NOW - timedelta(minutes=10)),
        ("-10m", NOW - timedelta(minutes=10)),
        ("1 hour 30 secs", NOW - timedelta(hours=1, seconds=30)),
        ("1d12h ago", NOW - timedelta(days=1, hours=12)),
        ("2W", NOW - timedelta(weeks=2)),
        ("today", NOW.replace(hour=0, minute=0, second=0)),
        ("yesterday", datetime(2026, 11, 29, tzinfo=ZONE)),
        ("08:15", NOW.replace(hour=8, minute=15, second=0)),
        ("8:15:30", NOW.replace(hour=8, minute=15, second=30)),
        ("2026-11-30T07:15:00Z", datetime(2026, 11, 30, 7, 15, tzinfo=UTC)),
        ("2026-11-30 08:15", datetime(2026, 11, 30, 8, 15).astimezone()),
        ("2026-11-29", datetime(2026, 11, 29).astimezone()),
    ],
)
def test_a_moment(text: str, found: datetime) -> None:
    assert moment(text, NOW) == found


@pytest.mark.parametrize(
    "text", ["", " ", "2", "ago", "25:00", "2026-13-01", "tomorrow", "h", "1h2d", "999999w", "-", "1x"]
)
def test_what_is_none_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration or a time, such as 2h"):
        moment(text, NOW)
