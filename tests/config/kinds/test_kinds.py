"""Words to values and back."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releve.config.kinds.kinds import (
    PARSERS,
    convert,
    duration_text,
    parse_duration,
    parse_expect,
    parse_share,
    parse_size,
    share_text,
    size_text,
)
from releve.config.kinds.schema import KINDS as SCHEMA_KINDS
from releve.config.reading.build import READERS
from releve.config.settings.settings import rules
from releve.config.settings.upgrade import Canary, Check
from releve.pages.configuration import KINDS as REFERENCE_KINDS


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


@given(
    st.sampled_from(sorted(PARSERS)),
    st.text(max_size=30),
    st.sampled_from([{}, {"off": "off"}, {"off": "auto", "minimum": 1, "maximum": 9}]),
)
def test_no_text_raises_anything_but_valueerror(kind: str, text: str, more: dict[str, object]) -> None:
    try:
        convert(kind, text, {"choices": ("off", "on"), **more})
    except ValueError as error:
        assert str(error)


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


def test_expected_statuses() -> None:
    assert parse_expect("200-299, 404") == (range(200, 300), range(404, 405))
    for bad in ("", "200-", "99", "600", "200,,201", "20x", "300-200"):
        with pytest.raises(ValueError):
            parse_expect(bad)


def test_every_kind_can_be_read_shown_and_checked() -> None:
    used = {rule["kind"] for rule in rules().values()} | {
        field.metadata["kind"] for field in (*dataclasses.fields(Check), *dataclasses.fields(Canary))
    }
    assert used <= set(PARSERS) | set(READERS)
    assert used <= set(REFERENCE_KINDS)
    assert used <= set(SCHEMA_KINDS)
