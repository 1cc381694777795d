"""The examples as plain WSGI applications; the live tests run them under ``releve``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

# Runs in a process of its own, since each example has modules of its own names. Reads requests, writes answers.
DRIVER = """
import importlib, io, json, sys
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

folder, name = sys.argv[1:]
sys.path.insert(0, folder)
module, attribute = name.split(":")
app = validator(getattr(importlib.import_module(module), attribute))
for line in sys.stdin:
    request = json.loads(line)
    body = request["body"].encode()
    environ = {
        "REQUEST_METHOD": request["method"], "SCRIPT_NAME": "", "PATH_INFO": request["path"], "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_COOKIE": request["cookie"],
        "CONTENT_TYPE": "application/x-www-form-urlencoded", "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    setup_testing_defaults(environ)
    environ["HTTP_HOST"] = "localhost"
    answer = {}
    def start_response(status, headers, exc_info=None):
        answer.update(status=int(status.split()[0]), headers=dict(headers))
        return None
    result = app(environ, start_response)
    answer["body"] = b"".join(result).decode()
    result.close()
    print(json.dumps(answer), flush=True)
"""


class Example:
    """One example in a process of its own."""

    def __init__(self, name: str, app: str, **environ: str) -> None:
        self.folder = EXAMPLES / name
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", DRIVER, str(self.folder), app],
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, path: str = "/", form: dict[str, str] | None = None, cookie: str = "") -> dict[str, Any]:
        """One request; the answer has ``status``, ``headers`` and ``body``."""
        assert self.process.stdin and self.process.stdout
        method = "GET" if form is None else "POST"
        print(
            json.dumps({"method": method, "path": path, "body": urlencode(form or {}), "cookie": cookie}),
            file=self.process.stdin,
            flush=True,
        )
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def __enter__(self) -> Example:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


def test_hello_says_who_it_is() -> None:
    with Example("hello", "app:app", RELEVE_GENERATION="7") as hello:
        answer = hello.ask()
    assert answer["status"] == 200
    assert answer["body"].startswith("Hello from release one! Generation 7, process ")


def test_an_application_with_modules_of_our_names_gets_its_own() -> None:
    with Example("collide", "app:app") as collide:
        lines = collide.ask()["body"].splitlines()
    assert lines == [f"{name} belongs to the application" for name in ("config", "ctl", "server", "supervisor")]


def test_flask_site() -> None:
    pytest.importorskip("flask", reason="Flask is not installed")
    with Example("flask_site", "app:app") as flask:
        assert flask.ask("/healthz")["body"] == "ok"
        assert "<form" in flask.ask()["body"]
        assert "<p>ENCORE</p>" in flask.ask(form={"text": "encore"})["body"]
        assert flask.ask("/countdown/2")["body"] == "2\n1\nrelève!\n"


def test_django_site(tmp_path: Path) -> None:
    pytest.importorskip("django", reason="Django is not installed")
    environ = {"SITE_DATABASE": str(tmp_path / "site.sqlite3"), "RELEVE_GENERATION": "7"}
    with Example("django_site", "mysite.wsgi:application", **environ, SITE_DEBUG="") as site:
        assert site.ask("/healthz")["status"] == 500  # not migrated: an upgrade would be refused

    manage = [sys.executable, str(EXAMPLES / "django_site" / "manage.py")]
    for command in (
        ["migrate", "--verbosity", "0"],
        ["makemigrations", "--check", "--dry-run", "--verbosity", "0"],
        ["check"],
    ):
        subprocess.run(
            [*manage, *command],
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environ},
            check=True,
            stdout=subprocess.DEVNULL,
        )

    with Example("django_site", "mysite.wsgi:application", **environ) as site:
        assert site.ask("/healthz")["body"] == "ok"
        page = site.ask()
        assert (page["headers"]["X-Release"], page["headers"]["X-Generation"]) == ("one", "7")
        cookie = page["headers"]["Set-Cookie"].split(";")[0]
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page["body"])
        assert token
        entry = {"csrfmiddlewaretoken": token[1], "name": "Ada", "text": "Relève!"}
        written = site.ask(form=entry, cookie=cookie)
        assert written["status"] == 302
        assert "Relève!" in site.ask(written["headers"]["Location"])["body"]
        assert "Ada: Relève!" in site.ask()["body"]
        assert site.ask(form={**entry, "name": ""}, cookie=cookie)["status"] == 422
        assert site.ask(form={"name": "Eve", "text": "no token"})["status"] == 403
        assert site.ask("/entries/999/")["status"] == 404
