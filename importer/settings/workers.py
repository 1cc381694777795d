"""How many serve, what one of them takes, and how long it may."""

from __future__ import annotations

from releve.importer.document.failure import ImportFailure
from releve.importer.settings.draft import Draft, seconds_text, within
from releve.importer.settings.setting import Setting, carried, without
from releve.importer.settings.site import Site

THREADED = {"gthread", "gunicorn.workers.gthread.ThreadWorker"}
SYNC = {"sync", "gunicorn.workers.sync.SyncWorker"}
NOT_WSGI = ("asgi", "uvicorn", "hypercorn", "aiohttp", "sanic")  # what names a worker class that serves something else
_BOOT_S = 60  # timeouts.boot by default

ASGI = "Relève serves WSGI; ASGI applications (FastAPI, Starlette) stay with an ASGI server."
GREENLETS = (
    "Greenlets (gevent, eventlet) and tornado have no equivalent: remove them, also monkey-patching "
    "(where it has to stay: `threads: 1`). "
    "`threads`, left at 8, says how many requests are served at once in a worker; threads that only "
    "wait are cheap, and "
    "idle clients hold none. WebSockets are not served: Socket.IO can do with long polling (`async_mode='threading'`)."
)


def worker_kind(site: Site) -> str:
    """``sync``, ``gthread`` or another, as gunicorn understands class and threads together."""
    name = str(site["worker_class"])
    if name in SYNC:
        return "gthread" if site["threads"] > 1 else "sync"
    return "gthread" if name in THREADED else name


def _workers(setting: Setting, draft: Draft) -> None:
    told = draft.site["workers"]
    draft.put(setting.key, within(setting.key, told), of="workers")
    if told < 1:
        draft.remark("workers", "at least one worker serves; gunicorn would start none until TTIN")


def _threads(setting: Setting, draft: Draft) -> None:
    site, kind = draft.site, worker_kind(draft.site)
    if kind in ("sync", "gthread"):
        draft.put(setting.key, within(setting.key, site["threads"]), of="threads")
        return
    if any(word in kind.lower() for word in NOT_WSGI):
        raise ImportFailure(
            f"cannot carry over worker_class = {kind!r} ({site.values['worker_class'].origin}): "
            f"its applications are not WSGI. {ASGI} "
            "If the site has a WSGI application too (in Django mysite.wsgi), name that one, and a worker class for it: "
            "releve import -- gunicorn -k gthread mysite.wsgi"
        )
    draft.remark("worker_class", GREENLETS)


def _connections(setting: Setting, draft: Draft) -> None:
    kind = worker_kind(draft.site)
    if kind != "sync":
        draft.put(setting.key, within(setting.key, draft.site[setting.name]), of=setting.name)
    if kind != "gthread" and draft.site.values[setting.name].given:
        without_meaning = "no meaning for sync workers; left out"
        draft.remark(setting.name, without_meaning if kind == "sync" else setting.text)


def _requests(setting: Setting, draft: Draft) -> None:
    if draft.site[setting.name]:
        draft.put(setting.key, within(setting.key, draft.site[setting.name]), of=setting.name)


def _timeout(setting: Setting, draft: Draft) -> None:
    seconds = draft.site["timeout"]
    if worker_kind(draft.site) == "sync":
        draft.put(setting.key, "off" if seconds == 0 else seconds_text(seconds), of="timeout")
    elif draft.site.values["timeout"].given:
        text = "for this kind of worker a heartbeat, which Relève always watches"
        draft.remark("timeout", f"{text}; timeouts.request limits the time of a request")
    if seconds > _BOOT_S:
        draft.put("timeouts.boot", seconds_text(seconds), of="timeout")


def _drain(setting: Setting, draft: Draft) -> None:
    seconds = draft.site[setting.name]
    draft.put(setting.key, seconds_text(seconds), of=setting.name)
    if seconds == 0:
        draft.remark(setting.name, "the shortest time, for none at all")


def _keepalive(setting: Setting, draft: Draft) -> None:
    seconds = draft.site["keepalive"]
    if worker_kind(draft.site) == "sync" and not draft.site.values["keepalive"].given:
        return  # such workers keep no connection, whatever it is
    if seconds:
        draft.put(setting.key, seconds_text(seconds), of="keepalive")
    else:
        text = "connections are always kept open for a while: 75s by default, or timeouts.keepalive"
        draft.remark("keepalive", text)


SETTINGS = (
    carried("workers", "int", 1, "-w --workers", "workers", "The same. `auto` is one for each core.", carry=_workers),
    carried(
        "worker_class",
        "class",
        "sync",
        "-k --worker-class",
        "threads",
        f"`sync` is `threads: 1`, `gthread` is `threads`. {GREENLETS} {ASGI}",
    ),
    carried("threads", "int", 1, "--threads", "threads", "The same: requests at once in one worker.", carry=_threads),
    carried(
        "worker_connections",
        "int",
        1000,
        "--worker-connections",
        "limits.connections",
        (
            "The same for `gthread`: open connections of one worker. For gevent it was also the number of "
            "requests at once: `threads`, here."
        ),
        carry=_connections,
    ),
    carried(
        "max_requests",
        "int",
        0,
        "--max-requests",
        "limits.requests",
        "The same (0 is `off`); the replacement serves first.",
        carry=_requests,
    ),
    carried(
        "max_requests_jitter", "int", 0, "--max-requests-jitter", "limits.requests_jitter", "The same.", carry=_requests
    ),
    carried(
        "timeout",
        "int",
        30,
        "-t --timeout",
        "timeouts.request",
        "For `sync` workers the time of a request: here since the application last took or gave a "
        "byte, and the worker is not killed but "
        "replaced, after its stack is logged. For others only a heartbeat, always watched here. Above "
        "60 it is `timeouts.boot` too.",
        differs=True,
        carry=_timeout,
    ),
    carried(
        "graceful_timeout",
        "int",
        30,
        "--graceful-timeout",
        "timeouts.drain",
        "The same at a stop. At an upgrade old workers have `upgrade.retire`, an hour, to finish. What "
        "a worker does at its end "
        "(`atexit`, threads) has `timeouts.exit`, 5 s, then.",
        differs=True,
        carry=_drain,
    ),
    carried(
        "keepalive",
        "int",
        2,
        "--keep-alive",
        "timeouts.keepalive",
        "The same for `gthread`; `sync` workers of gunicorn keep no connection. Longer is better (the default is 75s): "
        "idle clients cost almost nothing here.",
        carry=_keepalive,
    ),
    without("asgi_disconnect_grace_period", "int", 3, "--asgi-disconnect-grace-period", ASGI),
    without("asgi_lifespan", "lower", "auto", "--asgi-lifespan", ASGI),
    without("asgi_loop", "lower", "auto", "--asgi-loop", ASGI),
    without("websocket_max_message_size", "int", 16777216, "--websocket-max-message-size", ASGI),
    without("http_parser", "lower", "auto", "--http-parser", "There is only one parser."),
)
