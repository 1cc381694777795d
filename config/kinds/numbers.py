"""Numbers with their units: durations, sizes, counts, shares, file modes; from text, and back to it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from typing import Any

from releve.config.settings.key import Rules

DURATION_MAX_S = 7 * 86400.0  # far below the 24.8 days that poll(2) takes in its int of milliseconds
SIZE_MAX_BYTES = 1 << 50

_DURATION_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DECIMAL = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"
_DURATION = re.compile(
    "".join(rf"(?:(?P<{unit}>{_DECIMAL}){unit}{'(?!s)' if unit == 'm' else ''})?" for unit in _DURATION_UNITS_S)
)
_SIZE_UNITS_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
}
_SIZE = re.compile(rf"({_DECIMAL}) ?([A-Za-z]*)")
_NUMBER = re.compile(rf"-?{_DECIMAL}")
_WHOLE = re.compile(r"-?[0-9]{1,18}")


def parse_duration(text: str, rules: Rules) -> float:
    """Seconds: ``30s``, ``5m``, ``1h30m``, ``250ms``; a bare number has no unit and is refused."""
    match = _DURATION.fullmatch(text.lower())
    if not text or match is None:
        if _NUMBER.fullmatch(text):
            raise ValueError(
                _no_zero(rules) if float(text) == 0 else f"a duration needs a unit; write {text.removeprefix('-')}s"
            )
        raise ValueError("expected a duration such as 30s, 5m, 1h30m or 250ms")
    seconds = sum(float(number) * _DURATION_UNITS_S[unit] for unit, number in match.groupdict().items() if number)
    if seconds == 0:
        raise ValueError(_no_zero(rules))
    return float(_within(seconds, rules.get("minimum", 0.001), rules.get("maximum", DURATION_MAX_S), duration_text))


def parse_size(text: str, rules: Rules) -> int:
    """Bytes: ``8190``, ``64KiB``, ``1MiB``, ``1MB`` (a million)."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("expected a size such as 8190, 64KiB or 1MiB")
    number, unit = match[1], match[2].lower()
    if unit in ("k", "m", "g"):
        raise ValueError(f"{match[2]!r} is not a unit; write {number}{unit.upper()}iB")
    if unit not in _SIZE_UNITS_BYTES:
        raise ValueError("expected a size such as 8190, 64KiB or 1MiB")
    size = float(number) * _SIZE_UNITS_BYTES[unit] if "." in number else int(number) * _SIZE_UNITS_BYTES[unit]
    if size == 0:
        raise ValueError(_no_zero(rules))
    if size != int(size):
        raise ValueError("not a whole number of bytes")
    return int(_within(int(size), rules.get("minimum", 1), rules.get("maximum", SIZE_MAX_BYTES), size_text))


def parse_count(text: str, rules: Rules) -> int:
    """A whole number within ``minimum`` (default: 0) and ``maximum``; ``0`` never stands for ``off``."""
    if not _WHOLE.fullmatch(text):
        raise ValueError("expected a whole number")
    number = int(text)
    if number == 0 and rules.get("off"):
        raise ValueError(_no_zero(rules))
    return int(_within(number, rules.get("minimum", 0), rules.get("maximum", 1 << 31), str))


def parse_workers(text: str, rules: Rules) -> int:
    """A whole number, or ``auto``: one for each core that this process may use (sched_getaffinity(2))."""
    if text.lower() == "auto":
        return min(len(os.sched_getaffinity(0)), int(rules.get("maximum", 1 << 31)))
    if not _WHOLE.fullmatch(text):
        raise ValueError("expected a whole number or auto")
    return parse_count(text, rules)


def parse_share(text: str, rules: Rules) -> float:
    """A part of the whole, 0 to 1, written in percent: ``10%``, ``2.5%``."""
    number = text.removesuffix("%").rstrip()
    if not _NUMBER.fullmatch(number):
        raise ValueError("expected a share such as 10%")
    if number == text:
        percent = float(text) * 100 if 0 < float(text) < 1 else float(text)
        raise ValueError(f"a share is written in percent; write {abs(percent):.12g}%")
    percent = float(number)
    if percent == 0:
        raise ValueError(_no_zero(rules))
    if round(percent, 2) != percent:
        raise ValueError("at most two digits after the point")
    return float(_within(round(percent / 100, 4), rules.get("minimum", 0.0001), rules.get("maximum", 1.0), share_text))


def parse_mode(text: str, rules: Rules) -> int:
    """File mode bits, always read as octal: ``0660``, ``660``, ``0o660``."""
    digits = text.lower().removeprefix("0o")
    if not re.fullmatch("[0-7]{1,7}", digits):
        raise ValueError("expected an octal mode such as 0660")
    mode = int(digits, 8)
    if mode > 0o777:
        raise ValueError("at most 0777")
    return mode


def _within(number: float, minimum: float, maximum: float, show: Callable[[Any], str]) -> float:
    if number < minimum:
        raise ValueError(f"at least {show(minimum)}")
    if number > maximum:
        raise ValueError(f"at most {show(maximum)}")
    return number


def _no_zero(rules: Rules) -> str:
    word = rules.get("off")
    return f"0 does not mean {word}; write {word}" if word else "it cannot be 0"


def duration_text(seconds: float) -> str:
    """A duration as it is written in YAML, in one unit: ``60s``, ``5m``, ``1h``, ``250ms``."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    for unit, at_least in (("d", 86400), ("h", 3600), ("m", 120)):
        if seconds >= at_least and seconds % _DURATION_UNITS_S[unit] == 0:
            return f"{seconds / _DURATION_UNITS_S[unit]:g}{unit}"
    return f"{seconds:.12g}s"


def share_text(share: float) -> str:
    """A share as it is written in YAML: ``10%``."""
    return f"{share * 100:.12g}%"


def size_text(size_bytes: int) -> str:
    """A size as it is written in YAML: ``64KiB``, ``8190``."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size_bytes >= unit and size_bytes % unit == 0:
            return f"{size_bytes // unit}{name}"
    return str(size_bytes)


def mode_text(mode: int) -> str:
    """File mode bits as they are written, ``0660``."""
    return f"0{stat.S_IMODE(mode):03o}"
