"""A snapshot of the source files of a release, to notice that they were changed in place."""

from __future__ import annotations

from collections import deque

from releve.server.shared.native import os

FILES_MAX = 20_000
_SKIPPED = {"__pycache__", ".git", "node_modules"}

Snapshot = dict[str, tuple[int, int, int]]  # path below the directory -> mtime_ns, size, inode


def take(directory: str) -> Snapshot:
    """Modification time, size and inode of every ``*.py`` below ``directory``.

    Nearest files first, at most ``FILES_MAX``; symbolic links to folders are not followed;
    what cannot be read is left out.
    """
    found: Snapshot = {}
    folders = deque([directory])
    while folders and len(found) < FILES_MAX:
        folder = folders.popleft()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in _SKIPPED:
                        folders.append(entry.path)
                elif entry.name.endswith(".py") and len(found) < FILES_MAX:
                    status = entry.stat()
                    found[os.path.relpath(entry.path, directory)] = (status.st_mtime_ns, status.st_size, status.st_ino)
            except OSError:
                continue
    return found


def changed(before: Snapshot, after: Snapshot) -> list[str]:
    """Files that differ, came or went, sorted."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
