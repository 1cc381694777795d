"""What a shell may complete: the services that run, else files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from releve.ctl import completion


def offered(complete: Callable[..., list[Any]], begun: str) -> list[tuple[str, str]]:
    return [(item.value, item.type) for item in complete(Mock(), Mock(), begun)]


@pytest.fixture(autouse=True)
def two_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them was started without a configuration file."""
    cards = [Mock(config="/srv/shop.yaml", socket="/run/shop/ctl.sock"), Mock(config=None, socket="/run/x/ctl.sock")]
    monkeypatch.setattr(completion, "scan", lambda *_: cards)


def test_those_that_begin_so_are_offered() -> None:
    assert offered(completion.configs, "") == offered(completion.configs, "/srv/") == [("/srv/shop.yaml", "plain")]
    assert offered(completion.sockets, "/run") == [("/run/shop/ctl.sock", "plain"), ("/run/x/ctl.sock", "plain")]


def test_where_none_does_the_shell_lists_files() -> None:
    assert offered(completion.configs, "/etc/") == [("/etc/", "file")]
    assert offered(completion.sockets, "./") == [("./", "file")]
