"""Every setting of gunicorn, and what becomes of it here: the one table of `releve import`, its remarks and its page of
the docs.

Gunicorn itself is not needed; a test compares the names, flags and defaults with those of its current release.
"""

from __future__ import annotations

from typing import Any

from releve.config.frozen import dataclass
from releve.config.settings.settings import key_names

ERROR_LOG = "log.file"
HEADERS = {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"}
COMBINED = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of gunicorn.

    ``kind`` says how its value is read (``words.CONVERTERS``), ``action`` how its flags take one (``store``,
    ``append``, ``optional``, ``true`` or ``false``), ``key`` is ours, empty if there is none, and ``text`` what becomes
    of it or what to do instead. ``differs``: it is carried over, and whoever gave it should read the text.
    """

    name: str
    kind: str
    default: Any
    flags: tuple[str, ...]
    text: str
    key: str = ""
    differs: bool = False
    action: str = "store"


def _carried(
    name: str, kind: str, default: Any, flags: str, key: str, text: str, *, differs: bool = False, action: str = "store"
) -> Setting:
    return Setting(name, kind, default, tuple(flags.split()), text, key, differs, action)


def _without(name: str, kind: str, default: Any, flags: str, text: str, action: str = "store") -> Setting:
    return Setting(name, kind, default, tuple(flags.split()), text, action=action)


def _where_known(key: str, text: str, otherwise: str) -> str:
    """What is said of a setting where we have ``key``, and where we do not."""
    return text if key in key_names() else otherwise


ASGI = "Relève serves WSGI; ASGI applications (FastAPI, Starlette) stay with an ASGI server."
GREENLETS = (
    "Greenlets (gevent, eventlet) and tornado have no equivalent: take them out, monkey-patching too "
    "(where it has to stay: `threads: 1`). "
    "`threads`, left at 8, says how many requests are served at once in a worker; threads that only "
    "wait are cheap, and "
    "idle clients hold none. WebSockets are not served: Socket.IO can do with long polling (`async_mode='threading'`)."
)
_HTTP2 = "Relève speaks HTTP/1.1; a proxy in front speaks HTTP/2 with the clients."
_TLS = "TLS is the work of a proxy in front, which sends `X-Forwarded-Proto` (see proxies.md)."
_DIRTY = "There are no dirty workers; run long tasks in a queue's own workers."
_STRICT = "Requests are parsed strictly, without a switch; a client that sends others has to be corrected."
_LOG = (
    "Messages go to standard error; what starts the service sends them on: systemd to its journal, which "
    "forwards to syslog."
)
_LOGGING = "Messages of Relève go to standard error; loggers of the application are set up by the application."
_METRICS = "Nothing is pushed; `ctl status --json` has the figures of every worker."
_NEVER = "Says what gunicorn itself shall do, not how to serve."
_OURS = "Relève's control socket is made by itself, mode 0600, in `runtime_directory`."
_IN_SUPERVISOR = _where_known(
    "hooks.before",
    (
        "Code of the application never runs in the supervisor; `hooks.before` is a command that runs "
        "before each new generation."
    ),
    "Code of the application never runs in the supervisor; do it where the service is started (`ExecStartPre=`).",
)
_AFTER_FORK = _where_known(
    "hooks.after_fork",
    "Write it as a function of the application, without those arguments, and name it in `hooks.after_fork`.",
    (
        "Register it in the application: `os.register_at_fork(after_in_child=...)`; without preload, the "
        "import itself runs in each worker."
    ),
)
_REQUESTS = "Wrap the application in a WSGI middleware."
_AT_EXIT = _where_known(
    "hooks.on_exit",
    (
        "Write it as a function of the application, without those arguments, and name it in "
        "`hooks.on_exit`; `atexit` works too."
    ),
    "Nothing is called when a worker leaves: what must not be lost has to be written before its response ends.",
)

WORKERS = (
    _carried("workers", "int", 1, "-w --workers", "workers", "The same. `auto` is one for each core."),
    _carried(
        "worker_class",
        "class",
        "sync",
        "-k --worker-class",
        "threads",
        f"`sync` is `threads: 1`, `gthread` is `threads`. {GREENLETS} {ASGI}",
    ),
    _carried("threads", "int", 1, "--threads", "threads", "The same: requests at once in one worker."),
    _carried(
        "worker_connections",
        "int",
        1000,
        "--worker-connections",
        "limits.connections",
        (
            "The same for `gthread`: open connections of one worker. For gevent it was also the number of "
            "requests at once: `threads`, here."
        ),
    ),
    _carried(
        "max_requests",
        "int",
        0,
        "--max-requests",
        "limits.requests",
        "The same (0 is `off`); the replacement serves first.",
    ),
    _carried("max_requests_jitter", "int", 0, "--max-requests-jitter", "limits.requests_jitter", "The same."),
    _carried(
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
    ),
    _carried(
        "graceful_timeout",
        "int",
        30,
        "--graceful-timeout",
        "timeouts.drain",
        "The same at a stop. At an upgrade old workers have `upgrade.retire`, an hour, to finish. What "
        "a worker does at its end "
        "(`atexit`, threads) has `timeouts.exit`, 5 s, then.",
        differs=True,
    ),
    _carried(
        "keepalive",
        "int",
        2,
        "--keep-alive",
        "timeouts.keepalive",
        "The same for `gthread`; `sync` workers of gunicorn keep no connection. Longer is better (the default is 75s): "
        "idle clients cost almost nothing here.",
    ),
    _without("asgi_disconnect_grace_period", "int", 3, "--asgi-disconnect-grace-period", ASGI),
    _without("asgi_lifespan", "lower", "auto", "--asgi-lifespan", ASGI),
    _without("asgi_loop", "lower", "auto", "--asgi-loop", ASGI),
    _without("websocket_max_message_size", "int", 16777216, "--websocket-max-message-size", ASGI),
    _without("http_parser", "lower", "auto", "--http-parser", "There is one parser, in Python, and it is fast."),
)

ADDRESSES = (
    _carried(
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
    ),
    _carried("backlog", "int", 2048, "--backlog", "limits.backlog", "The same."),
    _without(
        "reuse_port",
        "bool",
        False,
        "--reuse-port",
        "Never: the kernel would reset queued clients when a process leaves. Old and new workers share one listener.",
        "true",
    ),
    _without(
        "protocol",
        "text",
        "http",
        "--protocol",
        "Relève speaks HTTP; have nginx use `proxy_pass` instead of `uwsgi_pass`.",
    ),
    _without(
        "uwsgi_allow_ips",
        "networks",
        "127.0.0.1,::1",
        "--uwsgi-allow-from",
        "The uwsgi protocol is not spoken; see `protocol`.",
    ),
    _without("http_protocols", "text", "h1", "--http-protocols", _HTTP2),
    _without("http2_cleartext", "any", "off", "--http2-cleartext", _HTTP2),
    _without("http2_initial_window_size", "int", 65535, "--http2-initial-window-size", _HTTP2),
    _without("http2_max_concurrent_streams", "int", 100, "--http2-max-concurrent-streams", _HTTP2),
    _without("http2_max_frame_size", "int", 16384, "--http2-max-frame-size", _HTTP2),
    _without("http2_max_header_list_size", "int", 65536, "--http2-max-header-list-size", _HTTP2),
)

LIMITS = (
    _carried(
        "limit_request_line",
        "int",
        4094,
        "--limit-request-line",
        "limits.request_line",
        "The same; unlimited (0) is 16MiB. Relève's default is 8190.",
    ),
    _carried(
        "limit_request_fields", "int", 100, "--limit-request-fields", "limits.headers", "The same, at most 10000."
    ),
    _carried(
        "limit_request_field_size",
        "int",
        8190,
        "--limit-request-field_size",
        "limits.header",
        "The same; `limits.head`, for the whole head, is raised where it would be smaller.",
    ),
    _without("casefold_http_method", "bool", False, "--casefold-http-method", _STRICT, "true"),
    _without("permit_obsolete_folding", "bool", False, "--permit-obsolete-folding", _STRICT, "true"),
    _without(
        "permit_unconventional_http_method", "bool", False, "--permit-unconventional-http-method", _STRICT, "true"
    ),
    _without(
        "permit_unconventional_http_version", "bool", False, "--permit-unconventional-http-version", _STRICT, "true"
    ),
    _without("strip_header_spaces", "bool", False, "--strip-header-spaces", _STRICT, "true"),
    _without(
        "tolerate_dangerous_framing",
        "bool",
        False,
        "--tolerate-dangerous-framing",
        f"(Up to gunicorn 23.) {_STRICT}",
        "true",
    ),
)

PROXIES = (
    _carried(
        "forwarded_allow_ips",
        "networks",
        "127.0.0.1,::1",
        "--forwarded-allow-ips",
        "proxy.trusted",
        "The same peers are believed; of them `X-Forwarded-For` becomes `REMOTE_ADDR` too, which "
        "gunicorn leaves alone. "
        "Of all others `X-Forwarded-*` is removed. `*` is `0.0.0.0/0` and `::/0`.",
        differs=True,
    ),
    _carried(
        "proxy_protocol",
        "proxy",
        "off",
        "--proxy-protocol",
        "proxy.protocol",
        (
            "Both versions are accepted, and every connection must begin so: one without that header is "
            "closed, on every listener."
        ),
        differs=True,
        action="optional",
    ),
    _carried(
        "proxy_allow_ips",
        "networks",
        "127.0.0.1,::1",
        "--proxy-allow-from",
        "proxy.trusted",
        "With the PROXY protocol these are the trusted peers; without, it has no meaning.",
    ),
    _without(
        "secure_scheme_headers",
        "dict",
        HEADERS,
        "",
        "Only `X-Forwarded-Proto` with `http` or `https` is read, of trusted peers; have the proxy send that.",
    ),
    _without(
        "forwarder_headers",
        "names",
        "SCRIPT_NAME,PATH_INFO",
        "--forwarder-headers",
        "`X-Forwarded-Prefix` becomes `SCRIPT_NAME`; no header of a client sets other variables.",
    ),
    _without(
        "header_map",
        "lower",
        "drop",
        "--header-map",
        "Always as `drop`: names with an underscore never reach the application.",
    ),
    _without("root_path", "text", "", "--root-path", ASGI),
)

PROCESSES = (
    _carried("wsgi_app", "text", None, "", "app", "The same; `module` alone is `module:application`."),
    _carried(
        "chdir",
        "folder",
        ".",
        "--chdir",
        "directory",
        "Folder of the release, which comes first in `sys.path`. A symlink to it is followed anew at each upgrade.",
    ),
    _carried(
        "pythonpath",
        "text",
        None,
        "--pythonpath",
        "env",
        "`PYTHONPATH` in `env`; these folders come after `directory`, not before it.",
    ),
    _carried(
        "raw_env",
        "texts",
        [],
        "-e --env",
        "env",
        "The same, one key each; a changed one comes with `ctl upgrade`, not with a reload. "
        "Secrets are better off in a file of their own, `env_file`.",
        differs=True,
        action="append",
    ),
    _carried("user", "user", None, "-u --user", "user", "The same, also for masters, and from their start."),
    _carried(
        "group",
        "group",
        None,
        "-g --group",
        "group",
        "The same. Without it, the user's own group (gunicorn keeps that of root).",
    ),
    _without(
        "initgroups", "bool", False, "--initgroups", "Always so: the user's supplementary groups are set.", "true"
    ),
    _carried(
        "umask",
        "mode",
        0,
        "-m --umask",
        "listen",
        "It shapes nothing but the mode of Unix sockets, which is the `mode` of the address here. "
        "The key `umask` is the application's, for the files that it makes.",
    ),
    _carried(
        "preload_app",
        "bool",
        False,
        "--preload",
        "preload",
        "The same if it is on, but for random generators, which each worker seeds anew. Otherwise "
        "`auto`, the default, preloads where "
        "that is safe; an upgrade loads new code either way.",
        differs=True,
        action="true",
    ),
    _carried(
        "reload",
        "bool",
        False,
        "--reload",
        "watch",
        "`watch: code`: an upgrade for each saved file, and the old code serves on if the new one fails.",
        action="true",
    ),
    _without("reload_engine", "text", "auto", "--reload-engine", "There is one, by inotify."),
    _without(
        "reload_extra_files",
        "texts",
        [],
        "--reload-extra-file",
        (
            "`watch: code` watches the Python files of the release and the configuration; `ctl upgrade` "
            "after changing others."
        ),
        "append",
    ),
    _without("sendfile", "bool", None, "--no-sendfile", "There is no switch.", "false"),
    _without(
        "daemon",
        "bool",
        False,
        "-D --daemon",
        "It stays in the foreground; a service manager keeps it: `releve systemd-unit -c FILE`.",
        "true",
    ),
    _without(
        "pidfile",
        "text",
        None,
        "-p --pid",
        "There is none; `ctl` finds the service, and `ctl status --json` has the pids.",
    ),
    _without(
        "proc_name", "text", None, "-n --name", "Processes keep their command lines; `ctl status` tells them apart."
    ),
    _without("default_proc_name", "text", "gunicorn", "", "As `proc_name`."),
    _without("worker_tmp_dir", "text", None, "--worker-tmp-dir", "Not needed: heartbeats are in memory, on no disk."),
    _without("tmp_upload_dir", "text", None, "", "Not needed: it is not used by gunicorn either."),
    _carried(
        "paste",
        "text",
        None,
        "--paste --paster",
        "app",
        "`app: releve.server.paste:load('FILE.ini')`, or `pserve` as before, with `use = egg:releve#main`.",
    ),
    _carried(
        "raw_paste_global_conf",
        "texts",
        [],
        "--paste-global",
        "app",
        "The same: `variables={...}` of that `load`.",
        action="append",
    ),
)

LOGS = (
    _carried(
        "accesslog",
        "text",
        None,
        "--access-logfile",
        "log.access",
        "The same; none at all is `off` (Relève's default is standard output).",
    ),
    _carried(
        "access_log_format",
        "text",
        COMBINED,
        "--access-logformat",
        "log.access_format",
        (
            "The same atoms, but for headers with credentials, which are never logged. `%(h)s` is the "
            "client behind a trusted proxy."
        ),
    ),
    _carried("loglevel", "text", "info", "--log-level", "log.level", "The same; `critical` is `error`."),
    _carried(
        "errorlog",
        "text",
        "-",
        "--error-logfile --log-file",
        ERROR_LOG if ERROR_LOG in key_names() else "",
        _where_known(
            ERROR_LOG,
            "The same, for what the application writes too.",
            (
                "Messages go to standard error; send it to a file where the service is started "
                "(`StandardError=append:PATH`)."
            ),
        ),
    ),
    _without(
        "capture_output",
        "bool",
        False,
        "--capture-output",
        "Always so: what the application prints goes where Relève's output goes.",
        "true",
    ),
    _without("enable_stdio_inheritance", "bool", False, "-R --enable-stdio-inheritance", "Always so.", "true"),
    _without("logconfig", "text", None, "--log-config", _LOGGING),
    _without("logconfig_dict", "dict", {}, "", _LOGGING),
    _without("logconfig_json", "text", None, "--log-config-json", _LOGGING),
    _without("logger_class", "class", "gunicorn.glogging.Logger", "--logger-class", _LOGGING),
    _without("syslog", "bool", False, "--log-syslog", _LOG, "true"),
    _without("syslog_addr", "text", "udp://localhost:514", "--log-syslog-to", _LOG),
    _without("syslog_facility", "text", "user", "--log-syslog-facility", _LOG),
    _without("syslog_prefix", "text", None, "--log-syslog-prefix", _LOG),
    _without("disable_redirect_access_to_syslog", "bool", False, "--disable-redirect-access-to-syslog", _LOG, "true"),
    _without("statsd_host", "text", None, "--statsd-host", _METRICS),
    _without("statsd_prefix", "text", "", "--statsd-prefix", _METRICS),
    _without("dogstatsd_tags", "text", "", "--dogstatsd-tags", _METRICS),
    _without("enable_backlog_metric", "bool", False, "--enable-backlog-metric", _METRICS, "true"),
)

TLS = (
    _without("certfile", "text", None, "--certfile", _TLS),
    _without("keyfile", "text", None, "--keyfile", _TLS),
    _without("ca_certs", "text", None, "--ca-certs", _TLS),
    _without("cert_reqs", "any", 0, "--cert-reqs", _TLS),
    _without("ciphers", "text", None, "--ciphers", _TLS),
    _without("do_handshake_on_connect", "bool", False, "--do-handshake-on-connect", _TLS, "true"),
    _without("ssl_version", "any", 2, "--ssl-version", _TLS),
    _without("suppress_ragged_eofs", "bool", True, "--suppress-ragged-eofs", _TLS, "true"),
    _without("ssl_context", "hook", None, "", _TLS),
)

HOOKS = (
    _without("on_starting", "hook", None, "", _IN_SUPERVISOR),
    _without(
        "when_ready", "hook", None, "", "The service manager is told (`Type=notify`), and `ctl upgrade` returns then."
    ),
    _without(
        "on_reload",
        "hook",
        None,
        "",
        "A reload starts workers anew from the same master; put it in the application's import.",
    ),
    _without("on_exit", "hook", None, "", "Do it where the service is started (`ExecStopPost=`)."),
    _without(
        "pre_exec", "hook", None, "", "There is no such exec: an upgrade starts a fresh master beside the old one."
    ),
    _without(
        "pre_fork",
        "hook",
        None,
        "",
        "Register it in the application: `os.register_at_fork(before=...)`; it needs `preload`.",
    ),
    _without("post_fork", "hook", None, "", _AFTER_FORK),
    _without(
        "post_worker_init",
        "hook",
        None,
        "",
        "Put it at the end of the application's module; for after a preload, as `post_fork`.",
    ),
    _without("pre_request", "hook", None, "", _REQUESTS),
    _without("post_request", "hook", None, "", _REQUESTS),
    _without("worker_int", "hook", None, "", _AT_EXIT),
    _without(
        "worker_abort", "hook", None, "", "`timeouts.request` logs the stacks of a worker that hangs, and replaces it."
    ),
    _without("worker_exit", "hook", None, "", _AT_EXIT),
    _without(
        "child_exit",
        "hook",
        None,
        "",
        (
            "`ctl status` and the log say how each worker ended; what a worker does at its own end is "
            "`hooks.on_exit` (hooks.md)."
        ),
    ),
    _without("nworkers_changed", "hook", None, "", "`ctl status` says how many there are; nothing is called."),
)

OTHERS = (
    _without(
        "config",
        "text",
        "./gunicorn.conf.py",
        "-c --config",
        "Read by `releve import`; `releve -c FILE` takes the YAML file.",
    ),
    _without("check_config", "bool", False, "--check-config", f"{_NEVER} `releve check -c FILE` does it.", "true"),
    _without(
        "print_config",
        "bool",
        False,
        "--print-config",
        f"{_NEVER} `releve check -c FILE` says where values come from.",
        "true",
    ),
    _without("spew", "bool", False, "--spew", "There is none; `ctl dump WORKER` shows what a worker does.", "true"),
    _without("control_socket", "text", "gunicorn.ctl", "--control-socket", _OURS),
    _without("control_socket_disable", "bool", False, "--no-control-socket", _OURS, "true"),
    _without("control_socket_mode", "mode", 0o600, "--control-socket-mode", _OURS),
    _without("dirty_apps", "texts", [], "--dirty-app", _DIRTY, "append"),
    _without("dirty_graceful_timeout", "int", 30, "--dirty-graceful-timeout", _DIRTY),
    _without("dirty_threads", "int", 1, "--dirty-threads", _DIRTY),
    _without("dirty_timeout", "int", 300, "--dirty-timeout", _DIRTY),
    _without("dirty_workers", "int", 0, "--dirty-workers", _DIRTY),
    _without("on_dirty_starting", "hook", None, "", _DIRTY),
    _without("dirty_post_fork", "hook", None, "", _DIRTY),
    _without("dirty_worker_init", "hook", None, "", _DIRTY),
    _without("dirty_worker_exit", "hook", None, "", _DIRTY),
)

SECTIONS = {
    "What is served, and by whom": PROCESSES,
    "Workers": WORKERS,
    "Addresses": ADDRESSES,
    "Limits of a request": LIMITS,
    "Behind a proxy": PROXIES,
    "Logs and figures": LOGS,
    "TLS": TLS,
    "Server hooks": HOOKS,
    "The rest": OTHERS,
}

SETTINGS: dict[str, Setting] = {setting.name: setting for section in SECTIONS.values() for setting in section}
