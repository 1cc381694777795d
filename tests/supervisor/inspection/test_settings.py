"""The settings in force, where each was written, and what is not shown of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from releve.config.reading.load import load
from releve.config.reading.sources import Overrides
from releve.config.settings.diff import UNKNOWN, apply_reload
from releve.config.settings.hooks import Command
from releve.config.settings.settings import Settings, rules
from releve.config.settings.upgrade import Check
from releve.config.settings.wire import from_wire, to_keep, to_wire
from releve.supervisor.inspection.settings import picture, shown

FILE = """\
app: hello:application
threads: 4
upgrade:
  check: {path: /up, headers: {Authorization: Bearer abc}}
  canary: {share: 20%, for: 90s}
env: {DATABASE_URL: "postgres://shop:hunter2@db/shop"}
hooks:
  after_commit: TOKEN=hunter2 curl -d hunter2 https://me:hunter2@example.org/done
"""


def read(tmp_path: Path, text: str = FILE, **environ: str) -> Settings:
    (tmp_path / "shop.yaml").write_text(text)
    return load(tmp_path / "shop.yaml", Overrides({"workers": 3}, environ, tmp_path)).settings


def told(settings: Settings, **service: Any) -> dict[str, tuple[str, str]]:
    active = SimpleNamespace(number=8, revision=2)
    result = picture(SimpleNamespace(**{"active": active, "settings": settings, "scaled": None, **service}))  # type: ignore[arg-type]
    return {row["key"]: (row["value"], row["from"]) for row in result["settings"]}


def test_each_setting_says_where_it_was_written(tmp_path: Path) -> None:
    rows = told(read(tmp_path, PORT="8001", RELEVE_TIMEOUTS_BOOT="30s"))
    file = str(tmp_path / "shop.yaml")
    assert len(rows) == len(rules())
    assert rows["app"] == ("hello:application", f"{file}:1") and rows["threads"] == ("4", f"{file}:2")
    assert rows["workers"] == ("3", "--workers on the command line")
    assert rows["listen"][1] == "PORT in the environment"
    assert rows["timeouts.boot"] == ("30s", "RELEVE_TIMEOUTS_BOOT in the environment")
    assert rows["upgrade.canary"] == ("{share: 20%, for: 90s}", f"{file}:5")
    assert rows["limits.head"][1] == rows["directory"][1] == "default"
    assert told(read(tmp_path), scaled=5)["workers"] == ("5", "ctl scale")


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    rows = told(read(tmp_path))
    assert rows["env"][0] == "{DATABASE_URL: ***}"
    assert rows["upgrade.check"][0] == "{path: /up, headers: {Authorization: ***}}"
    assert rows["hooks.after_commit"][0] == "{run: curl …}"
    assert "hunter2" not in json.dumps(rows) and "Bearer" not in json.dumps(rows)


@pytest.mark.parametrize(("key", "value", "text"), [("umask", 0o27, "0027"), ("include", ("a", "b"), "[a, b]")])
def test_a_value_in_words(key: str, value: Any, text: str) -> None:
    assert shown(rules()[key], value).strip("'\"") in (text, text.lstrip("0"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("postgres://shop:hunter2@db/shop", "postgres://***@db/shop"),
        ("postgres://shop:hun@ter2@db/shop", "postgres://***@db/shop"),
        ("postgres://shop:hun/t?er=2@db/shop", "postgres://***@db/shop"),
        ("git+https://hunter2@example.org/x.git", "git+https://***@example.org/x.git"),
        ("https://example.org/@user", "https://example.org/@user"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/"),
        ("https://example.org/x?key=hunter2&b=hunter2;c=", "https://example.org/x?key=***&b=***&c=***"),
        ("/up?hunter2", "/up?***"),
        ("/up?a=hunter2#hunter2", "/up?a=***"),
        ('%(h)s "%(r)s" ?a=b', '%(h)s "%(r)s" ?a=b'),
        (("/a", "/b?c=hunter2"), "[/a, /b?c=***]"),
        (Check("/up?t=hunter2", headers={"A": "hunter2"}), "{path: /up?t=***, headers: {A: ***}}"),
        (Command("migrate"), "{run: migrate}"),
        (Command("A=1 B='hunter2 x' ./migrate --key hunter2"), "{run: ./migrate …}"),
        (Command("A=$(echo hunter2 hunter2) ./migrate"), "{run: …}"),
        (Command("echo 'hunter2"), "{run: …}"),
        (Command("(hunter2)"), "{run: …}"),
        (Command(("/usr/bin/env", "A=hunter2", "x"), 5.0), "{run: /usr/bin/env …, timeout: 5s}"),
        (Command(("A=hunter2", "x")), "{run: …}"),
    ],
)
def test_what_of_a_value_is_shown(value: Any, text: str) -> None:
    assert shown({"kind": "text"}, value) == text


def test_they_come_to_the_next_supervisor_and_not_to_a_master(tmp_path: Path) -> None:
    settings = read(tmp_path)
    assert "origins" not in to_wire(settings)
    assert from_wire(json.loads(json.dumps(to_keep(settings)))).origins == settings.origins


def test_what_an_older_release_has_kept_is_unknown(tmp_path: Path) -> None:
    settings = from_wire(json.loads(json.dumps(to_wire(read(tmp_path)))))
    rows = told(settings)
    assert rows["threads"] == ("4", UNKNOWN) and rows["limits.head"][1] == "default"


def test_after_a_reload_what_it_cannot_apply_is_from_before(tmp_path: Path) -> None:
    before = read(tmp_path)
    after = read(tmp_path, FILE.replace("threads: 4", "# more\n\nthreads: 5").replace("hunter2@db", "other@db"))
    file = str(tmp_path / "shop.yaml")
    rows = told(apply_reload(before, after))
    assert rows["threads"] == ("5", f"{file}:4"), "it has been applied"
    assert rows["env"][1] == f"{file}:6", "as before: that needs an upgrade"
