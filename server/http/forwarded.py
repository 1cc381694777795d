"""In the worker: what a proxy in front says of its client, and whom to believe it. Pure.

A header is only as good as who sent it. From a peer in ``proxy.trusted`` some fields are taken at their word
(``forward``); from all others every field of that kind is removed (``strip``), so that no application believes it
either.

Taken from a trusted peer:

- ``X-Forwarded-For``: ``REMOTE_ADDR`` is its rightmost address that is not trusted itself. What stands left of that one
  was written by somebody we do not know.
- ``X-Forwarded-Proto``: ``wsgi.url_scheme``, if it is ``http`` or ``https``, or a list that agrees on one.
- ``X-Forwarded-Prefix``: ``SCRIPT_NAME``, if it is a plain path; ``PATH_INFO`` goes on behind it.

``X-Forwarded-Host``, ``X-Forwarded-Port`` and ``Forwarded`` (RFC 7239) are left to the application: many proxies pass
them on as the client wrote them, and ``Host`` decides where links and password mails lead.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

Environ = dict[str, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

FAMILY = "HTTP_X_FORWARDED_"
# The members and relatives of that family that are in use. Others are rare enough for the strict parser.
FORWARDED = frozenset(
    (
        "HTTP_FORWARDED",
        "HTTP_X_REAL_IP",
        *(FAMILY + name for name in ("FOR", "PROTO", "HOST", "PORT", "PREFIX", "SERVER", "SSL", "SCHEME")),
    )
)

KNOWN_MAX = 4096  # addresses whose trust is remembered; then all are looked up anew
_SCHEMES = frozenset(("http", "https"))
_PORTED = re.compile(r"\[([^\]]*)\](?::([0-9]{1,5}))?|([0-9.]+):([0-9]{1,5})").fullmatch
_plain_path = re.compile(r"(?:/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@%-]*)+").fullmatch


class Hop(NamedTuple):
    """One address on the way of a request."""

    host: str  # an IP address in its usual form
    port: str  # empty if it is not told
    trusted: bool


class Trust:
    """The addresses of ``proxy.trusted``: single ones, networks, and ``unix:`` for all Unix sockets."""

    def __init__(self, trusted: tuple[str, ...]) -> None:
        """Raises ValueError for what is neither an address nor a network; the configuration has no such."""
        self._unix = "unix:" in trusted
        self._networks: list[Network] = [ipaddress.ip_network(text) for text in trusted if text != "unix:"]
        self._known: dict[str, bool] = {}
        self._hops: dict[str, Hop | None] = {}

    def __contains__(self, host: str) -> bool:
        """Whether a peer is trusted, by its ``REMOTE_ADDR``; empty is a Unix socket."""
        known = self._known.get(host)
        if known is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            known = self._known[host] = self._look_up(host)
        return known

    def hop(self, text: str) -> Hop | None:
        """An element of ``X-Forwarded-For``: an address, with a port or without. ``None``: it is neither."""
        try:
            return self._hops[text]
        except KeyError:
            if len(self._hops) >= KNOWN_MAX:
                self._hops.clear()
            hop = self._hops[text] = self._read(text)
            return hop

    def _look_up(self, host: str) -> bool:
        if not host:
            return self._unix
        try:
            address = _address(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def _read(self, text: str) -> Hop | None:
        host, port = text.strip(" \t"), ""
        match = _PORTED(host)
        if match is not None:
            host, port = match[1] or match[3] or "", match[2] or match[4] or ""
        try:
            host = str(_address(host))
        except ValueError:
            return None
        return Hop(host, port, host in self)


def concerns(environ: Environ) -> bool:
    """Whether ``introduce`` has something to do in the environ of a usual request."""
    return not environ.keys().isdisjoint(FORWARDED)


def introduce(environ: Environ, trust: Trust | None) -> None:
    """Have an environ say who the client is. ``trust`` is ``None`` where the peer is not trusted."""
    if trust is None:
        strip(environ)
    else:
        forward(environ, trust)


def strip(environ: Environ) -> None:
    """Remove what the peer says of others."""
    for key in [key for key in environ if key.startswith(FAMILY) or key in FORWARDED]:
        del environ[key]


def forward(environ: Environ, trust: Trust) -> None:
    """Believe what the peer says of its client."""
    chain = environ.get("HTTP_X_FORWARDED_FOR")
    if chain is not None:
        client = _client(chain, trust)
        if client is not None:
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client.host, client.port
    proto = environ.get("HTTP_X_FORWARDED_PROTO")
    if proto is not None:
        schemes = {scheme.strip(" \t").lower() for scheme in proto.split(",")}
        if len(schemes) == 1 and schemes <= _SCHEMES:
            environ["wsgi.url_scheme"] = schemes.pop()
    prefix = environ.get("HTTP_X_FORWARDED_PREFIX")
    if prefix is not None:
        _mount(environ, prefix.rstrip("/"))


def _client(chain: str, trust: Trust) -> Hop | None:
    """The rightmost address that is not trusted, or else the leftmost; what cannot be read ends the chain."""
    client = None
    for text in reversed(chain.split(",")):
        hop = trust.hop(text)
        if hop is None:
            break
        client = hop
        if not hop.trusted:
            break
    return client


def _mount(environ: Environ, prefix: str) -> None:
    if not prefix or not _plain_path(prefix):
        return
    mount = unquote_to_bytes(prefix).decode("latin-1")
    if not mount.isprintable() or "/../" in mount + "/":
        return
    environ["SCRIPT_NAME"] = mount
    path: str = environ["PATH_INFO"]
    if path == mount or path.startswith(mount + "/"):  # the proxy has not cut it off
        environ["PATH_INFO"] = path[len(mount) :]


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Raises ValueError. An IPv4 address in IPv6 clothes is one of IPv4; a scope is a matter of this machine."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
