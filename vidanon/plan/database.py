"""Opening a plan's SQLite file, and what its errors mean to a person."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from vidanon.errors import PlanError

RESCAN = "delete the plan and scan the clip again"


def connect(path: Path, mode: Literal["ro", "rw"]) -> sqlite3.Connection:
    """Opens a file that is there. Raises PlanError if that fails."""
    with own_errors(path):
        uri = f"{path.resolve().as_uri()}?mode={mode}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


@contextmanager
def own_errors(path: Path) -> Iterator[None]:
    """Turns what SQLite and a row that cannot be read raise into PlanError."""
    try:
        yield
    except (sqlite3.Error, ValueError) as e:
        raise plan_error(path, e) from e


def plan_error(path: Path, e: Exception) -> PlanError:
    """The PlanError that says what `e` means for the person who asked."""
    if isinstance(e, sqlite3.OperationalError):
        text = str(e)
        if "locked" in text or "busy" in text:
            return PlanError(f"{path}: another program is writing this plan", hint="wait for it, or close it")
        if "readonly" in text or "full" in text:
            return PlanError(f"{path}: the plan cannot be written: {text}", hint="check permissions and free space")
        if "I/O" in text or "unable to open" in text:
            return PlanError(
                f"{path}: the plan cannot be read or written: {text}", hint="check its folder, the disk and free space"
            )
    return PlanError(f"{path}: not a plan, or a damaged one: {e}", hint=RESCAN)


def is_cut_short(path: Path) -> bool:
    """Whether the file has fewer bytes than its header (https://sqlite.org/fileformat2.html#the_database_header) says.

    SQLite itself notices only when it gets to a page that is missing, and by then half a film may be rendered.
    """
    with path.open("rb") as file:
        head = file.read(32)
    page = int.from_bytes(head[16:18], "big")
    return path.stat().st_size < (65536 if page == 1 else page) * int.from_bytes(head[28:32], "big")
