"""The release: what one generation runs, resolved once, at its start.

A ``Pin`` holds the resolved directory, the interpreter and the environment, so
that every process of the generation runs the same, whatever happens to symlinks
and files since. The directory and interpreter of the settings stay literal and
are resolved here, from those paths alone: never by ``PWD`` or the working folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import IO, Any

import releve.server
from releve.config import kernel
from releve.config.errors import ConfigError
from releve.config.frozen import dataclass
from releve.config.reading.env_file import read_env_file
from releve.config.settings import Settings
from releve.instance import paths
from releve.supervisor.host import program, system
from releve.supervisor.host.environment import strip
from releve.supervisor.host.identity import Identity, IdentityError, identify
from releve.supervisor.host.policy import Bounds
from releve.supervisor.release import environment as surroundings
from releve.supervisor.release.environment import VENV_FOLDERS

OLDEST_PYTHON = (3, 11)
PROBE_TIMEOUT_S = 10.0
_MARK = "releve-probe "
_SERVER = os.path.dirname(os.path.realpath(releve.server.__file__))

# For any interpreter, however old, hence no -P (new in 3.11): the working folder is taken off sys.path before the first
# import.
_SCRIPT = """
import sys
if sys.path[:1] == [""]:
    del sys.path[0]
import json
import os
answer = {"version": list(sys.version_info[:3]), "prefix": sys.prefix, "executable": sys.executable}
answer |= {"releve": None, "server": False}
answer["closed"] = [path for path in sys.argv[1:] if not os.access(path, os.R_OK | os.X_OK)]
if sys.version_info >= (3, 11):
    import importlib.util
    try:
        answer["server"] = importlib.util.find_spec("releve.server") is not None
        import releve
        answer["releve"] = releve.__version__
    except Exception:
        pass
sys.stdout.write("\\n%s%s\\n" % ("releve-probe ", json.dumps(answer)))
"""


class ReleaseError(Exception):
    """A release cannot be run; ``step`` is ``directory``, ``interpreter`` or ``environment``."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What an interpreter says of itself."""

    version: tuple[int, int, int]
    prefix: str
    executable: str
    has_server: bool  # it can import releve.server by itself
    releve: str | None  # its version of Relève, if it has one
    closed: tuple[str, ...]  # those of the release's folder and of our server's that it may not read


@dataclass(frozen=True, slots=True)
class Pin:
    """What a generation runs, for as long as it lives."""

    directory: str  # as configured
    resolved: str  # where it led at the start of the generation
    python: str  # its folder resolved, its last name kept: the real path would lose the virtual environment
    binary: str  # the real path, for people
    app: str
    environment: dict[str, str]
    identity: Identity
    lend: bool  # the interpreter has no Relève: the supervisor lends its server
    python_version: str
    prefix: str
    releve: str | None
    preload: bool | None
    revision: str | None  # of git, where the directory is a work tree
    variables: dict[str, str] | None = None  # what `env_file` said; None: nobody has noted it


async def pin(settings: Settings, base_environ: Mapping[str, str], bounds: Bounds | None = None) -> Pin:
    """Resolve a release and look at its interpreter. Raises ReleaseError; nothing was started that stays.

    ``bounds``: what it is held to. Nothing outside is run, wherever links lead by then: what is resolved here is what
    counts.
    """
    resolved = resolve_directory(settings.directory)
    python = choose_python(settings, resolved)
    if bounds is not None and (reason := bounds.refusal(resolved, python)) is not None:
        raise ReleaseError("directory", f"permission denied: {reason}")
    try:
        identity = identify(settings.user, settings.group, settings.umask)
    except IdentityError as error:
        raise ReleaseError("environment", str(error)) from error
    variables = read_variables(settings.env_file, identity.user)
    environment = make_environment(settings, base_environ, resolved, python, identity.account, variables)
    found = await probe(python, resolved, environment, identity)
    if resolved in found.closed:
        whom = settings.user or "this user"
        raise ReleaseError(
            "directory",
            (
                f"cannot use the directory {resolved}: {whom} may not read it; change its mode, or that of "
                "a folder above it, or user"
            ),
        )
    if not found.has_server and _SERVER in found.closed:
        raise ReleaseError(
            "interpreter",
            f"cannot lend Relève to {python}: {settings.user or 'this user'} may not read {_SERVER}; "
            "install releve into the environment of the release, or Relève itself where everybody may read it",
        )
    return Pin(
        directory=settings.directory,
        resolved=resolved,
        python=python,
        binary=os.path.realpath(python),
        app=settings.served,
        environment=environment,
        identity=identity,
        lend=not found.has_server,
        python_version=".".join(map(str, found.version)),
        prefix=found.prefix,
        releve=found.releve,
        preload=settings.preload,
        revision=git_revision(resolved),
        variables=variables,
    )


