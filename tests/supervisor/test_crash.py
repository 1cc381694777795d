"""The crash file: the application's frames only, as a traceback reads."""

import os
import subprocess
import sys
from pathlib import Path

from releve.supervisor.crash import open_crash_file, read_crash_file


def test_nothing_crashed() -> None:
    fd = open_crash_file()
    assert read_crash_file(fd) == ""
    os.close(fd)


def test_a_crash_names_the_application(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import os\n\ndef deepest():\n    os.abort()\n\ndeepest()\n")
    fd = open_crash_file()
    code = f"import faulthandler; faulthandler.enable(open({fd}, 'wb', closefd=False)); import importlib; importlib.import_module('app')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, pass_fds=[fd], capture_output=True)
    assert done.returncode != 0
    lines = read_crash_file(fd).splitlines()
    os.close(fd)
    assert lines[0].startswith("Fatal Python error: Aborted")
    assert lines[-1].endswith("line 4 in deepest") and lines[-2].endswith("line 6 in <module>")
    assert not any("importlib" in line for line in lines)
