"""In the worker: Django's database connections, and how to close them.

They belong to threads, and a persistent one (``CONN_MAX_AGE``) would outlive the last
request for as long as its generation stands by, beside those of the next one.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

# a connection of each pool, by its alias; whose thread made it does not matter to the pool
_pooled: dict[str, Any] = {}


def in_use() -> bool:
    """Whether this process has imported Django's databases, and set Django up."""
    conf = sys.modules.get("django.conf")
    return "django.db" in sys.modules and conf is not None and bool(conf.settings.configured)


def close() -> None:
    """Close those of this thread; its next request opens another. Raises what their backends raise."""
    connections = importlib.import_module("django.db").connections
    connections.close_all()
    for alias in connections:
        # Django 5.1: a closed connection has gone back to its pool (OPTIONS: {pool: ...}).
        connection = getattr(connections._connections, alias, None)
        if alias in getattr(connection, "_connection_pools", ()):
            _pooled[alias] = connection


def close_pools() -> None:
    """Close the pools that connections have gone back to; the next request makes another."""
    while _pooled:
        alias, connection = _pooled.popitem()
        if alias in connection._connection_pools:
            connection.close_pool()
