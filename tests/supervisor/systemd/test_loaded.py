"""The properties of a unit, as systemctl(1) prints them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from releve.supervisor.systemd.loaded import PROPERTIES, of_installed, of_unit, parse_unit


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1min 30s", 90.0),
        ("500ms", 0.5),
        ("infinity", float("inf")),
        ("0", 0.0),
        ("1h", 3600.0),
        ("", None),
        ("odd", None),
        ("1month", 2_629_800.0),
    ],
)
def test_time_spans_of_systemctl(text: str, seconds: float | None) -> None:
    assert parse_unit(f"KillMode=mixed\nTimeoutStopUSec={text}\n").seconds("TimeoutStopUSec") == seconds


def test_a_number_is_one_or_nothing() -> None:
    told = parse_unit("FileDescriptorStoreMax=18\nType=notify\nPIDFile=\nsome warning\n")
    assert told.number("FileDescriptorStoreMax") == 18
    assert told.number("Type") is None and told.number("gone") is None
    assert told == {"FileDescriptorStoreMax": "18", "Type": "notify", "PIDFile": ""}


def _systemctl(folder: Path, text: str) -> dict[str, str]:
    """An environment in which a command of ours prints a text, and keeps what it was asked."""
    command = folder / "systemctl"
    command.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {folder}/asked\ncat <<'END'\n{text}\nEND\n")
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def test_the_unit_that_would_start_a_configuration_is_the_loaded_one_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "shop.yaml"
    units = [
        "LoadState=not-found\nExecStart=\nType=simple",
        f"LoadState=loaded\nExecStart={{ argv[]=/usr/bin/releve -c {config}.old ; }}\nType=exec",
        f"LoadState=loaded\nExecStart={{ argv[]=/usr/bin/releve -c {config} ; }}\nType=notify",
    ]
    environ = _systemctl(tmp_path, "\n\n".join(units))
    monkeypatch.setenv("PATH", environ["PATH"])  # the command is found by ours
    found = asyncio.run(of_installed(config, environ))
    assert found is not None and found["Type"] == "notify"
    asked = (tmp_path / "asked").read_text().split("\n")
    assert {"shop.service", "releve@shop.service", "releve.service"} <= set(asked)
    assert {f"-p{name}" for name in PROPERTIES} <= set(asked)


def test_without_a_file_or_outside_of_systemd_there_is_none() -> None:
    assert asyncio.run(of_installed(None)) is None
    assert asyncio.run(of_unit({})) is None
