"""In the master, or in each worker: the application that a PasteDeploy file makes, as ``app:
releve.server.paste:load('production.ini')``.

PasteDeploy is the release's own; this module is standard library only.
"""

from __future__ import annotations

import configparser
import importlib
import logging.config
import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote


def load(file: str, app: str = "main", variables: Mapping[str, str] | None = None) -> Callable[..., Any]:
    """Set up logging where the file does so, and make its application ``app``.

    A relative ``file`` starts in the directory of the release; ``variables`` are given to it as ``pserve FILE
    name=value`` does. Raises whatever PasteDeploy and the application raise.
    """
    path = os.path.abspath(file)
    given = {"__script__": "pserve", **(variables or {})}
    _set_up_logging(path, given)
    deploy = importlib.import_module("paste.deploy")
    made: Callable[..., Any] = deploy.loadapp(f"config:{quote(path)}", name=app, global_conf=given)
    return made


def _set_up_logging(path: str, variables: Mapping[str, str]) -> None:
    """What ``[loggers]`` and its kin say, as pserve does before it makes the application."""
    parser = configparser.ConfigParser()
    parser.read(path)
    if parser.has_section("loggers"):
        defaults = {"here": os.path.dirname(path), "__file__": path, **variables}
        logging.config.fileConfig(path, defaults, disable_existing_loggers=False)
