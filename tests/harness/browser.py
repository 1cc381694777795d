"""A real browser, headless, for tests: Chromium, told over a pair of pipes what to do (its DevTools protocol), as its
own driver does.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE_S = 90.0  # its start on a busy machine
QUIET = (  # it asks nobody but the page
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
)


class Browser:
    """One browser with one page. Use it by ``browsing`` below."""

    def __init__(self, folder: Path) -> None:
        """``folder``: for its profile, and what it says."""
        assert CHROMIUM
        orders, self._said = os.pipe()
        self._heard, news = os.pipe()
        read_end, write_end = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (orders, news))  # neither 3 nor 4
        sandbox = ["--no-sandbox"] * (os.geteuid() == 0)
        command = [
            CHROMIUM,
            "--headless",
            *QUIET,
            *sandbox,
            f"--user-data-dir={folder}/profile",
            "--remote-debugging-pipe",
            "about:blank",
        ]
        # it reads orders from 3 and writes to 4; a shell moves our ends there
        script = f'exec "$@" 3<&{read_end} 4>&{write_end} {read_end}<&- {write_end}>&-'
        with (folder / "browser.log").open("wb") as log:
            self.process = subprocess.Popen(
                ["/bin/bash", "-c", script, "browser", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(read_end, write_end),
                env={**os.environ, "HOME": str(folder)},
                start_new_session=True,
            )
        for end in (orders, news, read_end, write_end):
            os.close(end)
        self._rest = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []  # of the page, in their order
        self._session = ""
        self._session = self._attach()
        for domain in ("Page", "Runtime", "Network"):
            self.tell(f"{domain}.enable")

    def _attach(self) -> str:
        """The session of its one page."""
        page = next(one for one in self.tell("Target.getTargets")["targetInfos"] if one["type"] == "page")
        session: str = self.tell("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        return session

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready = select.select([self._heard], [], [], max(0.0, deadline - time.monotonic()))[0]
            assert ready, "the browser says nothing"
            got = os.read(self._heard, 1 << 16)
            assert got, f"the browser has ended: status {self.process.wait(10)}"
            self._rest += got
        message, _, self._rest = self._rest.partition(b"\0")
        read: dict[str, Any] = json.loads(message)
        return read

    def tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One order; its result."""
        self._number += 1
        order = {"id": self._number, "method": method, "params": parameters} | (
            {"sessionId": self._session} if self._session else {}
        )
        os.write(self._said, json.dumps(order).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE_S
        while (message := self._next(deadline)).get("id") != self._number:
            self.events.append(message)
        assert "error" not in message, (method, message["error"])
        result: dict[str, Any] = message["result"]
        return result

    def open(self, url: str) -> None:
        """Open a page, and wait until it is loaded."""
        before = len(self.events)
        went = self.tell("Page.navigate", url=url)
        assert "errorText" not in went, (url, went["errorText"])
        deadline = time.monotonic() + PATIENCE_S
        while not any(event["method"] == "Page.loadEventFired" for event in self.events[before:]):
            self.events.append(self._next(deadline))

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript in the page; of a promise, what it comes to."""
        said = self.tell("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def eventually(self, script: str) -> Any:
        """What an expression comes to once it is true."""
        deadline = time.monotonic() + PATIENCE_S
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f"never true in the page: {script}"
            time.sleep(0.05)
        return value

    def said(self, method: str) -> list[dict[str, Any]]:
        """What the browser has told of the page by events of that name."""
        return [event["params"] for event in self.events if event["method"] == method]

    def close(self) -> None:
        """End it, and all its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        os.close(self._said)
        os.close(self._heard)


@contextlib.contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A browser around a block."""
    browser = Browser(folder)
    try:
        yield browser
    finally:
        browser.close()
