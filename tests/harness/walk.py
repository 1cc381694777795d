"""The walk of a verb: which files a supervisor enters, one after another, from the request to its outcome.

``python tests/harness/walk.py`` starts a service of this tree in a temporary folder, has it upgrade to a good release
and to one that does not boot, and prints both walks. A step is a call that enters another file than the one before it;
only what the conversation and the operation themselves call is counted, in the order of the calls, not what the loop
does beside them. It says how straight the way of an operation reads, and judges nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

HERE = Path(__file__).resolve()
BEGINS = ("control_server.py", "_answer")
FOLDERS = ("supervisor/", "instance/", "config/", "server/")


def record(path: str, product: str) -> None:
    """In the supervisor, before anything else: append ``verb file function`` of every first call, as lines of JSON."""
    walked: contextvars.ContextVar[int] = contextvars.ContextVar("walked", default=0)
    numbers = itertools.count(1)
    beginnings: dict[CodeType, int] = {}  # the instruction at which a call begins; a coroutine goes on at others
    out = open(path, "a", buffering=1)  # noqa: SIM115 - for as long as the process lives

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(product) or code.co_name.startswith("<"):
            return
        if frame.f_lasti != beginnings.setdefault(code, frame.f_lasti):
            return
        name = code.co_filename.removeprefix(product)
        if not name.startswith(FOLDERS):
            return
        if name.endswith(BEGINS[0]) and code.co_name == BEGINS[1]:
            walked.set(next(numbers))
        elif not walked.get():
            return
        try:
            if asyncio.current_task() is None:
                return
        except RuntimeError:
            return
        print(json.dumps([walked.get(), name, code.co_name]), file=out)

    sys.setprofile(note)


def steps(path: Path, walk: int) -> list[tuple[str, str]]:
    """The file and the function of each step of one walk."""
    calls = [
        (name, function) for number, name, function in map(json.loads, path.read_text().splitlines()) if number == walk
    ]
    return [call for before, call in itertools.pairwise([("", ""), *calls]) if before[0] != call[0]]


def show(title: str, walked: list[tuple[str, str]], *, whole: bool) -> None:
    """Print a walk and its numbers."""
    entered = Counter(name for name, _ in walked)
    print(f"{title}: {len(walked)} steps, {len(entered)} files")
    for name, times in entered.most_common(8):
        print(f"  {times:4d} {name}")
    if whole:
        for name, function in walked:
            print(f"       {name} {function}")


def main() -> None:
    """``--whole`` prints each step too."""
    sys.path.insert(0, str(HERE.parent.parent))
    import releve.supervisor
    from harness.service import customize, serving

    product = str(Path(next(iter(releve.supervisor.__path__))).parent) + "/"
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), start=False) as service:
        written = Path(folder) / "walks"
        customize(service, f"import runpy; runpy.run_path({str(HERE)!r})['record']({str(written)!r}, {product!r})")
        service.start()
        written.write_text("")
        service.release("two")
        service.flip("two")
        service.must("upgrade")
        service.release("three", app="raise RuntimeError('no')\n")
        service.flip("three")
        service.ctl("upgrade")
        service.stop()
        walks = {
            number: steps(written, number)
            for number in {json.loads(line)[0] for line in written.read_text().splitlines()}
        }
    upgrades = [
        walked
        for _, walked in sorted(walks.items())
        if any(name.endswith("operations/upgrade.py") for name, _ in walked)
    ]
    for title, walked in zip(("an upgrade", "a release that does not boot"), upgrades, strict=True):
        show(title, walked, whole="--whole" in sys.argv)


if __name__ == "__main__":
    main()
