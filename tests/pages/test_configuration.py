"""The rendered pages: the committed ones are what the code says, and the schema agrees with the loader."""

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
import yaml

from releve.config.errors import ConfigError
from releve.config.kinds import schema
from releve.config.reading.load import load
from releve.config.settings.settings import rules
from releve.pages import configuration as reference
from releve.pages.marked import main, renewed

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "configuration.md"


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == renewed(text, reference.TABLES), "run: make docs"


def test_the_schema_is_up_to_date() -> None:
    assert (ROOT / "docs" / "releve.schema.json").read_text(encoding="utf-8") == schema.schema_text(), "run: make docs"


def test_every_key_is_on_the_page_with_its_default() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for key in rules():
        assert f"\n| `{key}` |" in text
    assert "| `timeouts.boot` | duration | `60s` |" in text
    assert "| `limits.head` | size, 256 to 16MiB | `64KiB` |" in text


def test_the_page_says_when_a_change_takes_effect() -> None:
    rows = [line.split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    when = {row[0].strip("| `"): row[-1].removesuffix(" |") for row in rows}
    assert (
        when["timeouts.boot"] == "reload" and when["hooks.before"] == "upgrade" and when["state_directory"] == "restart"
    )
    assert when["timeouts.bind"] == "start", "no upgrade and no reload waits for an address"
    assert when["run"] == "upgrade", "a command changes when its hook does"


def test_the_yaml_of_the_page_is_accepted(tmp_path: Path) -> None:
    blocks = [part.partition("```")[0] for part in PAGE.read_text(encoding="utf-8").split("```yaml\n")[1:]]
    assert len(blocks) == 3
    for block in blocks:
        path = tmp_path / "releve.yaml"
        path.write_text(block if "app:" in block else f"app: a:b\n{block}")
        load(path)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("# Configuration\n", "cannot find a table"),
        ("<!-- table setings --><!-- end -->", "there is no such table"),
        ("<!-- table settings -->\n", "cannot find"),
    ],
)
def test_a_page_without_a_place_for_the_settings(page: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        renewed(page, reference.TABLES)


def test_the_commands_write_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, file = tmp_path / "page.md", tmp_path / "schema.json"
    page.write_text("before\n<!-- table settings -->old<!-- end -->\nafter\n")
    monkeypatch.setattr("sys.argv", ["reference", str(page)])
    main(reference.TABLES)
    assert page.read_text() == f"before\n<!-- table settings -->\n\n{reference.reference()}\n<!-- end -->\nafter\n"
    monkeypatch.setattr("sys.argv", ["schema", str(file)])
    schema.main()
    assert file.read_text() == schema.schema_text()
    monkeypatch.setattr("sys.argv", ["x"])
    main(reference.TABLES)
    schema.main()
    assert capsys.readouterr().out == reference.reference() + schema.schema_text()


GOOD: list[dict[str, Any]] = [
    {"app": "a:b"},
    {
        "app": "a.b:c()",
        "workers": "auto",
        "listen": [":80", {"unix": "/x", "mode": 0o660, "owner": 3}, "fd:http"],
        "user": None,
    },
    {
        "app": "a:b",
        "limits": {"body": "unlimited", "head": "64KiB", "header": 100},
        "preload": False,
        "env": {"A": 1, "B": True, "C": "x"},
    },
    {
        "app": "a:b",
        "upgrade": {"check": {"path": "/x", "expect": 200}, "standby": "off"},
        "watch": "code",
        "preload_modules": "a.b",
    },
    {"app": "a:b", "upgrade": {"canary": {"share": "2.5%", "for": "30s"}}},
    {"app": "a:b", "upgrade": {"canary": "10 %"}},
]
BAD: list[dict[str, Any]] = [
    {},
    {"app": "a"},
    {"app": "a:b", "wrkers": 3},
    {"app": "a:b", "workers": 0},
    {"app": "a:b", "threads": "many"},
    {"app": "a:b", "timeouts": {"boot": 30}},
    {"app": "a:b", "timeouts": {"boot": "30"}},
    {"app": "a:b", "limits": {"body": 0}},
    {"app": "a:b", "limits": {"body": "10X"}},
    {"app": "a:b", "limits": {"hed": 3}},
    {"app": "a:b", "listen": []},
    {"app": "a:b", "listen": 8000},
    {"app": "a:b", "watch": "cod"},
    {"app": "a:b", "upgrade": {"check": "healthz"}},
    {"app": "a:b", "upgrade": {"check": {"pth": "/"}}},
    {"app": "a:b", "upgrade": {"canary": 10}},
    {"app": "a:b", "upgrade": {"canary": {"for_": "30s"}}},
    {"app": "a:b", "env": {"A": ["x"]}},
    {"app": "a:b", "python": "python3"},
]


@functools.cache
def check_schema() -> Any:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    jsonschema.Draft202012Validator.check_schema(schema.schema())
    return jsonschema.Draft202012Validator(schema.schema())


@pytest.mark.parametrize("document", GOOD)
def test_schema_and_loader_accept(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "releve.yaml").write_text(yaml.safe_dump(_modes_as_text(document)))
    load(tmp_path / "releve.yaml")
    assert list(check_schema().iter_errors(document)) == []


@pytest.mark.parametrize("document", BAD)
def test_schema_and_loader_refuse(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "releve.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigError):
        load(tmp_path / "releve.yaml")
    assert list(check_schema().iter_errors(document)) != []


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/releve.yaml")), ids=lambda path: path.parent.name)
def test_the_examples_pass_both(path: Path) -> None:
    load(path)
    assert list(check_schema().iter_errors(yaml.safe_load(path.read_text(encoding="utf-8")))) == []


def _modes_as_text(document: dict[str, Any]) -> dict[str, Any]:
    """safe_dump writes a mode in decimal, which nobody would."""
    copied = copy.deepcopy(document)
    for address in copied.get("listen", []):
        if isinstance(address, dict):
            address["mode"] = f"{address['mode']:#o}"
    return copied
