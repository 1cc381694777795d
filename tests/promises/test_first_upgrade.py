"""docs/first-upgrade.md, done: every command of the page, in a home of its own, by a user who has releve in PATH."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from harness.service import PATIENCE_S, eventually, free_port

PAGE = Path(__file__).parents[2] / "docs" / "first-upgrade.md"
BLOCK = re.compile(
    r"(?:<!-- (?P<kind>status|terminal) (?P<number>\d) -->\n)?"
    r"```sh\n(?P<sh>.*?)```\n(?:\n```text\n(?P<text>.*?)```\n)?",
    re.DOTALL,
)


def test_the_page_works_from_its_first_command_to_its_last(tmp_path: Path) -> None:
    page = PAGE.read_text("utf-8").replace("127.0.0.1:8000", f"127.0.0.1:{free_port()}")
    blocks = list(BLOCK.finditer(page))
    assert len(blocks) == page.count("```sh\n")
    environ = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "LANG": "C.UTF-8"}
    folder, service, log = tmp_path, None, tmp_path / "log"
    try:
        for block in blocks:
            if block["kind"] == "terminal":
                command = ["bash", "-c", block["sh"].replace("\nreleve\n", "\nexec releve\n")]
                with log.open("wb") as output:
                    service = subprocess.Popen(
                        command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                    )
                eventually(lambda: " serves " in log.read_text(), "it serves")
                continue
            script = f"exec 2>&1\n{block['sh']}\nstatus=$?; pwd > {tmp_path}/folder; exit $status"
            done = subprocess.run(
                ["bash", "-c", script], cwd=folder, env=environ, capture_output=True, text=True, timeout=120
            )
            assert done.returncode == int(block["number"] or 0), f"{block['sh']}\n{done.stdout}\n{log.read_text()}"
            folder, rest = Path((tmp_path / "folder").read_text().strip()), done.stdout
            for line in (block["text"] or "").splitlines():
                _, found, rest = rest.partition(line)
                assert found, f"no {line!r} in what this shows:\n{block['sh']}\n{done.stdout}"
        assert service is not None and service.wait(PATIENCE_S) == 0
    finally:
        if service is not None and service.poll() is None:
            service.terminate()  # killed, it would be followed by another one
            service.wait(PATIENCE_S)
