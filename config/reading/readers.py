"""Readers: from what was written for a setting to its value, one for each kind that is more than a word.

Each returns the value or raises ValueError with the reason; problems of a part go to the list, with the place of that
part. A block is read by the fields of its class, and one of its values may be a block again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from releve.config import kernel
from releve.config.errors import Problem
from releve.config.kinds import addresses
from releve.config.kinds.addresses import UNIX_PARTS
from releve.config.kinds.http import check_header, parse_prefix
from releve.config.kinds.kinds import convert, is_off
from releve.config.kinds.paths import join
from releve.config.kinds.words import DENIALS, check_variable
from releve.config.reading.unknown import unknown
from releve.config.reading.written import Written
from releve.config.settings.address import Address
from releve.config.settings.hooks import Command
from releve.config.settings.key import Rules, key_of, settings_of
from releve.config.settings.settings import GROUPS, Mount
from releve.config.settings.upgrade import Canary, Check

Problems = list[Problem]
Reader = Callable[[str, Written, Rules, Problems], Any]


def read_block(
    kind: type[Any], prefix: str, entries: Mapping[str, Written], overrides: Mapping[str, Written], problems: Problems
) -> dict[str, Any]:
    """The values of a block: the arguments of ``kind``, its class, without those that are left out or not usable.

    ``entries`` are what is written in the block, by key, ``overrides`` what is written elsewhere, by dotted key. Where
    both have a usable value, the override counts. ``prefix`` is of dotted keys here, as in ``timeouts.``.
    """
    found: dict[str, Any] = {}
    fields = {key_of(field): field for field in settings_of(kind)}
    for name, field in fields.items():
        rules, key, written = field.metadata, prefix + name, entries.get(name)
        if rules["kind"] == "group":
            group = GROUPS[field.name]
            block = {} if written is None else entries_of(name, written, problems)
            found[field.name] = group(**read_block(group, f"{name}.", block, overrides, problems))
            continue
        for source in (written, overrides.get(key)):
            if source is None:
                continue
            try:
                found[field.name] = READERS.get(rules["kind"], _word)(key, source, rules, problems)
            except ValueError as error:
                problems.append(Problem(source.place, f"cannot use {source.described()} as {key}: {error}"))
    for name, written in entries.items():
        if name not in fields:
            where = f" in {prefix[:-1]}" if prefix else ""
            why = unknown(name, prefix, fields, written)
            problems.append(Problem(written.named_at, f"cannot use {name!r}{where}: {why}"))
    return found


def entries_of(name: str, written: Written, problems: Problems) -> dict[str, Written]:
    """The keys of a block; nothing written is an empty block."""
    if isinstance(written.content, dict):
        return written.content
    if written.content is not None:
        text = (
            f"as {name}: expected a block of keys"
            if name
            else "as a configuration: expected keys, such as app: mysite.wsgi:application"
        )
        if not name and written.place.source.endswith(".py"):
            text = "as a configuration: it is Python, not YAML; releve import makes a configuration from gunicorn's"
        problems.append(Problem(written.place, f"cannot use {written.described()} {text}"))
    return {}


def _word(key: str, written: Written, rules: Rules, problems: Problems) -> Any:
    """One word, by the parser of its kind; a path is made absolute in the folder of what said it."""
    text = written.content
    if text is None:
        if "off" in rules:
            return None
        raise ValueError("it is required" if rules.get("required") else "leave the key out for its default")
    if not isinstance(text, str):
        raise ValueError("expected one value")
    value = convert(rules["kind"], text, rules)
    is_path = rules["kind"] == "path" or (rules["kind"] == "log" and value != "-")
    return join(written.folder, value) if is_path and value is not None else value


def _listen(key: str, written: Written, rules: Rules, problems: Problems) -> tuple[Address, ...]:
    """One address or a list of them."""
    items = written.content if isinstance(written.content, list) else [written]
    if not items:
        raise ValueError("it is empty")
    found: list[Address] = []
    for item in items:
        try:
            address = _address(item, problems)
            if str(address) in map(str, found):
                raise ValueError("it is given twice")
        except ValueError as error:
            relation = "as" if item is written else "in"
            problems.append(Problem(item.place, f"cannot use {item.described()} {relation} {key}: {error}"))
        else:
            found.append(address)
    if len(found) > kernel.LISTENERS_MAX:
        raise ValueError(
            f"{len(found)} addresses exceed the limit of {kernel.LISTENERS_MAX}, because the kernel passes on no "
            "more sockets at once; "
            "use fewer (0.0.0.0 or [::] is all addresses of a host), or a second service"
        )
    return tuple(found)


def _address(item: Written, problems: Problems) -> Address:
    if isinstance(item.content, str):
        return addresses.parse_address(item.content, item.folder)
    if not isinstance(item.content, dict) or "unix" not in item.content:
        raise ValueError("expected HOST:PORT, unix:PATH, fd:NAME or a block with the key unix")
    parts: dict[str, Any] = {}
    for name, written in item.content.items():
        if name not in UNIX_PARTS:
            why = unknown(name, "listen.", UNIX_PARTS, written)
            problems.append(Problem(written.named_at, f"cannot use {name!r} in listen: {why}"))
            continue
        try:
            parts[name] = _word(name, written, {"kind": UNIX_PARTS[name], "required": name == "unix"}, problems)
        except ValueError as error:
            problems.append(Problem(written.place, f"cannot use {written.described()} as {name} in listen: {error}"))
    if "unix" not in parts:  # its problem is on the list; nothing else may take the address for that of a neighbour
        return Address("unix", path=str(item.place))
    return dataclasses.replace(addresses.unix_address(parts.pop("unix"), item.folder), **parts)


def _check(key: str, written: Written, rules: Rules, problems: Problems) -> Check | None:
    """``off``, a path, or a block."""
    if isinstance(written.content, dict):
        return Check(**read_block(Check, f"{key}.", written.content, {}, problems))
    path = _word(key, written, {**rules, "kind": "target"}, problems)
    return None if path is None else Check(path=path)


def _command(key: str, written: Written, rules: Rules, problems: Problems) -> Command | None:
    """``off``, a text, a list, or a block with one of the two and more."""
    if isinstance(written.content, dict):
        if "run" not in written.content:
            raise ValueError("the key run is missing")
        found = read_block(Command, f"{key}.", written.content, {}, problems)
        return Command(**found) if "run" in found else None  # its problem is on the list
    text = written.content
    if text is None or (isinstance(text, str) and text.lower() in DENIALS):
        # None, or a problem
        return _word(key, written, {**rules, "kind": "argument"}, problems)  # type: ignore[no-any-return]
    return Command(run=_run(key, written, rules, problems))


def _run(key: str, written: Written, rules: Rules, problems: Problems) -> str | tuple[str, ...]:
    """A text for the shell, or a list of a program and its arguments."""
    items = written.content if isinstance(written.content, list) else [written]
    words: list[str] = []
    for item in items:
        if not isinstance(item.content, str):
            raise ValueError("expected a text, or a list of texts (an empty one is written '')")
        words.append(convert("argument", item.content, {}))
    if not words or not words[0].strip():
        raise ValueError("expected a command, such as python manage.py migrate")
    return tuple(words) if isinstance(written.content, list) else words[0]


def _canary(key: str, written: Written, rules: Rules, problems: Problems) -> Canary | None:
    """``off``, a share, or a block."""
    if isinstance(written.content, dict):
        return Canary(**read_block(Canary, f"{key}.", written.content, {}, problems))
    word = {**next(field.metadata for field in settings_of(Canary) if field.name == "share"), "off": rules["off"]}
    share = _word(key, written, word, problems)
    return None if share is None else Canary(share=share)


def _mounts(key: str, written: Written, rules: Rules, problems: Problems) -> tuple[Mount, ...]:
    """A block of prefixes and applications."""
    if not isinstance(written.content, dict):
        raise ValueError("expected a block of prefixes and applications, such as /api: mysite.api:application")
    if not written.content:
        raise ValueError("it is empty")
    found = []
    for prefix, item in written.content.items():
        try:
            parse_prefix(prefix)
        except ValueError as error:
            problems.append(Problem(item.named_at, f"cannot mount at {prefix!r}: {error}"))
        try:
            app = _word(key, item, {"kind": "app", "required": True}, problems)
        except ValueError as error:
            problems.append(Problem(item.place, f"cannot use {item.described()} as {key}.{prefix}: {error}"))
        else:
            found.append(Mount(prefix, app, str(item.place)))
    return tuple(found)


def _words(kind: str) -> Reader:
    """A reader of a list of words of this kind, or of one."""

    def read(key: str, written: Written, rules: Rules, problems: Problems) -> tuple[str, ...]:
        items = (
            written.content if isinstance(written.content, list) else [written] if written.content is not None else []
        )
        found = []
        for item in items:
            try:
                found.append(_word(key, item, {"kind": kind}, problems))
            except ValueError as error:
                relation = "as" if item is written else "in"
                problems.append(Problem(item.place, f"cannot use {item.described()} {relation} {key}: {error}"))
        return tuple(found)

    return read


def _words_or_word(kind: str) -> Reader:
    """The same, or the word that stands for None."""
    read = _words(kind)

    def read_both(key: str, written: Written, rules: Rules, problems: Problems) -> tuple[str, ...] | None:
        if isinstance(written.content, str) and is_off(written.content, rules):
            return None
        if written.content is None:
            raise ValueError(f"write {rules['off']}, or a list; an empty one is written []")
        return tuple(read(key, written, rules, problems))

    return read_both


def _pairs(check: Callable[[str, str], None]) -> Reader:
    """A reader of names and texts; ``check`` refuses a pair with ValueError."""

    def read(key: str, written: Written, rules: Rules, problems: Problems) -> dict[str, str]:
        if written.content is None:
            return {}
        if not isinstance(written.content, dict):
            raise ValueError("expected a block of names and values")
        found = {}
        for name, item in written.content.items():
            try:
                if not isinstance(item.content, str):
                    raise ValueError("write '' for an empty one" if item.content is None else "expected text")
                check(name, item.content)
            except ValueError as error:
                problems.append(Problem(item.place, f"cannot use {item.described()} as {key}.{name}: {error}"))
            else:
                found[name] = item.content
        return found

    return read


READERS: dict[str, Reader] = {
    "listen": _listen,
    "check": _check,
    "canary": _canary,
    "modules": _words("module"),
    "mounts": _mounts,
    "command": _command,
    "run": _run,
    "patterns": _words("text"),
    "networks": _words("network"),
    "verbs": _words_or_word("verb"),
    "folders": _words_or_word("path"),
    "variables": _pairs(check_variable),
    "headers": _pairs(check_header),
}
