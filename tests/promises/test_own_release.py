"""Promise: a generation is one release: also what it imports late, and what it starts by name, after the link was
moved.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness.pythons import make_venv, site_packages
from harness.service import PYTHON, Service, eventually, serving

REPOSITORY = Path(__file__).parents[2]

# Each way in which a folder behind the link comes to be searched; `late` is imported by a request.
APP = """
import importlib.util, json, os, shutil, subprocess, sys
import release_app as before

CURRENT = {current!r}
sys.path.insert(0, CURRENT + "/by_insert")
import package

def load(name, file):
    spec = importlib.util.spec_from_file_location(name, file)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

load("plugin", CURRENT + "/plugin.py")

def imports():
    import late_by_insert, late_by_pythonpath, late_by_pth, late_by_editable
    import package.late
    sys.path.append(CURRENT + "/by_view")
    import late_by_view
    found = (late_by_insert, late_by_pythonpath, late_by_pth, late_by_editable, package.late, late_by_view)
    return {{module.__name__: module.NAME for module in found}}

def starts():
    said = lambda *command: subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return {{
        "tool": said("tool"),
        "python": said("python", "-c", "import sys; print(sys.prefix)"),
        "child": said("python", "-c", "import late_by_pythonpath; print(late_by_pythonpath.NAME)"),
        "environment": os.environ.get("VIRTUAL_ENV"),
    }}

def application(environ, start_response):
    way = {{"/imports": imports, "/starts": starts}}.get(environ["PATH_INFO"])
    if way is None:
        return before.application(environ, start_response)
    body = json.dumps(way()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
# As setuptools writes it for `pip install -e`.
EDITABLE = """
import sys
from importlib.util import spec_from_file_location

MAPPING = {{"late_by_editable": {file!r}}}
NAMESPACES = {{}}

class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return spec_from_file_location(name, MAPPING[name]) if name in MAPPING else None

def install():
    sys.meta_path.append(Finder)
"""
APPLICATION = (REPOSITORY / "tests" / "harness" / "application.py").read_text()


def release(service: Service, name: str) -> Path:
    """A release with a virtual environment, a tool in it, and a folder for each way."""
    folder = service.release(name, app=APP.format(current=str(service.current)), release_app=APPLICATION)
    (folder / "plugin.py").touch()
    for way in ("insert", "pythonpath", "pth", "editable", "view"):
        (folder / f"by_{way}").mkdir()
        (folder / f"by_{way}" / f"late_by_{way}.py").write_text(f"NAME = {name!r}\n")
    (folder / "by_insert" / "package").mkdir()
    (folder / "by_insert" / "package" / "__init__.py").touch()
    (folder / "by_insert" / "package" / "late.py").write_text(f"NAME = {name!r}\n")
    python = make_venv(PYTHON, folder / ".venv", site_packages())
    site = next((folder / ".venv").glob("lib/python3.*/site-packages"))
    (site / "by.pth").write_text(
        f"{service.current}/by_pth\nimport __editable___late_finder; __editable___late_finder.install()\n"
    )
    (site / "__editable___late_finder.py").write_text(
        EDITABLE.format(file=f"{service.current}/by_editable/late_by_editable.py")
    )
    (python.parent / "tool").write_text(f"#!/bin/sh\necho {name}\n")
    (python.parent / "tool").chmod(0o755)
    return folder


def says(service: Service, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(service.get(path))
    return found


@pytest.mark.parametrize("preload", [True, False])
def test_what_a_generation_imports_late_and_starts_by_name_is_of_its_release(tmp_path: Path, preload: bool) -> None:
    env = {"PYTHONPATH": str(tmp_path / "current" / "by_pythonpath")}
    with serving(tmp_path, start=False, workers=1, preload=preload, env=env) as service:
        for name in ("one", "two"):
            release(service, name)
        activated = f"{service.current}/.venv"  # as an operator does, in the release of the day
        service.environment |= {"VIRTUAL_ENV": activated, "PATH": f"{activated}/bin:{os.environ['PATH']}"}
        service.start()
        for number, (name, other) in enumerate((("one", "two"), ("two", "one")), 1):
            home = f"{service.releases}/{name}/.venv"
            # By a path of its own the application would load from the link again: that cannot be helped, and is said.
            assert eventually(lambda: service.generation()["mixed"], "it is noticed") == [
                f"{service.current}/plugin.py"
            ]
            assert "mixed code" in service.ctl("status").stdout
            assert not service.status()["service"]["degraded"]  # the link leads here yet
            service.flip(other)
            (degraded,) = service.status()["service"]["degraded"]
            assert degraded.startswith(f"mixed code: generation {number} may import code of another release")
            assert set(says(service, "/imports").values()) == {name}
            assert says(service, "/starts") == {"tool": name, "python": home, "child": name, "environment": home}
            assert service.serving() == number
            service.do("upgrade")
