"""The interpreter of a release: which one it is, and what it says of itself before it is given an application."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping

import releve.server
from releve.config.frozen import dataclass
from releve.config.settings.settings import Settings
from releve.supervisor.host import children, program
from releve.supervisor.host.identity import Identity
from releve.supervisor.release.errors import ReleaseError, reason_of

VENV_FOLDERS = (".venv", "venv")  # of a release, the first that is there
OLDEST_PYTHON = (3, 11)
PROBE_TIMEOUT_S = 10.0
OUR_SERVER = os.path.dirname(os.path.realpath(releve.server.__file__))  # the folder of what is lent
_MARK = "releve-probe "

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


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What an interpreter says of itself."""

    version: tuple[int, int, int]
    prefix: str
    executable: str
    has_server: bool  # it can import releve.server by itself
    releve: str | None  # its version of Relève, if it has one
    closed: tuple[str, ...]  # those of the release's folder and of our server's that it may not read


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
            f"{refusal}it is a link to {os.readlink(chosen)}, which does not exist; make the virtual environment again",
        )
    if not os.path.isfile(chosen) or not os.access(chosen, os.X_OK):
        raise ReleaseError(
            "interpreter", f"{refusal}it is not a program that this user may run; change python, or its mode"
        )
    folder, name = os.path.split(chosen)
    return os.path.join(os.path.realpath(folder), name)


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
            [python, "-c", _SCRIPT, directory, OUR_SERVER],
            timeout_s,
            directory=directory,
            environment=environment,
            identity=identity,
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = reason_of(error)
        raise ReleaseError(
            "interpreter", f"cannot run {python}: {reason}; change python, or make the virtual environment again"
        ) from error
    said = f"; its last output: {ended.last_words}" if ended.last_words else ""
    if ended.status is None:
        raise ReleaseError("interpreter", f"cannot use {python}: it did not start within {timeout_s:g} s{said}")
    answer = _answer(ended.output)
    if answer is None:
        raise ReleaseError(
            "interpreter",
            f"cannot use {python}: it is not a working Python: it {children.describe_status(ended.status)}{said}",
        )
    if answer.version < OLDEST_PYTHON:
        version, oldest = ".".join(map(str, answer.version[:2])), ".".join(map(str, OLDEST_PYTHON))
        raise ReleaseError(
            "interpreter",
            f"cannot use {python}: it is Python {version}, Relève needs {oldest} or later; change python",
        )
    return answer


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
