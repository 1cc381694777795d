"""The pictures of docs/screens: a real service for each width, brought into a state, and what ``ctl`` shows of it then.

``make screens`` runs it. The service lives in /tmp/shop, which is as long as the /srv/shop that the pictures name, so
that every line breaks where it would. What differs from run to run are pids, times and memory.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import picture

REPOSITORY = Path(__file__).parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from harness.terminal import Terminal  # noqa: E402

TARGET = REPOSITORY / "docs" / "screens"
ROOT, NAMED = Path("/tmp/shop"), Path("/srv/shop")
WIDTHS = {80: 40, 200: 50}  # columns, and rows of them
FRAME = "\x1b[H"  # before each frame of a screen that is drawn again and again
PATIENCE_S = 60.0
ENVIRON = {
    "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
    "HOME": str(ROOT),
    "LANG": "C.UTF-8",
    "TZ": "UTC",
}

SETTINGS = f"""\
app: shop:app
directory: {ROOT}/current
listen: unix:{ROOT}/http.sock
workers: 3
threads: 4
runtime_directory: {ROOT}/run
state_directory: {ROOT}/state
log: {{file: {ROOT}/shop.log, access: {ROOT}/access.log}}
upgrade:
  check: /healthz
  probation: 8s
"""

APP = """\
import os
import time


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/healthz":
        {check}
    if path.startswith("/reports/"):
        time.sleep(600)
    if path == "/cart":
        time.sleep(0.02)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello\\n"]
"""
PAYMENTS = '''

def payments(environ):
    """The client of the provider that takes payments."""
    return environ["PAYMENTS_KEY"]
'''
GOOD = APP.format(check="pass")
RELEASES = {
    "41": GOOD,
    "42": GOOD,
    "43": "import stripe\n\n" + GOOD,
    "44": APP.format(check="payments(os.environ)") + PAYMENTS,
    "45": GOOD,
}
SLOW = ("/reports/annual?year=2025", "/reports/stock?shelf=all")


def ctl(*words: str) -> subprocess.CompletedProcess[str]:
    """What a verb answers, whatever that is."""
    return subprocess.run(
        ["ctl", *words], cwd=ROOT, env=ENVIRON, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def eventually(holds: Callable[[], Any], what: str) -> Any:
    """What ``holds`` returns, once it is true."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if found := holds():
            return found
        time.sleep(0.05)
    raise SystemExit(f"cannot draw: not within {PATIENCE_S:.0f} s: {what}")


def status() -> dict[str, Any]:
    """The service as programs see it; empty if there is none."""
    said = ctl("status", "--json")
    return dict(json.loads(said.stdout)) if said.returncode == 0 else {}


def link(release: str) -> None:
    """Deploy a release, as scripts do."""
    fresh = ROOT / "next"
    fresh.symlink_to(ROOT / "releases" / release)
    fresh.replace(ROOT / "current")


@contextmanager
def service() -> Iterator[None]:
    """The shop, serving its first release."""
    try:
        ROOT.mkdir()
    except FileExistsError:
        raise SystemExit(f"cannot draw: {ROOT} exists; delete it if no other run uses it") from None
    try:
        for name, text in RELEASES.items():
            (ROOT / "releases" / name).mkdir(parents=True)
            (ROOT / "releases" / name / "shop.py").write_text(text)
            interpreter(ROOT / "releases" / name / ".venv")
        link("41")
        (ROOT / "releve.yaml").write_text(SETTINGS)
        process = subprocess.Popen(["releve", "-c", "releve.yaml"], cwd=ROOT, env=ENVIRON)
        try:
            eventually(lambda: status().get("service", {}).get("state") == "serving", "serving")
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
    finally:
        shutil.rmtree(ROOT)


def interpreter(folder: Path) -> None:
    """A virtual environment of a release, as small as there are."""
    (folder / "bin").mkdir(parents=True)
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "bin" / "python").symlink_to(base)
    (folder / "pyvenv.cfg").write_text(f"home = {base.parent}\n")


@contextmanager
def shoppers() -> Iterator[None]:
    """Clients that ask for pages, at a rate that does not load the host."""
    done = threading.Event()

    def shop(path: str) -> None:
        while not done.wait(0.02):
            with get(path) as sock:
                while sock.recv(65536):
                    pass

    threads = [threading.Thread(target=shop, args=(path,)) for path in ("/", "/cart", "/cart")]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def get(path: str) -> socket.socket:
    """A connection on which a request was sent."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE_S)
    sock.connect(str(ROOT / "http.sock"))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n".encode())
    return sock


def draw(name: str, typed: str, width: int, until: Callable[[str], bool] | None = None) -> None:
    """Type a command, and draw what it shows. ``until``: a command that goes on is ended once that holds of a frame."""

    def enough(shown: str) -> bool:
        frames = shown.split(FRAME)
        return until is not None and len(frames) > 2 and until(frames[-2])

    size = {"COLUMNS": str(width), "LINES": str(WIDTHS[width])}
    process = Terminal(typed.split(), {**ENVIRON, **size}, columns=width, rows=WIDTHS[width], folder=ROOT)
    try:
        written = process.read(enough, typed, to_the_end=until is None, patience_s=2 * PATIENCE_S)
    finally:
        process.end()
    screen = picture.Screen(width)
    shown = written.rpartition(FRAME)[0] if until else written  # without the frame that was cut off
    screen.feed(shown.replace(str(ROOT), str(NAMED)))
    lines = screen.lines()
    for line in lines:
        if re.search(r"/tmp|/home|/root|/work", line.plain):
            raise SystemExit(f"cannot draw {typed}: it names a path of this machine: {line.plain}")
    for theme in picture.THEMES:
        picture.draw(typed, lines, width, theme, TARGET / f"{name}-{width}-{theme}.svg")
    print(f"{name}, {width} columns")


def on_trial(frame: str) -> bool:
    """Whether ``ctl top`` shows an upgrade's probation, with figures, once the generation before the last has gone."""
    return "probation" in frame and "of the requests" in frame and "retiring" not in frame


def scenes(width: int) -> None:
    """All pictures of one width, in the order in which they happen."""
    with service(), shoppers():
        link("42")
        ctl("upgrade")
        draw("status", "ctl status", width)
        waiting = [get(path) for path in SLOW]
        eventually(lambda: ctl("workers").stdout.count("/reports/") == len(SLOW), "slow requests")
        draw("workers", "ctl workers", width)
        link("43")
        draw("upgrade-import", "ctl upgrade", width)
        link("44")
        draw("upgrade-check", "ctl upgrade", width)
        link("45")
        upgrade = subprocess.Popen(
            ["ctl", "upgrade"], cwd=ROOT, env=ENVIRON, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        eventually(lambda: (status()["service"].get("operation") or {}).get("phase") == "probation", "a probation")
        draw("top", "ctl top", width, until=on_trial)
        upgrade.wait(PATIENCE_S)
        for sock in waiting:
            sock.close()
        draw("history", "ctl history", width)


def main() -> None:
    """Draw all."""
    TARGET.mkdir(exist_ok=True)
    began_s = time.time()
    for width in WIDTHS:
        scenes(width)
    for path in TARGET.glob("*.svg"):
        if path.stat().st_mtime < began_s:  # a picture that is not drawn any longer
            path.unlink()


if __name__ == "__main__":
    main()
