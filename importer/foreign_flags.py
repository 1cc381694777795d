"""Flags of gunicorn, uvicorn and waitress, as somebody types them for ``releve``: what to write instead.

Those of gunicorn are in the table of ``releve import``; here is what is said in other words, and what others have.
"""

from __future__ import annotations

from releve.config.reading.sources import variable_names
from releve.importer.settings.setting import Setting
from releve.importer.settings.table import SETTINGS

OURS = {
    "workers": "--workers N",
    "listen": "--bind ADDRESS",
    "threads": "--threads N",
    "directory": "--directory FOLDER",
}
_THREADS = "a worker serves with threads: write --threads N, or leave it out"
_ASGI = "releve serves WSGI; an ASGI application stays with an ASGI server"
_HOST = "write --bind HOST:PORT"

# as typed -> what to do, where the table of gunicorn's settings does not say it; of another server where it has a key
INSTEAD = {
    "--reload": "write --watch code",
    "--worker-class": _THREADS,
    "-k": _THREADS,
    "--host": _HOST,
    "--port": _HOST,
    "--listen": "write --bind ADDRESS",
    "--uds": "write --bind unix:PATH",
    "--unix-socket": "write --bind unix:PATH",
    "--fd": "write --bind fd:NAME, and have a socket unit of systemd open it",
    "--app-dir": "write --directory FOLDER",
    "--reload-dir": "write --watch code, which watches the folder of the release",
    "--interface": _ASGI,
    "--lifespan": _ASGI,
    "--loop": _ASGI,
    "--ws": _ASGI,
    "--http": "there is one parser: leave it out",
}
KEYS = {
    "--env-file": "env_file",
    "--url-prefix": "mounts",
    "--proxy-headers": "proxy.trusted",
    "--trusted-proxy": "proxy.trusted",
    "--limit-concurrency": "limits.connections",
    "--connection-limit": "limits.connections",
    "--limit-max-requests": "limits.requests",
    "--timeout-keep-alive": "timeouts.keepalive",
    "--timeout-graceful-shutdown": "timeouts.drain",
    "--access-log": "log.access",
    "--no-access-log": "log.access",
    "--max-request-body-size": "limits.body",
}


def instead(flag: str) -> str:
    """What to do instead of giving this flag; empty if no server has it, as far as is known here."""
    if flag in INSTEAD:
        return INSTEAD[flag]
    if flag in KEYS:
        return _setting(KEYS[flag])
    for setting in SETTINGS.values():
        if flag in setting.flags:
            return _of_gunicorn(setting)
    return ""


def _of_gunicorn(setting: Setting) -> str:
    if setting.key in OURS:
        return f"write {OURS[setting.key]}"
    if setting.key:
        return _setting(setting.key)
    text = setting.text.replace("`", "").rstrip(".")
    return f"gunicorn's {setting.flags[-1]} has no equivalent here. {text}"


def _setting(key: str) -> str:
    """A setting is written into the file, or given in a variable."""
    variable = next((name for name, meant in variable_names().items() if meant == key), None)
    return f"set {key} in the configuration file{f', or the variable {variable}' if variable else ''}"
