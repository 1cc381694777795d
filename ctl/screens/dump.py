"""``ctl dump``: the stacks of a process, each thread with the request that it serves; threads that wait for work in one
line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any, TextIO

import releve.server
from releve.config.grammar import counted
from releve.ctl.screens import render
from releve.ctl.screens.workers import sentence
from releve.instance.protocol import Event

ROLES = {"leading": "event loop, idle", "other": "serves no request"}
# a release may have a folder `server` of its own; what is lent, and what is installed, lies in releve/server
SERVER = os.path.dirname(releve.server.__file__)
OURS = re.compile(rf'File "(?:.*/releve/server|{re.escape(SERVER)})/.*", line ')
BELOW = re.compile(r'File "(?:<frozen |.*/threading\.py", line )')  # what a thread or an import begins with


def processes(result: Event) -> list[dict[str, Any]]:
    """Those in a ``dump`` result."""
    found = result.get("processes")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def lines(result: Event) -> Iterator[tuple[str, str]]:
    """Each line, and a rich style for it."""
    for number, process in enumerate(processes(result)):
        if number:
            yield "", ""
        yield (
            (
                f"{render.line(process.get('process'))} (pid {render.line(process.get('pid'))}): "
                f"{render.line(process.get('state'))}"
            ),
            "bold",
        )
        if process.get("trouble"):
            yield f"  {render.line(process['trouble'])}", "bold red"
        if process.get("note"):
            yield f"  {render.line(process['note'])}", "yellow"
        found = process.get("threads")
        threads = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        idle = sum(one.get("role") == "idle" for one in threads)
        for one in threads:
            if one.get("role") != "idle":
                yield from _thread(one)
        if idle:
            yield f"  {counted(idle, 'idle thread')}", "dim"


def _thread(thread: dict[str, Any]) -> Iterator[tuple[str, str]]:
    name = (
        f"thread {thread['number']}"
        if thread.get("number") is not None
        else f"thread {render.line(thread.get('thread'))}"
    )
    request = thread.get("request")
    if isinstance(request, dict):
        yield f"  {name}: {sentence(request)}", "cyan"
    else:
        role = render.line(thread.get("role"))
        yield f"  {name}: {ROLES.get(role, role)}", "dim"
    stack = thread.get("stack")
    folded, shown = fold([render.line(line) for line in stack] if isinstance(stack, list) else [])
    if folded:
        yield f"    … {counted(folded, 'frame')} of Relève", "dim"
    for line in shown:
        yield f"    {line}", ""


def fold(stack: list[str]) -> tuple[int, list[str]]:
    """How many frames at its beginning only lead to the application, and the others; where it does not come to that,
    the last one. What the application calls of ours (to read a body) is shown.
    """
    leading = next((at for at, line in enumerate(stack) if not (OURS.search(line) or BELOW.search(line))), len(stack))
    if not any(map(OURS.search, stack[:leading])):  # a thread of the application's own
        return 0, stack
    folded = leading - (leading == len(stack))
    return folded, stack[folded:]


def show_plain(result: Event, stream: TextIO) -> None:
    """Print every process with its stacks, as plain text."""
    print("\n".join(text for text, _ in lines(result)), file=stream)


def show_rich(result: Event, stream: TextIO) -> None:
    """Print the same with colours, for a terminal."""
    from rich.text import Text

    console = render.console(stream)
    for text, style in lines(result):
        console.print(Text(text, style=style), soft_wrap=True)
