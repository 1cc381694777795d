"""Numbers with units: from text, and back to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releve.config.kinds.numbers import (
    duration_text,
    mode_text,
    parse_duration,
    parse_mode,
    parse_share,
    parse_size,
    share_text,
    size_text,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("1d2h3m4s5ms", 93784.005),
        ("5M", 300),
        ("1m1ms", 60.001),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text, {}) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("8190", 8190),
        ("1B", 1),
        ("64KiB", 65536),
        ("64 kib", 65536),
        ("1MiB", 1 << 20),
        ("2GiB", 2 << 30),
        ("1kB", 1000),
        ("1.5MB", 1_500_000),
    ],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert parse_size(text, {}) == size_bytes


@given(st.integers(min_value=1, max_value=7 * 86_400_000))
def test_a_duration_survives_its_own_text(milliseconds: int) -> None:
    assert parse_duration(duration_text(milliseconds / 1000), {}) == pytest.approx(milliseconds / 1000)


@given(st.integers(min_value=1, max_value=1 << 50))
def test_a_size_survives_its_own_text(size_bytes: int) -> None:
    assert parse_size(size_text(size_bytes), {}) == size_bytes


@given(st.integers(min_value=1, max_value=10_000))
def test_a_share_survives_its_own_text(parts: int) -> None:
    assert parse_share(share_text(parts / 10_000), {}) == parts / 10_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (10.0, "10s"),
        (60.0, "60s"),
        (75.0, "75s"),
        (300.0, "5m"),
        (3600.0, "1h"),
        (86400.0, "1d"),
        (0.25, "250ms"),
        (5400.0, "90m"),
    ],
)
def test_a_duration_is_written_in_one_unit(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_a_mode_is_written_in_octal() -> None:
    assert [mode_text(0o660), mode_text(0o7)] == ["0660", "0007"]
    assert [parse_mode(text, {}) for text in ("0660", "660", "0o660")] == [0o660] * 3
