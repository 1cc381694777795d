"""Server hooks: functions of the configuration file that gunicorn calls."""

from __future__ import annotations

from releve.importer.settings.setting import without

_IN_SUPERVISOR = (
    "Code of the application never runs in the supervisor; `hooks.before` is a command that runs "
    "before each new generation."
)
_AFTER_FORK = "Write it as a function of the application, without those arguments, and name it in `hooks.after_fork`."
_AT_EXIT = (
    "Write it as a function of the application, without those arguments, and name it in "
    "`hooks.on_exit`; `atexit` works too."
)
_REQUESTS = "Wrap the application in a WSGI middleware."


SETTINGS = (
    without("on_starting", "hook", None, "", _IN_SUPERVISOR),
    without(
        "when_ready",
        "hook",
        None,
        "",
        "Relève notifies the service manager (`Type=notify`), and `ctl upgrade` returns then.",
    ),
    without(
        "on_reload",
        "hook",
        None,
        "",
        "A reload starts new workers from the same master; put it in the import of the application.",
    ),
    without("on_exit", "hook", None, "", "Do it where the service is started (`ExecStopPost=`)."),
    without("pre_exec", "hook", None, "", "There is no exec: an upgrade starts a new master beside the old one."),
    without(
        "pre_fork",
        "hook",
        None,
        "",
        "Register it in the application: `os.register_at_fork(before=...)`; it needs `preload`.",
    ),
    without("post_fork", "hook", None, "", _AFTER_FORK),
    without(
        "post_worker_init",
        "hook",
        None,
        "",
        "Put it at the end of the application's module; after a preload, use `hooks.after_fork` as for `post_fork`.",
    ),
    without("pre_request", "hook", None, "", _REQUESTS),
    without("post_request", "hook", None, "", _REQUESTS),
    without("worker_int", "hook", None, "", _AT_EXIT),
    without(
        "worker_abort", "hook", None, "", "`timeouts.request` logs the stacks of a worker that hangs, and replaces it."
    ),
    without("worker_exit", "hook", None, "", _AT_EXIT),
    without(
        "child_exit",
        "hook",
        None,
        "",
        (
            "`ctl status` and the log say how each worker exited; `hooks.on_exit` runs in a worker that "
            "exits (hooks.md)."
        ),
    ),
    without("nworkers_changed", "hook", None, "", "`ctl status` shows the number of workers; no function is called."),
)
