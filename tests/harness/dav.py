"""WsgiDAV, serving the folder ``$DAV``; its locks and properties are in files, so that they are those of any
generation.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from wsgidav.lock_man.lock_storage import LockStorageDict
from wsgidav.prop_man.property_manager import PropertyManager
from wsgidav.wsgidav_app import WsgiDAVApp

FOLDER = Path(os.environ["DAV"])


class Kept(MutableMapping[str, Any]):
    """A dictionary in a file. One client asks, one request at a time: that needs no lock."""

    def __init__(self, name: str) -> None:
        self._path = FOLDER.with_name(f"{name}.pickle")

    def _read(self) -> dict[str, Any]:
        return pickle.loads(self._path.read_bytes()) if self._path.exists() else {}

    def _write(self, data: dict[str, Any]) -> None:
        self._path.write_bytes(pickle.dumps(data))

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._write({**self._read(), key: value})

    def __delitem__(self, key: str) -> None:
        data = self._read()
        del data[key]
        self._write(data)

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


class Locks(LockStorageDict):  # type: ignore[misc]
    def open(self) -> None:
        self._dict = Kept("locks")


class Properties(PropertyManager):  # type: ignore[misc]
    def _lazy_open(self) -> None:
        self._dict = Kept("properties")
        self._loaded = True


application = WsgiDAVApp(
    {
        "provider_mapping": {"/": {"root": str(FOLDER)}},
        "simple_dc": {"user_mapping": {"*": True}},
        "lock_storage": Locks(),
        "property_manager": Properties(),
        "verbose": 1,
    }
)
