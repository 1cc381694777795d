"""The file that is written: whole or not at all."""

from pathlib import Path

import pytest

from releve.importer.document.failure import ImportFailure
from releve.importer.document.output import write


def test_a_file_that_is_there_stays_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "releve.yaml"
    write(path, "one", force=False)
    with pytest.raises(ImportFailure, match="it exists already; --force overwrites it"):
        write(path, "two", force=False)
    assert path.read_text() == "one"
    write(path, "three", force=True)
    assert path.read_text() == "three"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ImportFailure, match="no such file or directory"):
        write(tmp_path / "gone" / "releve.yaml", "x", force=True)
