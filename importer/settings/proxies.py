"""Whom gunicorn believes what a request has come through."""

from __future__ import annotations

from releve.importer.settings.draft import Draft
from releve.importer.settings.setting import Setting, carried, without
from releve.importer.settings.workers import ASGI

HEADERS = {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"}
_EVERYBODY = ["0.0.0.0/0", "::/0"]


def _trusted(setting: Setting, draft: Draft) -> None:
    site = draft.site
    by_protocol = site["proxy_protocol"] != "off"
    name = "proxy_allow_ips" if by_protocol else "forwarded_allow_ips"
    networks = [network for word in site[name] for network in (_EVERYBODY if word == "*" else [word])]
    draft.put(setting.key, [*dict.fromkeys(networks), "unix:"], of=name)
    if by_protocol and site["forwarded_allow_ips"] != site["proxy_allow_ips"]:
        text = "with the PROXY protocol the trusted peers are those of proxy_allow_ips, for both"
        draft.remark("forwarded_allow_ips", f"{text}; add the clients whose headers count to proxy.trusted")


def _protocol(setting: Setting, draft: Draft) -> None:
    if draft.site["proxy_protocol"] != "off":
        draft.put(setting.key, "true", of="proxy_protocol")


SETTINGS = (
    carried(
        "forwarded_allow_ips",
        "networks",
        "127.0.0.1,::1",
        "--forwarded-allow-ips",
        "proxy.trusted",
        "The same peers are believed; of them `X-Forwarded-For` becomes `REMOTE_ADDR` too, which "
        "gunicorn leaves alone. "
        "Of all others `X-Forwarded-*` is removed. `*` is `0.0.0.0/0` and `::/0`.",
        differs=True,
        carry=_trusted,
    ),
    carried(
        "proxy_protocol",
        "proxy",
        "off",
        "--proxy-protocol",
        "proxy.protocol",
        (
            "Both versions are accepted. On every listener, each connection must begin with that header, or "
            "it is closed."
        ),
        differs=True,
        action="optional",
        carry=_protocol,
    ),
    carried(
        "proxy_allow_ips",
        "networks",
        "127.0.0.1,::1",
        "--proxy-allow-from",
        "proxy.trusted",
        "With the PROXY protocol these are the trusted peers; without it, they have no effect.",
    ),
    without(
        "secure_scheme_headers",
        "dict",
        HEADERS,
        "",
        "Only `X-Forwarded-Proto` with `http` or `https` is read, of trusted peers; have the proxy send that.",
    ),
    without(
        "forwarder_headers",
        "names",
        "SCRIPT_NAME,PATH_INFO",
        "--forwarder-headers",
        "`X-Forwarded-Prefix` becomes `SCRIPT_NAME`; no header of a client sets other variables.",
    ),
    without(
        "header_map",
        "lower",
        "drop",
        "--header-map",
        "Always `drop`: names with an underscore never reach the application.",
    ),
    without("root_path", "text", "", "--root-path", ASGI),
)
