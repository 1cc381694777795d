"""What is told of a callable before it is called: only what is sure."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from releve.server.callable import Flaw, flaw


def wsgi(environ: Any, start_response: Any) -> Any: ...
async def asgi(scope: Any, receive: Any, send: Any) -> Any: ...
async def coroutine(environ: Any, start_response: Any) -> Any: ...
async def generator(environ: Any, start_response: Any) -> Any:
    yield b""


def bare() -> Any: ...
def factory(config: Any = None, testing: bool = False) -> Any: ...
def paste(global_config: Any, **settings: Any) -> Any: ...
def lenient(environ: Any = None, start_response: Any = None) -> Any: ...
def more(environ: Any, start_response: Any, cache: Any = ()) -> Any: ...
def three(one: Any, environ: Any, start_response: Any) -> Any: ...


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


class Proxy:
    """Looks at nothing before the first request."""

    def __call__(self, *arguments: Any) -> Any: ...
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"{name}: outside of a request")


FIT = [wsgi, lenient, more, decorated, Called(), Called().method, Called.of_class, Made, print, functools.partial(three, 1)]
FLAWED = [
    (asgi, Flaw.ASGI), (AsyncCalled(), Flaw.ASGI), (functools.partial(asgi), Flaw.ASGI), (coroutine, Flaw.ASYNC), (generator, Flaw.ASYNC),
    (bare, Flaw.BARE), (factory, Flaw.BARE), (paste, Flaw.OTHER), (three, Flaw.OTHER), (Called, Flaw.BARE_CLASS),
]  # fmt: skip


@pytest.mark.parametrize("application", FIT, ids=lambda one: getattr(type(one), "__name__", ""))
def test_what_may_be_an_application_is_one(application: Any) -> None:
    assert flaw(application) is None


@pytest.mark.parametrize(("application", "found"), FLAWED)
def test_what_cannot_be_one_is_told(application: Any, found: Flaw) -> None:
    assert flaw(application) is found


def test_nothing_of_a_proxy_is_looked_at() -> None:
    assert flaw(Proxy()) is None
