"""The script of docs/deploying.md: a deploy, a refused one that leaves everything as it was, and the next.

It runs as it stands but for its two paths. ``python3`` is a stand-in on the PATH: it makes a virtual environment whose
Python is this one and whose pip does nothing, since nothing is to be installed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.service import Service, serving

PAGE = Path(__file__).parents[2] / "docs" / "deploying.md"
APP = """
{imports}

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"{name}"]
"""


class Checkout:
    """A repository to deploy from, with the script and what stands in for the commands of a host."""

    def __init__(self, root: Path, service: Service) -> None:
        self.folder = root / "checkout"
        self.service = service
        self.script = root / "deploy"
        commands = root / "commands"
        commands.mkdir()
        self.folder.mkdir()
        self.environ = {**service.environment, "PATH": f"{commands}:{os.environ['PATH']}", "HOME": str(root)}
        self.git("init", "--quiet")
        found = re.search(r"<!-- script deploy -->\n```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
        assert found
        text = found[1]
        for ours, theirs in (
            ("site=/srv/mysite", f"site={service.root}"),
            ("config=/etc/releve/mysite.yaml", f"config={service.file}"),
        ):
            assert text.count(ours) == 1
            text = text.replace(ours, theirs)
        self.script.write_text(text)
        self.script.chmod(0o755)
        python = f'mkdir -p "$3/bin"; ln -s {shlex.quote(sys.executable)} "$3/bin/python"; ln -s /bin/true "$3/bin/pip"'
        ctl = f'exec {shlex.quote(sys.executable)} -P -m releve.ctl.main "$@"'
        for name, line in {"python3": python, "ctl": ctl}.items():
            (commands / name).write_text(f"#!/bin/sh\n{line}\n")
            (commands / name).chmod(0o755)

    def git(self, *words: str) -> None:
        by = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
        subprocess.run(["git", *by, *words], cwd=self.folder, env=self.environ, check=True, timeout=30)

    def deploy(self, name: str, imports: str = "") -> subprocess.CompletedProcess[str]:
        """Commit a release and deploy it."""
        (self.folder / "app.py").write_text(APP.format(imports=imports, name=name))
        (self.folder / "requirements.txt").touch()
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", name)
        return subprocess.run(
            [self.script, name],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def test_the_script_of_the_page(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    with serving(tmp_path / "site", app="app:application", upgrade={"probation": "200ms"}) as service:
        checkout = Checkout(tmp_path, service)
        first = checkout.deploy("two")
        assert first.returncode == 0, first.stderr
        assert (service.get("/"), os.readlink(service.current)) == (b"two", "releases/two")
        workers = service.workers()

        bad = checkout.deploy("three", imports="import a_module_that_nobody_has")
        assert bad.returncode == 4 and "a_module_that_nobody_has" in bad.stderr
        assert (service.get("/"), os.readlink(service.current)) == (b"two", "releases/two")
        assert service.workers() == workers

        assert checkout.deploy("four").returncode == 0
        assert (service.get("/"), os.readlink(service.current)) == (b"four", "releases/four")
        assert not (service.root / "next").exists()
