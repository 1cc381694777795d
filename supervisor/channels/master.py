"""The master process of one generation, as the supervisor holds it: its pid, its pidfd, its link.

An order is answered by ``done`` or ``failed`` with its number; everything else that
comes over the link is a report, for the generation. The end of the process is seen by
its pidfd, after its last words have been read.

The application's code may speak on the link, and worse: so a report is read by its form
(``reports.py``), what another process than the master has sent is passed over, and a link
that has ended though its master lives, or brings nothing but noise, is given up (``on_spoilt``).

The master leads a process group that holds everything the application started. Its
zombie is kept until ``reap``, so that the group's number stays ours.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from releve.config.frozen import dataclass
from releve.server.shared import closing, form
from releve.server.shared.form import Unfit
from releve.server.shared.link import Link, LinkError, Message, clip, pair
from releve.server.shared.noise import Noise
from releve.supervisor.channels import reports
from releve.supervisor.host import children, evidence, system
from releve.supervisor.release import lending
from releve.supervisor.release.release import Pin
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log

ORDER_S = 15.0  # how long a master may take for an order that waits for no client
SILENT = "master"  # step of a failure where the master did not answer
BATCH = 64  # messages read in one turn of the loop, in which others have theirs
SLICE_S = 0.02  # and for how long: one that is large takes as long to read as hundreds of ours
LAST_WORDS_MAX = 4096  # more than a socket holds: what is read at most of a master that has died
LAST_WORDS_S = 0.5  # and for how long: others may hold its end, and say more and more
ENDING_S = 2.0  # how long a process may take to end whose link has
OWED_MAX = 32  # answers that nobody waits for, of which a failure is logged
REASON_MAX = 500  # characters of such a failure in the log

Hear = Callable[[Message, list[int]], None]


@dataclass(frozen=True, slots=True)
class Reached:
    """A living master that another supervisor started. Owned, descriptors and all."""

    pid: int
    pidfd: int  # -1 for one that ended before anybody could hold it
    link: Link | None  # None for one that has ended, and waits to be reaped


class Master:
    """One master. Lives in the supervisor's loop; owns the link and the pidfd."""

    def __init__(
        self,
        generation: int,
        uid: int,
        hear: Hear,
        on_quiet: Callable[[], None],
        on_end: Callable[[int], None],
        on_spoilt: Callable[[str], None] = lambda why: None,
    ) -> None:
        """``uid``: whom it runs as.

        ``hear`` gets each report, ``on_quiet`` the news that all are read (descriptors left over are closed).

        ``on_spoilt`` hears why nothing good is to be expected from the link of a master that lives.
        """
        self.pid = 0
        self._generation = generation
        self._uid = uid
        self._on_spoilt = on_spoilt
        self._hear = hear
        self._on_quiet = on_quiet
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._pidfd = -1
        self._orders: dict[int, asyncio.Future[Message]] = {}
        # numbers of orders that nobody waits for (any more) and that are not answered yet, the last ones
        self._owed: deque[int] = deque(maxlen=OWED_MAX)
        self._ids = itertools.count(1)
        self.tag = {"who": f"gen={generation}"}  # identity for a log line
        self._noise = Noise(lambda line: log.error("link of the master: %s", line, extra=self.tag))
        self._doubt: asyncio.TimerHandle | None = None  # the link has ended, and the process is about to

    # ---------------------------------------------------------------- its start

    def spawn(self, pin: Pin, environment: Mapping[str, str]) -> None:
        """Start it. Raises StepFailed, and then there is no process."""
        ours, theirs = pair()
        ours.vouch()
        try:
            self.pid = children.spawn(
                lending.command(pin, theirs.fileno()),
                directory=pin.resolved,
                environment=environment,
                identity=pin.identity,
                pass_fds=(theirs.fileno(),),
            )
        except (OSError, ValueError) as error:
            ours.close()
            raise StepFailed(
                "spawn", f"cannot start {pin.python}: {getattr(error, 'strerror', None) or error}"
            ) from error
        finally:
            theirs.close()
        self._hold(system.open_pidfd(self.pid), ours)

    def take_over(self, reached: Reached) -> None:
        """Hold one that lives already."""
        self.pid = reached.pid
        children.own(reached.pid)
        self._hold(reached.pidfd, reached.link)

    def _hold(self, pidfd: int, link: Link | None) -> None:
        self._pidfd, self._link = pidfd, link
        if link is None:
            return
        link.discard = closing.close
        self.tag = {"who": f"gen={self._generation} pid={self.pid}"}
        if pidfd >= 0:
            self._loop.add_reader(pidfd, self._ended)
        else:
            self._loop.call_soon(self._ended)
        self._loop.add_reader(link.fileno(), self._read)

    @property
    def pidfd(self) -> int:
        """Its pidfd; -1 where nobody has one."""
        return self._pidfd

    def fileno(self) -> int:
        """The link's descriptor; -1 where there is none."""
        return -1 if self._link is None else self._link.fileno()

    # ---------------------------------------------------------------- orders

    async def order(self, kind: str, fds: Sequence[int] = (), timeout_s: float = ORDER_S, **keys: object) -> Message:
        """Give an order and wait for its answer.

        Raises StepFailed when it is refused, or the master dies or takes too long.
        """
        number = next(self._ids)
        answer: asyncio.Future[Message] = self._loop.create_future()
        self._orders[number] = answer
        try:
            self.send({"type": kind, "id": number, **keys}, fds)
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise StepFailed(
                SILENT, f"cannot {kind} generation {self._generation}: its master did not answer within {timeout_s:g} s"
            ) from None
        finally:
            del self._orders[number]
            if answer.cancelled():  # it came too late, or whoever asked has gone
                self._owed.append(number)

    def tell(self, kind: str, fds: Sequence[int] = (), **keys: object) -> None:
        """Give an order whose answer nobody waits for. Raises StepFailed when it cannot be sent."""
        number = next(self._ids)
        self.send({"type": kind, "id": number, **keys}, fds)
        self._owed.append(number)

    def assure(self, within_s: float) -> None:
        """Say that we are alive, and will say so again within that time.

        A master that does not listen is not our trouble here.
        """
        with suppress(StepFailed):
            self.send({"type": "alive", "within_s": within_s})

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send a message. Raises StepFailed."""
        kind = str(message["type"])
        if self._link is None:
            raise StepFailed(SILENT, f"cannot {kind} generation {self._generation}: its master exited")
        try:
            self._link.send(message, list(fds))
        except LinkError as error:
            raise StepFailed(SILENT, str(error)) from error

    def answer(self, message: Message, failure: StepFailed | None) -> bool:
        """``done`` or ``failed`` has come for an order. A failure that nobody waits for is logged.

        Whether that order was given and had no answer: a master could fill the log with answers to others.
        """
        number = message["id"]
        if number in self._owed:
            self._owed.remove(number)
            if failure is not None:
                log.error("%s", clip(failure.reason, REASON_MAX), extra=self.tag)
            return True
        waiting = self._orders.get(number)
        if waiting is None or waiting.done():
            return False
        if failure is not None:
            waiting.set_exception(failure)
        else:
            waiting.set_result(message)
        return True

    def _refuse(self, number: object, failure: StepFailed) -> None:
        waiting = self._orders.get(number) if type(number) is int else None
        if waiting is not None and not waiting.done():
            waiting.set_exception(failure)

    def fail(self, failure: StepFailed) -> None:
        """No order will be answered any more."""
        for waiting in self._orders.values():
            if not waiting.done():
                waiting.set_exception(failure)
                waiting.exception()  # nobody may be waiting for it

    # ---------------------------------------------------------------- reports

    def _read(self, most: int = BATCH, within_s: float = SLICE_S) -> None:
        if self._link is not None:
            self._read_link(self._link, most, time.monotonic() + within_s)
        if self._noise.too_much and self._link is not None:
            self.hang_up()
            self._give_up("its link carries only invalid messages")
        self._on_quiet()

    def _read_link(self, link: Link, most: int, until: float) -> None:
        for message, fds in link.messages(lambda error: self._noise.hear(str(error)), most, until):
            self._take(message, fds, link.sender)
            if self._link is not link:  # it was hung up meanwhile
                break
        if link.trouble:
            log.error("cannot follow the master: %s", link.trouble, extra=self.tag)
        if link.ended:
            self.hang_up()
            if self._pidfd >= 0:
                self._doubt = self._loop.call_later(
                    ENDING_S, self._give_up, "its link is closed, but it is still running"
                )

    def _take(self, message: Message, fds: list[int], sender: int) -> None:
        """One message, by its form, if it is the master's."""
        try:
            if sender not in (0, self.pid):
                raise Unfit(f"a message from process {sender}, which is not the master")
            report = form.read(reports.LINK, message, fds)
            if report is not None:  # one that a newer release sends is ignored
                self._hear(report, fds)
        except Unfit as error:
            self._noise.hear(str(error))
            # whoever waits shall not wait in vain
            if sender in (0, self.pid) and message.get("type") in ("done", "failed"):
                why = f"cannot understand the master of generation {self._generation}: {error}"
                self._refuse(message.get("id"), StepFailed("order", why))
        except Exception:
            self._noise.hear(f"an invalid message ({message.get('type')})")
            log.debug("the invalid message", exc_info=True, extra=self.tag)
        finally:
            closing.close(fds)

    def _give_up(self, why: str) -> None:
        self._doubt = None
        if not self.has_ended:
            self._on_spoilt(why)

    def hang_up(self) -> None:
        """Close the link: a master that has not served leaves then, one that has goes on alone."""
        if self._link is not None:
            self._loop.remove_reader(self._link.fileno())
            closing.close_socket(self._link.socket)
            self._link = None

    # ---------------------------------------------------------------- its end

    @property
    def running(self) -> bool:
        """Whether its process lives, or has ended and nobody has been told yet."""
        return self._pidfd >= 0

    @property
    def has_ended(self) -> bool:
        """Whether its process has ended."""
        return self._pidfd < 0 or children.peek(self._pidfd) is not None

    def signal(self, number: int) -> None:
        """Signal it; nothing happens when it is gone."""
        if self._pidfd >= 0:
            system.send_signal(self._pidfd, number)

    def kill_group(self) -> None:
        """SIGKILL to it and to what the application has started in its group."""
        if self._pidfd >= 0:
            evidence.kill_group(self._pidfd, self.pid, self._uid or None)

    def _ended(self) -> None:
        status = children.UNSEEN if self._pidfd < 0 else children.peek(self._pidfd)
        if status is None:
            return
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
        if self._link is not None:
            self._read(LAST_WORDS_MAX, LAST_WORDS_S)
        self.hang_up()
        self._on_end(status)

    def reap(self) -> None:
        """Kill what is left of its group, reap it if it has ended, close everything."""
        self.hang_up()
        if self._doubt is not None:
            self._doubt.cancel()
            self._doubt = None
        if self._pidfd >= 0:
            self.kill_group()
            children.reap(self._pidfd, self.pid)
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
