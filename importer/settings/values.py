"""What a value of gunicorn's means: the rules of its own validators, one for each kind of setting."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

Value = Any
CALLABLE = "callable"  # {"callable": NAME} stands for a function or class of the file


def convert(kind: str, value: Value) -> Value:
    """The value as gunicorn would have it, from a file or a flag. Raises ValueError with the reason."""
    return CONVERTERS[kind](value)


def shown(value: Value) -> str:
    """A value in a remark: on one line, not too long."""
    text = f"<{value[CALLABLE]}>" if is_callable(value) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def is_callable(value: Value) -> bool:
    """Whether it stands for a function or class."""
    return isinstance(value, Mapping) and set(value) == {CALLABLE}


def _int(value: Value) -> int:
    try:
        number = int(value) if isinstance(value, (int, float)) else int(value, 0)
    except (TypeError, ValueError):
        raise ValueError("expected a whole number") from None
    if number < 0:
        raise ValueError("expected a number that is not negative")
    return number


def _mode(value: Value) -> int:
    """Flags write ``022``, which is octal to gunicorn."""
    return _int(re.sub("^0(?=[0-9])", "0o", value) if isinstance(value, str) else value)


def _bool(value: Value) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower().strip() in ("true", "false"):
        return value.lower().strip() == "true"
    raise ValueError("expected True or False")


def _text(value: Value) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else value.strip()
    raise ValueError("expected text")


def _lower(value: Value) -> str | None:
    text = _text(value)
    return None if text is None else text.lower()


def _texts(value: Value) -> list[str]:
    if not value:
        return []
    if not isinstance(value, (str, list)):
        raise ValueError("expected a list of texts")
    return [_text(item) or "" for item in ([value] if isinstance(value, str) else value)]


def _names(value: Value) -> list[str]:
    return [word.strip() for word in (_text(value) or "").split(",") if word]


def _networks(value: Value) -> list[str]:
    found = _names(value)
    for word in found:
        if word != "*":
            ipaddress.ip_network(word)  # a ValueError that says why
    return found


def _dict(value: Value) -> dict[str, Any]:
    if not isinstance(value, dict) or is_callable(value):
        raise ValueError("expected a dictionary")
    return value


def _class(value: Value) -> str | None:
    return str(value[CALLABLE]) if is_callable(value) else _text(value)


def _account(value: Value) -> str | None:
    """A name or a number, kept as it is: whether there is such a one, the host that serves knows."""
    return str(value) if isinstance(value, int) else _text(value)


def _folder(value: Value) -> str:
    return os.path.normpath(_text(value) or ".")


def _proxy(value: Value) -> str:
    if value is None or isinstance(value, bool):
        return "auto" if value else "off"
    words = {
        "false": "off",
        "off": "off",
        "0": "off",
        "none": "off",
        "true": "auto",
        "auto": "auto",
        "1": "auto",
        "v1": "v1",
        "v2": "v2",
    }
    found = words.get(str(value).lower().strip())
    if found is None:
        raise ValueError("expected off, v1, v2 or auto")
    return found


def _hook(value: Value) -> Value:
    if is_callable(value) or (isinstance(value, str) and "." in value):
        return value
    raise ValueError("expected a function")


CONVERTERS: dict[str, Callable[[Value], Value]] = {
    "int": _int,
    "mode": _mode,
    "bool": _bool,
    "text": _text,
    "lower": _lower,
    "texts": _texts,
    "names": _names,
    "networks": _networks,
    "dict": _dict,
    "class": _class,
    "user": _account,
    "group": _account,
    "folder": _folder,
    "proxy": _proxy,
    "hook": _hook,
    "any": lambda value: value,
}
