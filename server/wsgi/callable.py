"""What can be told of a callable without calling it: that it is no WSGI application (PEP 3333).

Only what is sure: the rules of a call are those of the code that it runs (its decorators' too, and nothing that only
says so, as ``__wrapped__`` and ``__signature__`` do), and nothing is touched that the object itself defines: a proxy
may import something at the first look.
"""

from __future__ import annotations

import enum
import functools
import inspect
import re
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

ARGUMENTS = 2  # environ, start_response
_ASYNC = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_ASGI = ("scope", "receive", "send")
_MAKES = re.compile(r"(?:^|_)(?:build|create|factory|get|init|make|new|setup)(?:_|$)", re.IGNORECASE)


class Flaw(enum.Enum):
    """Why a callable cannot be served."""

    ASGI = "an ASGI application"
    ASYNC = "an async function"
    BARE = "a function of no arguments"
    BARE_CLASS = "a class of no arguments"
    OTHER = "not a function of two arguments, environ and start_response"


class _Run(NamedTuple):
    """What a call runs, and what it is given beside the call's own arguments."""

    function: Any  # a FunctionType
    given: int = 0  # arguments before those of the call
    keys: frozenset[str] = frozenset()


def flaw(application: Any) -> Flaw | None:
    """Why a callable is no WSGI application; None if it may be one."""
    if issubclass(type(application), type):
        return _flaw_of_class(application)
    run = _found(application)
    if run is None:
        return None
    names = _by_place(run.function.__code__)[run.given :]
    if run.function.__code__.co_flags & _ASYNC:
        return Flaw.ASGI if len(names) == len(_ASGI) or names[:1] == _ASGI[:1] else Flaw.ASYNC
    if _takes(run, ARGUMENTS):
        return Flaw.BARE if _takes(run, 0) and _seems_a_factory(run.function, names) else None
    if names[:3] == _ASGI:
        return Flaw.ASGI
    return Flaw.BARE if _takes(run, 0) else Flaw.OTHER


def _flaw_of_class(application: type) -> Flaw | None:
    """A class is an application if its instances are responses: they are iterable (the language reference, 3.3.7)."""
    if _own(type(application), "__call__") is not _own(type, "__call__") or _own(application, "__new__") is not _own(
        object, "__new__"
    ):
        return None
    made_by = _own(application, "__init__")
    if made_by is _own(object, "__init__"):
        return Flaw.BARE_CLASS
    if type(made_by) is not FunctionType:
        return None
    run = _Run(made_by, 1)
    if _takes(run, ARGUMENTS) and any(_own(application, name) is not None for name in ("__iter__", "__getitem__")):
        return None
    return Flaw.BARE_CLASS if _takes(run, 0) else Flaw.OTHER


def _found(application: Any) -> _Run | None:
    """What runs when it is called; None for what cannot be told."""
    kind: Any = type(application)
    if kind is FunctionType:
        return _Run(application)
    if kind is MethodType:
        run = _found(application.__func__)
        return run and run._replace(given=run.given + 1)
    if kind is functools.partial:
        placeholder = getattr(functools, "Placeholder", None)  # Python 3.14
        if placeholder is not None and any(one is placeholder for one in application.args):
            return None
        run = _found(application.func)
        return run and run._replace(
            given=run.given + len(application.args), keys=run.keys | frozenset(application.keywords)
        )
    call = None if issubclass(kind, type) else _own(kind, "__call__")
    return _Run(call, 1) if type(call) is FunctionType else None


def _own(kind: Any, name: str) -> Any:
    """What a class has under a name, as it is there: no descriptor is asked, and no metaclass.

    None if it has nothing.
    """
    look = type.__getattribute__
    return next((found[name] for base in look(kind, "__mro__") if name in (found := look(base, "__dict__"))), None)


def _by_place(code: CodeType) -> tuple[str, ...]:
    return code.co_varnames[: code.co_argcount]


def _takes(run: _Run, number: int) -> bool:
    """Whether a call with so many arguments, none by its name, gives the function all that it needs and nothing
    else.
    """
    code = run.function.__code__
    names, by_name = _by_place(code), code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    number += run.given
    filled, rest = names[:number], names[number:]
    if number > len(names) and not code.co_flags & inspect.CO_VARARGS:
        return False
    if run.keys.intersection(filled[code.co_posonlyargcount :]):
        return False  # given twice
    defaults = len(names) - len(run.function.__defaults__ or ())
    needed = {name for place, name in enumerate(rest, number) if place < defaults}
    needed.update(name for name in by_name if name not in (run.function.__kwdefaults__ or ()))
    return needed <= run.keys


def _seems_a_factory(function: Any, names: tuple[str, ...]) -> bool:
    """The one guess, where a call with two arguments and one without would both do: by its name, and those of its
    arguments.
    """
    right = len(names) >= ARGUMENTS and (names[0].startswith("env") or names[1].startswith("start"))
    return bool(names) and not right and bool(_MAKES.search(function.__name__))
