"""The application: finding it by ``module:object``, importing it, and saying well why that failed."""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from types import ModuleType
from typing import Any, TypeVar

from releve.config.frozen import dataclass
from releve.config.grammar import with_article
from releve.config.settings.settings import Mount
from releve.server.shared.native import FOLDER, os
from releve.server.wsgi.callable import Flaw, flaw
from releve.server.wsgi.mounts import mounted, unavailable

Application = Callable[..., Iterable[bytes]]
T = TypeVar("T")

TRACEBACK_LINES = 20
_IMPORTLIB = os.path.dirname(os.path.abspath(importlib.__file__)) + os.sep


class BootError(Exception):
    """A boot failed: the step, the reason in one line, and the last lines of the traceback (may be empty)."""

    def __init__(self, reason: str, traceback_text: str = "", step: str = "import") -> None:
        super().__init__(reason)
        self.step = step
        self.reason = reason
        self.traceback = traceback_text


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed ``app``: the module, the dotted name in it, and the arguments if it is to be called."""

    module: str
    names: tuple[str, ...]
    factory: bool = False
    arguments: tuple[Any, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name in the module, dotted."""
        return ".".join(self.names)


def parse_target(app: str) -> Target:
    """Read ``module``, ``module:name.name`` or ``module:factory(literal, key=literal)``.

    ``module`` alone means ``module:application``. Raises BootError.
    """
    module, colon, expression = app.partition(":")
    if not all(part.isidentifier() for part in module.split(".")) or (colon and not expression):
        raise _malformed(app)
    if not colon:
        return Target(module, ("application",))
    try:
        node = ast.parse(expression.strip(), mode="eval").body
        if not isinstance(node, ast.Call):
            return Target(module, _dotted(node))
        arguments = tuple(ast.literal_eval(argument) for argument in node.args)
        keywords = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in node.keywords}
        if "" in keywords:
            raise ValueError("**")
        return Target(module, _dotted(node.func), True, arguments, keywords)
    except (SyntaxError, ValueError) as error:
        raise _malformed(app) from error


def load(
    app: str, directory: str, more: Sequence[str] = (), mounts: Sequence[Mount] = (), *, isolate: bool = False
) -> Application:
    """Import the application object and the modules ``more``; ``directory`` comes first in ``sys.path``.

    With ``mounts`` these are imported instead of ``app`` and made one; ``isolate`` has those that cannot be imported
    answer 503, as long as there is another.

    For a Django site its URL configuration is imported too: Django itself would do
    so at the first request only, from whatever lies on disk by then.
    Raises BootError, whatever the imported code raised.
    """
    if sys.path[:1] != [directory]:
        sys.path.insert(0, directory)
    found = _mounted(mounts, isolate) if mounts else _load_one(app)
    for name in more:
        _import(name)
    attempt("import the URL configuration", _import_django_urls)
    return found


def find_function(name: str) -> Callable[[], object]:
    """The function that ``module:function`` names. Raises BootError."""
    target = parse_target(name)
    return _find(_import(target.module), target)  # a callable is all we can know of it


def traceback_text(error: BaseException) -> str:
    """The last lines of the traceback as Python prints it, without the frames of Relève and of the import system."""
    exception = traceback.TracebackException.from_exception(error)
    _prune(exception)
    lines = "".join(exception.format() if exception.stack else exception.format_exception_only()).splitlines()
    if len(lines) > TRACEBACK_LINES:
        lines = ["…", *lines[-TRACEBACK_LINES:]]
    return "\n".join(lines)


def _load_one(app: str) -> Application:
    target = parse_target(app)
    found = _find(_import(target.module), target)
    if trouble := flaw(found):
        what = "what it returns" if target.factory else "it"
        raise BootError(f"cannot serve {app}: {what} is {trouble.value}; {_remedy(target, trouble)}")
    return found


def _remedy(target: Target, trouble: Flaw) -> str:
    """What to do about an application that is none."""
    if trouble is Flaw.ASGI:
        instead = target.module.rpartition(".asgi")[0] + ".wsgi" if target.module.endswith(".asgi") else ""
        with contextlib.suppress(Exception):
            if instead and importlib.util.find_spec(instead) is not None:
                return f"did you mean {instead}:{target.name}?"
        return "Relève serves WSGI: wrap it (as a2wsgi.ASGIMiddleware does), or keep it on an ASGI server"
    if target.factory:
        return "it should return the application, a function of environ and start_response"
    arguments = "..." if trouble is Flaw.OTHER else ""
    return f"if it makes the application, write {target.module}:{target.name}({arguments})"


