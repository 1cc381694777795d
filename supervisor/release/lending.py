"""Lending: how a master is started, with the release's own ``releve.server`` or the supervisor's.

A release needs no Relève in its environment: the server is standard library only,
so the supervisor's copy runs under any interpreter, with nothing else of the
supervisor's environment importable there.
"""

from __future__ import annotations

from pathlib import Path

import releve
import releve.config
import releve.server
from releve.supervisor.release.release import Pin


def command(pin: Pin, link_fd: int) -> list[str]:
    """The command line of a master.

    ``-P`` keeps the working directory off ``sys.path`` until the master puts the
    release there: a release's ``signal.py`` shall not shadow the library's.
    """
    if not pin.lend:
        return [pin.python, "-P", "-m", "releve.server", "--link", str(link_fd)]
    script = _folder(releve.server.__file__) / "lend.py"
    config = _folder(releve.config.__file__)
    return [
        pin.python,
        "-P",
        str(script),
        "--config",
        str(config),
        "--version",
        releve.__version__,
        "--link",
        str(link_fd),
    ]


def _folder(module: str) -> Path:
    return Path(module).resolve().parent
