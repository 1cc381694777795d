"""From what a gunicorn serves with to what Relève would: keys of ours, and remarks on all that has no equivalent or
differs.

One function for each setting that is carried over, in a table; all others have their text in ``table``.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from releve.config.frozen import dataclass
from releve.config.kinds.access_format import check_format
from releve.config.kinds.addresses import parse_address
from releve.config.kinds.defaults import default_text
from releve.config.kinds.numbers import DURATION_MAX_S, duration_text, mode_text
from releve.config.reading import paste
from releve.config.settings.settings import GROUPS, Settings, rules
from releve.importer import words
from releve.importer.document import Entry
from releve.importer.failure import ImportFailure
from releve.importer.gunicorn import DEFAULT, Site
from releve.importer.table import ASGI, COMBINED, GREENLETS, SETTINGS

THREADED = {"gthread", "gunicorn.workers.gthread.ThreadWorker"}
SYNC = {"sync", "gunicorn.workers.sync.SyncWorker"}
NOT_WSGI = ("asgi", "uvicorn", "hypercorn", "aiohttp", "sanic")  # what names a worker class that serves something else
_FD_FIRST = 3  # the first that systemd passes on: sd_listen_fds(3)
_BOOT_S = 60  # timeouts.boot by default
_HEAD_BYTES = 65536  # limits.head by default
_EVERYBODY = ["0.0.0.0/0", "::/0"]


@dataclass(slots=True)
class Draft:
    """What has been translated so far: our keys, and remarks by the setting they are on."""

    entries: dict[str, Entry] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)

    def put(self, site: Site, name: str, value: Any, key: str = "") -> None:
        """Carry a setting over as ``key`` (default: that of the table); one that nobody gave only where ours has
        another default.
        """
        key = key or SETTINGS[name].key
        origin, ours = site.values[name].origin, _default(key)
        if origin != DEFAULT:
            self.entries[key] = Entry(value, f"{name}, {origin}")
        elif ours != (", ".join(map(str, value)) if isinstance(value, list) else str(value)):
            self.entries[key] = Entry(value, f"{DEFAULT} of {name}; Relève's is {ours}")

    def remark(self, site: Site, name: str, text: str) -> None:
        """Say something about a setting."""
        held = site.values[name]
        self.remarks[name] = f"{name} = {words.shown(held.value)} ({held.origin}): {text}"


def translate(site: Site) -> Draft:
    """The whole site. Raises ImportFailure if there is nothing that could be served."""
    draft = Draft()
    draft.entries["app"] = Entry(_app(site, draft), _app_origin(site))
    for name, carry in CARRIED.items():
        carry(site, name, draft)
    if site.python is not None:
        draft.entries["python"] = Entry(site.python, "the one that gunicorn runs on")
    for name, setting in SETTINGS.items():
        held = site.values[name]
        default = None if setting.kind == "hook" else words.convert(setting.kind, setting.default)
        changed = held.given and held.value != default
        if changed and name not in draft.remarks and (setting.differs or not setting.key) and name != "config":
            draft.remark(site, name, setting.text)
    for note in site.notes:
        draft.remarks[note] = note
    return draft


def worker_kind(site: Site) -> str:
    """``sync``, ``gthread`` or another, as gunicorn understands class and threads together."""
    name = str(site["worker_class"])
    if name in SYNC:
        return "gthread" if site["threads"] > 1 else "sync"
    return "gthread" if name in THREADED else name


# What is served


def _app(site: Site, draft: Draft) -> str:
    target = site.app or site["wsgi_app"]
    if site["paste"] is not None:
        file, _, name = str(site["paste"]).partition("#")
        variables = tuple(_pair(text) for text in site["raw_paste_global_conf"])
        return paste.application(
            Path(site.folder, file), paste.Names(app=name or "main", variables=variables), _directory(site)
        )
    if not target:
        raise ImportFailure(
            "cannot tell what is served: neither the file (wsgi_app) nor a command line names an application; "
            "name it: releve import FILE mysite.wsgi:application"
        )
    return target if ":" in target else f"{target}:application"


def _app_origin(site: Site) -> str:
    if site["paste"] is not None:
        return f"paste, {site.values['paste'].origin}"
    return "the command line" if site.app else f"wsgi_app, {site.values['wsgi_app'].origin}"


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ImportFailure(
            f"cannot use {text!r} as raw_paste_global_conf: expected NAME=VALUE; gunicorn refuses it too"
        )
    return name, value


def _directory(site: Site) -> str:
    return os.path.normpath(os.path.join(site.folder, site["chdir"]))


def _default(key: str) -> str:
    """The default of a key of ours, as it is written."""
    group, _, name = key.rpartition(".")
    kind = GROUPS[group] if group else Settings
    return next(default_text(one) for one in dataclasses.fields(kind) if one.name == name)


def _chdir(site: Site, name: str, draft: Draft) -> None:
    draft.put(site, name, _directory(site))
    if not site.values[name].given:
        draft.entries["directory"] = Entry(_directory(site), "where gunicorn is started")


def _environment(site: Site, name: str, draft: Draft) -> None:
    """``raw_env``, what the file does to ``os.environ``, and ``pythonpath``."""
    variables = dict(site.environment)
    for text in site["raw_env"]:
        variable, equals, value = text.partition("=")
        if not variable or not equals:
            raise ImportFailure(f"cannot use {text!r} as raw_env: expected NAME=VALUE; gunicorn refuses it too")
        variables[variable] = value
    if site["pythonpath"]:
        # gunicorn puts one after the other in front, so that the last comes first
        folders = [os.path.normpath(os.path.join(_directory(site), part)) for part in site["pythonpath"].split(",")]
        more = [variables["PYTHONPATH"]] if variables.get("PYTHONPATH") else []
        variables["PYTHONPATH"] = ":".join([*dict.fromkeys(reversed(folders)), *more])
        draft.remark(site, "pythonpath", SETTINGS["pythonpath"].text)
    if variables:
        draft.entries["env"] = Entry(variables, ", ".join(_origins_of_environment(site)))


def _origins_of_environment(site: Site) -> list[str]:
    found = [f"{name}, {site.values[name].origin}" for name in ("raw_env", "pythonpath") if site[name]]
    return [*found, *(["set by the code of the file"] if site.environment else [])]


def _account(site: Site, name: str, draft: Draft) -> None:
    if site[name] is not None:
        draft.put(site, name, site[name])
    elif name == "group" and site["user"] is not None:
        draft.remarks["group"] = "group: not set; here it is the user's own (gunicorn keeps that of whoever starts it)"


def _preload(site: Site, name: str, draft: Draft) -> None:
    if site.values[name].given:
        draft.put(site, name, "true" if site[name] else "false")


def _reload(site: Site, name: str, draft: Draft) -> None:
    if site[name]:
        draft.put(site, name, "code")


# Workers


def _workers(site: Site, name: str, draft: Draft) -> None:
    draft.put(site, name, _within("workers", site[name]))
    if site[name] < 1:
        draft.remark(site, name, "at least one worker serves; gunicorn would start none until it is told to")


def _threads(site: Site, name: str, draft: Draft) -> None:
    kind = worker_kind(site)
    if kind in ("sync", "gthread"):
        draft.put(site, "threads", _within("threads", site["threads"]))
    else:
        if any(word in kind.lower() for word in NOT_WSGI):
            raise ImportFailure(
                f"cannot carry over worker_class = {kind!r} ({site.values['worker_class'].origin}): "
                f"its applications are not WSGI. {ASGI} "
                "If the site has a WSGI application too (in Django mysite.wsgi), name that one, and a "
                "worker class for it: "
                "releve import -- gunicorn -k gthread mysite.wsgi"
            )
        draft.remark(site, "worker_class", GREENLETS)


def _connections(site: Site, name: str, draft: Draft) -> None:
    kind = worker_kind(site)
    if kind != "sync":
        draft.put(site, name, _within("limits.connections", site[name]))
    if kind != "gthread" and site.values[name].given:
        draft.remark(
            site, name, "without a meaning for sync workers, and left out" if kind == "sync" else SETTINGS[name].text
        )


def _requests(site: Site, name: str, draft: Draft) -> None:
    if site[name]:
        draft.put(site, name, _within(SETTINGS[name].key, site[name]))


def _timeout(site: Site, name: str, draft: Draft) -> None:
    seconds = site[name]
    if worker_kind(site) == "sync":
        draft.put(site, name, "off" if seconds == 0 else _seconds(seconds))
    elif site.values[name].given:
        draft.remark(
            site,
            name,
            (
                "a heartbeat for this kind of worker, which is always watched here; timeouts.request "
                "bounds a request, where you want that"
            ),
        )
    if seconds > _BOOT_S:
        draft.put(site, name, _seconds(seconds), "timeouts.boot")


def _drain(site: Site, name: str, draft: Draft) -> None:
    draft.put(site, name, _seconds(site[name]))
    if site[name] == 0:
        draft.remark(site, name, "the shortest time there is, for none at all")


def _keepalive(site: Site, name: str, draft: Draft) -> None:
    if worker_kind(site) == "sync" and not site.values[name].given:
        return  # such workers keep no connection, whatever it is
    if site[name]:
        draft.put(site, name, _seconds(site[name]))
    else:
        draft.remark(
            site,
            name,
            "connections are always kept for a while; the default is 75s, and timeouts.keepalive may be shorter",
        )


# Addresses


def _listen(site: Site, name: str, draft: Draft) -> None:
    folder = _directory(site)
    found = [_address(text, site, draft) for text in site[name]]
    if not found:
        raise ImportFailure("cannot tell where to listen: bind is empty")
    for item in found:
        text = f"unix:{item['unix']}" if isinstance(item, dict) else str(item)
        try:
            parse_address(text, folder)
        except ValueError as error:
            raise ImportFailure(
                f"cannot use {text!r} of bind ({site.values[name].origin}) as an address: {error}"
            ) from None
    draft.put(site, name, found)
    if site["umask"] and site.values["umask"].given:
        draft.remark(site, "umask", SETTINGS["umask"].text)


def _address(text: str, site: Site, draft: Draft) -> Any:
    """One address of ``bind`` as ours: text, or a block where the mode or the owner of a socket is said."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = os.path.join(_directory(site), path.removeprefix("//") if path.startswith("//") else path)
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
        draft.remark(site, "bind", f"write FileDescriptorName={socket} in the socket unit of systemd, for fd:{socket}")
        return f"fd:{socket}"
    netloc = text.removeprefix("tcp://").lower()
    if "[" in netloc and "]" in netloc:
        host, _, port = netloc.partition("]")
        return f"{host}]:{port.removeprefix(':') or 8000}"
    host, colon, port = netloc.partition(":")
    return f"{host or '0.0.0.0'}:{port if colon else 8000}"


