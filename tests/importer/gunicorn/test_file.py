"""The interpreter that runs gunicorn's file, where it does not start."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from releve.importer.document.failure import ImportFailure
from releve.importer.gunicorn import file


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user gets whose PATH has a folder of somebody else; root may search them all."""

    def run(*_arguments: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.usefixtures("refused")
def test_a_program_in_no_folder_of_path_is_not_found_where_one_may_not_be_searched(tmp_path: Path) -> None:
    with pytest.raises(ImportFailure, match="cannot run python:a with gone: no such file or directory; choose"):
        file.execute("python:a", str(tmp_path), {"PATH": str(tmp_path)}, "gone")


@pytest.mark.usefixtures("refused")
def test_a_program_that_may_not_be_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    for python in ("there", str(tmp_path / "there"), str(tmp_path / "gone")):
        with pytest.raises(ImportFailure, match="permission denied"):
            file.execute("python:a", str(tmp_path), {"PATH": str(tmp_path)}, python)
