"""What runs leave in output folders: half-done work of killed ones, parts of older versions, plans and keys.

In: folders. Out: `Leftover`s; `remove` takes one away unless somebody is using it. A plan is recognized by its
contents, a key and an old part by the plan beside them, so that nobody else's files are touched.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vidanon.errors import InputError, OutputError
from vidanon.media.formats import MEDIA_SUFFIXES
from vidanon.media.work import JOURNAL_SUFFIX, WORK_SUFFIX, is_live, read_note, remove_work_folder
from vidanon.plan.schema import APPLICATION_ID, KEY_SUFFIX, PLAN_SUFFIX

Kind = Literal["work", "part", "plan", "key"]
_PART_SUFFIX = ".part"


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something a run has left beside its output."""

    path: Path
    """the file, or the work folder"""
    kind: Kind
    """a work folder, a `.part` of an older version, a plan, or a key"""
    size: int
    """bytes, all files of a folder together"""
    modified: float
    """when it was last written to, seconds since the epoch"""
    source: str | None
    """the clip it was made of, as far as that is known: a path, or a plan's note of the file name"""
    frames: int
    """frames that the same command need not paint again (work) or scan again (plan)"""
    live: bool
    """whether somebody is using it at this moment"""


def find(folders: Sequence[Path], *, plans: bool = False) -> list[Leftover]:
    """Everything left in the folders and below them, links not followed; plans and keys only if asked for.

    Raises InputError for a folder that is not there.
    """
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder", hint="name the folder of an output")
    in_use = _open_files()
    found: dict[Path, Leftover] = {}
    for folder in folders:
        for path in _candidates(folder):
            one = _looked_at(path, in_use)
            if one is not None and (plans or one.kind in ("work", "part")):
                found.setdefault(path.resolve(), one)
    return [found[place] for place in sorted(found)]


def remove(left: Leftover) -> bool:
    """Remove it; False if somebody has begun to use it. Raises OutputError where that fails."""
    try:
        if left.kind == "work":
            return remove_work_folder(left.path)
        if _used(left.path, _open_files()):
            return False
        left.path.unlink(missing_ok=True)
        return True
    except OSError as error:
        raise OutputError(f"{left.path}: cannot be removed: {error.strerror}", hint="check its permissions") from error


def _candidates(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        for name in list(folders):
            if name.startswith(".") and name.endswith(WORK_SUFFIX):
                folders.remove(name)
                yield Path(parent, name)
        for name in files:
            if name.endswith((_PART_SUFFIX, PLAN_SUFFIX, PLAN_SUFFIX + KEY_SUFFIX)):
                yield Path(parent, name)


def _looked_at(path: Path, in_use: frozenset[tuple[int, int]]) -> Leftover | None:
    try:
        if path.name.endswith(WORK_SUFFIX):
            return _work(path)
        if not path.is_file() or path.is_symlink():
            return None
        state = path.stat()
        kind: Kind = "part"
        plan = path
        if path.name.endswith(PLAN_SUFFIX):
            kind = "plan"
        elif path.name.endswith(KEY_SUFFIX):
            kind, plan = "key", path.with_name(path.name.removesuffix(KEY_SUFFIX))
        else:
            # Browsers call their downloads so too; ours lies beside the plan of its output.
            target = path.with_name(path.name.removesuffix(_PART_SUFFIX))
            if target.suffix.lower() not in MEDIA_SUFFIXES:
                return None
            plan = target.with_name(target.name + PLAN_SUFFIX)
        said = _plan(plan)
        if said is None:
            return None
        source, frames = said
        frames = frames if kind == "plan" else 0
        return Leftover(path, kind, state.st_size, state.st_mtime, source, frames, _used(path, in_use))
    except FileNotFoundError:
        return None  # a run has just finished with it


def _work(folder: Path) -> Leftover | None:
    if folder.is_symlink():
        return None
    files = [path for path in folder.rglob("*") if not path.is_dir()]
    states = [path.lstat() for path in files]
    note = read_note(folder)
    return Leftover(
        path=folder,
        kind="work",
        size=sum(state.st_size for state in states),
        modified=max([folder.stat().st_mtime, *(state.st_mtime for state in states)]),
        source=note.source if note else None,
        frames=sum(_frames(path) for path in files if path.name.endswith(JOURNAL_SUFFIX)),
        live=is_live(folder),
    )


def _frames(journal: Path) -> int:
    (frames,) = _row(journal, "SELECT coalesce(sum(frames), 0) FROM segments", 0)
    return int(frames)


def _plan(path: Path) -> tuple[str, int] | None:
    """Clip and scanned frames of a plan; None if it is none."""
    try:
        with path.open("rb") as file:
            # where SQLite keeps what PRAGMA application_id says: no other program's file is opened as a database
            if file.read(72)[68:] != APPLICATION_ID.to_bytes(4, "big"):
                return None
    except OSError:
        return None
    name, frames = _row(path, "SELECT source_name, frames FROM plan", "?", 0)
    return str(name), int(frames)


def _row(path: Path, sql: str, *default: Any) -> tuple[Any, ...]:
    """The first row of a reading statement, `default` if there is none.

    Opened for writing, so that the transaction a killed run was in is rolled back, as the next run would do.
    """
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as db:
        row: tuple[Any, ...] | None = db.execute(sql).fetchone()
        return row or default
    return default


def _used(path: Path, in_use: frozenset[tuple[int, int]]) -> bool:
    state = path.stat()
    return (state.st_dev, state.st_ino) in in_use


def _open_files() -> frozenset[tuple[int, int]]:
    """(device, inode) of the files that processes we may look into have open; none where there is no /proc."""
    found = set()
    with suppress(OSError):
        for handle in Path("/proc").glob("[0-9]*/fd/*"):
            with suppress(OSError):
                state = handle.stat()
                found.add((state.st_dev, state.st_ino))
    return frozenset(found)
