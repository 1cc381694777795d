"""The server sections of a PasteDeploy file, by its own rules: interpolation, ``[DEFAULT]``, ``set`` and ``get``, and
``use`` of another section. PasteDeploy itself is not needed here.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from releve.config.errors import ConfigError, Place, Problem
from releve.config.frozen import dataclass
from releve.config.reading.files import absolute, read_text
from releve.config.reading.written import Written

SUFFIX = ".ini"
LAUNCHER = {"__script__": "pserve"}  # a variable that pserve itself gives to the file
_OWN = frozenset({"use", "paste.server_runner", "paste.server_factory"})
_USES_MAX = 20
_HEADER = re.compile(r"\[(.+)\]")
_OPTION = re.compile(r"([^\s#;\[=:][^=:]*?)\s*[=:]\s*")


@dataclass(frozen=True, slots=True)
class Names:
    """Which sections of the file are meant, and the variables that were given to it (``pserve FILE
    http_port=8080``).
    """

    server: str = "main"
    app: str = "main"
    variables: tuple[tuple[str, str], ...] = ()

    def flags(self) -> tuple[str, ...]:
        """The flags of ``releve`` that say so, where they are not the usual ones."""
        named = [("--server-name", self.server), ("--app-name", self.app)]
        defined = [("--define", f"{name}={value}") for name, value in self.variables]
        return tuple(word for flag, value in (*named, *defined) if value != "main" for word in (flag, value))


@dataclass(frozen=True, slots=True)
class Section:
    """What a ``[server:NAME]`` says: its options with their places, and what it sets globally.

    ``shared`` is what the file says for all sections, ``files`` are the other files that took part.
    """

    options: Mapping[str, Written]
    additions: Mapping[str, str] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def texts(self) -> dict[str, str]:
        """The options as PasteDeploy gives them to a server."""
        return {name: str(written.content) for name, written in self.options.items()}


def is_paste(path: Path | None) -> bool:
    """Whether a configuration file is one for PasteDeploy."""
    return path is not None and path.suffix == SUFFIX


def read_section(path: Path, names: Names) -> Section:
    """The server section ``names.server`` of a file, with what it uses. Raises ConfigError."""
    return _section(path, names.server, dict(names.variables), 0)


def _section(path: Path, name: str, variables: Mapping[str, str], depth: int) -> Section:
    if depth > _USES_MAX:
        raise _refused(path, 0, f"cannot read [server:{name}]: its `use` lines form a circle")
    text = read_text(path)
    whole = absolute(path)
    folder = str(whole.parent)
    parser = _parser(path, text, {"here": folder, "__file__": str(whole), **LAUNCHER, **variables})
    found = _find(parser, name)
    if found is None:
        known = [section for section in parser.sections() if section.partition(":")[0] == "server"]
        raise _refused(path, 0, f"cannot find [server:{name}] in it; its server sections: {', '.join(known) or 'none'}")
    lines = _lines(text)
    defaults = parser.defaults()
    options: dict[str, Written] = {}
    additions: dict[str, str] = {}
    fetched: dict[str, str] = {}
    for option in parser.options(found):
        kind, _, rest = option.partition(" ")
        if option in defaults:
            continue  # PasteDeploy's rule: what the file says for all sections belongs to none
        line, column, begins = lines.get((found, option), (0, 0, 0))
        value = _value(parser, path, found, option, line)
        if kind == "set" and rest:
            additions[rest.strip()] = value
        elif kind == "get" and rest:
            fetched[rest.strip()] = value
        else:
            options[option] = Written(value, Place(str(path), line, begins), Place(str(path), line, column), folder)
    shared = {option: _value(parser, path, "DEFAULT", option, 0) for option in defaults}
    own = {option: value for option, value in shared.items() if ("DEFAULT", option) in lines}
    for option, name_of in fetched.items():
        if name_of not in {**shared, **additions}:
            raise _refused(path, 0, f"cannot get {name_of!r} for {option} in [{found}]: [DEFAULT] does not have it")
        place = Place(str(path), lines.get((found, f"get {option}"), (0, 0, 0))[0])
        options[option] = Written({**shared, **variables, **additions}[name_of], place, place, folder)
    used = options.pop("use", None)
    base = Section({}) if used is None else _used(path, used, variables, depth)
    options = {**base.options, **{option: written for option, written in options.items() if option not in _OWN}}
    return Section(options, {**base.additions, **additions}, own, base.files)


def _used(path: Path, used: Written, variables: Mapping[str, str], depth: int) -> Section:
    """What a section's ``use`` contributes: nothing if it is us, else the options of another section."""
    text = str(used.content)
    scheme, colon, rest = text.partition(":")
    target, _, name = rest.partition("#")
    if not colon:
        return _section(path, text, variables, depth + 1)
    if scheme == "config":
        other = absolute(Path(used.folder, target))
        base = _section(other, name or "main", variables, depth + 1)
        return Section(base.options, base.additions, base.shared, (other, *base.files))
    if scheme in ("egg", "call") and re.split(r"[.:]", rest)[0].partition("#")[0] == "releve":
        return Section({})
    raise ConfigError(
        [Problem(used.place, f"cannot use {text!r}: that is another server; write use = egg:releve#main")]
    )


class _Parser(configparser.ConfigParser):
    def optionxform(self, optionstr: str) -> str:
        """Names as they are written, as PasteDeploy has them."""
        return optionstr


def _parser(path: Path, text: str, defaults: Mapping[str, str]) -> configparser.ConfigParser:
    """The file read; what it says for all sections comes before ``defaults``. Raises ConfigError."""
    parser = _Parser(defaults)
    try:
        parser.read_string(text, str(path))
    except configparser.Error as error:
        errors = getattr(error, "errors", None)  # of a ParsingError: line numbers and lines
        line = errors[0][0] if errors else getattr(error, "lineno", None) or 0
        said = (
            "this is neither a [section] nor NAME = value"
            if errors
            else " ".join(error.message.split()).rpartition("]: ")[2]
        )
        raise _refused(path, line, f"cannot read it as a PasteDeploy file: {said}") from None
    return parser


def _find(parser: configparser.ConfigParser, name: str) -> str | None:
    """The section of a server: ``server:NAME``, and for ``main`` also ``server``."""
    wanted = [section for section in parser.sections() if section.startswith("server:") and section[7:].strip() == name]
    wanted += ["server"] * (name == "main" and parser.has_section("server"))
    return wanted[0] if wanted else None


def _value(parser: configparser.ConfigParser, path: Path, section: str, option: str, line: int) -> str:
    try:
        return parser.get(section, option)
    except configparser.Error as error:
        lacking = getattr(error, "reference", "")  # of an InterpolationMissingOptionError
        given = f"there is no {lacking}; pass --define {lacking}=VALUE (to pserve: {lacking}=VALUE)"
        reason = given if lacking else " ".join(error.message.split())
        raise _refused(path, line, f"cannot read {option} in [{section}]: {reason}") from None


def _lines(text: str) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Where each option stands: line, column of its name, column of its value; from 1."""
    found: dict[tuple[str, str], tuple[int, int, int]] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        header, option = _HEADER.match(line), _OPTION.match(line)
        if header:
            section = header[1]
        elif option:
            found.setdefault((section, option[1]), (number, 1, option.end() + 1))
    return found


def _refused(path: Path, line: int, text: str) -> ConfigError:
    return ConfigError([Problem(Place(str(path), line), text)])
