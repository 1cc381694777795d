"""Importing the application: what is accepted, and how each failure is put."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from releve.server.prefork import snapshot
from releve.server.process import hazards
from releve.server.wsgi.application import TRACEBACK_LINES, BootError, Target, load, parse_target

SOURCE = """
def application(environ, start_response): ...
class site: wsgi = application
text = "not callable"
def factory(name="x", *more): return [application, name, more] if more else application
def broken(): raise ValueError("no\\ndatabase")
def leaving(): raise SystemExit(4)
def nothing(): pass
"""
_numbers = itertools.count()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A release folder; what is imported from it is forgotten afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(folder: Path, source: str) -> str:
    """A module of a new name."""
    name = f"module_{next(_numbers)}"
    (folder / f"{name}.py").write_text(source)
    return name


@pytest.mark.parametrize(
    ("app", "target"),
    [
        ("app", Target("app", ("application",))),
        ("mysite.wsgi:application", Target("mysite.wsgi", ("application",))),
        ("app:a.b.c", Target("app", ("a", "b", "c"))),
        ("app:make()", Target("app", ("make",), True)),
        ("app:site.make('prod', debug=False)", Target("app", ("site", "make"), True, ("prod",), {"debug": False})),
    ],
)
def test_forms(app: str, target: Target) -> None:
    assert parse_target(app) == target


@pytest.mark.parametrize(
    "app",
    [
        "",
        ":application",
        "app:",
        "a b:c",
        "a..b:c",
        "app:1",
        "app:a[0]",
        "app:f(x)",
        "app:f(**{})",
        "app:f()()",
        "app.py:x y",
        "/srv/app:a",
    ],
)
def test_malformed(app: str) -> None:
    with pytest.raises(BootError, match="not of the form module:object"):
        parse_target(app)


@pytest.mark.parametrize("name", ["application", "site.wsgi", "factory()", "factory('y')", "factory(name='z')"])
def test_found(folder: Path, name: str) -> None:
    module = write(folder, SOURCE)
    assert load(f"{module}:{name}", str(folder)).__name__ == "application"
    assert sys.path[0] == str(folder)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "cannot find 'missing' in MODULE"),
        ("site.missing", "cannot find 'site.missing' in MODULE"),
        ("aplication", "cannot find 'aplication' in MODULE; did you mean 'application'?"),
        ("text", "cannot use 'text' of MODULE: not callable (it is a str)"),
        ("nothing()", "cannot use what nothing() of MODULE returned: not callable (it is a NoneType)"),
        ("broken()", "cannot call broken() of MODULE: ValueError: no database"),
        ("leaving()", "cannot call leaving() of MODULE: it called sys.exit(4)"),
        (
            "nothing(1)",
            "cannot call nothing() of MODULE: TypeError: nothing() takes 0 positional arguments but 1 was given",
        ),
    ],
)
def test_object_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str) -> None:
    module = write(folder, SOURCE)
    monkeypatch.chdir(folder)  # as in a worker
    with pytest.raises(BootError) as caught:
        load(f"{module}:{name}", str(folder))
    assert caught.value.reason == reason.replace("MODULE", module)
    assert caught.value.step == "import"


def test_a_module_of_that_name_which_is_not_the_releases() -> None:
    with pytest.raises(
        BootError, match=r"cannot find 'app' in json \(/.*/json/__init__.py, which is not part of this release\)"
    ):
        load("json:app", "/")


@pytest.mark.parametrize(
    ("source", "reason", "last_line"),
    [
        ("import surely_missing", "ModuleNotFoundError: No module named 'surely_missing'", None),
        ("def f(:\n", "SyntaxError: invalid syntax (FILE, line 1)", None),
        ("raise RuntimeError", "RuntimeError", None),
        ("1 / 0", "ZeroDivisionError: division by zero", None),
        ("import sys; sys.exit(3)", "it called sys.exit(3)", "SystemExit: 3"),
        ("import sys; sys.exit()", "it called sys.exit()", "SystemExit"),
        ("import sys; sys.exit('no disk')", "it called sys.exit('no disk')", "SystemExit: no disk"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", None),
        ("raise ExceptionGroup('all', [OSError(2, 'x')])", "ExceptionGroup: all (1 sub-exception)", ""),
    ],
)
def test_import_refused(folder: Path, source: str, reason: str, last_line: str | None) -> None:
    module = write(folder, source)
    with pytest.raises(BootError) as caught:
        load(f"{module}:application", str(folder))
    assert caught.value.reason == f"cannot import {module}: " + reason.replace("FILE", f"{module}.py")
    text = caught.value.traceback
    assert f"{module}.py" in text
    assert "importlib" not in text and "server/application.py" not in text
    if last_line != "":
        assert text.splitlines()[-1] == (last_line or reason.replace("FILE, line", f"{module}.py, line").split(" (")[0])


def test_module_itself_missing(folder: Path) -> None:
    with pytest.raises(BootError) as caught:
        load("gone.wsgi:application", str(folder))
    assert caught.value.reason == "cannot import gone.wsgi: ModuleNotFoundError: No module named 'gone'"
    assert caught.value.traceback == "ModuleNotFoundError: No module named 'gone'"


def test_traceback_is_the_end_and_keeps_causes(folder: Path) -> None:
    source = """
