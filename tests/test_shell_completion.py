"""Completion in real shells: what a person gets who presses the TAB key after a few letters."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "completion"
MODULES = {"releve": "releve.supervisor.cli", "ctl": "releve.ctl.main"}
WAIT_S = 60.0
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>()][B0]?|[\r\x07]")
HEAVY = ("rich", "yaml", "asyncio", "psutil", "watchdog", "releve.config.reading.load")

# what is typed before the TAB key -> what the line is then
TYPED = {
    "ctl upg": "ctl upgrade ",
    "ctl upgrade --dr": "ctl upgrade --dry-run ",
    "ctl upgrade --directory rele": "ctl upgrade --directory releases/",
    "ctl -c sit": "ctl -c site.yaml ",
    "releve sys": "releve systemd-unit ",
    "releve check --wor": "releve check --workers ",
    "releve import --forc": "releve import --force ",
    "releve sche": "releve schema ",
    "releve --watch rel": "releve --watch release ",
    "releve -c sit": "releve -c site.yaml ",
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder to type in, with the two commands in ``bin``, a file and a folder."""
    (tmp_path / "bin").mkdir()
    for name, module in MODULES.items():
        script = tmp_path / "bin" / name
        script.write_text(
            f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -c "from {module} import main; main()" "$@"\n'
        )
        script.chmod(0o755)
    (tmp_path / "site.yaml").write_text("app: site:app\n")
    (tmp_path / "releases").mkdir()
    return tmp_path


def environ(place: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RELEVE_", "XDG_"))}
    return {
        **kept,
        "PATH": f"{place / 'bin'}:{kept['PATH']}",
        "HOME": str(place),
        "TERM": "dumb",
        "XDG_RUNTIME_DIR": str(place),
    }


class Shell:
    """An interactive shell on a terminal of its own."""

    def __init__(self, command: list[str], place: Path, setup: str) -> None:
        self.master, terminal = pty.openpty()
        self.process = subprocess.Popen(
            command,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            cwd=place,
            env=environ(place),
            start_new_session=True,
        )
        os.close(terminal)
        self.type(f"{setup}; echo rea''dy\n")
        self.read_until("ready")

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def read_until(self, text: str) -> None:
        said, deadline = "", time.monotonic() + WAIT_S
        while text not in ESCAPES.sub("", said):
            ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no {text!r} in {said!r}"
            said += os.read(self.master, 65536).decode(errors="replace")

    def end(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_S)
        os.close(self.master)


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def typing(place: Path) -> Iterator[Callable[[str], Shell]]:
    """Start a shell that has loaded the scripts."""
    started: list[Shell] = []
    setups = {
        "bash": (["--norc", "--noprofile", "-i"], "; ".join(f". {SCRIPTS}/bash/{name}" for name in MODULES)),
        "zsh": (["-f", "-i"], f"fpath=({SCRIPTS}/zsh $fpath); autoload -U compinit; compinit -u -D"),
    }

    def start(name: str) -> Shell:
        options, setup = setups[name]
        started.append(Shell([program(name), *options], place, setup))
        return started[-1]

    yield start
    for shell in started:
        shell.end()


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_a_shell_completes(typing: Callable[[str], Shell], name: str) -> None:
    shell = typing(name)
    for typed, line in TYPED.items():
        shell.type(f"{typed}\t")
        shell.read_until(line.rstrip())
        shell.type("@\x01echo '\x05'\n")  # the end of the line, then its beginning: the shell says what the line was
        shell.read_until(f"{line}@\n")


def test_fish_completes(place: Path) -> None:
    loading = "; ".join(f"source {SCRIPTS}/fish/{name}.fish" for name in MODULES)
    asking = "; ".join(f"complete -C {shlex.quote(typed)}" for typed in TYPED)
    fish = [program("fish"), "--no-config", "-c", f"{loading}; {asking}"]
    said = subprocess.run(
        fish, cwd=place, env=environ(place), capture_output=True, text=True, timeout=WAIT_S, check=True
    )
    assert said.stderr == ""
    assert [line.partition("\t")[0] for line in said.stdout.splitlines()] == [
        line.split()[-1] for line in TYPED.values()
    ]


def completed(place: Path, line: str) -> list[str]:
    """What a command answers bash, as kind and value; ``line`` ends with what is typed of the last word."""
    name, *rest = line.split(" ")
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(rest)), f"_{name.upper()}_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [place / "bin" / name],
        env={**environ(place), **asked},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_every_verb_is_offered(place: Path) -> None:
    from releve.ctl.main import ctl

    assert completed(place, "ctl ") == [f"plain,{verb}" for verb in ctl.commands]


def test_a_command_of_releve_comes_first_or_not_at_all(place: Path) -> None:
    from releve.supervisor import cli

    assert sorted(completed(place, "releve ")) == sorted(f"plain,{name}" for name in cli.SUBCOMMANDS)
    assert completed(place, "releve -w 3 ") == []
    assert completed(place, "releve test:app ") == []


def test_services_that_run_are_offered_before_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from releve.ctl import completion, main
    from releve.instance.cards import Card, write_card
    from releve.instance.instances import Places

    monkeypatch.setattr(completion, "PLACES", Places(tmp_path / "run", tmp_path / "var", tmp_path / "tmp"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    runtime = tmp_path / "run" / "releve" / "shop"
    runtime.mkdir(parents=True)
    write_card(runtime, Card(os.getpid(), "/srv/shop", "/etc/releve/shop.yaml", str(runtime / "ctl.sock")))

    def offered(option: str, typed: str) -> list[tuple[str, str]]:
        parameter = next(one for one in main.status.params if option in one.opts)
        return [(item.type, item.value) for item in parameter.shell_complete(click.Context(main.status), typed)]

    assert offered("-c", "") == offered("-c", "/etc/re") == [("plain", "/etc/releve/shop.yaml")]
    assert offered("--socket", str(tmp_path)) == [("plain", f"{runtime}/ctl.sock")]
    assert offered("-c", "./site") == [("file", "./site")]


@pytest.mark.parametrize("name", MODULES)
def test_completing_imports_little(place: Path, name: str) -> None:
    code = f"""
import sys
from {MODULES[name]} import main
try:
    main()
except SystemExit:
    pass
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    asked = {"COMP_WORDS": f"{name} -c s", "COMP_CWORD": "2", f"_{name.upper()}_COMPLETE": "bash_complete"}
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**environ(place), **asked},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=True,
    )
    assert said.stdout.splitlines()[-1] == "[]"