# Limits, proxies, logs


def _line(site: Site, name: str, draft: Draft) -> None:
    draft.put(site, name, _size(SETTINGS[name].key, min(site[name], 8190) if site[name] else 0))


def _fields(site: Site, name: str, draft: Draft) -> None:
    count = site[name] if 0 < site[name] <= 32768 else 32768
    draft.put(site, name, _within("limits.headers", count))


def _field_size(site: Site, name: str, draft: Draft) -> None:
    size = _size(SETTINGS[name].key, site[name] or 65536)
    draft.put(site, name, size)
    if size > _HEAD_BYTES // 2:
        draft.put(site, name, _size("limits.head", 2 * size), "limits.head")


def _trusted(site: Site, name: str, draft: Draft) -> None:
    on = site["proxy_protocol"] != "off"
    name = "proxy_allow_ips" if on else "forwarded_allow_ips"
    networks = [network for word in site[name] for network in (_EVERYBODY if word == "*" else [word])]
    draft.put(site, name, [*dict.fromkeys(networks), "unix:"])
    if on and site["forwarded_allow_ips"] != site["proxy_allow_ips"]:
        text = "with the PROXY protocol the trusted peers are those of proxy_allow_ips, for both"
        draft.remark(site, "forwarded_allow_ips", f"{text}; add to proxy.trusted the clients whose headers count")


