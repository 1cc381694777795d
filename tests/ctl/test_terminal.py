"""``ctl`` on a terminal: a real pty, a real Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from harness.terminal import WAIT_S, Terminal


def phase(name: str, state: str, **more: Any) -> dict[str, Any]:
    return {"send": {"event": "phase", "phase": name, "state": state, **more}}


def test_phases_are_live(fake: Callable[..., Any], on_terminal: Callable[..., Terminal]) -> None:
    server = fake(
        phase("boot", "begin"),
        phase("boot", "doing", text="1 of 2 workers ready"),
        {"await": "go"},
        phase("boot", "done", seconds=1.5),
        {"send": {"event": "note", "text": "app has changed", "level": "warning"}},
        phase("switch", "begin"),
        phase("switch", "failed", seconds=0.1),
        {"send": {"event": "result", "status": 4, "message": "cannot switch: it died"}},
    )
    terminal = on_terminal("--socket", str(server.path), "upgrade")
    first = terminal.read_until("1 of 2 workers ready")
    assert "✓" not in first
    ticked = re.compile(r"boot +\d[^\r]*\r[^\r]*boot +(?!0\.[01]s)\d")  # also if a busy host skips a tenth
    terminal.read(lambda _: ticked.search(terminal.shown) is not None, "that it ticks while it waits")
    server.go("go")
    last = terminal.read_until(None)
    assert terminal.process.wait(WAIT_S) == 4
    assert re.search(r"✓ +boot +1\.5s +1 of 2 workers ready", last) and re.search(r"✗ +switch +0\.1s", last)
    assert "warning: app has changed" in last and last.index("✗") < last.index("cannot switch: it died")
    assert terminal.raw.count("\x1b[?25l") == terminal.raw.count("\x1b[?25h") == 1, "the cursor comes back"


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_ctrl_c_detaches_and_says_so(fake: Callable[..., Any], on_terminal: Callable[..., Terminal], term: str) -> None:
    server = fake(phase("preflight", "done", seconds=0.1), phase("boot", "begin"), {"hang": True})
    terminal = on_terminal("--socket", str(server.path), "upgrade", term=term)
    terminal.read_until("preflight")
    terminal.type(b"\x03")
    shown = terminal.read_until(None)
    assert terminal.process.wait(WAIT_S) == 6
    assert "detached; the upgrade continues: ctl status, ctl abort\n" in shown and "Traceback" not in shown
    assert server.said()["verb"] == "upgrade" and server.said() == "gone"
    assert terminal.raw.count("\x1b[?25l") == terminal.raw.count("\x1b[?25h")


@pytest.mark.parametrize(
    ("verb", "words"),
    [("stop", "the stop continues"), ("rollback", "the rollback continues"), ("reload", "the reload continues")],
)
def test_an_interrupt_names_the_verb(fake: Callable[..., Any], environ: dict[str, str], verb: str, words: str) -> None:
    server = fake({"hang": True})
    process = subprocess.Popen(
        [sys.executable, "-m", "releve.ctl.main", "--socket", str(server.path), verb],
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
    )
    try:
        assert server.said()["verb"] == verb
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=WAIT_S)
    finally:
        process.kill()
        process.wait(WAIT_S)
    assert process.returncode == 6 and said.startswith(f"detached; {words}: ctl status")


def test_a_dumb_terminal_gets_plain_lines(fake: Callable[..., Any], on_terminal: Callable[..., Terminal]) -> None:
    server = fake(phase("boot", "done", seconds=1.5), {"send": {"event": "result", "status": 0, "message": "fine"}})
    terminal = on_terminal("--socket", str(server.path), "upgrade", term="dumb")
    terminal.read_until(None)
    assert terminal.raw.replace("\r\n", "\n") == "boot done (1.5s)\nfine\n"


def test_status_fits_its_terminal(fake: Callable[..., Any], on_terminal: Callable[..., Terminal]) -> None:
    worker = {
        "pid": 821,
        "state": "serving",
        "age_s": 192.4,
        "requests": 1204,
        "connections": 3,
        "busy": 1,
        "pss_bytes": 43 << 20,
    }
    server = fake(
        {
            "send": {
                "event": "result",
                "status": 0,
                "message": "serving",
                "service": {
                    "name": "shop-1a9af1ca",
                    "app": "shop:app [bold]",
                    "pid": 812,
                    "uptime_s": 11520,
                    "state": "serving",
                },
                "generations": [
                    {"generation": n, "state": state, "workers": [{"worker": 1, **worker}]}
                    for n, state in ((7, "standby"), (8, "serving"))
                ],
            }
        }
    )
    terminal = on_terminal("--socket", str(server.path), "status")
    shown = terminal.read_until(None)
    assert terminal.process.wait(WAIT_S) == 0
    assert shown.startswith("shop-1a9af1ca shop:app [bold] (pid 812, up 3h12m): serving\n"), (
        "no markup is read in names"
    )
    assert "\n\ngeneration 7 (" in shown and "\n\ngeneration 8 (" in shown
    assert re.search(r"8\.1 +821 +serving +3m12s +1 +- +43 MiB +3 +- +1,204", shown)
    assert max(map(len, shown.splitlines())) <= 100, "it fits a terminal of 100 columns"