def changed_variables(pin: Pin, settings: Settings) -> list[str]:
    """Names of the variables that `env_file` says otherwise than at the start of the generation, sorted.

    Raises ReleaseError.

    Those that `env` has are not among them: it comes first.
    """
    if pin.variables is None:  # by an older supervisor
        return []
    before, now = pin.variables, read_variables(settings.env_file, pin.identity.user)
    return sorted(
        name for name in before.keys() | now.keys() if before.get(name) != now.get(name) and name not in settings.env
    )


def without_preload(pin: Pin) -> Pin:
    """The same release, its application imported by each worker for itself."""
    return dataclasses.replace(pin, preload=False)


def resolve_directory(literal: str) -> str:
    """Where the release's directory leads now. Raises ReleaseError with step ``directory``."""
    if not os.path.isabs(literal):
        raise ReleaseError(
            "directory", f"cannot use the directory {literal!r}: it is not an absolute path; write it in full"
        )
    try:
        resolved = os.path.realpath(literal, strict=True)
        if not os.path.isdir(resolved):
            raise NotADirectoryError(20, "it is not a folder")
        if not os.access(resolved, os.R_OK | os.X_OK):
            raise PermissionError(13, "this user may not read it")
    except FileNotFoundError as error:
        gone = (
            f"it is a link to {os.readlink(literal)}, which does not exist"
            if os.path.islink(literal)
            else "it does not exist"
        )
        raise ReleaseError(
            "directory", f"cannot use the directory {literal}: {gone}; deploy the release, or change directory"
        ) from error
    except OSError as error:
        raise ReleaseError(
            "directory",
            f"cannot use the directory {literal}: {(error.strerror or str(error)).lower()}; change directory",
        ) from error
    return resolved


def choose_python(settings: Settings, resolved: str) -> str:
    """The interpreter of a release, its folder resolved. Raises ReleaseError with step ``interpreter``.

    One below the literal directory is looked up in the resolved one, so that a
    symlink that moves meanwhile cannot mix two releases. A virtual environment
    that is there but broken is an error, never a reason to take another interpreter.
    """
    if settings.python is not None:
        literal = settings.python
        inside = settings.directory.rstrip("/") + "/"
        relative = literal.removeprefix(inside) if literal.startswith(inside) else literal
        chosen = os.path.join(resolved, relative)
    else:
        candidates = [os.path.join(resolved, folder, "bin", "python") for folder in VENV_FOLDERS]
        chosen = literal = next((path for path in candidates if os.path.lexists(path)), sys.executable)
    refusal = f"cannot use {literal}: "
    if not os.path.lexists(chosen):
        raise ReleaseError("interpreter", f"{refusal}it does not exist; make the virtual environment, or change python")
    if not os.path.exists(chosen):
        raise ReleaseError(
            "interpreter",
            f"{refusal}it is a link to {os.readlink(chosen)}, which does not exist; make the virtual environment anew",
        )
    if not os.path.isfile(chosen) or not os.access(chosen, os.X_OK):
        raise ReleaseError(
            "interpreter", f"{refusal}it is not a program that this user may run; change python, or its mode"
        )
    folder, name = os.path.split(chosen)
    return os.path.join(os.path.realpath(folder), name)


def real_places(settings: Settings, *more: str) -> tuple[str, ...]:
    """Where paths, the release, its interpreter and ours really are, links followed; of a release that is not there,
    nothing.
    """
    found = [*more, settings.env_file or "", own_python()]
    with contextlib.suppress(ReleaseError):
        resolved = resolve_directory(settings.directory)
        found += [resolved, choose_python(settings, resolved)]
    return tuple(dict.fromkeys(os.path.realpath(path) for path in found if path))


