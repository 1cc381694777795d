"""``releve init``: the application that a folder holds, and the file that is written for it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from releve.config.reading.load import load
from releve.importer import init
from releve.importer.applications import find

DJANGO = {
    "manage.py": 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n',
    "shop/__init__.py": "",
    "shop/settings.py": "",
    "shop/wsgi.py": "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
    "shop/asgi.py": "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n",
}
FLASK = "from flask import Flask\napp = Flask(__name__)\n"
FACTORY = "import flask\ndef create_app(config=None):\n    app = flask.Flask(__name__)\n    return app\n"
FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    return tmp_path


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "app", "framework"),
    [
        (DJANGO, "shop.wsgi:application", "Django"),
        ({**DJANGO, "wsgi.py": FLASK}, "shop.wsgi:application", "Django"),
        ({"app.py": FLASK}, "app:app", "Flask"),
        ({"hello.py": "import flask as f\nserver = f.Flask('x')\n"}, "hello:server", "Flask"),
        ({"flaskr/__init__.py": FACTORY}, "flaskr:create_app()", "Flask"),
        (
            {"flaskr/__init__.py": FACTORY, "wsgi.py": "from flaskr import create_app\napp = create_app()\n"},
            "wsgi:app",
            "",
        ),
        ({"wsgi.py": "from shop import app as application\n", "shop.py": FACTORY}, "wsgi:application", ""),
        (
            {"a.py": "from shop import app\nimport celery\napp = celery.Celery()\n", "shop.py": FLASK},
            "shop:app",
            "Flask",
        ),
        ({"shop.py": f"{FLASK}app = WhiteNoise(app)\n"}, "shop:app", "Flask"),
        ({"x.py": "def hello(environ, start_response):\n    return []\n"}, "x:hello", ""),
        ({"api.py": "import falcon\napi = falcon.App()\n"}, "api:api", "Falcon"),
        ({"main.py": FASTAPI, "app.py": FLASK}, "app:app", "Flask"),
        ({"broken.py": "def (", "tests/app.py": FLASK, "not-a-module.py": FLASK, "a.py": FLASK}, "a:app", "Flask"),
    ],
)
def test_the_likeliest_application_comes_first(folder: Path, files: dict[str, str], app: str, framework: str) -> None:
    write(folder, files)
    found = find(folder)
    assert (found[0].app, found[0].framework) == (app, framework)


@pytest.mark.parametrize(
    "text",
    [
        "def create_app(config):\n    pass\n",
        "def create_app(*, config):\n    pass\n",
        "app = 1\n",
        "import falcon\nx = App()\n",
    ],
)
def test_what_cannot_be_served_is_not_found(folder: Path, text: str) -> None:
    write(folder, {"app.py": text})
    assert find(folder) == []


def test_no_file_of_the_folder_is_run(folder: Path) -> None:
    write(folder, {"app.py": f"import os\nos.mkdir('ran')\n{FLASK}"})
    assert init.run([]) == 0
    assert not (folder / "ran").exists()


def test_the_file_is_valid_and_says_what_was_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, {**DJANGO, ".env": "A=b\n", "gunicorn.conf.py": "workers = 3\n"})
    assert init.run([]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "wrote releve.yaml: app shop.wsgi:application (Django, shop/wsgi.py)",
        "`releve init` does not read gunicorn.conf.py; `releve import` converts its settings",
        "start it: releve",
    ]
    settings = load(folder / "releve.yaml").settings
    assert (settings.app, settings.env_file) == ("shop.wsgi:application", str(folder / ".env"))
    assert "manage.py migrate" in (folder / "releve.yaml").read_text()


def test_the_advice_is_valid_once_it_is_taken(folder: Path) -> None:
    write(folder, DJANGO)
    init.run([])
    lines = (folder / "releve.yaml").read_text().splitlines()
    taken = [line.removeprefix("# ") if line.startswith(("# upgrade:", "# hooks:")) else line for line in lines]
    (folder / "releve.yaml").write_text("\n".join(taken))
    settings = load(folder / "releve.yaml").settings
    assert settings.upgrade.check is not None and settings.hooks.before


def test_a_file_that_is_there_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, {"app.py": FLASK, "releve.yaml": "mine"})
    assert init.run([]) == 2
    assert "cannot write releve.yaml: it exists already; --force overwrites it" in capsys.readouterr().err
    assert (folder / "releve.yaml").read_text() == "mine"
    assert sorted(os.listdir(folder)) == ["app.py", "releve.yaml"]
    assert init.run(["--force"]) == 0
    assert load(folder / "releve.yaml").settings.app == "app:app"


def test_standard_output_gets_the_file_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, {"app.py": FLASK, "wsgi.py": "def application(environ, start_response): pass\n"})
    assert init.run(["-o", "-"]) == 0
    out, err = capsys.readouterr()
    assert "app: wsgi:application" in out and "# Also found: app:app." in out
    assert (err, os.path.exists("releve.yaml")) == ("", False)


@pytest.mark.parametrize(
    ("files", "arguments", "said"),
    [
        ({}, [], "cannot find a WSGI application in"),
        ({"main.py": FASTAPI}, [], "cannot serve main:app: it is an ASGI application (FastAPI)"),
        ({"main.py": FASTAPI, "app.py": FLASK}, ["main:app"], "cannot serve main:app: it is an ASGI application"),
        ({"shop/asgi.py": DJANGO["shop/asgi.py"]}, [], "cannot serve shop.asgi:application: it is an ASGI application"),
        ({"app.py": FLASK}, ["-o", "no/such.yaml"], "cannot write no/such.yaml: no such file or directory"),
        ({"app.py": FLASK}, ["nonsense app"], "cannot serve nonsense app"),
        ({"app.py": FLASK}, ["--bogus"], "No such option"),
    ],
)
def test_what_cannot_be_done_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], files: dict[str, str], arguments: list[str], said: str
) -> None:
    write(folder, files)
    assert init.run(arguments) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "releve.yaml").exists()


def test_the_application_can_be_named(folder: Path) -> None:
    assert init.run(["shop.web:make()", "-o", "site.yaml"]) == 0
    assert load(folder / "site.yaml").settings.app == "shop.web:make()"


def test_the_named_application_is_not_found_twice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, {"app.py": FLASK})
    assert init.run(["app:app", "-o", "-"]) == 0
    out = capsys.readouterr().out
    assert "app: app:app" in out and "# Flask, app.py" in out and "Also found" not in out


def test_a_file_in_another_folder_names_this_one(folder: Path) -> None:
    write(folder, {"app.py": FLASK, ".env": "A=b\n", "etc/keep": ""})
    assert init.run(["-o", "etc/shop.yaml"]) == 0
    settings = load(folder / "etc/shop.yaml").settings
    assert (settings.directory, settings.env_file) == (str(folder), str(folder / ".env"))


def test_the_folder_of_a_site_has_its_release_behind_a_link(folder: Path) -> None:
    write(folder, {f"releases/1/{name}": text for name, text in DJANGO.items()})
    (folder / "current").symlink_to("releases/1")
    assert init.run([]) == 0
    text = (folder / "releve.yaml").read_text()
    assert "directory: current" in text and "a link to the release" in text
    settings = load(folder / "releve.yaml").settings
    assert (settings.app, settings.directory) == ("shop.wsgi:application", str(folder / "current"))
    assert init.run(["-o", "-"]) == 0
    (folder / "etc").mkdir()
    assert init.run(["-o", "etc/shop.yaml"]) == 0
    assert load(folder / "etc/shop.yaml").settings.directory == str(folder / "current")


def test_a_pipe_and_a_link_to_nowhere_are_passed_over(folder: Path) -> None:
    os.mkfifo(folder / "a.py")
    os.symlink("nowhere", folder / "b.py")
    write(folder, {"c.py": FLASK})
    assert [one.app for one in find(folder)] == ["c:app"]


def test_a_folder_that_cannot_be_listed_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(_folder: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)  # the tests may run as root, who lists every folder
    assert init.run([]) == 2
    assert f"cannot look into {folder}: permission denied" in capsys.readouterr().err
