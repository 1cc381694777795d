"""The table of ``docs/from-gunicorn.md``, rendered from ours: ``python -m releve.pages.from_gunicorn [PAGE]``.

Prints it; with a page, brings that up to date (``marked.py``).
"""

from __future__ import annotations

from releve.importer.settings.setting import Setting
from releve.importer.settings.table import SECTIONS
from releve.pages.marked import Tables, main


def reference() -> str:
    """A heading and a table for each section: gunicorn's setting, our key, and what becomes of it."""
    return "\n".join(f"### {title}\n\n{_table(settings)}\n" for title, settings in SECTIONS.items())


def _table(settings: tuple[Setting, ...]) -> str:
    rows = [f"| `{one.name}` | {f'`{one.key}`' if one.key else '–'} | {one.text} |" for one in settings]
    return "\n".join(["| gunicorn | Relève | |", "| --- | --- | --- |", *rows])


TABLES: Tables = {"gunicorn": reference}

if __name__ == "__main__":
    main(TABLES)
