"""Addresses: what is understood, and the hint for each usual mistake."""

import pytest

from releve.config.kinds.addresses import parse_address
from releve.config.settings.address import Address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", Address("tcp", "127.0.0.1", 8000)),
        (":8000", Address("tcp", "0.0.0.0", 8000)),
        ("localhost:8000", Address("tcp", "localhost", 8000)),
        ("Web-1.Example.org:80", Address("tcp", "web-1.example.org", 80)),
        ("[::]:80", Address("tcp", "::", 80)),
        ("[0:0::1]:80", Address("tcp", "::1", 80)),
        ("[fe80::1%eth0]:80", Address("tcp", "fe80::1%eth0", 80)),
        ("unix:/run/x.sock", Address("unix", path="/run/x.sock")),
        ("unix:run/x.sock", Address("unix", path="/srv/run/x.sock")),
        ("unix:/run/a:b", Address("unix", path="/run/a:b")),
        ("fd:http", Address("fd", name="http")),
        ("fd:releve@1.socket", Address("fd", name="releve@1.socket")),
    ],
)
def test_understood(text: str, address: Address) -> None:
    assert parse_address(text, "/srv") == address


@pytest.mark.parametrize(
    "text", ["127.0.0.1:8000", "[::1]:80", "unix:/run/x.sock", "fd:http", "localhost:1", "0.0.0.0:65535"]
)
def test_the_name_of_an_address_is_an_address(text: str) -> None:
    assert str(parse_address(text, "/")) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("8000", "the host is missing; write 127.0.0.1:8000 (this machine only) or :8000 (every IPv4 address)"),
        ("localhost", "the port is missing; write localhost:8000"),
        ("localhost:", "the port is missing"),
        ("localhost:http", "'http' is not a port"),
        ("127.0.0.1:0", "a port is between 1 and 65535"),
        ("127.0.0.1:65536", "a port is between 1 and 65535"),
        ("127.0.0.256:80", "127.0.0.256 is not an IPv4 address"),
        ("1.2.3:80", "1.2.3 is not an IPv4 address"),
        ("*:80", "write :80 for every IPv4 address, '[::]:80' for every IPv6 address"),
        ("::1", "an IPv6 address is written in brackets: '[::1]:8000'"),
        ("fe80::1:2:x:80", "an IPv6 address is written in brackets: '[fe80::1:2:x]:80'"),
        ("[::1]", "the port is missing; write '[::1]:8000'"),
        ("[::1", "expected [IPV6]:PORT"),
        ("[zz]:80", "'zz' is not an IPv6 address"),
        ("a b:80", "'a b' is not a host name"),
        ("-a:80", "'-a' is not a host name"),
        ("http://127.0.0.1:80/", "an address has no http://; write 127.0.0.1:80"),
        ("tcp://", "an address has no tcp://; write 127.0.0.1:8000"),
        ("unix:///run/x.sock", "an address has no unix://; write unix:/run/x.sock"),
        ("/run/x.sock", "a Unix socket is written unix:/run/x.sock"),
        ("unix:", "it is empty"),
        ("unix:@name", "abstract sockets have no permissions and are not supported; write a path"),
        ("unix:/run/", "it is a folder, not a socket"),
        ("unix:/" + "x" * 107, "the path has 108 bytes, the limit is 107 (unix(7)); choose a shorter folder"),
        ("unix:/" + "é" * 60, "the path has 121 bytes, the limit is 107 (unix(7)); choose a shorter folder"),
        ("fd:", "expected fd:NAME, the FileDescriptorName= of the socket unit"),
        ("fd:a:b", "expected fd:NAME, the FileDescriptorName= of the socket unit"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_address(text, "/srv")
    assert str(caught.value) == reason


def test_the_longest_path_of_a_unix_socket() -> None:
    assert len(parse_address("unix:/" + "x" * 106, "/").path) == 107
