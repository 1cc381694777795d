"""TLS, which is not spoken here."""

from __future__ import annotations

from releve.importer.settings.setting import without

_TLS = "Let a proxy in front do TLS and send `X-Forwarded-Proto` (see proxies.md)."


SETTINGS = (
    without("certfile", "text", None, "--certfile", _TLS),
    without("keyfile", "text", None, "--keyfile", _TLS),
    without("ca_certs", "text", None, "--ca-certs", _TLS),
    without("cert_reqs", "any", 0, "--cert-reqs", _TLS),
    without("ciphers", "text", None, "--ciphers", _TLS),
    without("do_handshake_on_connect", "bool", False, "--do-handshake-on-connect", _TLS, "true"),
    without("ssl_version", "any", 2, "--ssl-version", _TLS),
    without("suppress_ragged_eofs", "bool", True, "--suppress-ragged-eofs", _TLS, "true"),
    without("ssl_context", "hook", None, "", _TLS),
)