def deep(n):
    if n: deep(n - 1)
    else: raise KeyError("k")
try:
    deep(3)
except KeyError as error:
    raise OSError("why") from error
"""
    module = write(folder, source)
    with pytest.raises(BootError) as caught:
        load(module, str(folder))
    lines = caught.value.traceback.splitlines()
    assert lines[-1] == "OSError: why" and "KeyError: 'k'" in lines
    assert len(lines) <= TRACEBACK_LINES + 1


def test_more_modules_and_their_failure(folder: Path) -> None:
    module, more, bad = write(folder, SOURCE), write(folder, "loaded = True"), write(folder, "1 / 0")
    load(module, str(folder), (more,))
    assert sys.modules[more].loaded
    with pytest.raises(BootError, match=f"cannot import {bad}: ZeroDivisionError"):
        load(module, str(folder), (bad,))


DJANGO = """
from django.conf import settings
settings.configure(ROOT_URLCONF="urls", SECRET_KEY="x")
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""

LOAD = """
import sys
from releve.server.wsgi.application import BootError, load
try:
    load("wsgi", sys.argv[1])
    print("views" in sys.modules)
except BootError as error:
    print(error.reason)
"""
NOT_FOUND = "ModuleNotFoundError: No module named 'lost'"


@pytest.mark.parametrize(("views", "reason"), [("def view(request): ...", ""), ("import lost", NOT_FOUND)])
def test_django_urls_are_imported(folder: Path, views: str, reason: str) -> None:
    pytest.importorskip("django", reason="needs Django")
    (folder / "wsgi.py").write_text(DJANGO)
    (folder / "urls.py").write_text(
        "from django.urls import include, path\nurlpatterns = [path('in/', include('inner'))]\n"
    )
    (folder / "inner.py").write_text(
        "from django.urls import path\nimport views\nurlpatterns = [path('', views.view)]\n"
    )
    (folder / "views.py").write_text(views)
    done = subprocess.run([sys.executable, "-c", LOAD, str(folder)], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == (f"cannot import the URL configuration: {reason}" if reason else "True"), done.stderr


def test_no_hazards() -> None:
    before = hazards.take()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain, socket.socket() as unconnected:
        plain.connect(("127.0.0.1", 9))
        unconnected.bind(("127.0.0.1", 0))
        assert not [text for text in hazards.find(before) if not text.startswith("thread")]


def test_hazards_are_described(tmp_path: Path) -> None:
    import asyncio

    before = hazards.take()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="poller")
    thread.start()
    opened: list[Any] = [
        socket.create_server(("127.0.0.1", 0)),
        socket.create_server(("::1", 0), family=socket.AF_INET6),
    ]
    address = opened[0].getsockname()
    opened.append(socket.create_connection(address))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(tmp_path / "s"))
    unix.listen()
    opened.append(unix)
    loop = asyncio.new_event_loop()
    try:
        found = hazards.find(before)
    finally:
        stop.set()
        thread.join()
        loop.close()
        for one in opened:
            one.close()
    assert 'thread "poller"' in found
    assert f"socket listening on 127.0.0.1:{address[1]}" in found
    assert f"socket to 127.0.0.1:{address[1]}" in found
    assert any(text.startswith("socket listening on [::1]:") for text in found)
    assert f"socket listening on {tmp_path / 's'}" in found
    assert "event loop (epoll)" in found


def test_snapshot_sees_changes_only_of_sources(tmp_path: Path) -> None:
    for name in ("kept.py", "edited.py", "gone.py", "sub/deep.py", "note.txt", "node_modules/x.py", "__pycache__/y.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    before = snapshot.take(str(tmp_path))
    assert sorted(before) == ["edited.py", "gone.py", "kept.py", "sub/deep.py"]
    (tmp_path / "edited.py").write_text("22")
    (tmp_path / "gone.py").unlink()
    (tmp_path / "sub/new.py").write_text("")
    (tmp_path / "note.txt").write_text("2")
    assert snapshot.changed(before, snapshot.take(str(tmp_path))) == ["edited.py", "gone.py", "sub/new.py"]
    assert snapshot.take(str(tmp_path / "missing")) == {}
