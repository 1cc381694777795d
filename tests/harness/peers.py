"""Relève of other ages (``tests/peers``), unpacked for PYTHONPATH: what releases bring, and what supervisors were
started from.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "peers"
NAMES = sorted(path.stem for path in FOLDER.glob("*.whl"))
SUCCESSION = FOLDER / "v1-succession.json"


def unpack(name: str, folder: Path) -> Path:
    """The package of that age, in ``folder``."""
    with zipfile.ZipFile(FOLDER / f"{name}.whl") as wheel:
        wheel.extractall(folder)
    return folder


@functools.cache
def peer(name: str) -> Path:
    """The same in a folder that everybody may read, until these tests end."""
    made = Path(tempfile.mkdtemp(prefix="releve-peer-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    unpack(name, made)
    for path in (made, *made.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return made
