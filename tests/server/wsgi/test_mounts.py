"""Several applications as one: which of them a path reaches, with which environ, and what becomes of broken ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from releve.config.settings.settings import Mount
from releve.server.wsgi.application import BootError, load
from releve.server.wsgi.mounts import broken, mounted


def named(name: str) -> Any:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{name}|{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}".encode("latin-1")]

    return application


def ask(application: Any, path: str, script: str = "") -> tuple[str, str]:
    environ: dict[str, Any] = {"PATH_INFO": path, "SCRIPT_NAME": script, "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    said: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        said.append(status)
        return lambda data: None

    answer: Any = validator(application)(environ, start_response)
    body = b"".join(answer)
    answer.close()
    return said[0][:3], body.decode("latin-1")


ALL = mounted(
    {prefix: validator(named(prefix or "site")) for prefix in ("", "/api", "/api/v2", "/a/b/c", "/caf\u00e9")}
)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/", "site||/"),
        ("/api", "/api|/api|"),
        ("/api/", "/api|/api|/"),
        ("/api/x//y", "/api|/api|/x//y"),
        ("/apix", "site||/apix"),
        ("/api/v2", "/api/v2|/api/v2|"),
        ("/api/v2/x", "/api/v2|/api/v2|/x"),
        ("/api/v22", "/api|/api|/v22"),
        ("//api", "site||//api"),
        ("/a/b", "site||/a/b"),
        ("/a/b/c/d/e/f", "/a/b/c|/a/b/c|/d/e/f"),
        ("/API", "site||/API"),
        ("/api/../x", "/api|/api|/../x"),
        ("/../api", "site||/../api"),
        ("/a/b/c", "/a/b/c|/a/b/c|"),
        ("/a/b/c/", "/a/b/c|/a/b/c|/"),
        ("/a/b/cd", "site||/a/b/cd"),
        ("/a//b/c", "site||/a//b/c"),
        ("/api//v2", "/api|/api|//v2"),
    ],
)
def test_the_longest_prefix_at_a_border_of_segments(path: str, answer: str) -> None:
    assert ask(ALL, path) == ("200", answer)


def test_beyond_ascii() -> None:
    path = "/caf\u00e9/x".encode().decode("latin-1")
    assert ask(mounted({"/caf\u00e9": named("it")}), path) == ("200", f"it|{path[:-2]}|/x")


def test_a_path_that_nothing_covers_is_404() -> None:
    assert ask(mounted({"/api": named("api")}), "/apix")[0] == "404"


def test_the_prefix_of_a_proxy_comes_first() -> None:
    assert ask(ALL, "/api/x", "/shop") == ("200", "/api|/shop/api|/x")


@pytest.mark.parametrize("prefix", ["/", "api", "/api/", "//api", "/a//b"])
def test_malformed_prefixes(prefix: str) -> None:
    with pytest.raises(ValueError, match="cannot mount"):
        mounted({prefix: named("x")})


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[str]:
    path = list(sys.path)
    (tmp_path / "mounted_good.py").write_text("def app(environ, start_response): ...\n")
    (tmp_path / "mounted_bad.py").write_text("raise ValueError('no database')\n")
    yield str(tmp_path)
    sys.path[:] = path
    sys.modules.pop("mounted_good", None)


def test_one_mount_of_everything_is_the_application_itself(folder: str) -> None:
    found = load("", folder, mounts=[Mount("", "mounted_good:app")])
    assert found is sys.modules["mounted_good"].app


MOUNTS = [Mount("", "mounted_good:app", "site.yaml:2:5"), Mount("/bad", "mounted_bad:app", "site.yaml:3:9")]


def test_a_broken_mount_refuses_the_release_and_says_where_it_is_written(folder: str) -> None:
    with pytest.raises(BootError) as caught:
        load("", folder, mounts=MOUNTS)
    assert caught.value.reason.startswith(
        "site.yaml:3:9: cannot mount mounted_bad:app at /bad: cannot import mounted_bad: ValueError"
    )
    assert "no database" in caught.value.traceback


def test_a_broken_mount_that_is_isolated_answers_503_for_its_prefix_only(folder: str) -> None:
    found = load("", folder, mounts=MOUNTS, isolate=True)
    assert ask(found, "/bad/x")[0] == "503"
    assert ["site.yaml:3:9" in str(error) for error in broken(found)] == [True]


def test_nothing_but_broken_mounts_refuses_the_release(folder: str) -> None:
    with pytest.raises(BootError, match="cannot mount"):
        load("", folder, mounts=MOUNTS[1:], isolate=True)
