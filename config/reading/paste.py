"""A PasteDeploy file in place of YAML: what its ``[server:main]`` says, and the application that it makes.

Keys are those of the YAML file, blocks with a dot: ``timeouts.drain = 30s``; addresses may be said as other servers of
PasteDeploy have them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from releve.config.errors import ConfigError, Place, Problem, nearest
from releve.config.kinds.addresses import unix_address
from releve.config.reading.files import absolute
from releve.config.reading.sections import Names, Section, read_section
from releve.config.reading.written import Content, Document, Written
from releve.config.settings.settings import key_names, rules

LOADER = "releve.server.paste:load"  # what makes the application, in the release


HOST, PORT = "127.0.0.1", "8000"
ADDRESSES = ("host", "port", "unix_socket", "unix_socket_perms")  # what other servers of PasteDeploy call it
_OF_THE_APP = ("app", "mounts", "include")

_LISTS = frozenset({"listen", "modules", "networks"})


def read(path: Path, names: Names, overrides: Mapping[str, Written]) -> Document:
    """The keys that a PasteDeploy file says, and the application that it makes. Raises ConfigError.

    ``overrides``, by dotted key, may say another ``directory``: the application names the file relative to that.
    """
    whole_path = absolute(path)
    section = read_section(path, names)
    place = Place(str(path))
    folder = str(whole_path.parent)
    entries = _entries(section)
    directory = overrides.get("directory", entries.get("directory"))
    release = (
        folder
        if directory is None or not isinstance(directory.content, str)
        else str(Path(directory.folder, directory.content))
    )
    entries["app"] = Written(application(whole_path, names, release), place, place, folder)
    return Document(Written(entries, place, place, folder), whole_path, section.files)


def application(path: Path, names: Names, release: str) -> str:
    """The ``app`` that makes the application of this file, for a release in the folder ``release``.

    A file in that folder is named relative to it: each generation reads its own.
    """
    name = str(path.relative_to(release)) if path.is_relative_to(release) else str(path)
    arguments = [repr(name)]
    if names.app != "main":
        arguments.append(f"app={names.app!r}")
    if names.variables:
        arguments.append(f"variables={dict(names.variables)!r}")
    return f"{LOADER}({', '.join(arguments)})"


def _entries(section: Section) -> dict[str, Written]:
    """The options by our keys. Raises ConfigError for what has no place in one."""
    table = rules()
    top = {key.partition(".")[0] for key in table}
    problems: list[Problem] = []
    entries: dict[str, Written] = {}
    for option, written in section.options.items():
        first = option.partition(".")[0]
        if option in ADDRESSES:
            continue
        if first in _OF_THE_APP:
            text = f"cannot use {option!r} here: this file makes the application (--app-name NAME chooses it)"
            problems.append(Problem(written.named_at, text))
            continue
        meant = None if first in top else nearest(option, [*key_names(), *ADDRESSES])
        if meant in ADDRESSES:
            problems.append(Problem(written.named_at, f"cannot use {option!r}: unknown key; did you mean {meant!r}?"))
            continue
        if table.get(option, {}).get("kind") in _LISTS:
            items = re.split(r"[\s,]+", str(written.content).strip())
            written = _with(
                [Written(item, written.place, written.place, written.folder) for item in items if item], written
            )
        _place(entries, option.split(".", 1 if first == "env" else -1), written, problems)
    listen = _listen(section.options, problems)
    if listen and "listen" in entries:
        text = "cannot use listen together with host, port and unix_socket: use either for all addresses"
        problems.append(Problem(entries["listen"].named_at, text))
    elif listen:
        entries["listen"] = _with(list(listen), listen[0]) if len(listen) > 1 else listen[0]
    if problems:
        raise ConfigError(problems)
    return entries


def _place(entries: dict[str, Written], parts: list[str], written: Written, problems: list[Problem]) -> None:
    """Put a value where its dotted name says."""
    block: Any = entries
    for part in parts[:-1]:
        inner = block.setdefault(part, _with({}, written))
        if not isinstance(inner.content, dict):
            problems.append(
                Problem(
                    written.named_at,
                    f"cannot use {'.'.join(parts)!r}: {part} has a value of its own on line {inner.place.line}",
                )
            )
            return
        block = inner.content
    if parts[-1] in block:
        problems.append(
            Problem(written.named_at, f"cannot use {'.'.join(parts)!r} as one value: it has keys of its own")
        )
    else:
        block[parts[-1]] = written


def _listen(options: Mapping[str, Written], problems: list[Problem]) -> list[Written]:
    """The addresses that ``host``, ``port``, ``unix_socket`` and ``unix_socket_perms`` name."""
    found = []
    host, port, path, mode = (options.get(name) for name in ADDRESSES)
    tcp = host or port
    if tcp is not None:
        name = HOST if host is None else str(host.content)
        name = f"[{name}]" if ":" in name and not name.startswith("[") else name
        found.append(_with(f"{name}:{PORT if port is None else port.content}", tcp))
    if path is not None:
        parts = {"unix": path, **({} if mode is None else {"mode": mode})}
        try:
            unix_address(str(path.content), path.folder)
        except ValueError as error:
            problems.append(Problem(path.place, f"cannot use {path.described()} as unix_socket: {error}"))
        else:
            found.append(_with(dict(parts), path))
    elif mode is not None:
        problems.append(Problem(mode.named_at, "cannot use unix_socket_perms without unix_socket"))
    return found


def _with(content: Content, like: Written) -> Written:
    return Written(content, like.place, like.named_at, like.folder)
