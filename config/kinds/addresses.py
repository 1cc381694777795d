"""Addresses to listen on, from text to ``Address``, and networks to trust; with a hint for each usual mistake."""

from __future__ import annotations

import ipaddress
import os
import re

from releve.config.kernel import UNIX_PATH_MAX_BYTES
from releve.config.kinds.paths import join, parse_path
from releve.config.settings.address import Address
from releve.config.settings.key import Rules

EVERY_V4 = "0.0.0.0"
# The keys of {unix: ..., mode: ..., owner: ..., group: ...} and the kinds of their values.
UNIX_PARTS = {"unix": "text", "mode": "mode", "owner": "name", "group": "name"}

_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*"
)
_FD_NAME = re.compile(r"[!-9;-~]{1,255}")  # sd_listen_fds_with_names(3): printable ASCII, but for the colon


def parse_address(text: str, folder: str) -> Address:
    """``127.0.0.1:8000``, ``:8000``, ``[::1]:8000``, ``localhost:8000``, ``unix:/path`` or ``fd:NAME``.

    A relative path of a Unix socket starts in ``folder``. Raises ValueError with the reason.
    """
    scheme, _, rest = text.partition(":")
    if rest.startswith("//"):
        plain = f"unix:/{rest.strip('/')}" if scheme == "unix" else rest.strip("/") or "127.0.0.1:8000"
        raise ValueError(f"an address has no {scheme}://; write {plain}")
    if scheme == "unix":
        return unix_address(rest, folder)
    if scheme == "fd":
        return fd_address(rest)
    if "/" in text:
        raise ValueError(f"a Unix socket is written unix:{text}")
    return _tcp(text)


def unix_address(path: str, folder: str) -> Address:
    """A Unix socket at ``path``, made absolute. Raises ValueError."""
    if path.startswith("@"):
        raise ValueError("abstract sockets have no permissions and are not supported; write a path")
    if path.endswith("/"):
        raise ValueError("it is a folder, not a socket")
    absolute = join(folder, parse_path(path, {}))
    length = len(os.fsencode(absolute))
    if length > UNIX_PATH_MAX_BYTES:
        raise ValueError(
            f"the path has {length} bytes, the limit is {UNIX_PATH_MAX_BYTES} (unix(7)); choose a shorter folder"
        )
    return Address("unix", path=absolute)


def fd_address(name: str) -> Address:
    """A socket inherited by name, as FileDescriptorName= of systemd.socket(5) gives it. Raises ValueError."""
    if not _FD_NAME.fullmatch(name):
        raise ValueError("expected fd:NAME, the FileDescriptorName= of the socket unit")
    return Address("fd", name=name)


def port_address(text: str) -> Address:
    """Every IPv4 address at this port: what ``PORT`` in the environment asks for. Raises ValueError."""
    return Address("tcp", host=EVERY_V4, port=_port(text))


def parse_network(text: str, rules: Rules) -> str:
    """An IP address, a network in CIDR notation, or ``unix:``."""
    if text.lower() in ("unix", "unix:"):
        return "unix:"
    if text == "*":
        raise ValueError("write 0.0.0.0/0 and ::/0 to trust every peer")
    try:
        return str(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError(
                f"that is an address in a network; write {ipaddress.ip_network(text, strict=False)}"
            ) from None
        raise ValueError("expected an IP address, a network such as 10.0.0.0/8, or unix:") from None


def _tcp(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon:
        if text.isdecimal():
            raise ValueError(
                f"the host is missing; write 127.0.0.1:{text} (this machine only) or :{text} (every IPv4 address)"
            )
        raise ValueError(f"the port is missing; write {text}:8000")
    if text.startswith("["):
        if text.endswith("]"):
            raise ValueError(f"the port is missing; write '{text}:8000'")
        if not host.endswith("]"):
            raise ValueError("expected [IPV6]:PORT")
        return Address("tcp", host=_v6(host[1:-1]), port=_port(port))
    if ":" in host:
        written = f"[{text}]:8000" if _is_v6(text) else f"[{host}]:{port}"
        raise ValueError(f"an IPv6 address is written in brackets: '{written}'")
    if host == "*":
        raise ValueError(f"write :{port} for every IPv4 address, '[::]:{port}' for every IPv6 address")
    return Address("tcp", host=_host(host), port=_port(port))


def _host(host: str) -> str:
    if not host:
        return EVERY_V4
    if re.fullmatch(r"[0-9.]+", host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError(f"{host} is not an IPv4 address") from None
    if not _HOST_NAME.fullmatch(host):
        raise ValueError(f"{host!r} is not a host name")
    return host.lower()


def _v6(host: str) -> str:
    if not _is_v6(host):
        raise ValueError(f"{host!r} is not an IPv6 address")
    return str(ipaddress.IPv6Address(host))


def _is_v6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError(f"{text!r} is not a port" if text else "the port is missing")
    port = int(text)
    if not 1 <= port <= 65535:
        raise ValueError("a port is between 1 and 65535")
    return port