def _protocol(site: Site, name: str, draft: Draft) -> None:
    if site[name] != "off":
        draft.put(site, name, "true")


def _access(site: Site, name: str, draft: Draft) -> None:
    told = site[name]
    draft.put(
        site,
        name,
        "off" if not told else told if told == "-" else os.path.normpath(os.path.join(_directory(site), told)),
    )
    text = site["access_log_format"]
    if told and text != COMBINED:
        try:
            check_format(text)
        except ValueError as error:
            draft.remark(site, "access_log_format", f"{error}; left out, so that it is the default, combined")
        else:
            draft.put(site, "access_log_format", text)


def _errors(site: Site, name: str, draft: Draft) -> None:
    told = site[name]
    if SETTINGS[name].key and told:
        draft.put(site, name, told if told == "-" else os.path.normpath(os.path.join(_directory(site), told)))


def _level(site: Site, name: str, draft: Draft) -> None:
    known = rules()["log.level"]["choices"]
    level = str(site[name]).lower()
    draft.put(site, name, level if level in known else "error" if level == "critical" else "info")
    if level not in known:
        draft.remark(
            site,
            name,
            SETTINGS[name].text if level == "critical" else f"no such level; it is one of {', '.join(known)}",
        )


def _within(key: str, number: int) -> int:
    rule = rules()[key]
    return int(min(max(number, rule.get("minimum", 0)), rule.get("maximum", 1 << 31)))


def _size(key: str, number: int) -> int:
    """A size within what the key takes; 0 is the most it takes."""
    return _within(key, number or 1 << 31)


def _seconds(seconds: int) -> str:
    return duration_text(min(seconds, int(DURATION_MAX_S)) or 0.001)


Carry = Callable[[Site, str, Draft], None]

# in the order that the keys shall have
CARRIED: Mapping[str, Carry] = {
    "chdir": _chdir,
    "bind": _listen,
    "workers": _workers,
    "threads": _threads,
    "preload_app": _preload,
    "raw_env": _environment,
    "user": _account,
    "group": _account,
    "reload": _reload,
    "limit_request_line": _line,
    "limit_request_fields": _fields,
    "limit_request_field_size": _field_size,
    "worker_connections": _connections,
    "max_requests": _requests,
    "max_requests_jitter": _requests,
    "backlog": lambda site, name, draft: draft.put(site, name, _within("limits.backlog", site[name])),
    "timeout": _timeout,
    "graceful_timeout": _drain,
    "keepalive": _keepalive,
    "forwarded_allow_ips": _trusted,
    "proxy_protocol": _protocol,
    "accesslog": _access,
    "errorlog": _errors,
    "loglevel": _level,
}
