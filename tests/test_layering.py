"""Who may import whom, read from the source: folders in levels (docs/adr/0001-packaging.md, ARCHITECTURE.md).

Each folder imports folders further up in ``LEVELS`` only; those of one line do not import each other. Nothing imports
``pages``.
"""

from __future__ import annotations

import ast
import functools
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("config", "ctl", "importer", "instance", "pages", "server", "supervisor")
LEVELS = (
    ("config",),
    ("config/settings",),
    ("config/kinds",),
    ("config/reading",),
    ("server/shared",),
    ("server/scoreboard",),
    ("server/process", "server/http"),
    ("server/wsgi",),
    ("server/loop",),
    ("server/handover",),
    ("server/worker",),
    ("server/prefork",),
    ("server/master",),
    ("server",),
    ("instance",),
    ("ctl/screens", "ctl/conversation", "importer/document"),
    ("ctl/logs", "ctl/top"),
    ("ctl",),
    ("importer/settings",),
    ("importer/gunicorn",),
    ("importer",),
    ("supervisor/host",),
    ("supervisor/reporting",),
    ("supervisor/release", "supervisor/listeners"),
    ("supervisor/systemd",),
    ("supervisor/keepsake",),
    ("supervisor/channels",),
    ("supervisor/generation",),
    ("supervisor/condition",),
    ("supervisor/service",),
    ("supervisor/switch",),
    ("supervisor/operations",),
    ("supervisor/takeover",),
    ("supervisor/inspection",),
    ("supervisor/verbs",),
    ("supervisor",),
    ("pages",),
)
LEVEL = {folder: number for number, folders in enumerate(LEVELS) for folder in folders}
# What is imported of the server by all that does not serve; and what the server takes of the settings.
OF_THE_SERVER = ("server/shared", "server/scoreboard")
OF_CONFIG = ("config/frozen", "config/grammar", "config/legible")  # and all of config/settings
STANDARD_LIBRARY_ONLY = [
    *sorted((ROOT / "server").rglob("*.py")),
    *sorted((ROOT / "config" / "settings").rglob("*.py")),
    *(ROOT / "config" / name for name in ("frozen.py", "grammar.py", "legible.py", "__init__.py")),
]
# The copies themselves, and what runs before the import or within it only.
NATIVE = {ROOT / "server" / name for name in ("shared/native.py", "shared/anchor.py", "lend.py", "paste.py")}
THREADING = ("hazards.py", "exit.py")  # about the application's threads
ONE_MODULE_EACH = ("psutil", "watchdog", "yaml")


@functools.cache
def imports(source: str) -> set[str]:
    """Every module that a source imports, at the top or inside of functions, as a dotted name.

    ``from releve.server.shared import link`` counts as ``releve.server.shared.link``: the name may be a module, and is
    judged as one.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: imports inside of the product are written absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules(source: str) -> set[str]:
    """Those of ours among them, as paths without suffix. The umbrella itself, and a folder's own file, hold no code."""
    found = set()
    for name in imports(source):
        parts = name.split(".")[1:] if name.split(".")[0] == "releve" else []
        found |= {
            "/".join(parts[:length])
            for length in range(1, len(parts) + 1)
            if (ROOT / "/".join(parts[:length])).with_suffix(".py").is_file()
        }
    return found


def violations(folder: str, source: str) -> list[str]:
    """Modules of ours that a source in this folder may not import."""
    wrong = []
    for name in modules(source):
        other = name.rpartition("/")[0]
        allowed = other == folder or LEVEL[other] < LEVEL[folder]
        if other.partition("/")[0] == "server" and folder.partition("/")[0] != "server":
            allowed &= other in OF_THE_SERVER
        if other.partition("/")[0] == "config" and folder.partition("/")[0] == "server":
            allowed &= name in OF_CONFIG or other == "config/settings"
        if not allowed:
            wrong.append(name)
    return sorted(wrong)


def foreign(source: str) -> list[str]:
    """Imports from neither the standard library nor us."""
    tops = {name.split(".")[0] for name in imports(source)}
    return sorted(tops - set(sys.stdlib_module_names) - {"releve"})


@pytest.mark.parametrize("path", sorted({*(ROOT / "server").rglob("*.py")} - NATIVE), ids=lambda path: path.name)
def test_the_server_takes_from_native_what_an_application_may_patch(path: Path) -> None:
    """What gevent and eventlet replace in these modules, they replace for the application alone
    (docs/adr/0043-patched-libraries.md).
    """
    patched = {"_queue", "os", "queue", "select", "selectors", "signal", "socket", "subprocess", "threading", "time"}
    found = {name.split(".")[0] for name in imports(path.read_text())} & patched
    assert not found - ({"threading"} if path.name in THREADING else set())


@pytest.mark.parametrize(
    ("folder", "source", "found"),
    [
        ("config", "from releve.server.shared import link", ["server/shared/link"]),
        ("server/http", "import releve.config.reading.load", ["config/reading/load"]),
        ("server/worker", "def f():\n    from releve.instance.protocol import Status", ["instance/protocol"]),
        ("ctl", "from releve.supervisor.supervisor import Supervisor", ["supervisor/supervisor"]),
        (
            "supervisor",
            (
                "from releve.server.shared.link import Link\nfrom releve.config.reading import load\nfrom releve "
                "import __version__"
            ),
            [],
        ),
        ("supervisor", "from releve.server.wsgi.call import x", ["server/wsgi/call"]),
        ("supervisor/release", "from releve.supervisor.listeners import listener", ["supervisor/listeners/listener"]),
        (
            "server/loop",
            "from releve.server.worker.orders import AFTER\nfrom releve.server.http import head",
            ["server/worker/orders"],
        ),
    ],
)
def test_the_rule_finds_what_it_should(folder: str, source: str, found: list[str]) -> None:
    assert violations(folder, source) == found


@pytest.mark.parametrize("folder", LEVEL)
def test_each_folder_imports_those_below_it_only(folder: str) -> None:
    wrong = {path.name: violations(folder, path.read_text()) for path in sorted((ROOT / folder).glob("*.py"))}
    assert len(wrong) > 1, f"no source in {folder}"
    assert {name: names for name, names in wrong.items() if names} == {}


def test_every_folder_has_its_level() -> None:
    found = {str(path.parent.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    assert found == set(LEVEL) | {"server", "supervisor"}


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
