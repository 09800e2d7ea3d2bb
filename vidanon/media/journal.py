"""Encoded frames on disk, in segments: what a killed render goes on from, and what the muxer reads.

In: packets of one encoder after the other, each run a closed segment that begins with a key frame. Out: the same
packets in order, with the times of their frames. One SQLite file (application_id `VANJ`), one transaction a segment,
so that whatever kills the process, the segments before the last one are there and the last one is whole or absent:

    journal    one row: identity, complete (no more frames will come)
    segments   number, frames, delay (most places a packet lies behind its frame's place), times (int64 pts and
               duration of every frame), tally (JSON), sha256 (of the segment: times and packets)
    packets    id, segment, display (place of its frame in the segment), key, data, alpha (VP8's and VP9's second
               bitstream, or NULL)

Memory does not grow with the length of a segment: packets go to the file one by one.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from vidanon.errors import OutputError

APPLICATION_ID = int.from_bytes(b"VANJ", "big")
JOURNAL_SCHEMA = 1
_PAGE_BYTES = 8192
_TABLES = """
CREATE TABLE journal (one INTEGER PRIMARY KEY CHECK (one = 1), identity TEXT NOT NULL, complete INTEGER NOT NULL);
CREATE TABLE segments (
    number INTEGER PRIMARY KEY, frames INTEGER NOT NULL, delay INTEGER NOT NULL, times BLOB NOT NULL,
    tally TEXT NOT NULL, sha256 BLOB NOT NULL);
CREATE TABLE packets (
    id INTEGER PRIMARY KEY, segment INTEGER NOT NULL, display INTEGER NOT NULL, key INTEGER NOT NULL,
    data BLOB NOT NULL, alpha BLOB);
CREATE INDEX packets_by_segment ON packets (segment);
"""


@dataclass(frozen=True, slots=True)
class CodedPacket:
    """One encoded picture."""

    display: int
    """place of its frame among those of the segment, from 0"""
    key: bool
    """can be decoded by itself"""
    data: bytes
    """the bitstream"""
    alpha: bytes | None = None
    """a second bitstream that carries the alpha plane (VP8, VP9)"""


@dataclass(frozen=True, slots=True)
class Segment:
    """A closed run of frames."""

    frames: int
    """how many"""
    times: Sequence[tuple[int, int]]
    """pts and duration of each frame, units of the clip's time base"""
    packets: Iterator[CodedPacket]
    """in decoding order; to be used up before the next segment is asked for"""


