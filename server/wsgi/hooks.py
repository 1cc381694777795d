"""In the worker: functions of the application that are called at its turns, as ``hooks`` name them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from releve.config.frozen import dataclass
from releve.config.settings.hooks import Hooks
from releve.server.wsgi.application import BootError, attempt, find_function

Function = Callable[[], object]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Functions:
    """What to call; None for nothing."""

    after_fork: Function | None = None
    on_pause: Function | None = None
    on_resume: Function | None = None
    on_exit: Function | None = None


NAMES = ("after_fork", "on_pause", "on_resume", "on_exit")


def modules(hooks: Hooks) -> list[str]:
    """What they are in: imported with the application, so that they are of the same release."""
    found = [getattr(hooks, name) for name in NAMES]
    return [name.partition(":")[0] for name in found if name]


def find(hooks: Hooks) -> Functions:
    """The functions. Raises BootError."""
    found: dict[str, Function] = {}
    for name in NAMES:
        target = getattr(hooks, name)
        if target:
            found[name] = _blamed(name, lambda target=target: find_function(target))  # type: ignore[misc]
    return Functions(**found)


def after_fork(functions: Functions) -> None:
    """In the main thread, before there are others: run that hook. Raises BootError, whatever it raised."""
    function = functions.after_fork
    if function is not None:
        _blamed("after_fork", lambda: attempt("run hooks.after_fork", function))


def _blamed(name: str, action: Callable[[], T]) -> T:
    try:
        return action()
    except BootError as error:
        reason = error.reason if f"hooks.{name}" in error.reason else f"{error.reason} (hooks.{name})"
        raise BootError(reason, error.traceback, name) from error.__cause__
