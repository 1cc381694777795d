"""What a shell may complete the command ``releve`` to: a command as its first word, flags, and what they take.

``_RELEVE_COMPLETE`` in the environment asks for it, in click's way (``bash_source``, ``bash_complete``, …).
"""

from __future__ import annotations

from collections.abc import Mapping

import click
from click.shell_completion import CompletionItem, shell_complete

VARIABLE = "_RELEVE_COMPLETE"


class _Whole(click.Group):
    """``releve`` with its commands, which its own parser takes one at a time."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands where they are understood: before everything else."""
        found = super().shell_complete(ctx, incomplete)
        if not ctx.args and not any(ctx.params.values()) and not getattr(ctx, "_protected_args", ()):
            return found
        return [item for item in found if item.value not in self.commands]


def complete(plain: click.Command, commands: Mapping[str, click.Command], instruction: str) -> int:
    """Answer a shell on standard output; returns the exit status. ``plain`` is ``releve`` without a command."""
    options = [parameter for parameter in plain.params if isinstance(parameter, click.Option)]
    whole = _Whole("releve", params=[*options], commands=dict(commands), context_settings=plain.context_settings)
    return shell_complete(whole, {}, "releve", VARIABLE, instruction)
