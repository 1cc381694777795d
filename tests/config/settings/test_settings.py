"""Settings over the link: both sides may be different releases."""

import json
import subprocess
import sys
from pathlib import Path

import releve.config
import releve.server
from releve.config.settings.address import Address
from releve.config.settings.hooks import Command, Hooks
from releve.config.settings.limits import Limits
from releve.config.settings.settings import Settings, key_names, rules
from releve.config.settings.upgrade import Canary, Check, Upgrade
from releve.config.settings.wire import from_wire, to_wire

FULL = Settings(
    app="a:b",
    listen=(Address("unix", path="/x", mode=0o600), Address("tcp", "::1", 80)),
    preload_modules=("a", "b"),
    env={"A": "b"},
    limits=Limits(body=3),
    upgrade=Upgrade(check=Check(headers={"A": "b"}), canary=Canary(0.3, 5.0), standby=None),
    hooks=Hooks(before=Command(("a", "b"), 3.0), on_failure=Command("a b"), on_pause="a:b"),
)


def test_settings_survive_the_link() -> None:
    for settings in (FULL, Settings(app="a:b")):
        assert from_wire(json.loads(json.dumps(to_wire(settings)))) == settings


def test_unknown_keys_are_ignored_and_missing_ones_have_their_defaults() -> None:
    wire = {"app": "a:b", "news": 1, "limits": {"head": 5, "news": 1}, "upgrade": {"check": {"path": "/x", "news": 1}}}
    assert from_wire(wire) == Settings(app="a:b", limits=Limits(head=5), upgrade=Upgrade(check=Check(path="/x")))


def test_key_names_are_those_of_the_table() -> None:
    assert list(key_names()) == sorted(rules())
    assert "limits.head" in key_names() and "limits" not in key_names()


def test_every_key_has_a_line_of_help() -> None:
    for key, rule in rules().items():
        assert rule["help"].endswith("."), key


def test_an_address_names_its_listener() -> None:
    assert [str(address) for address in FULL.listen] == ["unix:/x", "[::1]:80"]


def test_settings_need_nothing_but_the_standard_library() -> None:
    """As a release has them that brings no Relève."""
    server, config = (str(Path(str(module.__file__)).parent) for module in (releve.server, releve.config))
    script = f"""
import sys
sys.path.insert(0, {server!r})
import lend
lend.lend({server!r}, {config!r}, "1")
sys.path.pop(0)
from releve.config.settings import settings
print(len(settings.key_names()))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert int(done.stdout) == len(key_names())
