"""What is named in Python: the module, the function, the application."""

from __future__ import annotations

import ast
import re

from releve.config.kinds.words import printable
from releve.config.settings.key import Rules

_IDENTIFIER = r"[^\W\d]\w*"
_MODULE = re.compile(rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})*")


def parse_app(text: str, rules: Rules) -> str:
    """``module:object``; the object may be dotted, or a call with literal arguments, ``create_app('production')``."""
    module, colon, name = text.partition(":")
    if "/" in module or module.endswith(".py"):
        dotted = module.removesuffix(".py").strip("./").replace("/", ".")
        raise ValueError(f"expected a module, not a file; write {dotted}:{name or 'application'}")
    if not colon and _MODULE.fullmatch(text):
        raise ValueError(f"the object is missing; write {text}:application")
    called, opening, _ = name.partition("(")
    if not _MODULE.fullmatch(module) or not _MODULE.fullmatch(called.rstrip()) or (opening and not _is_call(name)):
        raise ValueError("expected module:object, such as mysite.wsgi:application")
    return printable(text)


def _is_call(text: str) -> bool:
    """Whether it is one call whose arguments are literals: the server calls it so, and evaluates nothing."""
    try:
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call) or any(keyword.arg is None for keyword in call.keywords):
            return False
        for argument in (*call.args, *(keyword.value for keyword in call.keywords)):
            ast.literal_eval(argument)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return isinstance(call.func, (ast.Name, ast.Attribute))


def parse_function(text: str, rules: Rules) -> str:
    """``module:function``; the server calls it without arguments."""
    module, colon, name = text.partition(":")
    if text.endswith("()"):
        raise ValueError(f"Relève calls it anyway; write {text.removesuffix('()')}")
    if not colon or not _MODULE.fullmatch(module) or not _MODULE.fullmatch(name):
        raise ValueError("expected module:function, such as mysite.workers:after_fork")
    return text


def parse_module(text: str, rules: Rules) -> str:
    """The dotted name of a module, as ``import`` takes it."""
    if not _MODULE.fullmatch(text):
        raise ValueError("expected the dotted name of a module, such as mysite.urls")
    return text
