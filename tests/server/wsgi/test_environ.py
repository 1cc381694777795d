"""From a head to an environ, as PEP 3333 and the CGI RFC want it."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from releve import __version__
from releve.config.settings.limits import Limits
from releve.server.http.head import parse_head
from releve.server.wsgi.environ import base_environ, build_environ
from releve.server.wsgi.file_wrapper import FileWrapper

BODY = io.BytesIO()


def make(*lines: bytes, first: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> dict[str, Any]:
    head = parse_head(b"\r\n".join((first, host, *lines)) + b"\r\n\r\n", Limits())
    base = base_environ("127.0.0.1:8000", ("127.0.0.1", 8000), "10.0.0.1:4711", multithread=True)
    before = dict(base)
    environ = build_environ(head, base, BODY)
    assert base == before, "the base belongs to the connection"
    return environ


def test_what_every_request_has() -> None:
    environ = make(b"User-Agent: t", b"Accept: */*", first=b"GET /a/b?c=d&e HTTP/1.1")
    assert environ == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a/b",
        "QUERY_STRING": "c=d&e",
        "RAW_URI": "/a/b?c=d&e",
        "REQUEST_URI": "/a/b?c=d&e",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_SOFTWARE": f"releve/{__version__}",
        "REMOTE_ADDR": "10.0.0.1",
        "REMOTE_PORT": "4711",
        "HTTP_HOST": "a",
        "HTTP_USER_AGENT": "t",
        "HTTP_ACCEPT": "*/*",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BODY,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", ""),
        (b"/?", "/", ""),
        (b"/?a?b", "/", "a?b"),
        (b"//evil.example/a", "//evil.example/a", ""),
        (b"/a//b/../c", "/a//b/../c", ""),
        (b"/%C3%A4", "Ã¤", ""),
        (b"/%c3%a4?%C3%A4", "Ã¤", "%C3%A4"),
        ("/ä".encode(), "Ã¤", ""),
        (b"/a%2Fb%3Fc", "a/b?c", ""),
        (b"/%zz%4", "%zz%4", ""),
        (b"/%25%41+b", "%A+b", ""),
        (b"/;a=b", ";a=b", ""),
        (b"http://b:80/c?d", "c", "d"),
        (b"http://b", "", ""),
        (b"http://b?d", "", "d"),
        (b"HTTPS://b/c", "c", ""),
    ],
)
def test_path_and_query(target: bytes, path: str, query: str) -> None:
    environ = make(first=b"GET " + target + b" HTTP/1.1")
    assert environ["PATH_INFO"] == (path if path.startswith("/") else "/" + path)
    assert environ["QUERY_STRING"] == query
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == target.decode("latin-1")
    assert environ["wsgi.url_scheme"] == "http"


def test_the_absolute_form_overrides_host() -> None:
    assert make(first=b"GET http://b:81/ HTTP/1.1")["HTTP_HOST"] == "b:81"
    assert "HTTP_HOST" not in make(first=b"GET / HTTP/1.0", host=b"X: y")


def test_the_asterisk_is_the_root() -> None:
    environ = make(first=b"OPTIONS * HTTP/1.1")
    assert (environ["PATH_INFO"], environ["RAW_URI"]) == ("/", "*")


@pytest.mark.parametrize(
    ("lines", "key", "value"),
    [
        ((b"A: 1", b"a: 2", b"A:"), "HTTP_A", "1,2,"),
        ((b"Cookie: a=b", b"cookie: c=d"), "HTTP_COOKIE", "a=b; c=d"),
        ((b"X-Forwarded-For: 1", b"X-Forwarded-For: 2"), "HTTP_X_FORWARDED_FOR", "1,2"),
        ((b"A: \xe4",), "HTTP_A", "ä"),
        ((b"X_Real_IP: evil",), "HTTP_X_REAL_IP", None),
        ((b"X-Real-IP: 1", b"X_Real_IP: evil", b"X-Real_IP: evil"), "HTTP_X_REAL_IP", "1"),
        ((b"Proxy: evil",), "HTTP_PROXY", None),
        ((b"Content-Type: text/plain",), "CONTENT_TYPE", "text/plain"),
        ((b"Content-Type: text/plain",), "HTTP_CONTENT_TYPE", None),
        ((), "CONTENT_TYPE", None),
        ((b"Content-Length: 007",), "CONTENT_LENGTH", "7"),
        ((b"Content-Length: 7",), "HTTP_CONTENT_LENGTH", None),
        ((b"Content_Length: 7",), "CONTENT_LENGTH", None),
        ((), "CONTENT_LENGTH", None),
        ((b"Transfer-Encoding: chunked",), "CONTENT_LENGTH", None),
        ((b"Script-Name: /x",), "SCRIPT_NAME", ""),
        ((b"X-Forwarded-Proto: https",), "wsgi.url_scheme", "http"),
    ],
)
def test_headers(lines: tuple[bytes, ...], key: str, value: str | None) -> None:
    assert make(*lines).get(key) == value


@pytest.mark.parametrize(
    ("name", "local", "peer", "expected"),
    [
        ("0.0.0.0:80", ("10.1.1.1", 80), "10.0.0.1:5", ("10.1.1.1", "80", "10.0.0.1", "5")),
        ("[::]:80", ("::1", 80, 0, 0), "[::1]:5", ("[::1]", "80", "::1", "5")),
        ("unix:/run/a.sock", "/run/a.sock", "", ("localhost", "80", "", "")),
        ("unix:/run/a.sock", b"", "", ("localhost", "80", "", "")),
        ("fd:web", "", "", ("localhost", "80", "", "")),
        ("127.0.0.1:8000", "", "", ("127.0.0.1", "8000", "", "")),
        ("[::1]:8000", "", "", ("[::1]", "8000", "", "")),
        ("0.0.0.0:8000", "", "", ("localhost", "8000", "", "")),
        ("[::]:8000", "", "", ("localhost", "8000", "", "")),
        ("unknown", None, "", ("localhost", "80", "", "")),
    ],
)
def test_addresses(name: str, local: Any, peer: str, expected: tuple[str, ...]) -> None:
    base = base_environ(name, local, peer, multithread=False)
    assert tuple(base[key] for key in ("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT")) == expected
    assert base["wsgi.multithread"] is False
