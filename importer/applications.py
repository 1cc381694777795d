"""The WSGI applications that a folder holds, found by reading its Python files: none is imported or run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from releve.config.frozen import dataclass

NAMES = ("application", "app", "wsgi", "api")  # the best first
FACTORIES = ("create_app", "make_app", "get_app", "build_app")
FILES = ("wsgi", "app", "application", "main", "server", "web", "run", "site", "api")  # modules, the best first
MAKERS = {  # what makes an application -> the framework, in its own spelling
    "Flask": "Flask",
    "APIFlask": "APIFlask",
    "Bottle": "Bottle",
    "default_app": "Bottle",
    "get_wsgi_application": "Django",
    "make_wsgi_app": "Pyramid",
}
MAKERS_OF = {  # the same where the name alone says too little
    ("falcon", "App"): "Falcon",
    ("falcon", "API"): "Falcon",
    ("web", "application"): "web.py",
}
ASGI = {"FastAPI": "FastAPI", "Starlette": "Starlette", "Quart": "Quart", "Litestar": "Litestar", "Sanic": "Sanic"}
_ASGI_MAKERS = ("get_asgi_application",)
_FILE_MAX_BYTES = 1 << 20
_FILES_MAX = 400  # of a folder that is looked through
_SKIPPED = {"node_modules", "site-packages", "tests", "test", "migrations", "docs", "build", "dist", "__pycache__"}
_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["'],\s*["']([\w.]+)["']""")


@dataclass(frozen=True, slots=True)
class Found:
    """One application: ``module:name``, the framework ("" where nothing says it), the file, from the folder."""

    app: str
    framework: str
    file: str
    rank: tuple[int, int, int]  # the lower, the likelier
    speaks_asgi: bool = False


def find(folder: Path) -> list[Found]:
    """The applications in this folder, the likeliest first; a file that cannot be read or parsed holds none.

    Raises OSError where the folder cannot be listed.
    """
    found = [one for path in _files(folder) for one in _in_file(path, folder)]
    found = list({one.app: one for one in reversed(found)}.values())  # `app = Flask()`, and wrapped again: the first
    settings = _django_project(folder)
    project = f"{settings.partition('.')[0]}."

    def likelihood(one: Found) -> tuple[bool, bool, tuple[int, int, int], str]:
        """Django's own where there is a ``manage.py``; what we can serve; by the names of file and object."""
        of_django = one.framework == "Django" and not one.speaks_asgi
        of_project = bool(settings) and of_django and one.app.startswith(project)
        return not of_project, one.speaks_asgi, one.rank, one.app

    return sorted(found, key=likelihood)


def _django_project(folder: Path) -> str:
    """The settings that ``manage.py`` names; empty without one."""
    match = _SETTINGS.search(_text(folder / "manage.py"))
    return match.group(1) if match else ""


def _files(folder: Path) -> Iterator[Path]:
    """Python files of the folder, and of its packages, one level down."""
    paths = sorted(folder.glob("*.py"))
    for below in sorted(folder.iterdir()):
        if below.is_dir() and below.name.isidentifier() and below.name.lower() not in _SKIPPED:
            paths += sorted(below.glob("*.py"))
    yield from paths[:_FILES_MAX]


def _text(path: Path) -> str:
    """What a file says; nothing if it is not there, cannot be read, or is no regular file, as a FIFO, which waits."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(_FILE_MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _in_file(path: Path, folder: Path) -> Iterator[Found]:
    relative = path.relative_to(folder)
    parts = relative.with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1]
    if not all(part.isidentifier() for part in parts) or not parts:
        return
    try:
        tree = ast.parse(_text(path))
    except (SyntaxError, ValueError, RecursionError):
        return
    modules = _imported_from(tree)
    stem = parts[-1]
    place = FILES.index(stem) if stem in FILES else len(FILES)
    for name, framework, is_asgi, factory in _bound(tree, modules, of_wsgi=stem == "wsgi"):
        names = FACTORIES if factory else NAMES
        order = names.index(name) if name in names else len(names)
        rank = (int(factory), order if framework == "" else min(order, 1), place)
        app = f"{'.'.join(parts)}:{name}{'()' if factory else ''}"
        yield Found(app, framework, str(relative), rank, is_asgi)


def _imported_from(tree: ast.Module) -> dict[str, str]:
    """Names that the file imports -> the package that each comes from."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {alias.asname or alias.name: node.module.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                package = alias.name.partition(".")[0]
                found[alias.asname or package] = package
    return found


def _bound(tree: ast.Module, modules: dict[str, str], *, of_wsgi: bool) -> Iterator[tuple[str, str, bool, bool]]:
    """(name, framework, whether it speaks ASGI, whether it is a factory) of what may be an application.

    An ``app`` that is imported, or made by something unknown, counts in a ``wsgi.py`` only: elsewhere it is as often
    a Celery, or the application of another module.
    """
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            known = _made_by(node.value, modules)
            for target in targets:
                if not isinstance(target, ast.Name):
                    continue
                if known is not None:
                    yield target.id, *known, False
                elif target.id in NAMES[:2] and (of_wsgi or _name(node.value) in FACTORIES):
                    yield target.id, "", False, False
        elif isinstance(node, ast.ImportFrom) and of_wsgi:  # `from shop import app as application`
            for alias in node.names:
                if (name := alias.asname or alias.name) in NAMES[:2]:
                    yield name, "", False, False
        elif isinstance(node, ast.FunctionDef):
            arguments = node.args.posonlyargs + node.args.args
            required = len(arguments) - len(node.args.defaults)
            if required == 2 and [one.arg for one in arguments[:2]] == ["environ", "start_response"]:
                yield node.name, "", False, False
            elif node.name in FACTORIES and not required and None not in node.args.kw_defaults:
                made = [_made_by(call, modules) for call in ast.walk(node) if isinstance(call, ast.Call)]
                framework, is_asgi = next((known for known in made if known), ("", False))
                yield node.name, framework, is_asgi, True


def _made_by(call: ast.Call, modules: dict[str, str]) -> tuple[str, bool] | None:
    """The framework, and whether it is ASGI; None for a call of anything else."""
    function, name = call.func, _name(call)
    owner = function.value.id if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) else name
    if framework := MAKERS_OF.get((modules.get(owner, ""), name)):
        return framework, False
    if name in ASGI and modules.get(owner, "") in {one.lower() for one in ASGI}:
        return ASGI[name], True
    if name in _ASGI_MAKERS:
        return "Django", True
    return (MAKERS[name], False) if name in MAKERS else None


def _name(call: ast.Call) -> str:
    """Of what is called, without what it is an attribute of; empty for anything but names."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
