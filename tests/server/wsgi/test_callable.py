"""What is told of a callable before it is called: only what is sure."""

from __future__ import annotations

import functools
from types import MethodType
from typing import Any, NamedTuple
from unittest import mock

import pytest

from releve.server.wsgi.callable import Flaw, flaw


def wsgi(environ: Any, start_response: Any) -> Any: ...
async def asgi(scope: Any, receive: Any, send: Any) -> Any: ...
async def coroutine(environ: Any, start_response: Any) -> Any: ...
async def generator(environ: Any, start_response: Any) -> Any:
    yield b""


def bare() -> Any: ...
def create_app(config: Any = None, testing: bool = False) -> Any: ...
def paste(global_config: Any, **settings: Any) -> Any: ...
def lenient(environ: Any = None, start_response: Any = None) -> Any: ...
def unnamed(one: Any = None, other: Any = None) -> Any: ...
def get_page(env: Any = None, start: Any = None) -> Any: ...
def more(environ: Any, start_response: Any, cache: Any = ()) -> Any: ...
def three(one: Any, environ: Any, start_response: Any) -> Any: ...
def keyed(environ: Any, start_response: Any, *, config: Any) -> Any: ...
def both(scope: Any, receive: Any, send: Any = None) -> Any: ...
def single(scope: Any, receive: Any, send: Any) -> Any: ...


@functools.wraps(bare)
def decorated(*arguments: Any) -> Any: ...


class Called:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...
    def method(self, environ: Any, start_response: Any) -> Any: ...
    @classmethod
    def of_class(cls, environ: Any, start_response: Any) -> Any: ...


class AsyncCalled:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any: ...


class Made:
    def __init__(self, environ: Any, start_response: Any) -> None: ...
    def __iter__(self) -> Any: ...


class MadeOfMore(Made):
    def __init__(self, config: Any, environ: Any, start_response: Any) -> None: ...


class MadeOfAll(Made):
    def __init__(*arguments: Any) -> None: ...


class NoResponse:
    def __init__(self, environ: Any, start_response: Any) -> None: ...


class Defaults:
    def __init__(self, prefix: str = "", debug: bool = False) -> None: ...


class Static:
    @staticmethod
    def __call__(environ: Any, start_response: Any) -> Any: ...


class OfClass:
    @classmethod
    def __call__(cls, environ: Any, start_response: Any) -> Any: ...


class TakesAll:
    def __call__(*arguments: Any) -> Any: ...


class OneMore:
    def __call__(self, config: Any, environ: Any, start_response: Any) -> Any: ...


class Partial:
    __call__ = functools.partialmethod(OneMore.__call__, 1)


class Descriptor:
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return wsgi


class Described:
    __call__ = Descriptor()


class Proxy:
    """Looks at nothing before the first request."""

    def __call__(self, *arguments: Any) -> Any: ...
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"{name}: outside of a request")


FIT = [
    wsgi, lenient, unnamed, get_page, more, both, decorated, print, lambda e, s: (), lambda *a: (),
    Called(), Called().method, Called.of_class, Static(), OfClass(), TakesAll(), Partial(), Described(), Made,
    MadeOfAll, NamedTuple,
    functools.partial(three, 1), functools.partial(functools.partial(three), 1),
    functools.partial(keyed, config=1), functools.partial(Made),
    MethodType(three, 1), MethodType(OneMore(), 1), MethodType(MadeOfMore, 1), MethodType(functools.partial(three), 1),
    functools.lru_cache(wsgi), functools.singledispatch(wsgi), mock.Mock(), mock.MagicMock(),
    mock.create_autospec(wsgi),
]  # fmt: skip
FLAWED = [
    (asgi, Flaw.ASGI), (AsyncCalled(), Flaw.ASGI), (functools.partial(asgi), Flaw.ASGI), (single, Flaw.ASGI),
    (coroutine, Flaw.ASYNC), (generator, Flaw.ASYNC), (MethodType(coroutine, 1), Flaw.ASYNC),
    (bare, Flaw.BARE), (create_app, Flaw.BARE), (functools.partial(paste, 1), Flaw.BARE),
    (paste, Flaw.OTHER), (three, Flaw.OTHER), (keyed, Flaw.OTHER), (OneMore(), Flaw.OTHER),
    (functools.partial(wsgi, 1), Flaw.OTHER), (functools.partial(wsgi, environ=1), Flaw.OTHER),
    (Called, Flaw.BARE_CLASS), (Defaults, Flaw.BARE_CLASS), (NoResponse, Flaw.OTHER), (MadeOfMore, Flaw.OTHER),
]  # fmt: skip


@pytest.mark.parametrize("application", FIT, ids=lambda one: getattr(type(one), "__name__", ""))
def test_what_may_be_an_application_is_one(application: Any) -> None:
    assert flaw(application) is None


@pytest.mark.parametrize(("application", "found"), FLAWED)
def test_what_cannot_be_one_is_told(application: Any, found: Flaw) -> None:
    assert flaw(application) is found


def test_nothing_of_a_proxy_is_looked_at() -> None:
    assert flaw(Proxy()) is None
