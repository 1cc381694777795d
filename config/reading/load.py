"""A configuration, from wherever it comes: a YAML file, a PasteDeploy file, or the command line alone.

Each of the three becomes a document; flags and variables come before what it says.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from releve.config.errors import Place
from releve.config.frozen import dataclass
from releve.config.reading import paste, yaml_file
from releve.config.reading.build import build
from releve.config.reading.sections import Names, is_paste
from releve.config.reading.sources import Overrides, logical_folder, read_overrides
from releve.config.reading.written import Document, Written
from releve.config.settings.settings import GROUPS, Settings


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that was read whole.

    ``path`` is the file (absolute) or None; ``sources`` says of each setting that is neither from the file nor a
    default where it came from, in words for the log; ``notes`` are remarks for the log about what was ignored;
    ``included`` are the files that ``path`` includes.
    """

    settings: Settings
    path: Path | None
    sources: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    included: tuple[Path, ...] = ()


def load(path: Path | None, overrides: Overrides | None = None, names: Names | None = None) -> Loaded:
    """The configuration in the file ``path``, with flags and variables in place of what it says.

    ``names`` are the sections of a PasteDeploy file, which need not be known by its ending then. Without a file the
    directory is the folder of ``overrides``. Raises ConfigError with every problem found.
    """
    given = overrides or Overrides()
    told, sources, notes = read_overrides(given)
    if path is None:
        document = _without_file(str(given.folder or logical_folder(given.environ)))
    elif names is not None or is_paste(path):
        document = paste.read(path, names or Names(), told)
    else:
        document = yaml_file.read(path)
    origins = {**written_at(document.written), **sources}
    settings = dataclasses.replace(build(document.written, told), origins=origins)
    return Loaded(settings, document.path, sources, notes, document.included)


def written_at(document: Written) -> dict[str, str]:
    """Where each setting of a document stands, by its dotted key: the file and the line."""
    found: dict[str, str] = {}
    for key, written in document.content.items() if isinstance(document.content, dict) else ():
        below = written.content if key in GROUPS and isinstance(written.content, dict) else {}
        for name, one in below.items() if key in GROUPS else [("", written)]:
            place = one.named_at
            found[f"{key}.{name}".rstrip(".")] = f"{place.source}:{place.line}" if place.line else place.source
    return found


def _without_file(folder: str) -> Document:
    """What ``releve -w 3 hello:app`` goes by: nothing is written, and the release is in ``folder``."""
    place = Place("command line")
    return Document(Written(None, place, place, folder), None)
