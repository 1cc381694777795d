"""In the master: other log files have taken the place of those that a revision writes (logrotate, ``ctl reopen``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from releve.server.prefork.boot import Revision
from releve.server.prefork.workers import Workers
from releve.server.process.messages import FILES, read_files
from releve.server.process.output import standard
from releve.server.shared.link import Message
from releve.server.shared.states import WorkerState


def rotate(
    order: Message, fds: Sequence[int], revisions: Iterable[Revision], current: int, workers: Workers
) -> set[int]:
    """Go on in the files of ``fds``, which stay the caller's, and pass them on; returns the numbers of the workers that
    will say so.

    A worker that is booting does it when it is ready, and is not waited for. Raises MalformedOrder, KeyError.
    """
    files, wanted = read_files(order, list(fds)), order["revision"]
    for revision in revisions:
        if revision.number == wanted:
            revision.reopen(files)  # for workers that are forked later
    if current == wanted and "log" in files:
        standard.lead(files["log"])
    waiting = set()
    for worker in workers:
        if worker.revision == wanted:
            worker.pass_on({key: order.get(key) for key in ("type", "id", *FILES)}, tuple(fds))
            if worker.state is not WorkerState.BOOTING:
                waiting.add(worker.number)
    return waiting


def reopened(message: Message) -> str:
    """What a pending order awaits of each worker."""
    return f"reopened {message.get('id')}"
