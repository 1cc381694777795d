"""What the kernel takes at most, and refuses with words that name nothing (E2BIG, EINVAL).

Pure, but for a look at our own limits.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping

VARIABLE_MAX_BYTES = 32 * os.sysconf("SC_PAGE_SIZE") - 1  # MAX_ARG_STRLEN of execve(2), without the NUL at the end
_STRINGS_LEAST_BYTES, _STRINGS_MOST_BYTES = 128 * 1024, 6 * 1024 * 1024  # ARG_MAX; 3/4 of _STK_LIM (fs/exec.c)
_POINTER_BYTES = 8
_ARGUMENTS_BYTES = 16 * 1024  # kept free for the arguments of what is started, and for what we add
# The sockets of all listeners go to a master in one message, which may hold 253 (SCM_MAX_FD of unix(7)), beside what
# else it is given.
LISTENERS_MAX = 240
UNIX_PATH_MAX_BYTES = 107  # of a socket: sun_path of unix(7) has 108, and the last is a NUL


def variable_objection(name: str, value: str) -> str | None:
    """Why no program can be started with this variable; None if one can. The value is not in it."""
    size = len(os.fsencode(name)) + 1 + len(os.fsencode(value))
    if size <= VARIABLE_MAX_BYTES:
        return None
    return (
        f"{name} has {size:,} bytes with its name, and the kernel accepts {VARIABLE_MAX_BYTES:,} per "
        "variable (execve(2)); "
        "write it to a file, and pass the path to the application"
    )


def environment_objection(environment: Mapping[str, str]) -> str | None:
    """Why no program can be started with this environment; None if one can."""
    for name, value in environment.items():
        if (reason := variable_objection(name, value)) is not None:
            return reason
    sizes = {
        name: len(os.fsencode(name)) + len(os.fsencode(value)) + 2 + _POINTER_BYTES
        for name, value in environment.items()
    }
    most = _strings_max_bytes() - _ARGUMENTS_BYTES
    if (whole := sum(sizes.values())) <= most:
        return None
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    return (
        f"all variables have {whole:,} bytes together, and the kernel accepts {most:,} (a quarter of the "
        "stack limit, execve(2)); "
        f"the largest are {', '.join(largest)}: write them to files, and pass the paths to the application"
    )


def _strings_max_bytes() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    quarter = _STRINGS_MOST_BYTES if soft == resource.RLIM_INFINITY else soft // 4
    return max(_STRINGS_LEAST_BYTES, min(_STRINGS_MOST_BYTES, quarter))
