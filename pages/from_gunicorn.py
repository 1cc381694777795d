"""The table of ``docs/from-gunicorn.md``, rendered from ours: ``python -m releve.pages.from_gunicorn [PAGE]``.

Prints it; with a page, replaces what stands between its ``<!-- gunicorn -->`` and ``<!-- end -->`` instead.
"""

from __future__ import annotations

import sys
from pathlib import Path

from releve.importer.table import SECTIONS, Setting

BEGIN, END = "<!-- gunicorn -->", "<!-- end -->"


def reference() -> str:
    """One table for each section."""
    return "\n".join(f"### {title}\n\n{_table(settings)}\n" for title, settings in SECTIONS.items())


def page(text: str) -> str:
    """The text of a page with its tables brought up to date. Raises ValueError if it has no place for them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"cannot find {BEGIN} and {END} in the page")
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _table(settings: tuple[Setting, ...]) -> str:
    rows = [f"| `{one.name}` | {f'`{one.key}`' if one.key else '–'} | {one.text} |" for one in settings]
    return "\n".join(["| gunicorn | Relève | |", "| --- | --- | --- |", *rows])


def main() -> None:
    """Print the tables, or bring a page up to date."""
    if len(sys.argv) == 1:
        print(reference(), end="")
        return
    path = Path(sys.argv[1])
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
