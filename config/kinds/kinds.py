"""One written word to one value: durations, sizes, counts, words, paths.

Every value arrives as text, exactly as it was written: in YAML, in a variable or
on the command line. So there is one set of rules for the three of them, and
``off``, ``0660`` or ``1.10`` mean what they look like, not what YAML 1.1 makes
of them.

A parser takes the text and the setting's rules (the metadata of its field in
``settings``) and returns the value, or raises ValueError with the reason.
"""

from __future__ import annotations

import ast
import ipaddress
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from releve.config import kernel
from releve.config.errors import nearest
from releve.config.kinds.access_format import PRESETS, check_format
from releve.config.settings.control import CONTROL_VERBS

Rules = Mapping[str, Any]

DURATION_MAX_S = 7 * 86400.0  # far below the 24.8 days that poll(2) takes in its int of milliseconds
SIZE_MAX_BYTES = 1 << 50

# Words that people write for "none at all"; which one a setting wants stands in its rules.
DENIALS = frozenset({"off", "no", "none", "never", "false", "disabled", "unlimited", "infinite", "inf"})
FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

_DURATION_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DECIMAL = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"
_DURATION = re.compile(
    "".join(rf"(?:(?P<{unit}>{_DECIMAL}){unit}{'(?!s)' if unit == 'm' else ''})?" for unit in _DURATION_UNITS_S)
)
_SIZE_UNITS_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
}
_SIZE = re.compile(rf"({_DECIMAL}) ?([A-Za-z]*)")
_NUMBER = re.compile(rf"-?{_DECIMAL}")
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_IDENTIFIER = r"[^\W\d]\w*"
_MODULE = re.compile(rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})*")
_STATUSES = re.compile(r"([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2


def convert(kind: str, text: str, rules: Rules) -> Any:
    """The value of ``text`` for a setting of this kind.

    None is what the setting's own word for it (``off``, ``auto``, ``unlimited``)
    stands for. Raises ValueError with the reason.
    """
    word = rules.get("off")
    if word is not None and text.lower() == word:
        return None
    if text.lower() in DENIALS:
        if word in DENIALS:
            raise ValueError(f"write {word}")
        if kind in ("duration", "size", "count", "share"):
            raise ValueError("it cannot be switched off")
    return PARSERS[kind](text, rules)


# Numbers


def parse_duration(text: str, rules: Rules) -> float:
    """Seconds: ``30s``, ``5m``, ``1h30m``, ``250ms``; a bare number has no unit and is refused."""
    match = _DURATION.fullmatch(text.lower())
    if not text or match is None:
        if _NUMBER.fullmatch(text):
            raise ValueError(
                _no_zero(rules) if float(text) == 0 else f"a duration needs a unit; write {text.removeprefix('-')}s"
            )
        raise ValueError("expected a duration such as 30s, 5m, 1h30m or 250ms")
    seconds = sum(float(number) * _DURATION_UNITS_S[unit] for unit, number in match.groupdict().items() if number)
    if seconds == 0:
        raise ValueError(_no_zero(rules))
    return float(_within(seconds, rules.get("minimum", 0.001), rules.get("maximum", DURATION_MAX_S), duration_text))


def parse_size(text: str, rules: Rules) -> int:
    """Bytes: ``8190``, ``64KiB``, ``1MiB``, ``1MB`` (a million)."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("expected a size such as 8190, 64KiB or 1MiB")
    number, unit = match[1], match[2].lower()
    if unit in ("k", "m", "g"):
        raise ValueError(f"{match[2]!r} is not a unit; write {number}{unit.upper()}iB")
    if unit not in _SIZE_UNITS_BYTES:
        raise ValueError("expected a size such as 8190, 64KiB or 1MiB")
    size = float(number) * _SIZE_UNITS_BYTES[unit] if "." in number else int(number) * _SIZE_UNITS_BYTES[unit]
    if size == 0:
        raise ValueError(_no_zero(rules))
    if size != int(size):
        raise ValueError("not a whole number of bytes")
    return int(_within(int(size), rules.get("minimum", 1), rules.get("maximum", SIZE_MAX_BYTES), size_text))


def parse_count(text: str, rules: Rules) -> int:
    """A whole number."""
    if not _WHOLE.fullmatch(text):
        raise ValueError("expected a whole number")
    number = int(text)
    if number == 0 and rules.get("off"):
        raise ValueError(_no_zero(rules))
    return int(_within(number, rules.get("minimum", 0), rules.get("maximum", 1 << 31), str))


def parse_workers(text: str, rules: Rules) -> int:
    """A whole number, or ``auto``: one for each core that this process may use (sched_getaffinity(2))."""
    if text.lower() == "auto":
        return min(len(os.sched_getaffinity(0)), int(rules.get("maximum", 1 << 31)))
    if not _WHOLE.fullmatch(text):
        raise ValueError("expected a whole number or auto")
    return parse_count(text, rules)


def parse_share(text: str, rules: Rules) -> float:
    """A part of the whole, 0 to 1, written in percent: ``10%``, ``2.5%``."""
    number = text.removesuffix("%").rstrip()
    if not _NUMBER.fullmatch(number):
        raise ValueError("expected a share such as 10%")
    if number == text:
        percent = float(text) * 100 if 0 < float(text) < 1 else float(text)
        raise ValueError(f"a share is written in percent; write {abs(percent):.12g}%")
    percent = float(number)
    if percent == 0:
        raise ValueError(_no_zero(rules))
    if round(percent, 2) != percent:
        raise ValueError("at most two digits after the point")
    return float(_within(round(percent / 100, 4), rules.get("minimum", 0.0001), rules.get("maximum", 1.0), share_text))


def parse_mode(text: str, rules: Rules) -> int:
    """File mode bits, always read as octal: ``0660``, ``660``, ``0o660``."""
    digits = text.lower().removeprefix("0o")
    if not re.fullmatch("[0-7]{1,7}", digits):
        raise ValueError("expected an octal mode such as 0660")
    mode = int(digits, 8)
    if mode > 0o777:
        raise ValueError("at most 0777")
    return mode


def _within(number: float, minimum: float, maximum: float, show: Callable[[Any], str]) -> float:
    if number < minimum:
        raise ValueError(f"at least {show(minimum)}")
    if number > maximum:
        raise ValueError(f"at most {show(maximum)}")
    return number


def _no_zero(rules: Rules) -> str:
    word = rules.get("off")
    return f"0 does not mean {word}; write {word}" if word else "it cannot be 0"


# Words and names


def parse_flag(text: str, rules: Rules) -> bool:
    """``true`` or ``false``; ``yes``, ``no``, ``on`` and ``off`` will do."""
    if text.lower() not in FLAGS:
        raise ValueError(f"expected {either(('true', 'false', *([rules['off']] if rules.get('off') else [])))}")
    return FLAGS[text.lower()]


def parse_choice(text: str, rules: Rules) -> str:
    """One of the setting's ``choices``."""
    choices: tuple[str, ...] = rules["choices"]
    if text.lower() in choices:
        return text.lower()
    if text.lower() in DENIALS and "off" in choices:
        raise ValueError("write off")
    meant = nearest(text, choices)
    raise ValueError(f"did you mean {meant!r}?" if meant else f"expected {either(choices)}")


def parse_text(text: str, rules: Rules) -> str:
    """Text as written; empty or with control characters it is refused."""
    if not text:
        raise ValueError("it is empty")
    return _printable(text)


def parse_name(text: str, rules: Rules) -> str:
    """The name or number of a user or group."""
    if not re.fullmatch(r"[\w.@][\w.@$-]*", text):
        raise ValueError("expected a name or a number")
    return text


def parse_app(text: str, rules: Rules) -> str:
    """``module:object``; the object may be dotted, or a call with literal arguments, ``create_app('production')``."""
    module, colon, name = text.partition(":")
    if "/" in module or module.endswith(".py"):
        dotted = module.removesuffix(".py").strip("./").replace("/", ".")
        raise ValueError(f"a module, not a file, is imported; write {dotted}:{name or 'application'}")
    if not colon and _MODULE.fullmatch(text):
        raise ValueError(f"the object is missing; write {text}:application")
    called, opening, _ = name.partition("(")
    if not _MODULE.fullmatch(module) or not _MODULE.fullmatch(called.rstrip()) or (opening and not _is_call(name)):
        raise ValueError("expected module:object, such as mysite.wsgi:application")
    return _printable(text)


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
    """``module:function``, called without arguments."""
    module, colon, name = text.partition(":")
    if text.endswith("()"):
        raise ValueError(f"it is called without saying so; write {text.removesuffix('()')}")
    if not colon or not _MODULE.fullmatch(module) or not _MODULE.fullmatch(name):
        raise ValueError("expected module:function, such as mysite.workers:after_fork")
    return text


def parse_argument(text: str, rules: Rules) -> str:
    """Text for a command: several lines will do, but execve(2) carries no NUL."""
    if "\0" in text:
        raise ValueError("a command cannot hold a NUL character")
    return text


def parse_prefix(text: str) -> str:
    """A path prefix, as text and not percent-encoded: empty, or segments with one ``/`` before each.

    Raises ValueError.
    """
    if text == "/":
        raise ValueError("the prefix of everything is written ''")
    if not text:
        return text
    if not text.startswith("/"):
        raise ValueError(f"a prefix begins with /; write /{text.strip('/')}")
    if "//" in text:
        raise ValueError(f"a prefix has no empty segment; write {re.sub('/+', '/', text).rstrip('/')}")
    if text.endswith("/"):
        raise ValueError(f"a prefix covers what is below it without a / at its end; write {text.rstrip('/')}")
    if re.search("%[0-9A-Fa-f]{2}", text):
        raise ValueError(f"a prefix is written as text, not percent-encoded; write {unquote(text)}")
    if not text.isprintable() or any(character in text for character in "?#"):
        raise ValueError("a prefix is a path: no control characters, '?' or '#'")
    if {".", ".."}.intersection(text.split("/")):
        raise ValueError("a prefix has no segment . or ..")
    return text


def parse_module(text: str, rules: Rules) -> str:
    """The dotted name of a module."""
    if not _MODULE.fullmatch(text):
        raise ValueError("expected the dotted name of a module, such as mysite.urls")
    return text


def parse_verb(text: str, rules: Rules) -> str:
    """A verb of ``ctl``."""
    if text not in CONTROL_VERBS:
        meant = nearest(text, CONTROL_VERBS)
        raise ValueError(
            f"no such verb; did you mean {meant!r}?" if meant else f"no such verb; there are {', '.join(CONTROL_VERBS)}"
        )
    return text


def parse_network(text: str, rules: Rules) -> str:
    """An IP address, a network in CIDR notation, or ``unix:``."""
    if text.lower() in ("unix", "unix:"):
        return "unix:"
    if text == "*":
        raise ValueError("write 0.0.0.0/0 and ::/0 to trust everybody")
    try:
        return str(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError(
                f"that is an address in a network; write {ipaddress.ip_network(text, strict=False)}"
            ) from None
        raise ValueError("expected an IP address, a network such as 10.0.0.0/8, or unix:") from None


def parse_target(text: str, rules: Rules) -> str:
    """Path and query of a request, in origin form (RFC 9112, section 3.2.1)."""
    if not text.startswith("/"):
        raise ValueError(
            f"expected a path; write /{text}"
            if re.fullmatch(r"[\w.-][\w./-]*", text)
            else "expected a path such as /healthz"
        )
    if not text.isascii() or not text.isprintable() or " " in text or "#" in text:
        raise ValueError("a path has no spaces, '#' or characters beyond ASCII; write them as %20 and so on")
    return text


def parse_host(text: str, rules: Rules) -> str:
    """A host name, with a port if need be, for the Host header."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+(?::[0-9]+)?|\[[0-9A-Fa-f:.]+\](?::[0-9]+)?", text):
        raise ValueError("expected a host name such as www.example.org")
    return text


def parse_access_format(text: str, rules: Rules) -> str:
    """A preset, or a format as written, once ``check_format`` understands it."""
    if text.lower() in PRESETS:
        return text.lower()
    check_format(parse_text(text, rules))
    return text


def parse_statuses(text: str, rules: Rules) -> str:
    """Statuses as written, once ``parse_expect`` understands them."""
    parse_expect(text)
    return text


def parse_expect(text: str) -> tuple[range, ...]:
    """The statuses in ``200-299,404`` as ranges; a status is expected if it is ``in`` any of them.

    Raises ValueError.
    """
    ranges = []
    for part in text.split(","):
        match = _STATUSES.fullmatch(part.strip())
        if match is None:
            raise ValueError("expected statuses such as 200 or 200-299,404")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"the range {part.strip()} is empty; write {last}-{first}")
        ranges.append(range(first, last + 1))
    return tuple(ranges)


def check_variable(name: str, value: str) -> None:
    """Refuse what execve(2) cannot carry as ``name=value``. Raises ValueError."""
    if not name or "=" in name or "\0" in name:
        raise ValueError("expected the name of a variable")
    if "\0" in value:
        raise ValueError("a variable cannot hold a NUL character")
    if (reason := kernel.variable_objection(name, value)) is not None:
        raise ValueError(reason)


def check_header(name: str, value: str) -> None:
    """Refuse what is not a header field (RFC 9110, section 5). Raises ValueError."""
    if not _TOKEN.fullmatch(name):
        raise ValueError("expected the name of a header field")
    if name.lower() in ("host", "content-length", "transfer-encoding", "connection"):
        raise ValueError("use host for it" if name.lower() == "host" else "a check sets it by itself")
    _printable(value)


def _printable(text: str) -> str:
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise ValueError("control characters cannot be used here")
    return text


# Paths


def parse_path(text: str, rules: Rules) -> str:
    """A path with its ``~`` expanded; the caller joins a relative one to its folder (``join``)."""
    path = os.path.expanduser(parse_text(text, rules))
    if path.startswith("~"):
        raise ValueError(f"{path.split('/')[0]} has no home folder here; write the path in full")
    return path


def parse_log(text: str, rules: Rules) -> str:
    """The path of a file, or ``-``."""
    return text if text == "-" else parse_path(text, rules)


def parse_python(text: str, rules: Rules) -> str:
    """The path of an interpreter; a bare name is not looked up, since PATH is not part of a release."""
    if "/" not in text:
        raise ValueError("expected a path such as .venv/bin/python or /usr/bin/python3")
    return parse_path(text, rules)


def join(folder: str, path: str) -> str:
    """``path`` made absolute in ``folder``, links not followed and ``..`` kept: where it leads is found anew for each
    generation.
    """
    return str(PurePosixPath(folder, path))


# Values as text


def either(words: Sequence[str]) -> str:
    """A list in words: ``off, release or code``."""
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def duration_text(seconds: float) -> str:
    """A duration as it is written in YAML, in one unit: ``60s``, ``5m``, ``1h``, ``250ms``."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    for unit, at_least in (("d", 86400), ("h", 3600), ("m", 120)):
        if seconds >= at_least and seconds % _DURATION_UNITS_S[unit] == 0:
            return f"{seconds / _DURATION_UNITS_S[unit]:g}{unit}"
    return f"{seconds:.12g}s"


def share_text(share: float) -> str:
    """A share as it is written in YAML: ``10%``."""
    return f"{share * 100:.12g}%"


def size_text(size_bytes: int) -> str:
    """A size as it is written in YAML: ``64KiB``, ``8190``."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size_bytes >= unit and size_bytes % unit == 0:
            return f"{size_bytes // unit}{name}"
    return str(size_bytes)


PARSERS: dict[str, Callable[[str, Rules], Any]] = {
    "duration": parse_duration,
    "size": parse_size,
    "count": parse_count,
    "workers": parse_workers,
    "share": parse_share,
    "mode": parse_mode,
    "flag": parse_flag,
    "choice": parse_choice,
    "text": parse_text,
    "name": parse_name,
    "app": parse_app,
    "module": parse_module,
    "function": parse_function,
    "argument": parse_argument,
    "network": parse_network,
    "verb": parse_verb,
    "target": parse_target,
    "host": parse_host,
    "access_format": parse_access_format,
    "statuses": parse_statuses,
    "path": parse_path,
    "log": parse_log,
    "python": parse_python,
}
