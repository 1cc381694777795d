"""``mounts``: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.configurations import loaded, refused
from releve.config.settings.settings import Mount
from releve.config.settings.wire import from_wire, to_wire


def test_mounts_travel_over_the_link(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "mounts:\n  /api: api:app\n  '': site:app\n")
    assert settings.mounts == (Mount("/api", "api:app"), Mount("", "site:app"))
    assert settings.mounts[0].place.endswith("releve.yaml:2:9")
    assert from_wire(to_wire(settings)) == settings
    assert settings.served == "2 applications (/api, /)"


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("/", "the prefix for all paths is ''"),
        ("api", "a prefix begins with /; write /api"),
        ("/api/", "write /api"),
        ("/a//b", "write /a/b"),
        ("/caf%C3%A9", "not percent-encoded; write /caf\u00e9"),
        ("/a/../b", "no segment . or .."),
        ("/a?b", "no control characters"),
    ],
)
def test_malformed_prefixes(tmp_path: Path, prefix: str, reason: str) -> None:
    (problem,) = refused(tmp_path, f"mounts:\n  '{prefix}': api:app\n")
    assert problem.startswith(f"releve.yaml:2:3: cannot mount at {prefix!r}: ")
    assert reason in problem


def test_app_and_mounts_exclude_each_other(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, "app: a:b\nmounts: {/api: api:app}\n")
    assert (
        problem
        == "releve.yaml:2:1: cannot use mounts and app together (app is at releve.yaml:1:6): mount it at '' instead"
    )
    assert "cannot start without app" in refused(tmp_path, "workers: 2\n")[0]
