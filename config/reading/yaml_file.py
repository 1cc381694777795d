"""A YAML file: its text with the place of every word.

The one module that imports yaml, and only its scanner, parser and composer: what a word means is decided by the setting
that it is written for (``kinds``), so ``off`` is the word off, and ``0660`` an octal mode or a text, as the key wants.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from releve.config.errors import ConfigError, Place, Problem, in_order
from releve.config.reading import include
from releve.config.reading.files import absolute, read_text
from releve.config.reading.written import Content, Document, Written

_PLAIN_TAGS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"}
_NULLS = {"", "~", "null", "Null", "NULL"}

# Usual mistakes, by what their line looks like.
_HINTS = (
    (re.compile(r"^\s*\t"), "YAML is indented with spaces, not tabs"),
    (
        re.compile(r"""(?:^|[\s,])\[[0-9A-Fa-f:.]*::?[0-9A-Fa-f:.]*\]:\d+"""),
        "an IPv6 address needs quotes: '[::1]:8000'",
    ),
    (re.compile(r"[:\-]\s+\*"), "a word that begins with * needs quotes"),
    (re.compile(r"[:\-]\s+[@`%]"), "a word that begins with @, ` or % needs quotes"),
    (re.compile(r"^\s*[\w.]+:\S+\s*$"), "a space is needed after the colon of a key"),
)


def read(path: Path) -> Document:
    """The file ``path`` with all that it includes; relative paths in it start in its own folder. Raises ConfigError."""
    whole_path = absolute(path)
    document = parse(read_text(path), str(path), str(whole_path.parent))
    files = include.included(document)
    whole = include.merge(document, files, lambda file: parse(read_text(file), str(file), str(file.parent)))
    return Document(whole, whole_path, tuple(files))


def parse(text: str, source: str, folder: str) -> Written:
    """The text of a YAML file as a tree with places; ``source`` names it in messages. Raises ConfigError."""
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_broken(error, text, source)]) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(source, before.count("\n") + 1, error.position - before.rfind("\n"))
        character = f"U+{error.character:04X}" if isinstance(error.character, int) else "a character"
        raise ConfigError([Problem(place, f"cannot read it as YAML: {character} is not allowed in it")]) from None
    except RecursionError:
        raise ConfigError([Problem(Place(source), "cannot read it as YAML: it is nested too deeply")]) from None
    if node is None:
        place = Place(source)
        return Written(None, place, place, folder)
    tree = _Tree(source, folder)
    written = tree.written(node)
    if tree.problems:
        raise ConfigError(in_order(tree.problems))
    return written


def _broken(error: yaml.MarkedYAMLError, text: str, source: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(Place(source), f"cannot read it as YAML: {error.problem}")
    reason = f"{error.context} {error.problem}" if str(error.problem).startswith("but ") else error.problem
    lines = text.splitlines()
    # An error often shows only on the line after the one that caused it.
    nearby = [lines[number] for number in (mark.line, mark.line - 1) if 0 <= number < len(lines)]
    hint = next((hint for line in nearby for pattern, hint in _HINTS if pattern.search(line)), "")
    return Problem(_place(mark, source), f"cannot read it as YAML: {reason}{f' ({hint})' if hint else ''}")


def _place(mark: yaml.Mark, source: str) -> Place:
    return Place(source, mark.line + 1, mark.column + 1)


class _Tree:
    """One document on its way to ``Written``; what no setting could take becomes a problem.

    An alias makes one node stand in many places, so each node is read once: a
    few lines of aliases could stand for billions of words.
    """

    def __init__(self, source: str, folder: str) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._folder = folder
        self._contents: dict[int, Content] = {}
        self._open: set[int] = set()

    def written(self, node: yaml.Node, named_at: Place | None = None) -> Written:
        """The node as ours; ``named_at`` is the place of its key."""
        place = _place(node.start_mark, self._source)
        number = id(node)
        if number in self._open:
            self.problems.append(Problem(named_at or place, "cannot use an alias inside the node that it names"))
        elif number not in self._contents:
            self._open.add(number)
            self._contents[number] = self._content(node, place)
            self._open.remove(number)
        return Written(self._contents.get(number), place, named_at or place, self._folder)

    def _content(self, node: yaml.Node, place: Place) -> Content:
        if node.tag not in _PLAIN_TAGS:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self.problems.append(Problem(place, f"cannot use the tag {tag!r}: tags have no meaning here"))
        if isinstance(node, yaml.SequenceNode):
            return [self.written(item) for item in node.value]
        if isinstance(node, yaml.MappingNode):
            return self._block(node)
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        return None if plain and node.value in _NULLS else str(node.value)

    def _block(self, node: yaml.MappingNode) -> dict[str, Written]:
        block: dict[str, Written] = {}
        for key, value in node.value:
            at = _place(key.start_mark, self._source)
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append(Problem(at, "cannot use a list or block as a key"))
            elif key.value == "<<" and key.style is None:
                self.problems.append(Problem(at, "cannot merge with <<: write the keys out"))
            elif key.value in block:
                first = block[key.value].named_at.line
                self.problems.append(Problem(at, f"cannot use {key.value!r} twice: it is on line {first} already"))
            else:
                block[key.value] = self.written(value, at)
        return block