class Journal:
    """The journal at `path`, opened to go on if it is one of the same `identity`, else begun anew.

    Segments that do not fit their checksum, and all after them, are dropped on the way in. Used by one thread at a
    time. Raises OutputError where it cannot be written.
    """

    def __init__(self, path: Path, *, identity: str, target: Path) -> None:
        self._path = path
        self._target = target
        self._digest = hashlib.sha256()
        self._segments = self._delay = self._packets = 0
        self.frames_done = 0
        """frames in finished segments"""
        self.complete = False
        """whether those are all frames of the output"""
        self.delay = 0
        """most places that a packet lies behind the place of its frame, over all segments"""
        self.tally: Counter[str] = Counter()
        """sums of what `commit` was told"""
        self._rows: sqlite3.Cursor | None = None
        self._db = self._opened(identity)
        try:
            self._take_over()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file; an open segment is forgotten. Closing twice is fine."""
        with suppress(sqlite3.Error):
            # A reader that stopped halfway may live on in somebody's traceback, and would keep the file locked.
            if self._rows is not None:
                self._rows.close()
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        self._db.close()

    def add(self, packet: CodedPacket) -> None:
        """The next packet of the open segment; the first one opens it."""
        with self._own_errors():
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
                self._digest = hashlib.sha256()
                self._delay = self._packets = 0
            row = (self._segments, packet.display, packet.key, packet.data, packet.alpha)
            self._db.execute("INSERT INTO packets (segment, display, key, data, alpha) VALUES (?, ?, ?, ?, ?)", row)
        _update(self._digest, packet)
        self._delay = max(self._delay, self._packets - packet.display)
        self._packets += 1

    def commit(self, times: Sequence[tuple[int, int]], *, tally: Mapping[str, int], last: bool = False) -> None:
        """Close the segment, durably; `times` are (pts, duration) of its frames, `last` if no other will follow.

        Without frames it only notes that all have come. Raises OutputError, also unless each frame has its packet.
        """
        if self._packets != len(times):
            raise OutputError(
                f"{self._target}: the encoder made {self._packets} packets of {len(times)} frames",
                hint="choose another encoder, or leave its options out",
            )
        with self._own_errors():
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            if times:
                blob = array("q", [value for pair in times for value in pair]).tobytes()
                self._digest.update(blob)
                text = msgspec.json.encode(dict(tally), order="sorted").decode()
                row = (self._segments, len(times), self._delay, blob, text, self._digest.digest())
                self._db.execute("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?)", row)
            if last:
                self._db.execute("UPDATE journal SET complete = 1")
            self._db.execute("COMMIT")
        self._count(len(times), self._delay, tally)
        self.complete = last
        self._packets = 0

    def times(self) -> tuple[int, int]:
        """pts of the first frame, and when the last one ends, units of the clip's time base. One frame is there."""
        with self._own_errors():
            first = self._db.execute("SELECT times FROM segments ORDER BY number LIMIT 1").fetchone()[0]
            last = self._db.execute("SELECT times FROM segments ORDER BY number DESC LIMIT 1").fetchone()[0]
        pts, duration = array("q", last)[-2:]
        return array("q", first)[0], pts + duration

    def segments(self) -> Iterator[Segment]:
        """All segments in order; reading the packets of a damaged one raises OutputError."""
        return map(self._segment, range(self._segments))

    def _segment(self, number: int) -> Segment:
        times, checksum = self._one("SELECT times, sha256 FROM segments WHERE number = ?", number)
        values = array("q", times)
        pairs = list(zip(values[::2], values[1::2], strict=True))
        return Segment(len(pairs), pairs, self._read(number, times, checksum))

    def _read(self, number: int, times: bytes, checksum: bytes) -> Iterator[CodedPacket]:
        digest = hashlib.sha256()
        with self._own_errors():
            self._rows = self._db.execute(
                "SELECT display, key, data, alpha FROM packets WHERE segment = ? ORDER BY id", (number,)
            )
            for display, key, data, alpha in self._rows:
                packet = CodedPacket(display, bool(key), data, alpha)
                _update(digest, packet)
                yield packet
        digest.update(times)
        if digest.digest() != checksum:
            raise OutputError(f"{self._target}: segment {number} of its work folder is damaged", hint="run it again")

    def _opened(self, identity: str) -> sqlite3.Connection:
        if self._path.exists():
            db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            try:
                kind, version = (
                    db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
                )
                if (kind, version) == (APPLICATION_ID, JOURNAL_SCHEMA):
                    row = db.execute("SELECT identity FROM journal").fetchone()
                    if row == (identity,):
                        return self._safe(db)
            except sqlite3.DatabaseError:
                pass  # whatever lies there, it is not a journal to go on from
            db.close()
        with self._own_errors():
            return self._created(identity)

    def _created(self, identity: str) -> sqlite3.Connection:
        try:
            for path in (self._path, self._path.with_name(self._path.name + "-journal")):
                path.unlink(missing_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except OSError as error:
            raise OutputError(f"{self._target}: its work folder cannot be written: {error.strerror}") from error
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            db.executescript(
                f"BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {JOURNAL_SCHEMA}; {_TABLES}"
            )
            db.execute("INSERT INTO journal VALUES (1, ?, 0)", (identity,))
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        return self._safe(db)

    @staticmethod
    def _safe(db: sqlite3.Connection) -> sqlite3.Connection:
        db.execute("PRAGMA synchronous = FULL")
        return db

    def _take_over(self) -> None:
        """Counts what is there, as far as it is sound, and drops the rest."""
        with self._own_errors():
            known = self._db.execute("SELECT frames, delay, tally FROM segments ORDER BY number").fetchall()
            complete = bool(self._db.execute("SELECT complete FROM journal").fetchone()[0])
        sound = next((n for n in range(len(known)) if not self._is_sound(n)), len(known))
        with self._own_errors():
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM packets WHERE segment >= ?", (sound,))
            self._db.execute("DELETE FROM segments WHERE number >= ?", (sound,))
            self.complete = complete and sound == len(known)
            self._db.execute("UPDATE journal SET complete = ?", (self.complete,))
            self._db.execute("COMMIT")
        for frames, delay, tally in known[:sound]:
            self._count(frames, delay, msgspec.json.decode(tally, type=dict[str, int]))

    def _is_sound(self, number: int) -> bool:
        try:
            for _ in self._segment(number).packets:
                pass
        except (OutputError, ValueError, TypeError):
            return False
        return True

    def _count(self, frames: int, delay: int, tally: Mapping[str, int]) -> None:
        self.frames_done += frames
        self._segments += 1 if frames else 0
        self.delay = max(self.delay, delay)
        self.tally.update(tally)

    def _one(self, sql: str, *values: Any) -> tuple[Any, ...]:
        with self._own_errors():
            row: tuple[Any, ...] | None = self._db.execute(sql, values).fetchone()
        if row is None:
            raise OutputError(f"{self._target}: its work folder is damaged", hint="run it again")
        return row

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OutputError(
                f"{self._target}: cannot be written: its work folder says {error}",
                hint="free some space, check the disk, and run it again",
            ) from error


def _update(digest: Any, packet: CodedPacket) -> None:
    alpha = packet.alpha or b""
    digest.update(b"%d %d %d %d\n" % (packet.display, packet.key, len(packet.data), len(alpha)))
    digest.update(packet.data)
    digest.update(alpha)
