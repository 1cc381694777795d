"""What can be told of a callable without calling it: that it is no WSGI application (PEP 3333).

Only what is sure: nothing is touched that the object itself defines (a proxy may import something at the first look), and what a
decorator accepts counts, not what it wraps.
"""

from __future__ import annotations

import enum
import functools
import inspect
from types import FunctionType, MethodType
from typing import Any

_ASYNC = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_NO_CONSTRUCTOR: Any = vars(object)["__init__"]
_CALL: Any = type.__call__
_ASGI = ("scope", "receive", "send")


class Flaw(enum.Enum):
    """Why a callable cannot be served."""

    ASGI = "an ASGI application"
    ASYNC = "an async function"
    BARE = "a function of no arguments"
    BARE_CLASS = "a class of no arguments"
    OTHER = "not a function of two arguments, environ and start_response"


def flaw(application: Any) -> Flaw | None:
    """Why a callable is no WSGI application; None if it may be one."""
    function, bound = _function(application)
    if function is _NO_CONSTRUCTOR:
        return Flaw.BARE_CLASS
    if function is None or hasattr(function, "__signature__"):
        return None
    try:
        parameters = list(inspect.signature(function, follow_wrapped=False).parameters.values())
    except (TypeError, ValueError):
        return None
    if bound:
        del parameters[:1]
    by_place = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    names = tuple(one.name for one in by_place)
    if _innermost(function).__code__.co_flags & _ASYNC:
        return Flaw.ASGI if len(by_place) == 3 or names[:1] == _ASGI[:1] else Flaw.ASYNC
    if names[:3] == _ASGI:
        return Flaw.ASGI
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return None if len(_needed(by_place)) <= 2 else Flaw.OTHER
    if not _needed(by_place) and not _looks_right(names):
        return Flaw.BARE_CLASS if issubclass(type(application), type) else Flaw.BARE
    needs_more = [one for one in parameters if one.kind is one.KEYWORD_ONLY and one.default is one.empty]
    fits = len(_needed(by_place)) <= 2 <= len(by_place) and not needs_more
    return None if fits else Flaw.OTHER


def _needed(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    return [one for one in parameters if one.default is one.empty]


def _looks_right(names: tuple[str, ...]) -> bool:
    """Whether arguments that need not be given are those of an application all the same."""
    return len(names) > 1 and (names[0].startswith("env") or names[1].startswith("start"))


def _innermost(function: Any) -> Any:
    """What a ``functools.partial`` calls in the end."""
    while type(function) is functools.partial:
        function = function.func
    return function


def _function(application: Any) -> tuple[Any, bool]:
    """What runs when it is called, and whether its first argument is given already; None for what cannot be told."""
    kind: Any = type(application)
    if kind is FunctionType:
        return application, False
    if kind is MethodType:
        return _function(application.__func__)[0], True
    if kind is functools.partial:
        return (application if type(_innermost(application)) is FunctionType else None), False
    if issubclass(kind, type):
        if kind.__call__ is not _CALL or application.__new__ is not object.__new__:
            return None, False
        constructor = application.__init__
        known = type(constructor) is FunctionType or constructor is _NO_CONSTRUCTOR
        return (constructor if known else None), True
    call = kind.__call__
    return (call if type(call) is FunctionType else None), True
