"""The reference of all settings, rendered from the table: ``python -m releve.pages.configuration [PAGE]``.

Prints it; with a page, brings that up to date (``marked.py``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from releve.config.kinds.defaults import default_text
from releve.config.kinds.numbers import share_text, size_text
from releve.config.kinds.words import either
from releve.config.settings.hooks import Command
from releve.config.settings.key import key_of, settings_of
from releve.config.settings.settings import GROUPS, Settings
from releve.config.settings.upgrade import Canary, Check
from releve.pages.marked import Tables, main

KINDS = {
    "access_format": "preset or format",
    "app": "`module:object`",
    "canary": "share or block",
    "check": "path or block",
    "choice": "word",
    "command": "text, list or block",
    "count": "number",
    "duration": "duration",
    "flag": "`true`, `false`",
    "folders": "list of folders",
    "function": "`module:function`",
    "headers": "block of names and values",
    "host": "host name",
    "listen": "address or list",
    "log": "path or `-`",
    "mode": "octal mode",
    "modules": "list of modules",
    "mounts": "block of prefixes and `module:object`",
    "name": "name or number",
    "networks": "list of addresses and networks",
    "path": "path",
    "patterns": "list of files and patterns",
    "python": "path",
    "run": "text or list",
    "share": "share",
    "size": "size",
    "statuses": "numbers, ranges",
    "target": "path and query",
    "text": "text",
    "verbs": "list of verbs",
    "variables": "block of names and values",
    "workers": "number or `auto`",
}


# Values that may be written as a block -> its keys
BLOCKS = (("`upgrade.check`", Check), ("`upgrade.canary`", Canary), ("A command in `hooks`", Command))


def about(block: type[Any]) -> str:
    """What such a block is, in a sentence."""
    return str(block.__doc__).partition(": ")[2].capitalize()


def reference() -> str:
    """The tables: the top level, each block, and the blocks that stand for one value."""
    top = [field for field in settings_of(Settings) if field.name not in GROUPS]
    parts = ["### The top level", _table(top, "")]
    for field in settings_of(Settings):
        if field.name in GROUPS:
            parts += [
                f"### `{field.name}`",
                field.metadata["help"],
                _table(dataclasses.fields(GROUPS[field.name]), f"{field.name}."),
            ]
    for title, block in BLOCKS:
        parts += [f"### {title}, as a block", about(block), _table(dataclasses.fields(block), "")]
    return "\n\n".join(parts) + "\n"


def _table(fields: Any, prefix: str) -> str:
    return "\n".join(
        [
            "| key | value | default | | takes effect at |",
            "| --- | --- | --- | --- | --- |",
            *(f"| {' | '.join(cells(field, prefix))} |" for field in fields),
        ]
    )


def cells(field: dataclasses.Field[Any], prefix: str) -> Iterator[str]:
    """A setting in five texts: its key, what values it takes, its default, its help, and what a change needs."""
    rules = field.metadata
    yield f"`{prefix}{key_of(field)}`"
    value = either([f"`{word}`" for word in rules["choices"]]) if "choices" in rules else KINDS[rules["kind"]]
    if "off" in rules:
        value += f", or `{rules['off']}`"
    yield value + _range(rules["kind"], rules)
    default = default_text(field)
    yield "required" if rules.get("required") else f"`{default}`" if default else ""
    yield rules["help"]
    yield next((when for when in ("start", "restart", "upgrade") if rules.get(when)), "reload")


def _range(kind: str, rules: Any) -> str:
    show = {"size": size_text, "share": share_text}.get(kind, str)
    if "maximum" in rules:
        return f", {show(rules['minimum'])} to {show(rules['maximum'])}"
    return ""


TABLES: Tables = {"settings": reference}

if __name__ == "__main__":
    main(TABLES)
