"""Gunicorn's command line."""

from pathlib import Path

import pytest

from releve.importer.document.failure import ImportFailure
from releve.importer.gunicorn.flags import interpreter_of, parse, program


@pytest.mark.parametrize(
    ("arguments", "started", "rest"),
    [
        (["gunicorn", "a:b"], "gunicorn", ["a:b"]),
        (["/srv/venv/bin/gunicorn3", "-w", "3"], "/srv/venv/bin/gunicorn3", ["-w", "3"]),
        (["python3", "-m", "gunicorn", "a:b"], "python3", ["a:b"]),
        (["a:b", "-w", "3"], "", ["a:b", "-w", "3"]),
        ([], "", []),
    ],
)
def test_the_program_in_front(arguments: list[str], started: str, rest: list[str]) -> None:
    assert program(arguments) == (started, rest)


def test_the_interpreter_beside_it(tmp_path: Path) -> None:
    (tmp_path / "python").touch()
    assert interpreter_of(str(tmp_path / "gunicorn")) == str(tmp_path / "python")
    assert interpreter_of("gunicorn") is None and interpreter_of(str(tmp_path / "gone" / "gunicorn")) is None


def test_what_was_not_told_is_none() -> None:
    told = parse(["-w", "3", "--no-sendfile", "-e", "A=1", "-e", "B=2", "a:b"], "x")
    assert (told.workers, told.sendfile, told.raw_env, told.args, told.threads) == (
        "3",
        False,
        ["A=1", "B=2"],
        ["a:b"],
        None,
    )


def test_another_flag_is_refused_by_the_name_of_its_source() -> None:
    with pytest.raises(ImportFailure, match="cannot read GUNICORN_CMD_ARGS of gunicorn: .*--wrkers"):
        parse(["--wrkers", "3"], "GUNICORN_CMD_ARGS")