def _mounted(mounts: Sequence[Mount], isolate: bool) -> Application:
    """The mounted applications as one. One alone, of everything, is that one itself."""
    found: dict[str, Application] = {}
    broken: dict[str, Exception] = {}
    for mount in mounts:
        try:
            found[mount.prefix] = _load_one(mount.app)
        except BootError as error:
            where = f"{mount.place}: " if mount.place else ""
            reason = f"{where}cannot mount {mount.app} at {mount.prefix or '/'}: {error.reason}"
            if not isolate or len(broken) + 1 == len(mounts):
                raise BootError(reason, error.traceback, error.step) from error
            broken[mount.prefix] = _blamed(BootError(reason, error.traceback, error.step), error)
            found[mount.prefix] = unavailable
    if list(found) == [""]:
        return found[""]
    return attempt("mount the applications", lambda: mounted(found, broken))


def _blamed(error: BootError, cause: BootError) -> BootError:
    error.__cause__ = cause.__cause__
    return error


def _malformed(app: str) -> BootError:
    return BootError(f"cannot import {app!r}: not of the form module:object (as in mysite.wsgi:application)")


def _dotted(node: ast.expr) -> tuple[str, ...]:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise ValueError("not a dotted name")
    return (node.id, *names)


def _import(name: str) -> ModuleType:
    return attempt(f"import {name}", lambda: importlib.import_module(name))


def _find(module: ModuleType, target: Target) -> Application:
    found: Any = module
    for name in target.names:
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise BootError(
                f"cannot find {target.name!r} in {target.module}{_place(module)}{_meant(found, name)}"
            ) from error
    if not callable(found):
        what = with_article(type(found).__name__)
        raise BootError(f"cannot use {target.name!r} of {target.module}: not callable (it is {what})")
    if not target.factory:
        return found  # type: ignore[no-any-return]  # a callable is all we can know of it
    made = attempt(f"call {target.name}() of {target.module}", lambda: found(*target.arguments, **target.keywords))
    if not callable(made):
        what = with_article(type(made).__name__)
        raise BootError(f"cannot use what {target.name}() of {target.module} returned: not callable (it is {what})")
    return made  # type: ignore[no-any-return]


def _place(module: ModuleType) -> str:
    """Where it comes from, if not from the release: a `test` may well be the standard library's."""
    file = getattr(module, "__file__", None)
    return (
        f" ({file}, which is not part of this release)"
        if file and not file.startswith(os.path.join(os.getcwd(), ""))
        else ""
    )


def _meant(found: Any, name: str) -> str:
    close = difflib.get_close_matches(name, [other for other in dir(found) if not other.startswith("_")], 1, 0.75)
    return f"; did you mean {close[0]!r}?" if close else ""


def attempt(what: str, action: Callable[[], T]) -> T:
    """Run code of the application. Whatever it raises, ``SystemExit`` too, becomes a BootError."""
    try:
        return action()
    except BaseException as error:
        raise BootError(f"cannot {what}: {_describe(error)}", traceback_text(error)) from error


def _describe(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it called sys.exit({'' if error.code is None else repr(error.code)})"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _prune(exception: traceback.TracebackException, seen: frozenset[int] = frozenset()) -> None:
    foreign = [frame for frame in exception.stack if not _is_ours(frame.filename)]
    exception.stack = traceback.StackSummary.from_list(foreign)
    for other in (exception.__cause__, exception.__context__):
        if other is not None and id(other) not in seen:
            _prune(other, seen | {id(exception)})


def _is_ours(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", _IMPORTLIB, FOLDER))


def _import_django_urls() -> None:
    """Import every module that the URL configuration names, if this process has set up Django to serve WSGI."""
    if "django.core.handlers.wsgi" not in sys.modules:
        return
    apps = importlib.import_module("django.apps").apps
    settings = importlib.import_module("django.conf").settings
    if apps.ready and getattr(settings, "ROOT_URLCONF", None):
        _walk(importlib.import_module("django.urls").get_resolver().url_patterns)


def _walk(patterns: Iterable[Any]) -> None:
    for pattern in patterns:
        _walk(getattr(pattern, "url_patterns", ()))
