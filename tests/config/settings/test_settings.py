"""The table of settings."""

import subprocess
import sys
from pathlib import Path

import releve.config
import releve.server
from releve.config.settings.address import Address
from releve.config.settings.settings import GROUPS, key_names, rules


def test_key_names_are_those_of_the_table() -> None:
    assert list(key_names()) == sorted(rules())
    assert "limits.head" in key_names() and "limits" not in key_names()


def test_every_key_has_a_line_of_help() -> None:
    for key, rule in rules().items():
        assert rule["help"].endswith("."), key


def test_an_address_names_its_listener() -> None:
    assert [str(Address("unix", path="/x")), str(Address("tcp", "::1", 80)), str(Address("fd", name="http"))] == [
        "unix:/x",
        "[::1]:80",
        "fd:http",
    ]


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


def test_every_block_is_a_group_of_its_own_file() -> None:
    assert list(GROUPS) == [key for key in dict.fromkeys(key.partition(".")[0] for key in rules()) if key in GROUPS]
    for name, block in GROUPS.items():
        assert block.__module__ == f"releve.config.settings.{name}"
