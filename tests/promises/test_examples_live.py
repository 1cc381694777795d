"""Every example runs as its reader would run it, is upgraded and stopped."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from harness import forked
from harness.service import PYTHON, Service, eventually, serving

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def migrate(service: Service, folder: Path) -> None:
    pytest.importorskip("django")
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=folder, env=service.environment, check=True
    )


def flask(service: Service, folder: Path) -> None:
    pytest.importorskip("flask")


# example -> what has to be done first, a page, a file to edit, what stands in it and on the page, what follows
PAGES: dict[str, tuple[Callable[[Service, Path], None] | None, str, str, str, str]] = {
    "hello": (None, "/", "app.py", '"one"', '"two"'),
    "django_site": (migrate, "/healthz", "guestbook/views.py", '"ok"', '"fine"'),
    "flask_site": (flask, "/healthz", "app.py", '"ok"', '"fine"'),
    "collide": (None, "/", "config.py", '"the application"', '"somebody"'),
    "container": (None, "/healthz", "app.py", '"ok"', '"fine"'),
}


def test_all_examples_are_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir() and not path.name.startswith("__")} == set(PAGES)


@pytest.mark.parametrize("example", PAGES)
def test_example(tmp_path: Path, example: str) -> None:
    prepare, page, file, old, new = PAGES[example]
    folder = tmp_path / example
    shutil.copytree(EXAMPLES / example, folder, ignore=shutil.ignore_patterns("*.sqlite3*", "__pycache__"))
    service = Service(tmp_path)
    service.file = folder / "releve.yaml"  # as it is, but for the port and the folders of state
    service.environment |= {"RUNTIME_DIRECTORY": str(tmp_path / "run"), "STATE_DIRECTORY": str(tmp_path / "state")}
    service.environment |= {"RELEVE_TIMEOUTS_PRE_STOP": "off"}
    if example != "hello":  # the others have the same probation, and need not wait for its end
        service.environment |= {"RELEVE_UPGRADE_PROBATION": "500ms"}
    if prepare:
        prepare(service, folder)
    try:
        service.start("-c", str(service.file), "-b", f"127.0.0.1:{service.port}")
        before = service.get(page)
        assert before
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))
        service.do("upgrade")
        assert service.serving() == 2
        after = service.get(page)
        word = new.strip('"').encode()
        assert word in after and word not in before
        if example == "flask_site":
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            assert b"SHOUT THIS" in service.request("POST", "/", b"text=shout+this", form)[1]
            assert service.get("/countdown/3").splitlines()[:3] == [b"3", b"2", b"1"]
        service.do("rollback")
        assert word not in service.get(page)
        assert "degraded" not in service.must("status")
        service.stop()
    except BaseException:
        print(f"--- log of the service\n{service.log()[-8000:]}\n---")
        raise
    finally:
        service.kill()


def test_a_folder_with_a_hello_py(tmp_path: Path) -> None:
    """``releve -w 3 hello:app``, and a ``ctl`` typed in the same folder finds it."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "hello.py").write_text(
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'hello']\n"
    )
    service = Service(tmp_path / "service")
    service.root = folder
    service.environment |= {
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PORT": str(service.port),
        "RELEVE_UPGRADE_PROBATION": "500ms",
    }
    (tmp_path / "run").mkdir(mode=0o700)

    def ctl(*arguments: str) -> subprocess.CompletedProcess[str]:
        return forked.run("ctl", arguments, folder, service.environment, 60)

    try:
        service.start("-w", "3", "hello:app", wait=False)
        assert service.process is not None

        def found() -> bool:
            """Until it has a folder of its own there, ctl means the only service that runs: perhaps somebody else's."""
            said = ctl("status", "--json").stdout
            return f'"pid": {service.pid},' in said and '"state": "serving"' in said

        eventually(found, "ctl finds it, and it serves")
        assert service.get("/") == b"hello"
        said = ctl("status").stdout
        assert "hello:app" in said
        (folder / "hello.py").write_text(
            "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'hello again']\n"
        )
        done = ctl("upgrade")
        assert done.returncode == 0, done.stderr
        assert service.get("/") == b"hello again"
        done = ctl("stop")
        assert done.returncode == 0, done.stderr
        assert service.process.wait(10) == 0
        assert not service.processes()
    finally:
        service.kill()
        print(service.log()[-4000:])


def test_collide_sees_its_own_modules(tmp_path: Path) -> None:
    """An application with its own config.py, server.py, supervisor.py and ctl.py gets those, not ours."""
    with serving(tmp_path, start=False) as service:
        ours = ("config", "server", "supervisor", "ctl", "instance", "pages")
        service.release("one", **dict.fromkeys(ours, ""))
        service.start()
        for module in ours:
            assert service.get(f"/imported?name={module}").decode() == str(service.releases / "one" / f"{module}.py")


def test_examples_are_valid_configuration(tmp_path: Path) -> None:
    for example in PAGES:
        file = EXAMPLES / example / "releve.yaml"
        assert yaml.safe_load(file.read_text())["app"]
        done = subprocess.run(
            [PYTHON, "-m", "releve", "check", "-c", str(file)], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
