"""Every setting of gunicorn, and what becomes of it here: the one table of ``releve import``, its remarks and its page.

Gunicorn itself is not needed; a test compares the names, flags and defaults with those of its current release.
"""

from __future__ import annotations

from releve.importer.settings import addresses, hooks, limits, logs, others, processes, proxies, tls, workers
from releve.importer.settings.setting import Setting

SECTIONS: dict[str, tuple[Setting, ...]] = {
    "What is served, and by whom": processes.SETTINGS,
    "Workers": workers.SETTINGS,
    "Addresses": addresses.SETTINGS,
    "Limits of a request": limits.SETTINGS,
    "Behind a proxy": proxies.SETTINGS,
    "Logs and figures": logs.SETTINGS,
    "TLS": tls.SETTINGS,
    "Server hooks": hooks.SETTINGS,
    "The rest": others.SETTINGS,
}

SETTINGS: dict[str, Setting] = {setting.name: setting for section in SECTIONS.values() for setting in section}
