"""Whom to believe, and what: the forwarded headers of trusted peers, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from releve.server.http import forwarded as proxy
from releve.server.http.forwarded import Trust, forward, introduce, strip

TRUST = Trust(("127.0.0.1", "::1", "10.0.0.0/8", "fd00::/8", "unix:"))
PEER = "127.0.0.1"


def environ(**headers: str) -> dict[str, Any]:
    made = {
        "REMOTE_ADDR": PEER,
        "REMOTE_PORT": "4711",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a/b",
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "a",
    }
    return made | {f"HTTP_{name}": value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("host", "trusted"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", False),
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("::1", True),
        ("0:0::1", True),
        ("::2", False),
        ("fd12::1", True),
        ("fd12::1%eth0", True),
        ("::ffff:10.1.2.3", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:9.1.2.3", False),
        ("", True),
        ("localhost", False),
        ("10.0.0", False),
        ("unknown", False),
    ],
)
def test_who_is_trusted(host: str, trusted: bool) -> None:
    trust = Trust(("127.0.0.1", "::1", "10.0.0.0/8", "fd00::/8", "unix:"))
    assert (host in trust) is trusted
    assert (host in trust) is trusted, "and the second time, when it is remembered"


def test_nobody_is_trusted_by_an_empty_list() -> None:
    assert not any(host in Trust(()) for host in ("", "127.0.0.1", "::1"))


def test_a_unix_socket_is_trusted_only_if_named() -> None:
    assert "" not in Trust(("127.0.0.1",))
    assert "" in Trust(("unix:",))


@pytest.mark.parametrize(
    ("chain", "host", "port"),
    [
        ("203.0.113.9", "203.0.113.9", ""),
        (" 203.0.113.9\t", "203.0.113.9", ""),
        ("203.0.113.9:80", "203.0.113.9", "80"),
        ("[2001:db8::1]:443", "2001:db8::1", "443"),
        ("[2001:db8::1]", "2001:db8::1", ""),
        ("2001:DB8:0::1", "2001:db8::1", ""),
        ("::ffff:203.0.113.9", "203.0.113.9", ""),
        ("1.1.1.1, 203.0.113.9", "203.0.113.9", ""),
        ("1.1.1.1,203.0.113.9, 10.0.0.7", "203.0.113.9", ""),
        ("1.1.1.1,203.0.113.9:55 , 10.0.0.7,127.0.0.1", "203.0.113.9", "55"),
        ("10.0.0.3, 10.0.0.7", "10.0.0.3", ""),
        ("evil, 203.0.113.9", "203.0.113.9", ""),
        ("1.1.1.1, evil, 10.0.0.7", "10.0.0.7", ""),
        ("1.1.1.1, , 10.0.0.7", "10.0.0.7", ""),
        ("1.1.1.1, evil", PEER, "4711"),
        ("", PEER, "4711"),
        (",", PEER, "4711"),
        ("unknown", PEER, "4711"),
        ("203.0.113.9:", PEER, "4711"),
        ("203.0.113.9:123456", PEER, "4711"),
        ("203.0.113.300", PEER, "4711"),
        ("203.0.113.09", PEER, "4711"),
        ("'; DROP TABLE", PEER, "4711"),
        ('"203.0.113.9"', PEER, "4711"),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_not_trusted(chain: str, host: str, port: str) -> None:
    for _ in range(2):
        made = environ(X_FORWARDED_FOR=chain)
        forward(made, TRUST)
        assert (made["REMOTE_ADDR"], made["REMOTE_PORT"]) == (host, port)
        assert made["HTTP_X_FORWARDED_FOR"] == chain, "it stays for the application to see"


@pytest.mark.parametrize(
    ("proto", "scheme"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        ("http", "http"),
        ("https, https", "https"),
        ("https,http", "http"),
        ("http, https", "http"),
        ("ftp", "http"),
        ("wss", "http"),
        ("", "http"),
        ("https;", "http"),
    ],
)
def test_the_scheme_is_believed_where_it_is_clear(proto: str, scheme: str) -> None:
    made = environ(X_FORWARDED_PROTO=proto)
    forward(made, TRUST)
    assert made["wsgi.url_scheme"] == scheme


@pytest.mark.parametrize(
    ("prefix", "path", "script_name", "path_info"),
    [
        ("/a", "/a/b", "/a", "/b"),
        ("/a/", "/a/b", "/a", "/b"),
        ("/a", "/a", "/a", ""),
        ("/a", "/ab", "/a", "/ab"),
        ("/x/y", "/a/b", "/x/y", "/a/b"),
        ("/a%20b", "/a b/c", "/a b", "/c"),
        ("/", "/a/b", "", "/a/b"),
        ("", "/a/b", "", "/a/b"),
        ("a", "/a/b", "", "/a/b"),
        ("//evil.example", "/a/b", "", "/a/b"),
        ("/x//y", "/a/b", "", "/a/b"),
        ("https://evil.example/", "/a/b", "", "/a/b"),
        ("/a?b", "/a/b", "", "/a/b"),
        ("/a b", "/a/b", "", "/a/b"),
        ("/a, /b", "/a/b", "", "/a/b"),
        ("/%0d%0aX:y", "/a/b", "", "/a/b"),
        ("/a/../b", "/a/b", "", "/a/b"),
        ("/a/%2e%2e", "/a/b", "", "/a/b"),
        ("/\\evil", "/a/b", "", "/a/b"),
    ],
)
def test_a_prefix_is_where_the_application_is_mounted(prefix: str, path: str, script_name: str, path_info: str) -> None:
    made = environ(X_FORWARDED_PREFIX=prefix) | {"PATH_INFO": path}
    forward(made, TRUST)
    assert (made["SCRIPT_NAME"], made["PATH_INFO"]) == (script_name, path_info)


def test_host_port_and_the_standard_field_are_left_to_the_application() -> None:
    made = environ(
        X_FORWARDED_HOST="evil.example", X_FORWARDED_PORT="1", FORWARDED="for=1.1.1.1;proto=https;host=evil.example"
    )
    before = dict(made)
    forward(made, TRUST)
    assert made == before


def test_of_others_nothing_is_left() -> None:
    names = [*(key.removeprefix("HTTP_") for key in proxy.FORWARDED), "X_FORWARDED_SOMETHING"]
    made = environ(**dict.fromkeys(names, "203.0.113.9"), X_REQUEST_ID="kept")
    strip(made)
    assert made == environ(X_REQUEST_ID="kept")


def test_trust_decides_which() -> None:
    believed, removed = environ(X_FORWARDED_PROTO="https"), environ(X_FORWARDED_PROTO="https")
    introduce(believed, TRUST)
    introduce(removed, None)
    assert (believed["wsgi.url_scheme"], removed["wsgi.url_scheme"]) == ("https", "http")
    assert "HTTP_X_FORWARDED_PROTO" not in removed


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "KNOWN_MAX", 10)
    trust = Trust(("10.0.0.0/8",))
    for number in range(100):
        assert trust.hop(f"10.0.0.{number}") == (f"10.0.0.{number}", "", True)
        assert trust.hop(f"junk {number}") is None
        assert len(trust._hops) <= 10 and len(trust._known) <= 10
