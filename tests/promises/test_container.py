"""The example's image, as its Containerfile says: Relève as PID 1, a user without a name or a home, a root that cannot
be written.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from harness.container import Container, recipe, unavailable
from harness.service import MARK, PATIENCE_S, eventually
from releve.config.reading.load import load
from releve.supervisor.systemd.unit import stop_s

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "container"


@contextlib.contextmanager
def running(folder: Path, *, serving: bool = True, bare: bool = False, **environ: str) -> Iterator[Container]:
    container = Container(folder, EXAMPLE, bare=bare, **environ)
    try:
        if serving:
            eventually(container.healthy, "it is healthy", 60)
        yield container
    except BaseException:
        print(f"--- out\n{container.out.read_text()}\n--- err\n{container.err.read_text()}")
        raise
    finally:
        container.end()


def get(container: Container, path: str = "/healthz", expected: int = 200) -> tuple[bytes, str | None]:
    """A body, and what the Connection header says."""
    client = http.client.HTTPConnection("127.0.0.1", container.port, timeout=PATIENCE_S)
    try:
        client.request("GET", path)
        answer = client.getresponse()
        assert answer.status == expected
        return answer.read(), answer.headers["Connection"]
    finally:
        client.close()


def everybody(container: Container) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == container.mark:
                found.append(process)
    return found


@pytest.mark.root
@pytest.mark.skipif(unavailable() is not None, reason=f"a container: {unavailable()}")
def test_from_the_first_request_to_the_last(open_folder: Path) -> None:
    with running(open_folder, RELEVE_TIMEOUTS_PRE_STOP="600s") as container:
        init = psutil.Process(container.init)
        assert Path(f"/proc/{init.pid}/status").read_text().partition("NSpid:")[2].split()[1] == "1"
        assert init.uids().real == container.recipe.uid
        assert get(container)[0] == b"ok"
        # A stranger whose parent has gone becomes ours, and is reaped.
        assert container.exec("sh", "-c", "sleep 600 >/dev/null 2>&1 & exit 0").returncode == 0
        stranger = eventually(
            lambda: [p for p in init.children() if p.name() == "sleep"], "a stranger has come to PID 1"
        )[0]
        stranger.kill()
        eventually(lambda: not stranger.is_running(), "it is reaped, no zombie of it is left")
        # ctl, as anybody with a shell in there would use it
        assert container.exec("ctl", "upgrade").returncode == 0
        assert get(container)[0] == b"ok"
        # the logs, for the engine to collect: requests on standard output, what Relève has to say on standard error
        eventually(lambda: '"GET /healthz HTTP/1.1" 200' in container.out.read_text(), "the access log is there")
        assert "upgrade 2 done" in container.err.read_text() and "GET /healthz" not in container.err.read_text()
        # the end: it serves on, until a second signal
        os.kill(init.pid, signal.Signals[container.recipe.stop_signal])
        eventually(lambda: "pre-stop" in container.exec("ctl", "status").stdout, "it serves on after SIGTERM")
        body, connection = get(container, "/")
        assert (body[:10], connection) == (b"Hello from", None)
        assert get(container, expected=503)[1] is None  # but what balancers ask says that it is time to leave
        os.kill(init.pid, signal.SIGTERM)
        assert container.process.wait(PATIENCE_S) == 0
        assert everybody(container) == []


@pytest.mark.root
@pytest.mark.skipif(unavailable() is not None, reason=f"a container: {unavailable()}")
def test_kill_9_of_pid_1_ends_everything_and_a_kill_of_anything_else_does_not(open_folder: Path) -> None:
    with running(open_folder) as container:
        init = container.init
        master = next(p for p in psutil.Process(init).children() if p.cmdline()[0].startswith("releve: master "))
        master.kill()
        eventually(lambda: not master.is_running(), "it is reaped")
        assert get(container)[0] == b"ok"
        # which the kernel does not deliver: from inside, PID 1 cannot be killed
        assert container.exec("kill", "-9", "1").returncode == 0
        assert get(container)[0] == b"ok"
        os.kill(init, signal.SIGKILL)  # what an engine does after its patience
        container.process.wait(PATIENCE_S)
        eventually(lambda: everybody(container) == [], "all have ended with it")


@pytest.mark.root
@pytest.mark.skipif(unavailable() is not None, reason=f"a container: {unavailable()}")
def test_without_any_folder_to_write_in_it_says_what_to_do(open_folder: Path) -> None:
    with running(open_folder, serving=False, bare=True) as container:
        assert container.process.wait(PATIENCE_S) == 2
        said = container.err.read_text()
        assert (
            "read-only file system; choose another with runtime_directory or state_directory in the configuration"
            in said
        )


def test_the_containerfile_is_as_its_page_says() -> None:
    """PID 1 is releve itself, nobody is root, and what is copied is there."""
    read = recipe(EXAMPLE / "Containerfile")
    assert read.command[0] == "releve" and read.uid > 0 and read.gid > 0
    assert read.stop_signal == "SIGTERM"
    assert all((EXAMPLE / name).is_file() for name in read.copied)
    assert (EXAMPLE / "Containerfile").read_text().splitlines()[6].startswith("FROM python:3.")


def test_the_grace_period_of_the_page_is_that_of_the_example() -> None:
    page = (ROOT / "docs" / "containers.md").read_text("utf-8")
    manifest = re.search(r"```yaml\n(apiVersion.*?)```", page, re.DOTALL)
    assert manifest
    pod = yaml.safe_load(manifest[1])["spec"]["template"]["spec"]
    settings = load(EXAMPLE / "releve.yaml").settings
    assert settings.upgrade.check is not None
    assert pod["terminationGracePeriodSeconds"] == stop_s(settings)
    assert pod["containers"][0]["readinessProbe"]["httpGet"]["path"] == settings.upgrade.check.path
