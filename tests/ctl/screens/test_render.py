"""Words for values."""

from __future__ import annotations

from typing import Any

import pytest

from releve.ctl.screens import render


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"), (0.44, "0.4s"), (9.96, "10.0s"), (10, "10s"), (59.9, "59s"), (60, "1m00s"), (192, "3m12s"),
        (3599, "59m59s"),
        (3600, "1h00m"), (18180, "5h03m"), (86399, "23h59m"), (86400, "1d00h"), (1051200, "12d04h"), (None, "-"),
        ("1", "-"), (True, "-"),
    ],
)  # fmt: skip
def test_age(seconds: Any, text: str) -> None:
    assert render.age(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (2048, "2 KiB"), (43 << 20, "43 MiB"), (int(4.14 * (1 << 20)), "4.1 MiB"),
        (3 << 30, "3.0 GiB"), (5 << 50, "5120 TiB"), (None, "-"), ("x", "-"),
    ],
)  # fmt: skip
def test_size(count: Any, text: str) -> None:
    assert render.size(count) == text


def test_lines_are_single_and_safe() -> None:
    assert render.line("a\nb\tc  \x1b[0m") == "a b c \\x1b[0m"
    assert [render.line(value) for value in (None, "", 0, False)] == ["-", "-", "0", "False"]
    assert render.clean("a\n\tb\r\x00") == "a\n\tb\\x0d\\x00"
