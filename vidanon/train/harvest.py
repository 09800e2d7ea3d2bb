"""What was found in each photo, on disk: what a build of a face set goes on from after a Ctrl-C or a crash.

One SQLite file, one row a photo, one transaction each: whatever ends the process, the photos before the last are there.
Photos are known by their content, so renaming them, or adding more, costs nothing again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from vidanon.errors import OutputError
from vidanon.train.crops import Face

_TABLES = """
CREATE TABLE IF NOT EXISTS harvest (one INTEGER PRIMARY KEY CHECK (one = 1), identity TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS photos (sha256 TEXT PRIMARY KEY, found BLOB NOT NULL);
"""


class Found(msgspec.Struct, frozen=True):
    """One photo's yield."""

    faces: list[Face]
    """every face in it, kept and refused"""
    unreadable: str = ""
    """why it could not be read, "" if it could"""


class Harvest:
    """The file at `path`, kept if it was made with the same `identity`, else begun anew.

    `target` is what it is for, to be named in errors. Raises OutputError where it cannot be written.
    """

    def __init__(self, path: Path, *, identity: str, target: Path) -> None:
        self._target = target
        with self._own_errors():
            self._db = self._opened(path)
            kept = self._db.execute("SELECT identity FROM harvest").fetchone()
            if kept != (identity,):
                self._db.execute("BEGIN")
                self._db.execute("DELETE FROM photos")
                self._db.execute("INSERT OR REPLACE INTO harvest VALUES (1, ?)", (identity,))
                self._db.execute("COMMIT")

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def photos(self) -> set[str]:
        """sha256 of every photo in it."""
        with self._own_errors():
            return {sha for (sha,) in self._db.execute("SELECT sha256 FROM photos")}

    def add(self, sha256: str, found: Found) -> None:
        """Notes what a photo yields, durably."""
        with self._own_errors():
            row = (sha256, msgspec.msgpack.encode(found))
            self._db.execute("INSERT OR REPLACE INTO photos VALUES (?, ?)", row)

    def get(self, sha256: str) -> Found:
        """What a photo yields. Raises KeyError for one that is not in it."""
        with self._own_errors():
            row = self._db.execute("SELECT found FROM photos WHERE sha256 = ?", (sha256,)).fetchone()
        if row is None:
            raise KeyError(sha256)
        return msgspec.msgpack.decode(row[0], type=Found)

    def _opened(self, path: Path) -> sqlite3.Connection:
        try:
            return _connected(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            path.unlink()  # no database any more: a crash of the machine, not ours
            return _connected(path)

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            hint = "free some space, or write to another disk" if "full" in str(error) else "check disk and permissions"
            raise OutputError(f"{self._target}: cannot be written: {error}", hint=hint) from error


def _connected(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = TRUNCATE")
        db.execute("PRAGMA synchronous = NORMAL")
        db.executescript(_TABLES)
    except BaseException:
        db.close()
        raise
    return db
