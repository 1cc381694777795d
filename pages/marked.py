"""Pages with tables that are rendered from the code, each between ``<!-- table NAME -->`` and ``<!-- end -->``."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

_MARKED = re.compile(r"(?P<begin><!-- table (?P<name>\w+) -->)(?:(?!<!--).)*(?P<end><!-- end -->)", re.DOTALL)

Tables = Mapping[str, Callable[[], str]]


def renewed(page: str, tables: Tables) -> str:
    """The text of a page with its tables brought up to date.

    Raises ValueError if it has no place for one, or for one that there is not.
    """

    def render(found: re.Match[str]) -> str:
        if found["name"] not in tables:
            raise ValueError(f"cannot render {found['begin']}: there is no such table")
        return f"{found['begin']}\n\n{tables[found['name']]().strip()}\n\n{found['end']}"

    text, times = _MARKED.subn(render, page)
    if not times:
        raise ValueError(
            f"cannot find a table to renew in the page, as <!-- table {min(tables)} --> and <!-- end --> mark one"
        )
    return text


def main(tables: Tables) -> None:
    """Print the tables, or bring the page up to date that is named on the command line."""
    if len(sys.argv) == 1:
        print("\n\n".join(render().strip() for render in tables.values()))
        return
    path = Path(sys.argv[1])
    path.write_text(renewed(path.read_text(encoding="utf-8"), tables), encoding="utf-8")
