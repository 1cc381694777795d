"""What lies in the runtime directory of a service: the names of files and sockets, by which processes of several ages
find each other. They do not change.

Names only: who makes a file has its mode and form. Sockets that the configuration puts there are not among them.
"""

from __future__ import annotations

import re

LOCK_NAME = "lock"  # held as long as there is a supervisor; it stays
SOCKET_NAME = "ctl.sock"  # the control socket, where ctl asks
CARD_NAME = "instance.json"  # who lives here, for ctl; everybody may read it
GUARD_NAME = "guard.pid"  # whom systemd takes for the main process when the supervisor is killed (PIDFile=)
HOOK_NAME = "hook.pid"  # the hook that runs, for the supervisor that follows one that was killed
DOOR_NAME = re.compile(r"gen-(\d+)\.sock")  # at which the next supervisor finds the master of a generation
# What it must know of that generation, for the supervisor's user alone. The latter: of one that was killed as it wrote.
RECORD_NAME = re.compile(r"gen-(\d+)\.json|\.gen-\d+\.json\.\d+")
RECORD_SUFFIX = ".json"  # in place of the door's

# Those that are written beside first, under the same name with a dot before it and a pid behind it.
_WRITTEN = "|".join((*map(re.escape, (CARD_NAME, GUARD_NAME, HOOK_NAME)), r"gen-\d+\.json"))
_OURS = rf"{LOCK_NAME}|{re.escape(SOCKET_NAME)}|gen-\d+\.sock|(?:{_WRITTEN})|\.(?:{_WRITTEN})\.\d+"


def door_name(number: int) -> str:
    """The name of a generation's door."""
    return f"gen-{number}.sock"


def is_ours(name: str) -> bool:
    """Whether it is one of them, or was to become one."""
    return re.fullmatch(_OURS, name) is not None
