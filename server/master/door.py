"""In the master: the door at which the next supervisor finds this generation, hung again where its file has gone."""

from __future__ import annotations

import logging

from releve.server.shared.native import os, socket

log = logging.getLogger("releve.master")


def renew(door: int) -> None:
    """Bind the door anew if nothing lies at its path: whoever removed it (a clean-up, the last logout) did not mean
    this generation.

    ``door``: its descriptor, which keeps its number; -1: there is none. What fails is logged.
    """
    if door < 0:
        return
    with socket.socket(fileno=os.dup(door)) as before:
        path = before.getsockname()
    if not isinstance(path, str) or not path or os.path.lexists(path):
        return
    try:
        os.makedirs(os.path.dirname(path), 0o711, exist_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            mask = os.umask(0o177)
            try:
                sock.bind(path)
            finally:
                os.umask(mask)
            sock.listen(4)
            sock.setblocking(False)
            os.dup2(sock.fileno(), door, inheritable=False)
    except OSError as error:
        log.error("cannot recreate %s: %s; a new supervisor cannot find this generation", path, error.strerror)
        return
    log.warning("recreated %s: it was missing", path)
