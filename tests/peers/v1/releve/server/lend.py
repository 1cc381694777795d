"""A master under an interpreter that has no Relève: the supervisor lends its own ``releve.server``, and nothing else.

``PYTHON -P …/server/lend.py --config FOLDER --version X --link FD``. The packages
``releve``, ``releve.config`` and ``releve.server`` are made here, each of one
folder; ``sys.path`` stays what the interpreter made it, so none of the
supervisor's other packages becomes importable to the application.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType


def lend(server: str, config: str, version: str) -> None:
    """Make ``releve.server`` and ``releve.config`` importable from two folders.

    ``releve`` itself gets a version and no folder. An installed ``releve`` is shadowed.
    """
    for name, folders in (("releve", []), ("releve.config", [config]), ("releve.server", [server])):
        package = ModuleType(name)
        package.__spec__ = ModuleSpec(name, None, is_package=True)
        package.__path__ = folders
        package.__package__ = name
        sys.modules[name] = package
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, package)
    sys.modules["releve"].__dict__["__version__"] = version


def main(arguments: list[str]) -> None:
    """``--config FOLDER --version X``, then what ``releve.server`` takes."""
    if len(arguments) < 4 or arguments[0] != "--config" or arguments[2] != "--version":
        raise SystemExit("usage: lend.py --config FOLDER --version X --link FD")
    lend(os.path.dirname(os.path.abspath(__file__)), arguments[1], arguments[3])
    importlib.import_module("releve.server.__main__").main(arguments[4:], lent=True)


if __name__ == "__main__":
    main(sys.argv[1:])
