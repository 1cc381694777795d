"""Progress of an operation, on standard error: one line a phase, live on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from releve.config.frozen import dataclass
from releve.ctl.screens import render
from releve.instance.protocol import Event

if TYPE_CHECKING:
    from rich.live import Live

REDRAWS_PER_S = 12
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
MARKS = {"done": ("✓", "green"), "failed": ("✗", "bold red")}


def progress() -> Plain | Terminal:
    """The one that suits standard error."""
    return Terminal(sys.stderr) if render.on_terminal(sys.stderr) else Plain(sys.stderr)


def _note(event: Event) -> str:
    level = event.get("level")
    return (
        f"{level}: {render.line(event.get('text'))}"
        if level in ("warning", "error")
        else render.line(event.get("text"))
    )


@dataclass(slots=True)
class Phase:
    """One phase as far as it is known. ``began`` is monotonic."""

    name: str
    began: float
    state: str = "begin"
    seconds: float | None = None
    text: str = ""


class Plain:
    """One line for each phase that has ended, and for each note."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.texts: dict[str, str] = {}  # of each phase, the last thing it said

    def __enter__(self) -> Plain:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, event: Event) -> None:
        """Take an event; what is not known is not shown."""
        if event.get("event") == "note":
            render.say(_note(event), self.stream)
        elif event.get("event") == "phase":
            phase = render.line(event.get("phase"))
            if event.get("text"):
                self.texts[phase] = render.line(event["text"])
            if event.get("state") in MARKS:
                took = f" ({render.age(event['seconds'])})" if event.get("seconds") is not None else ""
                told = phase in self.texts and event["state"] != "failed"  # the outcome says why
                text = f": {self.texts[phase]}" if told else ""
                render.say(f"{phase} {event['state']}{took}{text}", self.stream)


class Terminal:
    """Phases that tick while they last; notes above them. Nothing is drawn before the first event."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        self.phases: dict[str, Phase] = {}
        self.live: Live | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()  # the last picture stays, and the cursor comes back

    def show(self, event: Event) -> None:
        """Take an event; what is not known is not shown."""
        if event.get("event") == "note":
            from rich.text import Text

            self._started().console.print(
                Text(_note(event), style="yellow" if event.get("level") in ("warning", "error") else "")
            )
        elif event.get("event") == "phase":
            name = render.line(event.get("phase"))
            phase = self.phases.setdefault(name, Phase(name, self.clock()))
            phase.state = str(event.get("state"))
            phase.seconds = event.get("seconds") if phase.state in MARKS else None
            if phase.state == "failed":
                phase.text = ""  # the outcome says why
            elif event.get("text"):
                phase.text = render.line(event["text"])
            self._started().refresh()

    def _started(self) -> Live:
        from rich.live import Live

        if self.live is None:
            self.live = Live(
                console=render.console(self.stream),
                get_renderable=self._draw,
                refresh_per_second=REDRAWS_PER_S,
                redirect_stdout=False,
            )
            self.live.start()
        return self.live

    def _draw(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2, 0, 0))
        turning = SPINNER[int(self.clock() * REDRAWS_PER_S) % len(SPINNER)]
        for phase in list(self.phases.values()):
            seconds = phase.seconds if phase.state in MARKS else self.clock() - phase.began
            mark, style = MARKS.get(phase.state, (turning, "cyan"))
            grid.add_row(
                Text(mark, style=style),
                Text(phase.name, style=style),
                Text(render.age(seconds), style="dim", justify="right"),
                Text(phase.text),
            )
        return grid
