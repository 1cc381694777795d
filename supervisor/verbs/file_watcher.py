"""The file watcher: what makes the supervisor upgrade by itself (``watch: code`` and ``watch: release``).

The one module that uses watchdog, and only when something is watched: few services ask for it, and it takes a while to
import. Nothing of ours is imported then: a supervisor may be older than what is installed by that time. Its observer
threads only look at paths and hop to the loop; everything else happens there. They run with all signals blocked, so
that a signal always meets the main thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from releve.instance import paths
from releve.supervisor.host import system

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent, FileSystemEventHandler
    from watchdog.observers.api import BaseObserver

QUIET_S = 0.25  # without another change, before a change is told
PATIENCE_S = 2.0  # and at the latest, if changes do not end
_CHANGES = frozenset({"created", "deleted", "modified", "moved"})  # reading a file is none
_NEVER_CODE = frozenset({"__pycache__", "node_modules", "site-packages"})
_JOIN_S = 5.0

OnChange = Callable[[list[str]], None]


class WatchError(Exception):
    """The folder cannot be watched; the service runs on without."""


class Watcher:
    """Tells the loop about changes, from ``start`` to ``stop``.

    Mode ``code``: Python files below the directory, and the files given beside it,
    were saved, moved or removed; ``on_change`` gets their paths. Mode ``release``:
    the literal directory leads elsewhere than before; ``on_change`` gets where to.
    ``on_change`` is called in the loop, once for all changes that come together.
    """

    def __init__(
        self, mode: str, directory: str, loop: asyncio.AbstractEventLoop, on_change: OnChange, files: Sequence[str] = ()
    ) -> None:
        if mode not in ("code", "release"):
            raise ValueError(f"cannot watch {mode!r}: no such mode")
        self._mode = mode
        self._directory = directory
        self._files = tuple(files) if mode == "code" else ()
        self._loop = loop
        self._on_change = on_change
        self._observer: BaseObserver | None = None
        self._links: frozenset[str] = frozenset()
        self._seen: tuple[str, int, int] | None = None
        self._changed: set[str] = set()
        self._first = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin. Raises WatchError."""
        self._seen = destination(self._directory)
        try:
            with system.signals_blocked():
                self._observer = _observer()  # starts a thread at once
                self._schedule(self._observer)
                self._observer.start()
        except OSError as error:
            self.stop()
            raise WatchError(
                f"cannot watch {self._directory}: {(error.strerror or str(error)).lower()}; the "
                "service keeps running unwatched. "
                "If it is a limit, raise fs.inotify.max_user_watches and max_user_instances"
            ) from error

    def stop(self) -> None:
        """End; no call comes after it. The threads are gone when this returns."""
        observer, self._observer = self._observer, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if observer is not None:
            observer.stop()
            if observer.is_alive():
                observer.join(_JOIN_S)

    def _schedule(self, observer: BaseObserver) -> None:
        """Watch the folders that matter now: those of the links to the directory, and for code what is below it."""
        observer.unschedule_all()
        self._links = frozenset(links_on(self._directory))
        for folder in {os.path.dirname(link) for link in self._links}:
            observer.schedule(_handler(self._tell, self._links.__contains__), folder)
        if self._mode == "code":
            root = os.path.realpath(self._directory)
            files = frozenset(os.path.realpath(file) for file in self._files)
            observer.schedule(
                _handler(self._tell, lambda path: path in files or is_code(path, root)), root, recursive=True
            )
            for folder in {os.path.dirname(file) for file in files} - {root}:
                observer.schedule(_handler(self._tell, files.__contains__), folder)

    def _tell(self, path: str) -> None:
        """In an observer's thread: hop to the loop (which may be closed already)."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._note, path)

    def _note(self, path: str) -> None:
        if self._observer is None:  # stopped meanwhile
            return
        now = self._loop.time()
        if self._timer is None:
            self._first = now
        else:
            self._timer.cancel()
        self._changed.add(path)
        self._timer = self._loop.call_at(min(now + QUIET_S, self._first + PATIENCE_S), self._fire)

    def _fire(self) -> None:
        self._timer = None
        changed, self._changed = self._changed, set()
        code = changed - self._links
        flipped = code != changed and self._flipped()
        if flipped and self._mode == "release":
            self._on_change([os.path.realpath(self._directory)])
        elif self._mode == "code" and (flipped or code):
            self._on_change(sorted(changed if flipped else code))

    def _flipped(self) -> bool:
        """Whether the directory leads elsewhere now; then other folders matter.

        One that leads nowhere has not flipped yet.
        """
        found = destination(self._directory)
        if found == self._seen or found is None or self._observer is None:
            return False
        with contextlib.suppress(OSError), system.signals_blocked():
            self._schedule(self._observer)
        self._seen = destination(self._directory) or found
        return True


def _observer() -> BaseObserver:
    """The observer of this system."""
    from watchdog.observers import Observer

    return Observer()


def _handler(tell: Callable[[str], None], matters: Callable[[str], bool]) -> FileSystemEventHandler:
    """In an observer's thread: passes on the paths that matter."""
    from watchdog.events import FileSystemEventHandler

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            if event.event_type not in _CHANGES:
                return
            for path in filter(None, (os.fsdecode(event.src_path), os.fsdecode(event.dest_path))):
                if matters(path):
                    tell(path)

    return Handler()


