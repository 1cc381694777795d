"""Manual pages as roff, in the few requests of man(7) that groff and mandoc agree on. Pure: values to text."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence

import click

_SPECIAL = str.maketrans(
    {"\\": "\\e", "-": "\\-", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", "'": "\\(aq", '"': "\\(dq"}
)
_MARKED = re.compile(r"`([^`]+)`")


def literal(text: str) -> str:
    """A text as it is: nothing in it has a meaning for roff."""
    escaped = text.translate(_SPECIAL)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


def bold(text: str) -> str:
    """What is typed as it stands."""
    return f"\\fB{literal(text)}\\fR"


def italic(text: str) -> str:
    """A word that stands for something: FILE, VERB."""
    return f"\\fI{literal(text)}\\fR"


def prose(text: str) -> str:
    """Words, what is between backticks in bold; one sentence after the other, whatever the line breaks."""
    parts = _MARKED.split(" ".join(text.split()))
    return "".join(bold(part) if number % 2 else literal(part) for number, part in enumerate(parts))


def page(name: str, number: int, summary: str, version: str, sections: Iterable[tuple[str, Iterable[str]]]) -> str:
    """A whole page; each section has its heading and its lines."""
    lines = [
        '.\\" Rendered from the code: make docs',
        f'.TH {name.upper()} {number} "" "releve {version}" "Relève"',
        ".SH NAME",
        f"{literal(name)} \\- {literal(summary)}",
    ]
    for heading, text in sections:
        lines += [f".SH {heading}", *text]
    return "\n".join(lines) + "\n"


def paragraphs(*texts: str) -> list[str]:
    """Prose, a paragraph each; the first one needs no request before it."""
    lines: list[str] = []
    for text in texts:
        lines += [".PP"] * bool(lines) + [prose(text)]
    return lines


def terms(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """A list of terms (in roff) with what is to be said of them (in roff)."""
    return [line for term, text in pairs for line in (".TP", term, text)]


def example(text: str) -> list[str]:
    """Lines as they stand, indented, in the font of a terminal."""
    return [".PP", ".RS 4", ".EX", *map(literal, text.rstrip("\n").split("\n")), ".EE", ".RE"]


def options(command: click.Command) -> list[str]:
    """The options of a command, its --help too."""
    return terms(option(one) for one in declared(command))


def declared(command: click.Command) -> list[click.Option]:
    """The options as click has them."""
    context = click.Context(command, info_name=command.name, **command.context_settings)
    return [one for one in command.get_params(context) if isinstance(one, click.Option)]


def same(option: click.Option) -> str:
    """What an option has in common with itself in another command."""
    return f"{option.opts} {option.help}"


def entry(words: Sequence[str], command: click.Command, common: Container[str]) -> list[str]:
    """A command or verb with its help and its own options, not those that are ``common`` (by ``same``) and told
    elsewhere.
    """
    arguments = " ".join(
        italic((one.metavar or str(one.name).upper()).strip("[]"))
        for one in command.params
        if isinstance(one, click.Argument)
    )
    own = [one for one in command.params if isinstance(one, click.Option) and same(one) not in common]
    lines = [".TP", synopsis(words, arguments), prose(command.help or "")]
    return lines + ([".RS", *terms(map(option, own)), ".RE"] if own else [])


def synopsis(words: Sequence[str], rest: str) -> str:
    """One line of a synopsis: words as typed, then what stands for something."""
    return f"{bold(' '.join(words))} {rest}".rstrip()


def see(*pages: str) -> list[str]:
    """References to other pages, as ``ctl(1)``."""
    return [", ".join(bold(one.partition("(")[0]) + "(" + one.partition("(")[2] for one in pages)]


def option(option: click.Option) -> tuple[str, str]:
    """An option as a term with its help."""
    names = ", ".join(map(bold, [*option.opts, *option.secondary_opts]))
    term = names if option.is_flag or not option.metavar else f"{names} {italic(option.metavar)}"
    shown = "" if not option.show_default else f" Default: {option.default}."
    return term, prose((option.help or "") + shown)
