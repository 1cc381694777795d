"""Who may import whom, read from the source (docs/adr/0001-packaging.md).

supervisor -> server.anchor, server.closing, server.link, server.form, server.noise, server.scoreboard, server.docket, server.diary,
              server.faults, server.guard, server.log, server.lost, config;
              importer.command and importer.parser, for the command line
importer   -> config
ctl        -> config, supervisor.protocol, supervisor.instances, supervisor.holders, supervisor.symptoms
server     -> config.settings, config.frozen, config.legible; standard library only
config     -> nothing of ours
"""

from __future__ import annotations

import ast
import functools
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("config", "ctl", "importer", "server", "supervisor")
ALLOWED = {
    "config": ("config",),
    "ctl": ("ctl", "config", "supervisor.holders", "supervisor.protocol", "supervisor.instances", "supervisor.symptoms"),
    "importer": ("importer", "config"),
    "server": ("server", "config.settings", "config.frozen", "config.legible"),
    "supervisor": (
        "supervisor",
        "config",
        "server.anchor",
        "server.lost",
        "server.link",
        "server.scoreboard",
        "server.docket",
        "server.diary",
        "server.faults",
        "server.guard",
        "server.log",
        "server.closing",
        "server.form",
        "server.noise",
        "importer.command",
        "importer.parser",
    ),
}
STANDARD_LIBRARY_ONLY = [
    *sorted((ROOT / "server").rglob("*.py")),
    *(ROOT / "config" / name for name in ("settings.py", "frozen.py", "legible.py", "__init__.py")),
]
# The copies themselves, and what runs before the import or within it only.
NATIVE = {ROOT / "server" / name for name in ("native.py", "anchor.py", "lend.py", "paste.py")}
THREADING = ("hazards.py", "farewell.py")  # about the application's threads
ONE_MODULE_EACH = ("psutil", "watchdog", "yaml")


@functools.cache
def imports(source: str) -> set[str]:
    """Every module that a source imports, at the top or inside of functions, as a dotted name.

    ``from releve.server import link`` counts as ``releve.server.link``: the name may be a module, and is judged as one.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: imports inside of the product are written absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def violations(folder: str, source: str) -> list[str]:
    """Imports of ours that the layer does not allow. The umbrella itself, and the bare package of an allowed module, hold no code."""
    allowed = tuple(f"releve.{layer}" for layer in ALLOWED[folder])
    bare = {"releve", "releve.__version__", *(".".join(layer.split(".")[:2]) for layer in allowed)}
    ours = {name for name in imports(source) if name.split(".")[0] == "releve"} - bare
    return sorted(name for name in ours if not any(name == layer or name.startswith(f"{layer}.") for layer in allowed))


def foreign(source: str) -> list[str]:
    """Imports from neither the standard library nor us."""
    tops = {name.split(".")[0] for name in imports(source)}
    return sorted(tops - set(sys.stdlib_module_names) - {"releve"})


@pytest.mark.parametrize("path", sorted({*(ROOT / "server").rglob("*.py")} - NATIVE), ids=lambda path: path.name)
def test_the_server_takes_from_native_what_an_application_may_patch(path: Path) -> None:
    """What gevent and eventlet replace in these modules, they replace for the application alone (docs/adr/0043-patched-libraries.md)."""
    patched = {"_queue", "os", "queue", "select", "selectors", "signal", "socket", "subprocess", "threading", "time"}
    found = {name.split(".")[0] for name in imports(path.read_text())} & patched
    assert not found - ({"threading"} if path.name in THREADING else set())


@pytest.mark.parametrize(
    ("folder", "source", "found"),
    [
        ("config", "from releve.server import link", ["releve.server.link"]),
        ("server", "import releve.config.load", ["releve.config.load"]),
        ("server", "def f():\n    from releve.supervisor.protocol import Status", ["releve.supervisor.protocol.Status"]),
        ("ctl", "from releve.supervisor.supervisor import run", ["releve.supervisor.supervisor.run"]),
        ("supervisor", "from releve.server.link import Link\nfrom releve.config import load\nfrom releve import __version__", []),
        ("supervisor", "from releve.server.linkage import x", ["releve.server.linkage.x"]),
    ],
)
def test_the_rule_finds_what_it_should(folder: str, source: str, found: list[str]) -> None:
    assert violations(folder, source) == found


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_layer_imports_only_what_it_may(folder: str) -> None:
    wrong = {path.name: violations(folder, path.read_text()) for path in sorted((ROOT / folder).rglob("*.py"))}
    assert wrong, f"no source in {folder}"
    assert {name: names for name, names in wrong.items() if names} == {}


def test_the_server_is_standard_library_only() -> None:
    wrong = {str(path.relative_to(ROOT)): foreign(path.read_text()) for path in STANDARD_LIBRARY_ONLY}
    assert {name: names for name, names in wrong.items() if names} == {}


@pytest.mark.parametrize("library", ONE_MODULE_EACH)
def test_a_library_is_imported_in_one_module(library: str) -> None:
    users = [
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if library in {name.split(".")[0] for name in imports(path.read_text())}
    ]
    assert len(users) <= 1, users
