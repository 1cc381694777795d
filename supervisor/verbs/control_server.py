"""The control socket: one conversation per connection, one request, events, one result."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from releve.instance import paths
from releve.instance.protocol import LINE_MAX_BYTES, Event, ProtocolError, Status, decode, encode, result
from releve.supervisor.host import proc, system
from releve.supervisor.reporting.log import log
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.verbs import verbs
from releve.supervisor.verbs.handlers import Context
from releve.supervisor.verbs.permit import Permit

_REQUEST_S = 10.0  # a client that connects and says nothing is dropped after this time


class ControlServer:
    """Listens on the control socket, answers each ``ctl``."""

    def __init__(self, path: Path, context: Context, permit: Permit, listening: socket.socket | None = None) -> None:
        """``listening``: the control socket of the program that was here before us."""
        self._path = path
        self._permit = permit
        self._listening = listening
        self._inode = None if listening is None else paths.inode(path)
        self._context = context
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()
        self._waiting: dict[asyncio.Task[None], tuple[Operation, asyncio.StreamWriter]] = {}

    async def start(self) -> None:
        """Bind, if that was not done yet, and listen."""
        if self._listening is None:
            self._listening = self._bind()
        # Ours stays when the server is closed (`quiet`), and only we remove the file: Python 3.13 would do so with the
        # server.
        more: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        self._server = await asyncio.start_unix_server(
            self._converse, sock=self._listening.dup(), limit=LINE_MAX_BYTES, **more
        )

    def _bind(self) -> socket.socket:
        """The runtime directory's lock is held, so a file that is there is a dead one's."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        system.take_no_rights(sock)
        try:
            with paths.folder(self._path.parent) as folder:
                with suppress(FileNotFoundError):
                    folder.remove(self._path.name)
                inode = folder.bind(sock, self._path.name, str(self._path))
                if self._permit.group is not None:
                    folder.change(self._path.name, self._permit.socket_mode, gid=self._permit.group, inode=inode)
                self._inode = inode
        except OSError:
            sock.close()
            raise
        return sock

    @property
    def missing(self) -> bool:
        """Whether its file has gone, so that no ``ctl`` finds it."""
        return self._server is not None and (self._inode is None or paths.inode(self._path) != self._inode)

    async def renew(self) -> None:
        """Bind it anew; conversations go on. Raises OSError, and then nothing has changed."""
        before, server = self._listening, self._server
        self._listening = self._bind()
        try:
            await self.start()
        finally:
            if server is not None:
                server.close()
            if before is not None:
                before.close()

    def fileno(self) -> int:
        """The listening socket."""
        assert self._listening is not None
        return self._listening.fileno()

    async def quiet(self, operation: Operation, seconds: float) -> None:
        """Take no more conversations until ``start``, and let those end that do not wait for ``operation``; new ones
        queue.
        """
        if self._server is not None:
            self._server.close()
            self._server = None
        others = self._conversations - {task for task, (of, _) in self._waiting.items() if of is operation}
        if others:
            await asyncio.wait(others, timeout=seconds)

    def waiting_for(self, operation: Operation) -> list[int]:
        """The descriptors of those who wait for its result and have read everything so far."""
        return [
            writer.get_extra_info("socket").fileno()
            for of, writer in self._waiting.values()
            if of is operation and not writer.transport.get_write_buffer_size()
        ]

    async def go_on(self, operation: Operation, conversations: Sequence[int]) -> None:
        """Answer those who have waited for the operation since before we were this program."""
        for fd in conversations:
            with suppress(OSError):
                _, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=fd))
                task = asyncio.get_running_loop().create_task(self._tell(operation, writer))
                self._conversations.add(task)
                task.add_done_callback(self._conversations.discard)

    async def _tell(self, operation: Operation, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await self._follow(operation, {}, writer)
        writer.close()

    async def close(self) -> None:
        """Stop listening; conversations that wait for a result get it first."""
        if self._server is not None:
            self._server.close()
        if self._conversations:
            await asyncio.wait(self._conversations, timeout=1.0)
        if self._listening is not None:
            self._listening.close()
        with suppress(OSError):  # it is taken for a dead one's all the same
            paths.remove(self._path)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, TimeoutError):
            pass  # the client went; what it asked for goes on
        except asyncio.CancelledError:
            pass  # at our very end, and of no interest: asyncio would log it
        except Exception:
            log.exception("cannot answer ctl")
            with suppress(ConnectionError):
                writer.write(
                    encode(result(Status.UNEXPECTED, "unexpected error; the supervisor's log has the traceback"))
                )
        finally:
            self._conversations.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = system.peer_of(writer.get_extra_info("socket"))
        name = system.user_name(peer.uid)
        try:
            async with asyncio.timeout(_REQUEST_S):
                line = await reader.readline()
            if not line:
                return
            # now that its request is read: unread, it would cost the client our answer
            if not self._permit.admits(peer):
                log.warning("refused a request from %s (pid %d)", name, peer.pid)
                writer.write(encode(result(Status.UNEXPECTED, _refusal(name, self._permit))))
                return
            verb, arguments = verbs.read(decode(line))
        except ValueError:  # a line longer than LINE_MAX_BYTES
            writer.write(encode(result(Status.USAGE, f"cannot read a message: longer than {LINE_MAX_BYTES} bytes")))
            return
        except ProtocolError as error:
            writer.write(encode(result(Status.USAGE, str(error))))
            return
        service = self._context.service
        policy = None
        if self._permit.limits(peer):
            policy = self._permit.policy(service.settings.control, service.release_uid)
            reason = policy.refusal(name, verb, arguments)
            if reason is not None:
                log.warning("%s (pid %d)", reason, peer.pid)
                writer.write(encode(result(Status.UNEXPECTED, reason)))
                return
            arguments = policy.bound(verb, arguments)
        answer = await verbs.ask(self._context, verb, arguments, _by(name, peer))
        if policy is not None and verb == "status" and not isinstance(answer, Operation):
            answer["may"] = policy.picture()
        if isinstance(answer, Operation):
            await self._follow(answer, arguments, writer)
        else:
            writer.write(encode(answer))
        await writer.drain()

    async def _follow(self, operation: Operation, arguments: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if arguments.get("wait") is False:
            began = result(Status.DONE, f"{operation.verb} {operation.number} started", operation=operation.number)
            writer.write(encode(began))
            return
        events = operation.watch()
        task = asyncio.current_task()
        assert task is not None
        self._waiting[task] = (operation, writer)
        try:
            while True:
                event: Event = await events.get()
                writer.write(encode(event))
                await writer.drain()
                if event.get("event") == "result":
                    return
        finally:
            operation.unwatch(events)
            del self._waiting[task]


def _by(name: str, peer: system.Peer) -> str:
    """Who asks, for the log and the history: behind sudo, also the user who logged in."""
    login = proc.login(peer.pid)
    behind = "" if login in (None, peer.uid) else f"login {system.user_name(login)}, "
    return f"{name} ({behind}pid {peer.pid})"


def _refusal(name: str, permit: Permit) -> str:
    whom = "root" if permit.uid == 0 else f"{system.user_name(permit.uid)}, or root"
    group = "" if permit.group is None else f", or make {name} a member of {system.group_name(permit.group)}"
    return f"permission denied: {name} may not control this service; use {whom}{group}"
