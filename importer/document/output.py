"""The file that a configuration is written to."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from releve.importer.document.failure import ImportFailure


def write(path: Path, text: str, force: bool) -> None:
    """Write the file, whole or not at all; one that is there only with ``force``. Raises ImportFailure."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        if force:
            beside.replace(path)
        else:
            os.link(beside, path)
    except FileExistsError:
        raise ImportFailure(f"cannot write {path}: it exists already; --force overwrites it") from None
    except OSError as error:
        raise ImportFailure(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()
