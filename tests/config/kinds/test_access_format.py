"""The grammar of ``log.access_format``, and how ``log`` reads it."""

from pathlib import Path

import pytest

from releve.config.errors import ConfigError
from releve.config.kinds.access_format import ATOMS, NAMED, PRESETS, check_format
from releve.config.reading.load import load
from releve.config.settings.log import Log
from releve.server.wsgi import access_line

PAGE = Path(__file__).resolve().parents[3] / "docs" / "logs.md"


def log(folder: Path, text: str) -> Log:
    path = folder / "releve.yaml"
    path.write_text(f"app: a:b\nlog:\n  {text}\n")
    return load(path).settings.log


def test_the_server_knows_what_the_configuration_lets_pass() -> None:
    assert set(access_line.ATOMS) == set(ATOMS)
    assert set(access_line.NAMED) == set(NAMED)
    assert {**access_line.PRESETS, "json": PRESETS["json"]} == PRESETS


def test_the_page_has_every_preset_and_atom() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = [f"| `%({atom})s` | {shows} |" for atom, shows in ATOMS.items()]
    rows += [f"| `%({{name}}{of})s` | {shows} |" for of, shows in NAMED.items()]
    assert "\n".join(rows) in text
    for preset in PRESETS:
        assert f"\n| `{preset}` | " in text
    for preset, format_ in access_line.PRESETS.items():
        assert f"| `{preset}` | `{format_}` |" in text


@pytest.mark.parametrize(
    "text",
    [
        '%(h)s "%(r)s" 100%% %({X-Request-Id}i)s %({content-type}o)s %({wsgi.url_scheme}e)s',
        *access_line.PRESETS.values(),
    ],
)
def test_formats_that_will_do(text: str) -> None:
    check_format(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("%(x)s", "unknown atom %\\(x\\)s; the atoms are h, l"),
        ("%(h)d", "the % at column 1 does not start an atom"),
        ("%(h)s %", "the % at column 7 does not start an atom"),
        ("%h", "write %% for a percent sign"),
        ("%({a b}i)s", "'a b' is not the name of a request header"),
        ("%({a}z)s", "unknown atom"),
        ("%({Authorization}i)s", "contains credentials"),
        ("%({HTTP_COOKIE}e)s", "contains credentials"),
        ("%({set-cookie}o)s", "contains credentials"),
        ("combind", "did you mean 'combined'"),
        ("100%%", "expected common, combined, json"),
    ],
)
def test_formats_that_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_format(text)


def test_a_bad_format_is_an_error_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"releve.yaml:3:18: cannot use '%\(nope\)s' as log.access_format: unknown atom"
    ):
        log(tmp_path, "access_format: '%(nope)s'")


def test_where_the_access_log_goes(tmp_path: Path) -> None:
    assert log(tmp_path, "level: info").access == "-"
    assert log(tmp_path, "access: '-'").access == "-"
    assert log(tmp_path, "access: off").access is None
    assert log(tmp_path, "access: logs/a.log").access == f"{tmp_path}/logs/a.log"
    assert log(tmp_path, "access_format: JSON").access_format == "json"
