"""The WSGI environ: a base made once for each address of ours, and one copy per request. Pure (PEP 3333)."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import unquote_to_bytes

from releve import __version__
from releve.server.http.head import Head, split_absolute
from releve.server.wsgi.file_wrapper import FileWrapper

Environ = dict[str, Any]

SOFTWARE = f"releve/{__version__}"

# An unspecified address is where a listener is bound, never where a client has reached it.
_UNSPECIFIED = {"", "0.0.0.0", "::"}


def split_peer(peer: str) -> tuple[str, str]:
    """REMOTE_ADDR and REMOTE_PORT of ``host:port``; both are empty for a Unix socket."""
    host, _, port = peer.rpartition(":")
    return host.strip("[]"), port


def base_environ(
    listener_name: str,
    local: tuple[Any, ...] | str | bytes | None,
    peer: str = "",
    *,
    multithread: bool,
    multiprocess: bool = True,
) -> Environ:
    """What is the same for every request that comes to one address of ours.

    ``listener_name`` is the listener's address as configured, ``local`` the connection's ``getsockname()`` and ``peer``
    is ``host:port``, or empty for a Unix socket.
    """
    name, port = _server(listener_name, local)
    remote, remote_port = split_peer(peer)
    return {
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        "SERVER_SOFTWARE": SOFTWARE,
        "REMOTE_ADDR": remote,
        "REMOTE_PORT": remote_port,
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,  # wsgi.input ends where the body ends, chunked or not
        "wsgi.file_wrapper": FileWrapper,
    }


def build_environ(head: Head, base: Environ, body_input: Any) -> Environ:
    """The environ of one request.

    Field names with an underscore are dropped (``X_Real_IP`` would pass for ``X-Real-IP``), and so is ``Proxy`` (it
    would become ``HTTP_PROXY``). A target in absolute form overrides ``Host`` (RFC 9112, 3.2.2).
    """
    environ = base.copy()
    path, authority = _path(head.target)
    path, question, query = path.partition("?")
    environ["REQUEST_METHOD"] = head.method
    environ["RAW_URI"] = environ["REQUEST_URI"] = head.target
    environ["PATH_INFO"] = unquote_to_bytes(path.encode("latin-1")).decode("latin-1") if "%" in path else path
    environ["QUERY_STRING"] = query
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if head.version == (1, 1) else "HTTP/1.0"
    environ["wsgi.input"] = body_input
    for name, value in head.headers:
        if "_" in name:
            continue
        key = "HTTP_" + name.upper().replace("-", "_")
        if key in environ:
            separator = "; " if key == "HTTP_COOKIE" else ","  # RFC 6265, 5.4; RFC 9110, 5.3
            value = environ[key] + separator + value
        environ[key] = value
    for key in ("HTTP_CONTENT_LENGTH", "HTTP_PROXY"):
        environ.pop(key, None)
    if "HTTP_CONTENT_TYPE" in environ:
        environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE")
    if head.content_length is not None:
        environ["CONTENT_LENGTH"] = str(head.content_length)
    if authority is not None:
        environ["HTTP_HOST"] = authority
    return environ


def _server(listener_name: str, local: tuple[Any, ...] | str | bytes | None) -> tuple[str, str]:
    """SERVER_NAME and SERVER_PORT; neither may be empty, and a Unix socket has none."""
    if isinstance(local, tuple) and len(local) >= 2:
        host, port = str(local[0]), str(local[1])
    elif listener_name.startswith(("unix:", "fd:")) or ":" not in listener_name:
        host, port = "localhost", "80"
    else:
        host, _, port = listener_name.rpartition(":")
        host = host.strip("[]")
    if host in _UNSPECIFIED:
        host = "localhost"
    return (f"[{host}]" if ":" in host else host), port  # RFC 3875, 4.1.14: an IPv6 address has its brackets


def _path(target: str) -> tuple[str, str | None]:
    """Path and query, and the authority of an absolute form. ``*`` is the server's own root."""
    if target.startswith("/"):
        return target, None
    if target == "*":
        return "/", None
    absolute = split_absolute(target.encode("latin-1"))
    assert absolute is not None, "parse_head lets no other form pass"
    authority, path = absolute[0].decode("latin-1"), absolute[1].decode("latin-1")
    return path if path.startswith("/") else "/" + path, authority
