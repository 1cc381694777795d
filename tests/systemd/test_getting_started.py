"""docs/getting-started.md, done: every command of the page, on a real systemd with a real nginx and a real Django.

Each block ``sh`` runs as it stands, beside a copy of this checkout, and a block ``text`` after it says what is to be
seen. Two things differ from a host of one's own: pip is told (/etc/pip.conf) to take packages from a folder instead of
an index, and to compile nothing, also where a virtual environment gets its pip, which takes half as long then; and
``apt-get`` does nothing, since the box is as this machine, where the packages are installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import wheels
from harness.box import Box, unavailable

pytestmark = [pytest.mark.systemd, pytest.mark.root, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "getting-started.md"
BLOCK = re.compile(r"(?:<!-- status (\d) -->\n)?```sh\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)
PROGRAMS = ("nginx", "curl", "useradd")
PIP = "/etc/pip.conf"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRON = ["env", "-i", "HOME=/root", "LANG=C.UTF-8", f"PATH={PATH}", f"PIP_CONFIG_FILE={PIP}"]


@dataclass(frozen=True)
class Block:
    """Commands, the status that they end with, and lines that they are to show, in order."""

    commands: str
    status: int
    shows: tuple[str, ...]


def blocks() -> list[Block]:
    """The page's, from top to bottom."""
    text = PAGE.read_text("utf-8")
    found = [Block(sh, int(status or 0), tuple(shown.splitlines())) for status, sh, shown in BLOCK.findall(text)]
    assert len(found) == text.count("```sh\n") and sum(bool(one.shows) for one in found) == text.count("```text\n")
    return found


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Box]:
    """A booted box like a fresh host, where pip finds its packages in a folder."""
    missing = unavailable() or ", ".join(f"{name} is not installed" for name in PROGRAMS if shutil.which(name) is None)
    if missing:
        pytest.skip(missing)
    asked = [*ENVIRON, "python3", "-c", "import ensurepip, sys; print(ensurepip.__file__, sys.version_info[:2])"]
    ensurepip, _, version = (
        subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip().partition(" ")
    )
    if version != str(sys.version_info[:2]):
        pytest.skip(
            "needs a system Python with venv, of the version of this one, to lend it packages: it is "
            f"{version or 'none'}"
        )
    for name in wheels.needed(["releve", "django", "setuptools"]) - {wheels.OURS}:
        wheels.repack(name, tmp_path)
    left = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "tests", "benchmarks")
    shutil.copytree(ROOT, tmp_path / "releve", ignore=left)
    tmp_path.chmod(0o755)
    box = Box(f"{os.getpid()}-start", tmp_path)
    box.outside("up", "--bind", str(tmp_path))
    try:
        box.write(
            PIP,
            (
                f"[global]\nno-index = true\nfind-links = {tmp_path}\ndisable-pip-version-check = true\n"
                "[install]\ncompile = false\n"
            ),
        )
        box.write(ensurepip, Path(ensurepip).read_text().replace('"install", ', '"install", "--no-compile", '))
        box.write("/usr/local/sbin/apt-get", "#!/bin/sh\n", 0o755)
        yield box
    finally:
        box.outside("down")


def test_the_page_works_from_its_first_command_to_its_last(host: Box) -> None:
    for block in blocks():
        done = host.run(
            *ENVIRON, "bash", "-euo", "pipefail", "-c", f"exec 2>&1\ncd {host.shared}\n{block.commands}", timeout_s=600
        )
        assert done.returncode == block.status, f"{block.commands}\n{done.stdout}\n{host.journal('mysite')}"
        rest = done.stdout
        for line in block.shows:
            _, found, rest = rest.partition(line)
            assert found, f"no {line!r} in what this shows:\n{block.commands}\n{done.stdout}"
    assert [line for line in host.processes() if "releve" in line]
    host.must("systemctl", "stop", "mysite")
    assert host.processes() == []
