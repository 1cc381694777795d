"""Where it listens, and what is spoken there."""

from __future__ import annotations

import os
from typing import Any

from releve.config.kinds.addresses import parse_address
from releve.config.kinds.numbers import mode_text
from releve.importer.document.failure import ImportFailure
from releve.importer.settings.draft import Draft, within
from releve.importer.settings.setting import Setting, carried, without

_FD_FIRST = 3  # the first that systemd passes on: sd_listen_fds(3)
_HTTP2 = "Relève speaks HTTP/1.1; let a proxy in front speak HTTP/2 with the clients."


def _listen(setting: Setting, draft: Draft) -> None:
    found = [_address(text, draft) for text in draft.site["bind"]]
    if not found:
        raise ImportFailure("cannot tell where to listen: bind is empty")
    for item in found:
        text = f"unix:{item['unix']}" if isinstance(item, dict) else str(item)
        try:
            parse_address(text, draft.site.directory)
        except ValueError as error:
            origin = draft.site.values["bind"].origin
            raise ImportFailure(f"cannot use {text!r} of bind ({origin}) as an address: {error}") from None
    draft.put(setting.key, found, of="bind")


def _address(text: str, draft: Draft) -> Any:
    """One address of ``bind`` as ours: text, or a block where the mode or the owner of a socket is said."""
    site = draft.site
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = os.path.join(site.directory, path.removeprefix("//") if path.startswith("//") else path)
        more: dict[str, Any] = {}
        if site["umask"]:
            more["mode"] = mode_text(0o666 & ~site["umask"])
        more |= {
            ours: site[theirs] for ours, theirs in (("owner", "user"), ("group", "group")) if site[theirs] is not None
        }
        return {"unix": path, **more} if more else f"unix:{path}"
    if text.startswith("fd://"):
        number = text.removeprefix("fd://")
        socket = "http" if number == str(_FD_FIRST) else f"http-{number}"
        draft.remark("bind", f"write FileDescriptorName={socket} in the socket unit of systemd, for fd:{socket}")
        return f"fd:{socket}"
    netloc = text.removeprefix("tcp://").lower()
    if "[" in netloc and "]" in netloc:
        host, _, port = netloc.partition("]")
        return f"{host}]:{port.removeprefix(':') or 8000}"
    host, colon, port = netloc.partition(":")
    return f"{host or '0.0.0.0'}:{port if colon else 8000}"


def _backlog(setting: Setting, draft: Draft) -> None:
    draft.put(setting.key, within(setting.key, draft.site["backlog"]), of="backlog")


SETTINGS = (
    carried(
        "bind",
        "texts",
        ["127.0.0.1:8000"],
        "-b --bind",
        "listen",
        (
            "The same; `unix:PATH` and IPv6 too. `fd://3` is `fd:NAME`, NAME being the "
            "`FileDescriptorName=` of systemd's socket unit."
        ),
        action="append",
        carry=_listen,
    ),
    carried("backlog", "int", 2048, "--backlog", "limits.backlog", "The same.", carry=_backlog),
    without(
        "reuse_port",
        "bool",
        False,
        "--reuse-port",
        (
            "Not supported: the kernel would reset queued clients when a process exits. Old and new "
            "workers share one listener."
        ),
        "true",
    ),
    without(
        "protocol",
        "text",
        "http",
        "--protocol",
        "Relève speaks HTTP; have nginx use `proxy_pass` instead of `uwsgi_pass`.",
    ),
    without(
        "uwsgi_allow_ips",
        "networks",
        "127.0.0.1,::1",
        "--uwsgi-allow-from",
        "The uwsgi protocol is not supported; see `protocol`.",
    ),
    without("http_protocols", "text", "h1", "--http-protocols", _HTTP2),
    without("http2_cleartext", "any", "off", "--http2-cleartext", _HTTP2),
    without("http2_initial_window_size", "int", 65535, "--http2-initial-window-size", _HTTP2),
    without("http2_max_concurrent_streams", "int", 100, "--http2-max-concurrent-streams", _HTTP2),
    without("http2_max_frame_size", "int", 16384, "--http2-max-frame-size", _HTTP2),
    without("http2_max_header_list_size", "int", 65536, "--http2-max-header-list-size", _HTTP2),
)
