"""A configuration file on disk: what cannot be read, and under which path it is known."""

from pathlib import Path

import pytest

from harness.configurations import refused, written
from releve.config.errors import ConfigError
from releve.config.reading.load import load

BAD: dict[str, tuple[str | bytes, list[str]]] = {
    "not UTF-8": (
        b"app: a:b\nuser: \xe9t\xe9",
        ["releve.yaml:2:7: cannot read the configuration: byte 0xe9 is not UTF-8"],
    ),
    "too long": (
        b"#" * (1 << 20) + b"\n",
        ["releve.yaml: cannot read the configuration: it is larger than 1048576 bytes"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bytes_that_are_refused(tmp_path: Path, name: str) -> None:
    text, problems = BAD[name]
    assert refused(tmp_path, text) == problems


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in [
        (tmp_path / "none.yaml", "no such file or directory"),
        (tmp_path, "is a directory"),
        (Path("a\0b"), "embedded null byte"),
    ]:
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert str(caught.value) == f"{path}: cannot read the configuration: {reason}"


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = written(tmp_path, b"\xef\xbb\xbfapp: a:b")
    assert load(path).settings.app == "a:b"


def test_a_file_named_by_a_detour_has_its_plain_path(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    written(tmp_path, "app: a:b")
    assert load(tmp_path / "sub" / ".." / "releve.yaml").path == tmp_path / "releve.yaml"


def test_a_relative_file_is_found_in_the_folder_as_its_user_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "current").symlink_to("v1")
    written(tmp_path / "v1", "app: a:b")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    assert load(Path("releve.yaml")).settings.directory == f"{tmp_path}/current"
    monkeypatch.setenv("PWD", "/")
    assert load(Path("releve.yaml")).settings.directory == f"{tmp_path}/v1"
