"""The one owner of stderr, of what stdout looks like, and of the exit codes.

In come errors and lines to say; out go one-line messages and the process's exit code (`vidanon.errors` lists them).
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from vidanon.errors import UsageError, VidanonError

INTERRUPTED = 130
"""Ctrl-C, as shells count it: 128 + SIGINT"""
BROKEN_PIPE = 141
"""who read our stdout went away: 128 + SIGPIPE"""
TERMINATED = 143
"""asked to end by SIGTERM: 128 + SIGTERM"""

DEBUG_VARIABLE = "VIDANON_DEBUG"


class Stopped(Exception):  # noqa: N818  (not an error: somebody wanted it)
    """The work was stopped from outside. Args: `code`, the exit code; `message`, a line, or None to say nothing."""

    def __init__(self, code: int, message: str | None = None) -> None:
        super().__init__(message or "")
        self.code = code
        self.message = message


class Terminate(KeyboardInterrupt):
    """SIGTERM, made to unwind the stack as Ctrl-C does, so that no partial output stays behind."""


class Voice:
    """How stderr is spoken to at this moment."""

    json = False
    """True once `--progress json` asked for JSON lines"""
    screen: Console | None = None
    """the console that draws bars, while one does: lines must go through it to appear above them"""


def console() -> Console:
    """Rich on stderr."""
    return Voice.screen or Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str) -> None:
    """One line for a person, on stderr."""
    console().print(Text(line))


def say_json(document: dict[str, object]) -> None:
    """One JSON line on stderr, written at once."""
    sys.stderr.write(msgspec.json.encode(document, enc_hook=str).decode() + "\n")
    sys.stderr.flush()


def put(text: str) -> None:
    """A line of data on stdout."""
    sys.stdout.write(text + "\n")


def put_json(document: object) -> None:
    """A JSON document on stdout, indented."""
    put(msgspec.json.format(msgspec.json.encode(document, enc_hook=str), indent=2).decode())


def put_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Aligned columns on stdout, the same on a terminal and in a pipe; numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(head), *(len(row[i]) for row in cells)]) for i, head in enumerate(headers)]
    right = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(headers))]
    for row in [list(headers), *cells]:
        aligned = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(row, widths, right, strict=True)
        ]
        put("  ".join(aligned).rstrip())


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def complain(message: str, *, hint: str | None = None, code: int = 1, where: str | None = None) -> None:
    """`error: ...` and `hint: ...`, one line each, on stderr."""
    message = " ".join(message.split())
    if Voice.json:
        say_json({"event": "error", "path": where, "message": message, "hint": hint, "exit_code": code})
        return
    screen = console()
    screen.print(Text.assemble(("error: ", "bold red"), message))
    if hint:
        screen.print(Text.assemble(("hint: ", "bold"), " ".join(hint.split())))


def guard(work: Callable[[], Any]) -> int:
    """Runs `work` and returns the exit code, saying why where it is not 0.

    Returns what an int-valued `work` returned, so that typer's own exits come through.
    """
    _on_sigterm()
    _hear_warnings()
    try:
        code = work()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except Stopped as stop:
        return _said(stop)
    except (KeyboardInterrupt, BrokenPipeError) as e:
        return _said(_stopped(e))
    except VidanonError as e:
        complain(e.message, hint=e.hint, code=e.exit_code)
        trace(e)
        return e.exit_code
    except typer.TyperException as e:
        return _usage(e)
    except Exception as e:  # noqa: BLE001  (the last door: nobody wants a traceback unless they asked for it)
        hint = f"this is a fault of vidanon; {DEBUG_VARIABLE}=1 shows where it happened"
        complain(f"{type(e).__name__}: {e}" if str(e) else type(e).__name__, hint=hint)
        trace(e)
        return 1


@contextlib.contextmanager
def stoppable(message: str | None = None) -> Iterator[None]:
    """Turns Ctrl-C, SIGTERM and a closed pipe into `Stopped` before typer eats them. `message`: what was saved."""
    try:
        yield
    except (KeyboardInterrupt, BrokenPipeError) as e:
        raise _stopped(e, message) from e


def _stopped(e: BaseException, message: str | None = None) -> Stopped:
    if isinstance(e, BrokenPipeError):
        # Python flushes stdout once more at exit; there must be somewhere for it to go.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Stopped(BROKEN_PIPE)
    verb, code = ("terminated", TERMINATED) if isinstance(e, Terminate) else ("interrupted", INTERRUPTED)
    return Stopped(code, f"{verb}; {message}" if message else verb)


def _said(stop: Stopped) -> int:
    if stop.message and Voice.json:
        say_json({"event": "stopped", "message": stop.message, "exit_code": stop.code})
    elif stop.message:
        say(stop.message)
    return stop.code


def _on_sigterm() -> None:
    def terminate(*_: object) -> None:
        raise Terminate

    with contextlib.suppress(ValueError):  # not in the main thread: whoever embeds us handles signals
        signal.signal(signal.SIGTERM, terminate)


class _Warnings(logging.Handler):
    """What a room logs as a warning, as a line on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Says the record."""
        line = " ".join(record.getMessage().split())
        if Voice.json:
            say_json({"event": "warning", "message": line})
        else:
            console().print(Text.assemble(("warning: ", "bold yellow"), line))


def _hear_warnings() -> None:
    log = logging.getLogger("vidanon")
    if not any(isinstance(handler, _Warnings) for handler in log.handlers):
        log.addHandler(_Warnings(logging.WARNING))


def _usage(e: typer.TyperException) -> int:
    context = getattr(e, "ctx", None)
    if type(e).__name__ == "NoArgsIsHelpError":  # its help has been printed already
        return e.exit_code
    command = context.command_path if context is not None else "vidanon"
    message = e.format_message()
    if getattr(e, "possibilities", None):
        message = message.split(" (Possible")[0]
    # Typer compares with the dashes, which makes --foo look like --crf.
    bare = {name.strip("-"): name for name in getattr(e, "possibilities", None) or ()}
    possible = [bare[near] for near in difflib.get_close_matches(getattr(e, "option_name", "").strip("-"), bare)]
    hint = f"did you mean {' or '.join(sorted(possible))}? " if possible else ""
    complain(message, hint=f"{hint}`{command} --help` lists what there is", code=UsageError.exit_code)
    return UsageError.exit_code


def trace(error: BaseException) -> None:
    """Where an error happened, for those who asked by VIDANON_DEBUG."""
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