def destination(directory: str) -> tuple[str, int, int] | None:
    """Where a literal path leads now: its real path, device and inode; None if nowhere."""
    try:
        real = os.path.realpath(directory, strict=True)
        entry = os.stat(real)
    except OSError:
        return None
    return real, entry.st_dev, entry.st_ino


def links_on(path: str) -> list[str]:
    """The symlinks that a path goes through, each by the real path of its folder; without any, the path itself.

    These are the names whose change can make the path lead elsewhere.
    """
    found: list[str] = []
    todo = os.path.abspath(path).split(os.sep)[1:]
    here = os.sep
    while todo and len(found) < 40:  # MAXSYMLINKS of path_resolution(7)
        name = todo.pop(0)
        if name in ("", "."):
            continue
        if name == "..":
            here = os.path.dirname(here)
            continue
        here = os.path.join(here, name)
        if os.path.islink(here):
            found.append(here)
            target = os.readlink(here)
            todo = target.split(os.sep) + todo
            here = os.sep if target.startswith(os.sep) else os.path.dirname(here)
    return found or [here]


def is_code(path: str, root: str) -> bool:
    """Whether a path below ``root`` is Python code of a person: not hidden, not cached, not in a virtual
    environment.
    """
    if not path.endswith(".py") or not path.startswith(root.rstrip(os.sep) + os.sep):
        return False
    *folders, name = os.path.relpath(path, root).split(os.sep)
    if name.startswith(".") or any(folder.startswith(".") or folder in _NEVER_CODE for folder in folders):
        return False
    inside = [os.path.join(root, *folders[: depth + 1]) for depth in range(len(folders))]
    return not any(os.path.exists(os.path.join(folder, "pyvenv.cfg")) for folder in inside)


def syntax_errors(files: Iterable[str]) -> list[str]:
    """What the compiler of this interpreter says about Python files: one text for each that it refuses.

    A release on another version of Python may differ: what this finds is for people to
    read early, the import has the last word. Files that are gone are none.
    """
    problems = []
    for path in files:
        try:
            if not path.endswith(".py"):
                continue
            with open(path, "rb", opener=lambda name, _: paths.open_regular(name)) as file, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compile(file.read(), path, "exec", dont_inherit=True)
        except SyntaxError as error:
            where = f"{path}:{error.lineno}" if error.lineno else path
            problems.append(
                f"{where}: {error.msg}{f': {error.text.strip()}' if error.text and error.text.strip() else ''}"
            )
        except (ValueError, RecursionError, MemoryError) as error:
            problems.append(f"{path}: {error}")
        except OSError:
            continue
    return problems
