"""Where the lines of a service go, as ``ctl logs`` is told: files, systemd's journal, or whatever a stream leads to."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from typing import Any

from releve.config.settings.log import Log
from releve.instance.protocol import Event, Status, result
from releve.server.shared.journal import leads_there
from releve.supervisor.service.service import Service
from releve.supervisor.systemd import systemctl

STANDARD_OUTPUT, STANDARD_ERROR = 1, 2
NOWHERE = "/dev/null"


def places(service: Service) -> Event:
    """The result of the verb: where messages and access lines go, and the zone of their time stamps."""
    log = service.settings.log
    return result(
        Status.DONE,
        f"messages go to {describe(messages(log))}, access lines to {describe(access(log))}",
        log=messages(log),
        access=access(log),
        format=log.format,
        zone=time.strftime("%z"),
    )


def messages(log: Log, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Where messages, and what the application writes, go."""
    return stream(STANDARD_ERROR, environ) if log.file == "-" else {"to": "file", "path": log.file}


def access(log: Log, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Where access lines go."""
    if log.access is None:
        return {"to": "off"}
    return stream(STANDARD_OUTPUT, environ) if log.access == "-" else {"to": "file", "path": log.access}


def stream(fd: int, environ: Mapping[str, str]) -> dict[str, Any]:
    """What a standard stream of this process leads to: ``to`` says the kind, ``path`` or ``unit`` which."""
    if leads_there(fd, environ):
        return {"to": "journal", "unit": systemctl.unit_name(environ), "user": systemctl.of_user()}
    try:
        mode = os.fstat(fd).st_mode
        path = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return {"to": "closed"}
    if path == NOWHERE:
        return {"to": "nowhere", "path": path}
    if stat.S_ISREG(mode):
        return {"to": "file", "path": path}
    return {"to": "terminal", "path": path} if os.isatty(fd) else {"to": "pipe"}


def describe(place: Mapping[str, Any]) -> str:
    """A place in a few words."""
    return str(place.get("path") or place.get("unit") or place["to"])
