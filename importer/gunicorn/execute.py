"""Under the interpreter of the site: run a configuration file of gunicorn as gunicorn does, and say what it has set.

``PYTHON execute.py FILE FD``: a JSON object is written to FD. Run as a script, by Python 3.8 or later, standard library
only: the file may need what only the site's own environment has, and nothing that it does shall happen to us.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import os
import sys
import traceback
from enum import Enum
from types import ModuleType
from typing import Any

CLASSES = ("worker_class", "logger_class")  # a function there is called, and gives the class


def run(location: str) -> dict[str, Any]:
    """Names and values of the file, and what it did to the environment; or the error that it raised."""
    before = dict(os.environ)
    try:
        values = dict(vars(_module(location)))
        for name in CLASSES:
            if inspect.isfunction(values.get(name)):
                values[name] = values[name]()
    except BaseException as error:
        return {"error": _describe(error), "lines": traceback.format_exc().splitlines()[-12:]}
    found = {
        name: _plain(value)
        for name, value in values.items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    set_ = {name: value for name, value in os.environ.items() if before.get(name) != value}
    return {"values": found, "set": set_, "unset": sorted(set(before) - set(os.environ))}


def _module(location: str) -> ModuleType:
    if location.startswith("python:"):
        return importlib.import_module(location[len("python:") :])
    loader = importlib.machinery.SourceFileLoader("__config__", location)
    spec = importlib.util.spec_from_file_location("__config__", location, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["__config__"] = module
    loader.exec_module(module)
    return module


def _plain(value: Any) -> Any:
    """A value as JSON has it; what it has not becomes its name or its text."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if callable(value):
        owner = getattr(value, "__module__", None)
        name = getattr(value, "__qualname__", None) or type(value).__qualname__
        return {"callable": name if owner in (None, "__config__") else f"{owner}.{name}"}
    return repr(value)


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def main(location: str, fd: int) -> None:
    """Run it, and write what it is."""
    sys.dont_write_bytecode = True
    sys.path[0] = os.getcwd()  # as gunicorn has it; not the folder of this script
    sys.argv[:] = ["gunicorn"]
    with os.fdopen(fd, "w", encoding="ascii") as out:
        json.dump(run(location), out)
    sys.stdout.flush()
    os._exit(0)  # whatever it has started need not end first


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
