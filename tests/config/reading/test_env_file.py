"""Files of NAME=value lines."""

import os
import resource
import subprocess
from pathlib import Path

import pytest

from releve.config import kernel
from releve.config.errors import ConfigError
from releve.config.reading.env_file import read_env_file


def test_everything_that_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_bytes(
        b"\xef\xbb\xbf# a comment\r\n\r\n"
        b"PLAIN=value\n"
        b"  SPACES = a b  \n"
        b"export EXPORTED=x\n"
        b"EMPTY=\n"
        b"ONLY_COMMENT= # nothing\n"
        b"COMMENT=a#b # and this is one\n"
        b"SINGLE='a # $b \\n' # literal\n"
        b'DOUBLE="a # \\"b\\" \\\\ $c\\td\\n"\n'
        b"URL=postgres://u:p@h/db?x=1&y=2\n"
        b"UNICODE=\xc3\xa9\n"
        b"TWICE=1\nTWICE=2\n"
    )
    assert read_env_file(path) == {
        "PLAIN": "value",
        "SPACES": "a b",
        "EXPORTED": "x",
        "EMPTY": "",
        "ONLY_COMMENT": "",
        "COMMENT": "a#b",
        "SINGLE": "a # $b \\n",
        "DOUBLE": 'a # "b" \\ $c\td\n',
        "URL": "postgres://u:p@h/db?x=1&y=2",
        "UNICODE": "é",
        "TWICE": "2",
    }


def test_every_bad_line_is_named_and_no_secret_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_bytes(b'GOOD=1\nsecret\n=secret\n1A=secret\nA=\'secret\nB="secret" more\nC=sec\0ret\n')
    with pytest.raises(ConfigError) as caught:
        read_env_file(str(path))
    quotes = "are not closed on this line (write a line break as \\n in double quotes), or text follows them"
    assert str(caught.value).split("\n") == [
        f"{path}:2: cannot use this line: expected NAME=value",
        f"{path}:3: cannot use this line: expected NAME=value",
        f"{path}:4: cannot use this line: expected NAME=value",
        f"{path}:5: cannot use this line: the quotes of A {quotes}",
        f"{path}:6: cannot use this line: the quotes of B {quotes}",
        f"{path}:7: cannot use this line: C has a NUL character",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file or directory"),
        (b"A=\xff", "it is not UTF-8"),
        (b"#" * (1 << 20) + b"\n", "it is larger than 1048576 bytes"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "env"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_env_file(path)
    assert str(caught.value) == f"{path}: cannot read env_file: {reason}"


def test_a_fifo_has_nobody_wait(tmp_path: Path) -> None:
    """The supervisor reads the file, also at a reload: as long as it waited, it would hear no command."""
    os.mkfifo(tmp_path / "env")
    with pytest.raises(ConfigError, match="cannot read env_file: it is a fifo, not a file"):
        read_env_file(tmp_path / "env")
    assert read_env_file("/dev/null") == {}


def test_what_no_program_can_be_started_with_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1 << 20, -1))  # of which a quarter is for variables
    longest = kernel.VARIABLE_MAX_BYTES - len("A=")
    assert kernel.variable_objection("A", "x" * longest) is None
    assert "A has" in (kernel.variable_objection("A", "x" * (longest + 1)) or "")
    assert kernel.environment_objection({"A": "x" * 100_000, "B": "y" * 100_000}) is None
    reason = kernel.environment_objection({"A": "x" * 100_000, "B": "y" * 120_000, "C": "z" * 110_000})
    assert reason is not None and "the largest are B, C, A" in reason


def test_the_longest_variable_is_one_that_the_kernel_takes() -> None:
    """By the kernel's own word: one byte more, and it refuses."""
    longest = kernel.VARIABLE_MAX_BYTES - len("A=")
    subprocess.run(["/bin/true"], env={"A": "x" * longest}, check=True)
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run(["/bin/true"], env={"A": "x" * (longest + 1)}, check=True)
