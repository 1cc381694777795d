"""A Django site with a database whose open connections can be counted: each is a file in the folder that
RELEVE_TEST_OPEN names.

Also functions for ``hooks``, each of which appends a line to the file that RELEVE_TEST_TOLD names.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.db.backends.sqlite3 import base
from django.http import HttpRequest, HttpResponse
from django.urls import path

OPEN = Path(os.environ["RELEVE_TEST_OPEN"])


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]  # Django is not typed
    """sqlite, and a file for each connection for as long as it is open."""

    def get_new_connection(self, parameters: dict[str, Any]) -> Any:
        made = super().get_new_connection(parameters)
        self.file = OPEN / f"{os.getpid()}-{threading.get_ident()}"
        self.file.touch()
        return made

    def _close(self) -> None:
        if self.connection is not None:
            self.file.unlink()
        super()._close()


def note(word: str) -> None:
    main = threading.current_thread() is threading.main_thread()
    with open(os.environ["RELEVE_TEST_TOLD"], "a") as file:
        file.write(f"{word} {os.getpid()} {'main' if main else 'other'}\n")


def forked() -> None:
    note("forked")


def paused() -> None:
    note("paused")
    until = Path(os.environ["RELEVE_TEST_TOLD"] + ".hold")
    while until.exists():
        time.sleep(0.005)


def resumed() -> None:
    note("resumed")


def fails() -> None:
    note("fails")
    raise LookupError("no scheduler")


def query(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from sqlite_master")
        cursor.fetchone()
    if "at" in request.GET:
        Path(request.GET["at"]).touch()
        while not Path(request.GET["until"]).exists():
            time.sleep(0.005)
    return HttpResponse(str(os.getpid()))


sys.modules["counted"] = types.ModuleType("counted")
backend: Any = types.ModuleType("counted.base")
backend.DatabaseWrapper = DatabaseWrapper
sys.modules["counted.base"] = backend
urlpatterns = [path("query", query)]
settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="no secret",
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[],
    INSTALLED_APPS=[],
    DATABASES={"default": {"ENGINE": "counted", "NAME": str(OPEN.with_name("shop.sqlite3")), "CONN_MAX_AGE": None}},
)
application = get_wsgi_application()
with connection.cursor() as at_import:  # as many sites do
    at_import.execute("select 1")
