"""Moments as a person writes them: ``2h``, ``10 minutes ago``, ``yesterday``, ``08:15``, ``2026-11-30 08:15``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

EXAMPLES = "2h, 1d12h, yesterday, 08:15, 2026-11-30 or 2026-11-30T08:15:00Z"

# as systemd.time(7) has them: 10m, -10m, 10 min, 10 minutes ago
_UNITS = {"weeks": "w|weeks?", "days": "d|days?", "hours": "h|hrs?|hours?", "minutes": "m|mins?|minutes?"}
_UNITS["seconds"] = "s|secs?|seconds?"
_PARTS = "".join(rf"(?:(?P<{name}>\d{{1,6}}) ?(?:{unit}) ?)?" for name, unit in _UNITS.items())
_AGO = f"-?{_PARTS}(?:ago)?"
_CLOCK = r"(\d{1,2}):(\d{2})(?::(\d{2}))?"
_DAYS = {"today": 0, "yesterday": 1}


def moment(text: str, now: datetime) -> datetime:
    """The moment that ``text`` names, seen from ``now`` (with its zone). Raises ValueError.

    A duration is that long ago. A time without a day is today's, a day without a time begins at midnight; both are in
    the zone of ``now``.
    """
    words = text.strip().lower()
    if words == "now":
        return now
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if words in _DAYS:
        return midnight - timedelta(days=_DAYS[words])
    try:
        if (ago := re.fullmatch(_AGO, words)) and any(ago.groups()):
            return now - timedelta(**{name: int(number) for name, number in ago.groupdict().items() if number})
        if clock := re.fullmatch(_CLOCK, words):
            hour, minute, second = (int(part or 0) for part in clock.groups())
            return midnight.replace(hour=hour, minute=minute, second=second)
        stamp = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise ValueError(f"expected a duration or a time, such as {EXAMPLES}") from None
    return stamp if stamp.tzinfo else local(stamp)


def local(stamp: datetime) -> datetime:
    """A time without a zone, as this host's clock shows it, with its zone."""
    try:
        return stamp.astimezone()
    except (OverflowError, OSError, ValueError):  # years at the ends of the calendar have no zone
        return stamp.replace(tzinfo=UTC)


def option(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    """The callback of an option that takes a moment. Raises BadParameter."""
    try:
        return None if value is None else moment(value, datetime.now().astimezone())
    except ValueError as error:
        raise click.BadParameter(f"cannot use {value!r} as a time: {error}") from None
