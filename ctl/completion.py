"""What a shell may complete ``-c`` and ``--socket`` to: the services that run, else files.

Cards are read, nobody is connected to: a service that has just ended may still be offered.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from releve.config.completion import item
from releve.instance.cards import scan
from releve.instance.instances import PLACES

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

FILE = "file"  # the shell itself lists these


def configs(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The configuration files that services were started with."""
    cards = scan(os.environ, os.geteuid(), PLACES)
    return _known([card.config for card in cards if card.config is not None], incomplete)


def sockets(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Control sockets of the instances that there are, for the completion of ``--socket``."""
    return _known([card.socket for card in scan(os.environ, os.geteuid(), PLACES)], incomplete)


def _known(paths: list[str], incomplete: str) -> list[CompletionItem]:
    """Those that begin so; if there is none, whatever files there are."""
    return [item(path) for path in paths if path.startswith(incomplete)] or [item(incomplete, FILE)]
