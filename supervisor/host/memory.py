"""Memory files that say one thing for good: whoever has one can neither rewrite nor cut it (F_SEAL_WRITE of
fcntl(2)).
"""

from __future__ import annotations

import fcntl
import json
import os
from typing import Any

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def written(name: str, said: Any) -> int:
    """A memory file (close-on-exec) with a JSON value, owned by the caller. Raises OSError."""
    data = json.dumps(said, separators=(",", ":")).encode()
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd
