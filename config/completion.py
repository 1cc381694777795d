"""What a shell may complete a value on the command line to, by the word that stands for it in the help (``FILE``,
``off|code``).

For click's shell completion, which calls these while somebody waits at a TAB key: nothing here reads YAML.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]

_KINDS = {"FILE": "file", "PATH": "file", "FOLDER": "dir"}  # the shell itself lists these


def by_metavar(_context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The words that the metavar lists, or the shell's own files or folders; nothing for a number or an address."""
    metavar = parameter.metavar or ""
    if "|" in metavar:
        return words(metavar.split("|"), incomplete)
    return [item(incomplete, _KINDS[metavar])] if metavar in _KINDS else []


def words(known: list[str], incomplete: str) -> list[CompletionItem]:
    """Those of some words that begin so."""
    return [item(word) for word in known if word.startswith(incomplete)]


def item(word: str, kind: str = "plain") -> CompletionItem:
    """One word to complete to; of a kind ``file`` or ``dir`` what the shell itself lists."""
    from click.shell_completion import CompletionItem  # for a TAB key only

    return CompletionItem(word, type=kind)
