"""What masters, and workers that have none, may tell the supervisor: one form for each (``docs/protocol.md``).

They run the application's code. What they say is read by these tables before anything here acts on it; what they
are is for the kernel to say (``evidence.py``).
"""

from __future__ import annotations

from releve.server.scoreboard.header import SLOTS
from releve.server.shared.form import (
    PATH_MAX,
    Form,
    flag,
    is_packets,
    is_pidfd,
    number,
    several,
    text,
    whole,
    word,
)

PID_MAX = 2**22  # proc_sys_kernel(5), pid_max
LABEL_MAX = 200  # characters
KEYS_MAX = 4000  # settings that a release may know
_LABEL = text(LABEL_MAX)
_WORKER = whole(1)

# Master to supervisor, over the link. `inventory` comes at the door only: its listeners are told by their number.
LINK: dict[str, Form] = {
    "hello": Form(
        may={
            "link": whole(),
            "exchange": whole(),
            "scoreboard": whole(),
            "releve": _LABEL,
            "python": _LABEL,
            "prefix": text(PATH_MAX),
            "pid": whole(1, PID_MAX),
            "settings": several(_LABEL, KEYS_MAX),
            "features": several(_LABEL),
            "lent": flag,
            "adopted": flag,
        }
    ),
    "phase": Form(needs={"phase": word}),
    "imported": Form(may={"signal": whole(), "preloaded": flag, "broken": several(text())}),
    "unsafe": Form(may={"found": several(text())}),
    "worker": Form(
        needs={"worker": _WORKER, "pid": whole(1, PID_MAX), "slot": whole(0, SLOTS - 1), "revision": whole()},
        may={"replaces": flag},
        brings=[("control pair", is_packets), ("process", is_pidfd)],
    ),
    "state": Form(needs={"worker": _WORKER, "state": word}),
    "gone": Form(needs={"worker": _WORKER}, may={"status": whole(-64, 256), "expected": flag}),
    "unfilled": Form(may={"reason": text()}),
    "mixed": Form(may={"astray": flag, "files": several(text(PATH_MAX))}),
    "remark": Form(needs={"text": text()}),
    "terminated": Form(),
    "ready": Form(),
    "done": Form(
        needs={"id": whole()},
        may={
            "late": several(_WORKER, SLOTS),
            "given": whole(),
            "kept": whole(),
        },
    ),
    "failed": Form(may={"id": whole(), "step": word, "reason": text(), "traceback": text()}),
}

# At the door, before the link goes on as above: what a master has. Its descriptors are told by their number
# (``inventory.py``).
DOOR: dict[str, Form] = {
    "hello": LINK["hello"],
    "inventory": Form(
        needs={"generation": whole(1), "posture": word, "listeners": several(text(PATH_MAX))},
        may={
            "revision": whole(),
            "preloaded": flag,
            "diverting": whole(),
            "crashed": several(number()),
            "unbooted": several(number()),
        },
    ),
}

# Worker to whoever commands it, over its control pair.
CONTROL: dict[str, Form] = {
    "state": Form(needs={"state": word}),
    "reopened": Form(),
    "spent": Form(),
}
