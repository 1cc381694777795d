"""A real systemd to try the units in: the script ``tests/systemd/box``, as an object."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

BOX = Path(__file__).parent.parent / "systemd" / "box"


class Box:
    """One booted box. ``shared`` is a folder seen at the same place inside and outside."""

    def __init__(self, name: str, shared: Path) -> None:
        self.environ = {**os.environ, "BOX_NAME": name}
        self.shared = shared

    def outside(self, *arguments: str) -> str:
        """Run one of the box's own commands; its output. Raises CalledProcessError."""
        return subprocess.run(
            [BOX, *arguments], env=self.environ, stdout=subprocess.PIPE, text=True, check=True, timeout=120
        ).stdout.strip()

    def run(self, *command: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        return subprocess.run(
            [BOX, "exec", *command], env=self.environ, capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def must(self, *command: str) -> str:
        """Run a command inside that has to succeed; its output."""
        done = self.run(*command)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}\n{self.journal()}"
        return done.stdout

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command inside."""
        return subprocess.Popen(
            [BOX, "exec", *command], env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def cursor(self) -> str:
        """The present end of the journal, as ``journal`` takes it."""
        return self.must("journalctl", "--lines=1", "--show-cursor").rpartition("-- cursor: ")[2].strip()

    def journal(self, unit: str = "", after: str = "") -> str:
        """What a unit, or everything, has said since a cursor, or since the boot."""
        self.run("journalctl", "--sync")
        options = [f"--unit={unit}"] * bool(unit) + [f"--after-cursor={after}"] * bool(after)
        return self.run("journalctl", "--no-pager", "--output=cat", "--boot", *options).stdout

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.must("systemctl", "show", "--value", "--property", name, unit).strip()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file inside."""
        target = Path(self.outside("root")) / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def processes(self) -> list[str]:
        """Every process inside but systemd's own: its pid and command line."""
        lines = self.must("ps", "-eo", "pid,args", "--no-headers").splitlines()
        return [line for line in lines if "releve" in line and "ps -eo" not in line]


def unavailable() -> str | None:
    """Why this machine boots no box."""
    if os.geteuid() != 0:
        return "needs root"
    if not Path("/lib/systemd/systemd").exists():
        return "needs systemd"
    missing = [command for command in ("dbus-daemon", "nsenter", "unshare", "ps") if shutil.which(command) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    if "cgroup2" not in Path("/proc/self/mountinfo").read_text():
        return "needs cgroup2"
    return None
