"""How a run looks while it runs: bars on a terminal, plain lines elsewhere, JSON lines for programs.

In come the events of `vidanon.pipeline.events`, in the pipeline's thread; out go lines on stderr.
Each view is a context manager whose `listen` is the pipeline's listener.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, ProgressColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from vidanon.cli import console
from vidanon.cli.options import ProgressMode
from vidanon.cli.summary import clock, describe
from vidanon.pipeline.events import Event, Failed, Finished, Note, Progress, StageDone, Started
from vidanon.pipeline.reports import document, failure_document

PLAIN_SECONDS = 5.0
"""between two plain lines of one stage"""

VERBS = {"scan": "scanning", "settle": "settling", "cast": "casting", "render": "rendering"}
DONE = {"scan": "scanned", "settle": "settled", "cast": "cast", "render": "rendered"}


def view(mode: ProgressMode) -> View:
    """The view for a mode; auto is bars on a terminal and plain lines elsewhere."""
    if mode == "auto":
        mode = "rich" if sys.stderr.isatty() else "plain"
    kinds: dict[str, type[View]] = {"rich": BarView, "plain": PlainView, "json": JsonView, "none": NoView}
    return kinds[mode]()


class View(ABC):
    """One way to show a run."""

    @abstractmethod
    def listen(self, event: Event) -> None:
        """Takes one event."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        """Puts the terminal back where the view changed it."""
        return


class NoView(View):
    """Says nothing but why an input failed."""

    def listen(self, event: Event) -> None:
        """Shows failures only."""
        if isinstance(event, Failed):
            _complain(event)


class JsonView(View):
    """One JSON object a line; `event` is the kind, the other keys are the event's fields."""

    def __init__(self) -> None:
        console.Voice.json = True

    def listen(self, event: Event) -> None:
        """Writes the event."""
        console.say_json(event_document(event))


def event_document(event: Event) -> dict[str, object]:
    """An event as JSON-ready data."""
    name = "stage_done" if isinstance(event, StageDone) else type(event).__name__.lower()
    if isinstance(event, Finished):
        return {"event": name, "path": str(event.path), "report": document(event.report)}
    if isinstance(event, Failed):
        return {"event": name, "path": str(event.path), **failure_document(event.path, event.error)}
    fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    return {"event": name, **fields}


class PlainView(View):
    """A line every few seconds and one at the end of each stage, for logs."""

    def __init__(self) -> None:
        self._last = 0.0

    def listen(self, event: Event) -> None:
        """Prints what is worth a line."""
        match event:
            case Started():
                self._last = time.monotonic()
                if event.total > 1:
                    console.say(f"{event.number}/{event.total} {event.path}")
            case Progress():
                if time.monotonic() - self._last >= PLAIN_SECONDS:
                    self._last = time.monotonic()
                    console.say(f"{VERBS[event.stage]} {event.path.name}: {', '.join(measures(event))}")
            case StageDone():
                self._last = time.monotonic()
                if event.stage not in {"settle", "cast"}:
                    console.say(stage_line(event))
            case Failed():
                _complain(event)
            case Finished():
                for line in describe(event.report):
                    console.say(line)
            case Note():
                console.say(note_line(event))


class BarView(View):
    """A bar for the stage at work and, with several inputs, one for all of them; finished inputs scroll up above."""

    def __init__(self) -> None:
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[measures]}", markup=False),
        ]
        self._bars = Bars(*columns, console=console.console(), transient=True, expand=True)
        self._files: TaskID | None = None
        self._stage: TaskID | None = None
        self._doing: tuple[str, Path] | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        console.Voice.screen = self._bars.console
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        console.Voice.screen = None
        self._bars.stop()

    def listen(self, event: Event) -> None:
        """Moves the bars."""
        match event:
            case Started():
                if event.total > 1 and self._files is None:
                    self._files = self._bars.add_task("all files", total=event.total, measures="")
                if self._files is not None:
                    self._bars.update(self._files, completed=event.number - 1, measures=f"{event.number}/{event.total}")
            case Progress():
                self._move(event)
            case StageDone():
                self._clear()
            case Failed():
                self._clear()
                _complain(event)
            case Finished():
                self._clear()
                for line in describe(event.report):
                    console.say(line)
            case Note():
                console.say(note_line(event))

    def _move(self, event: Progress) -> None:
        if self._doing != (event.stage, event.path) or self._stage is None:
            self._clear()
            room = max(8, min(28, self._bars.console.width - 76))  # the measures need about 60, the verb 10
            label = f"{VERBS[event.stage]} {shortened(event.path.name, room)}"
            self._stage = self._bars.add_task(label, total=None, measures="")
            self._doing = (event.stage, event.path)
        total = None if event.frames_total is None else max(event.frames_total, event.frame)
        self._bars.update(self._stage, completed=event.frame, total=total, measures="  ".join(measures(event)))

    def _clear(self) -> None:
        if self._stage is not None:
            self._bars.remove_task(self._stage)
        self._stage = self._doing = None


def measures(event: Progress) -> list[str]:
    """Frames, rate, speed, time left and faces, in words; what is not known is left out."""
    total = "" if event.frames_total is None else f"/{event.frames_total}"
    parts = [f"{event.frame}{total} frames", f"{event.fps:.1f} fps"]
    if event.speed is not None:
        parts.append(f"{event.speed:.2f}x")
    if event.eta_seconds is not None:
        parts.append(f"{clock(event.eta_seconds)} left")
    return [*parts, f"{event.faces} faces"]


def stage_line(event: StageDone) -> str:
    """One stage, done."""
    return (
        f"{DONE[event.stage]} {event.path.name}: {event.frames} frames, {event.faces} faces in {clock(event.seconds)}"
    )


def note_line(event: Note) -> str:
    """A note with the file it is about."""
    return f"note: {event.path.name}: {event.message}" if event.path else f"note: {event.message}"


def shortened(name: str, width: int) -> str:
    """The name with its middle left out where it is longer than `width`; its end tells files of a series apart."""
    if len(name) <= width:
        return name
    head = (width - 1) // 3
    return f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"


def _complain(event: Failed) -> None:
    message = event.error.message
    if event.path.name not in message:
        message = f"{event.path}: {message}"
    console.complain(message, hint=event.error.hint, code=event.error.exit_code, where=str(event.path))
    console.trace(event.error)
