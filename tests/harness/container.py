"""A container without an engine: what a Containerfile says, run as PID 1 of namespaces of its own, on this machine's
own root.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from harness.service import MARK, PATIENCE_S, eventually, free_port
from harness.site import SYSTEM_PYTHON, lent

COMMANDS = {
    "releve": "from releve.supervisor.cli import main; main()",
    "ctl": "from releve.ctl.main import main; main()",
}


@dataclass(frozen=True)
class Recipe:
    """What matters of a Containerfile once the image is there."""

    workdir: str
    copied: tuple[str, ...]
    env: dict[str, str]
    uid: int
    gid: int
    command: list[str]
    healthcheck: list[str]
    stop_signal: str


def recipe(file: Path) -> Recipe:
    """Read a Containerfile; commands must be in exec form (a list), since a shell would be PID 1 instead."""
    text = re.sub(r"\\\n", " ", file.read_text())
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    said: dict[str, list[str]] = {}
    for instruction, rest in lines:
        said.setdefault(instruction.upper(), []).append(rest)
    uid, _, gid = said["USER"][-1].partition(":")
    entry = json.loads(said["ENTRYPOINT"][-1]) if "ENTRYPOINT" in said else []
    return Recipe(
        workdir=said["WORKDIR"][-1],
        # ours is lent
        copied=tuple(name for rest in said["COPY"] for name in rest.split()[:-1] if not name.endswith(".whl")),
        env=dict(word.split("=", 1) for rest in said.get("ENV", []) for word in shlex.split(rest)),
        uid=int(uid),
        gid=int(gid),
        command=[*entry, *json.loads(said["CMD"][-1])],
        healthcheck=json.loads(said["HEALTHCHECK"][-1].rpartition("CMD ")[2]),
        stop_signal=said.get("STOPSIGNAL", ["SIGTERM"])[-1],
    )


def unavailable() -> str | None:
    """Why no container can be made here."""
    if os.geteuid() != 0:
        return "only root can make namespaces for another user"
    missing = [command for command in ("unshare", "nsenter", "setpriv", "mount") if shutil.which(command) is None]
    if missing:
        return f"needs {', '.join(missing)}, of util-linux and mount"
    tried = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True, text=True, check=False
    )
    return f"unshare: {tried.stderr.strip()}" if tried.returncode else None


class Container:
    """One run of an image. The root is read-only, and there is no home; ``/tmp`` is writable unless ``bare``."""

    def __init__(self, root: Path, context: Path, *, bare: bool = False, **environ: str) -> None:
        """``root``: a folder that everybody may enter; ``context``: the folder with the Containerfile."""
        self.recipe = recipe(context / "Containerfile")
        self.port = free_port()
        self.mark = uuid.uuid4().hex
        self.out, self.err = root / "out", root / "err"
        mounted = Path("/", Path(self.recipe.workdir).parts[1])  # a folder of this machine that the image's files cover
        self.image = root / "image"
        folder = self.image / Path(self.recipe.workdir).relative_to(mounted)
        folder.mkdir(parents=True)
        for name in self.recipe.copied:
            shutil.copy(context / name, folder)
        (self.image / "lib").mkdir()
        commands = self.image / "bin"
        commands.mkdir()
        for name, code in COMMANDS.items():
            (commands / name).write_text(
                f'#!/bin/sh\nexec {SYSTEM_PYTHON} -P -c "import sys; sys.argv[0] = \'{name}\'; {code}" "$@"\n'
            )
            (commands / name).chmod(0o755)
        self.environ = {
            "PATH": f"{mounted}/bin:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": f"{mounted}/lib",
            "PORT": str(self.port),
            MARK: self.mark,
            **self.recipe.env,
            **environ,
        }
        steps = [
            f"mount --bind {self.image} {mounted}",
            f"mount --bind {lent()} {mounted}/lib",
            f"mount -t tmpfs -o mode=1777{',ro' if bare else ''} tmpfs /tmp",
            "mount -o remount,bind,ro /",
            f"cd {self.recipe.workdir}",
            f"exec {shlex.join(self.as_user(self.recipe.command))}",
        ]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [
                    "unshare",
                    "--pid",
                    "--fork",
                    "--kill-child",
                    "--mount-proc",
                    "--",
                    "/bin/sh",
                    "-ec",
                    "\n".join(steps),
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def as_user(self, command: list[str]) -> list[str]:
        """A command line for the image's user, who has no capability and gets none."""
        who = [
            f"--reuid={self.recipe.uid}",
            f"--regid={self.recipe.gid}",
            "--clear-groups",
            "--no-new-privs",
            "--bounding-set=-all",
        ]
        return ["setpriv", *who, "env", "-i", *(f"{name}={value}" for name, value in self.environ.items()), *command]

    @property
    def init(self) -> int:
        """The pid, outside, of PID 1."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")

        def child() -> int:
            assert self.process.poll() is None, self.err.read_text()
            words = children.read_text().split()
            return int(words[0]) if words else 0

        found: int = eventually(child, "there is a PID 1")
        return found

    def exec(self, *command: str) -> subprocess.CompletedProcess[str]:
        """What ``podman exec`` does."""
        inside = [
            "nsenter",
            f"--target={self.init}",
            "--pid",
            "--mount",
            f"--wdns={self.recipe.workdir}",
            "--",
            *self.as_user(list(command)),
        ]
        return subprocess.run(inside, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    def healthy(self) -> bool:
        """Whether the image's own check succeeds, and it serves."""
        done = self.exec(*self.recipe.healthcheck)
        return done.returncode == 0 and ": serving" in done.stdout

    def end(self) -> None:
        """Kill whatever is left."""
        self.process.kill()  # --kill-child: and PID 1 with it
        self.process.wait(10)
