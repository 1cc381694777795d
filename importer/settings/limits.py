"""How large a request may be, and how far it may bend the grammar."""

from __future__ import annotations

from releve.importer.settings.draft import COUNT_MAX, Draft, within
from releve.importer.settings.setting import Setting, carried, without

_HEAD_BYTES = 65536  # limits.head by default
_STRICT = "Requests are always parsed strictly; a client that sends invalid ones must be corrected."


def _line(setting: Setting, draft: Draft) -> None:
    told = draft.site[setting.name]
    draft.put(setting.key, _size(setting.key, min(told, 8190) if told else 0), of=setting.name)


def _fields(setting: Setting, draft: Draft) -> None:
    told = draft.site[setting.name]
    draft.put(setting.key, within(setting.key, told if 0 < told <= 32768 else 32768), of=setting.name)


def _field_size(setting: Setting, draft: Draft) -> None:
    size = _size(setting.key, draft.site[setting.name] or 65536)
    draft.put(setting.key, size, of=setting.name)
    if size > _HEAD_BYTES // 2:
        draft.put("limits.head", _size("limits.head", 2 * size), of=setting.name)


def _size(key: str, number: int) -> int:
    """A size within what the key takes; 0 is the most it takes."""
    return within(key, number or COUNT_MAX)


SETTINGS = (
    carried(
        "limit_request_line",
        "int",
        4094,
        "--limit-request-line",
        "limits.request_line",
        "The same; unlimited (0) is 16MiB. Relève's default is 8190.",
        carry=_line,
    ),
    carried(
        "limit_request_fields",
        "int",
        100,
        "--limit-request-fields",
        "limits.headers",
        "The same, at most 10000.",
        carry=_fields,
    ),
    carried(
        "limit_request_field_size",
        "int",
        8190,
        "--limit-request-field_size",
        "limits.header",
        "The same; `limits.head`, for the whole head, is raised if it would be smaller.",
        carry=_field_size,
    ),
    without("casefold_http_method", "bool", False, "--casefold-http-method", _STRICT, "true"),
    without("permit_obsolete_folding", "bool", False, "--permit-obsolete-folding", _STRICT, "true"),
    without("permit_unconventional_http_method", "bool", False, "--permit-unconventional-http-method", _STRICT, "true"),
    without(
        "permit_unconventional_http_version", "bool", False, "--permit-unconventional-http-version", _STRICT, "true"
    ),
    without("strip_header_spaces", "bool", False, "--strip-header-spaces", _STRICT, "true"),
    without(
        "tolerate_dangerous_framing",
        "bool",
        False,
        "--tolerate-dangerous-framing",
        f"(Up to gunicorn 23.) {_STRICT}",
        "true",
    ),
)
