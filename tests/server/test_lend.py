"""The supervisor's server under interpreters that have none: lent, isolated, of other versions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import releve.config
import releve.server
from harness.master import APP, Master
from harness.pythons import find_python

SERVER = Path(releve.server.__file__ or "").resolve().parent
CONFIG = Path(releve.config.__file__ or "").resolve().parent


@pytest.mark.parametrize("version", ["", "3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("preload", [None, False])
def test_serves_under(version: str, preload: bool | None, tmp_path: Path) -> None:
    python = find_python(version) if version else sys.executable
    if python is None:
        pytest.skip(f"no Python {version} here")
    (tmp_path / "app.py").write_text(APP)
    with Master(tmp_path, python=python, lend=True, flags=("-I", "-S")) as master:
        master.boot(preload=preload)
        master.expect("ready")
        master.done("resume")
        assert master.get().startswith("one ")
        quit_id = master.order("quit", deadline_s=5, linger_s=0)
        assert master.answer(quit_id)["type"] == "done"
        assert master.exit_status() == 0
        hello = master.messages[0]
        assert hello["lent"] is True and hello["releve"] == "9.9"
        assert hello["python"].startswith(version)


def test_every_module_of_the_server_is_standard_library_only() -> None:
    paths = [
        path.relative_to(SERVER).with_suffix("") for path in SERVER.rglob("*.py") if not path.stem.startswith("__")
    ]
    names = [".".join(path.parts) for path in paths if path.name != "lend"]
    assert len(names) > 50
    script = f"""
import sys
sys.path.insert(0, {str(SERVER)!r})
from lend import lend
del sys.path[0]
path = list(sys.path)
lend({str(SERVER)!r}, {str(CONFIG)!r}, "9.9")
import importlib
for name in {names!r}:
    importlib.import_module("releve.server." + name)
assert sys.path == path
import releve
assert releve.__version__ == "9.9"
for name in ("releve.supervisor", "releve.ctl"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(name + " is importable")
foreign = [m for m in sys.modules if m.partition(".")[0] not in sys.stdlib_module_names | {{"releve", "lend"}}]
assert foreign == ["__main__"] or not foreign, foreign
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_nothing_of_the_supervisors_environment_is_importable(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import yaml\n" + APP)
    with Master(tmp_path, lend=True, flags=("-I", "-S")) as master:
        master.boot()
        assert master.expect("failed")["reason"] == "cannot import app: ModuleNotFoundError: No module named 'yaml'"


@pytest.mark.parametrize("arguments", [[], ["--link", "3"], ["--config", "x", "--link", "3"]])
def test_usage(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-P", str(SERVER / "lend.py"), *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("usage: lend.py --config FOLDER")
