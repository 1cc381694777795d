"""The names of what lies in a runtime directory."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from releve.server.shared import runtime

ROOT = Path(runtime.__file__).parents[2]
NAMES = (runtime.SOCKET_NAME, runtime.CARD_NAME, runtime.GUARD_NAME, runtime.HOOK_NAME, "gen-")


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("lock", True),
        ("ctl.sock", True),
        ("instance.json", True),
        ("guard.pid", True),
        ("hook.pid", True),
        ("gen-12.sock", True),
        ("gen-12.json", True),
        (".gen-12.json.4711", True),
        (".instance.json.4711", True),
        (".guard.pid.4711", True),
        (".lock.4711", False),
        ("http.sock", False),
        ("ctl_sock", False),
        ("gen-x.sock", False),
        ("guard.pid.old", False),
    ],
)
def test_what_is_ours_is_told_from_the_sockets_of_a_configuration(name: str, ours: bool) -> None:
    assert runtime.is_ours(name) is ours


def test_a_door_is_found_by_its_name_and_its_record_by_the_same() -> None:
    door = Path(runtime.door_name(7))
    for found in (runtime.DOOR_NAME.fullmatch(door.name), runtime.RECORD_NAME.fullmatch(f"{door.stem}.json")):
        assert found is not None
        assert found[1] == "7"
    assert door.with_suffix(runtime.RECORD_SUFFIX).name == "gen-7.json"


def test_no_other_module_writes_them_out() -> None:
    """What one process puts there another one looks for: a name has one definition."""
    folders = ("config", "ctl", "importer", "instance", "server", "supervisor")
    wrong = []
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text())
        said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
        words = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in said]
        if any(isinstance(one.value, str) and one.value.endswith(NAMES) for one in words):
            wrong.append(str(path.relative_to(ROOT)))
    assert wrong == ["server/shared/runtime.py"]