def make_environment(
    settings: Settings,
    base: Mapping[str, str],
    resolved: str,
    python: str,
    account: pwd.struct_passwd | None = None,
    variables: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The environment of a generation: the supervisor's at its start, with the release's virtual environment;
    ``env_file``; ``env``.

    ``variables``: what ``env_file`` says, if it was read before. Raises ReleaseError with step ``environment``.
    """
    environment = strip(base)
    surroundings.leave(environment, resolved)
    if python != own_python():
        environment.pop("PYTHONHOME", None)
    surroundings.enter(environment, python)
    if account is not None:
        environment |= {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name}
    if settings.watch == "code":
        # A saved file of the same size in the same second would be taken for its cached bytecode (importlib compares
        # whole seconds).
        environment.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    environment |= (
        read_variables(settings.env_file, None if account is None else account.pw_uid)
        if variables is None
        else variables
    )
    environment |= settings.env
    surroundings.pin(environment, settings.directory, resolved)
    environment.pop("OLDPWD", None)
    environment["PWD"] = resolved
    if (reason := kernel.environment_objection(environment)) is not None:
        raise ReleaseError("environment", f"cannot start a program with this environment: {reason}")
    return environment


def own_python() -> str:
    """The supervisor's own interpreter, its folder resolved."""
    folder, name = os.path.split(sys.executable)
    return os.path.join(os.path.realpath(folder), name)


async def probe(
    python: str, directory: str, environment: Mapping[str, str], identity: Identity, timeout_s: float = PROBE_TIMEOUT_S
) -> ProbeResult:
    """Run an interpreter once and ask what it is, without the application.

    Raises ReleaseError with step ``interpreter``.
    """
    try:
        ended = await program.run(
            [python, "-c", _SCRIPT, directory, _SERVER],
            timeout_s,
            directory=directory,
            environment=environment,
            identity=identity,
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = _reason(error)
        raise ReleaseError(
            "interpreter", f"cannot run {python}: {reason}; change python, or make the virtual environment anew"
        ) from error
    said = f"; its last words: {ended.last_words}" if ended.last_words else ""
    if ended.status is None:
        raise ReleaseError("interpreter", f"cannot use {python}: it did not start within {timeout_s:g}s{said}")
    answer = _answer(ended.output)
    if answer is None:
        raise ReleaseError(
            "interpreter",
            f"cannot use {python}: it is no working Python, it {system.describe_status(ended.status)}{said}",
        )
    if answer.version < OLDEST_PYTHON:
        version, oldest = ".".join(map(str, answer.version[:2])), ".".join(map(str, OLDEST_PYTHON))
        raise ReleaseError(
            "interpreter",
            f"cannot use {python}: it is Python {version}, Relève needs {oldest} or later; change python",
        )
    return answer


_REF = re.compile(r"refs(?:/(?!\.)[^/\x00-\x20\x7f]+)+")  # as far as it matters here: git-check-ref-format(1)
_PACKED_MAX = 8 << 20  # characters: of that many, tens of thousands of branches and tags


def git_revision(directory: str) -> str | None:
    """The commit that a work tree has checked out, read from the files of git; None where that cannot be told."""
    try:
        git = os.path.join(directory, ".git")
        if os.path.isfile(git):  # a linked work tree: gitdir: PATH
            git = os.path.join(directory, _first_line(git).removeprefix("gitdir:").strip())
        head = _first_line(os.path.join(git, "HEAD"))
        if not head.startswith("ref:"):
            return _commit(head)
        return _find_ref(git, head.removeprefix("ref:").strip())
    except (OSError, ValueError):
        return None


def _find_ref(git: str, ref: str) -> str | None:
    """The commit of a branch: a file of its own, or a line of ``packed-refs``; gitrepository-layout(5)."""
    if not _REF.fullmatch(ref):  # whose release it is may have written anything there: a path to somewhere else, too
        return None
    common = git
    with contextlib.suppress(FileNotFoundError):
        common = os.path.join(git, _first_line(os.path.join(git, "commondir")))
    for folder in (git, common):
        with contextlib.suppress(FileNotFoundError):
            return _commit(_first_line(os.path.join(folder, ref)))
    with _open(os.path.join(common, "packed-refs")) as file:
        for line in file.read(_PACKED_MAX).splitlines():
            commit, _, name = line.strip().partition(" ")
            if name == ref:
                return _commit(commit)
    return None


def _commit(text: str) -> str | None:
    return text if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) else None


def _first_line(path: str) -> str:
    with _open(path) as file:
        return file.readline(4096).strip()


@contextlib.contextmanager
def _open(path: str) -> Iterator[IO[str]]:
    """A regular file. The folder may belong to somebody who puts a FIFO there, at which we would wait for ever."""
    with open(paths.open_regular(path), encoding="utf-8") as file:
        yield file


def read_variables(path: str | None, uid: int | None) -> dict[str, str]:
    """What an ``env_file`` says; nothing without one. Raises ReleaseError with step ``environment``.

    ``uid``: whom the variables are for; None: this user, who may read what it reads anyway.
    """
    if path is None:
        return {}

    def opener(name: str, _flags: int) -> int:
        # A link that the application's user can have made leads to nothing that is not that user's own.
        return paths.open_regular(name, also_of=uid)

    try:
        return dict(read_env_file(path, None if uid is None else opener))
    except ConfigError as error:
        raise ReleaseError("environment", str(error)) from error
    except (OSError, UnicodeError) as error:
        raise ReleaseError("environment", f"cannot read {path}: {_reason(error)}; change env_file") from error


def _answer(output: str) -> ProbeResult | None:
    """The answer of the script, whatever else the interpreter's start-up files have printed."""
    for line in reversed(output.splitlines()):
        if line.startswith(_MARK):
            try:
                said = json.loads(line.removeprefix(_MARK))
                major, minor, micro = said["version"]
                return ProbeResult(
                    (major, minor, micro),
                    said["prefix"],
                    said["executable"],
                    bool(said["server"]),
                    said["releve"],
                    tuple(said.get("closed", ())),
                )
            except (ValueError, KeyError, TypeError):
                return None
    return None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).lower()


def release_of(pin: Pin) -> dict[str, Any]:
    """A release, as the history keeps it."""
    return {
        "directory": pin.resolved,
        "python": pin.python,
        "python_version": pin.python_version,
        "releve": pin.releve,
        "revision": pin.revision,
    }
