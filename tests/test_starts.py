"""What each process imports as it starts: every ``ctl``, every upgrade and every test pays for it.

A module is added to a list here only if the process needs it before it serves its first request, or for nearly every
command. Else import it where it is used; but never a module of ``releve`` in the supervisor or the master, which may
live longer than the files of their release (``docs/adr/0048-values.md``), and never a name of the standard library in
a worker, where the application's own modules may hide it.
"""

import subprocess
import sys

import pytest

BOTH = (
    "array ast collections copy copyreg dataclasses datetime dis enum errno fnmatch grp inspect ipaddress json"
    " linecache math ntpath opcode pathlib pwd re resource select selectors socket struct threading token tokenize"
    " typing urllib weakref"
)
SERVING = "atexit contextvars ctypes fcntl gc heapq logging mmap signal string termios textwrap traceback"
COMMAND = "click gettext locale platform uuid"

# what the process is -> its first import, the modules besides ours
STARTS = {
    "ctl": ("releve.ctl.main", f"{BOTH} {COMMAND}"),
    "releve": ("releve.supervisor.cli", f"{BOTH} {COMMAND} configparser signal sysconfig"),
    "supervisor": (
        "releve.supervisor.supervisor",
        f"{BOTH} {SERVING} asyncio base64 binascii concurrent glob locale psutil shlex ssl subprocess",
    ),
    "master": (
        "releve.server.__main__",
        f"{BOTH} {SERVING} binascii bisect difflib faulthandler http random wsgiref",
    ),
}

# Of ours, for a command that people and scripts type.
CTL = """
releve releve.config releve.config.completion releve.config.errors releve.config.frozen releve.config.grammar
releve.config.kernel releve.config.legible releve.ctl releve.ctl.aftermath releve.ctl.completion
releve.ctl.conversation releve.ctl.conversation.client releve.ctl.conversation.find releve.ctl.hints releve.ctl.main
releve.ctl.moment releve.ctl.options releve.ctl.order releve.ctl.screens releve.ctl.screens.outcome
releve.ctl.screens.progress releve.ctl.screens.render releve.ctl.screens.styled_lines releve.ctl.verbs releve.instance
releve.instance.cards releve.instance.directories releve.instance.folder releve.instance.holders
releve.instance.instances releve.instance.ownership releve.instance.paths releve.instance.protocol
releve.instance.symptoms releve.server releve.server.shared releve.server.shared.runtime
"""


def imported(module: str) -> set[str]:
    """What the import of a module brings into a new interpreter."""
    program = f"import sys; before = set(sys.modules); import {module}; print(*set(sys.modules) - before)"
    return set(
        subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    )


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="modules of another Python's library import others")
@pytest.mark.parametrize("process", STARTS)
def test_a_process_imports_what_it_needs_to_start_and_nothing_else(process: str) -> None:
    module, known = STARTS[process]
    found = {name.partition(".")[0] for name in imported(module)} - {"releve"}
    unknown = sorted(name for name in found - set(known.split()) if not name.startswith("_"))
    assert not unknown, f"{process} imports {', '.join(unknown)} at its start: see the docstring of this file"


def test_ctl_imports_no_screen_that_a_command_may_not_need() -> None:
    unknown = sorted({name for name in imported("releve.ctl.main") if name.startswith("releve")} - set(CTL.split()))
    assert not unknown, f"ctl imports {', '.join(unknown)} at its start: import it in the verb that needs it"
