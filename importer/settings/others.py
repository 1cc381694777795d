"""What says how gunicorn itself shall run; its control socket; its dirty workers."""

from __future__ import annotations

from releve.importer.settings.setting import without

_NEVER = "Controls gunicorn itself, not how it serves."
_OURS = "Relève always creates a control socket, mode 0600, in `runtime_directory`."
_DIRTY = "There are no dirty workers; run long tasks in the workers of a task queue."


SETTINGS = (
    without(
        "config",
        "text",
        "./gunicorn.conf.py",
        "-c --config",
        "Read by `releve import`; `releve -c FILE` takes the YAML file.",
    ),
    without("check_config", "bool", False, "--check-config", f"{_NEVER} `releve check -c FILE` does it.", "true"),
    without(
        "print_config",
        "bool",
        False,
        "--print-config",
        f"{_NEVER} `releve check -c FILE` prints where values come from.",
        "true",
    ),
    without("spew", "bool", False, "--spew", "`ctl dump WORKER` shows what a worker does.", "true"),
    without("control_socket", "text", "gunicorn.ctl", "--control-socket", _OURS),
    without("control_socket_disable", "bool", False, "--no-control-socket", _OURS, "true"),
    without("control_socket_mode", "mode", 0o600, "--control-socket-mode", _OURS),
    without("dirty_apps", "texts", [], "--dirty-app", _DIRTY, "append"),
    without("dirty_graceful_timeout", "int", 30, "--dirty-graceful-timeout", _DIRTY),
    without("dirty_threads", "int", 1, "--dirty-threads", _DIRTY),
    without("dirty_timeout", "int", 300, "--dirty-timeout", _DIRTY),
    without("dirty_workers", "int", 0, "--dirty-workers", _DIRTY),
    without("on_dirty_starting", "hook", None, "", _DIRTY),
    without("dirty_post_fork", "hook", None, "", _DIRTY),
    without("dirty_worker_init", "hook", None, "", _DIRTY),
    without("dirty_worker_exit", "hook", None, "", _DIRTY),
)
