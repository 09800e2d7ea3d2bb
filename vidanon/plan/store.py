"""Reading and writing a plan file.

In come scanned frames and settled tracks, out come the same, streamed: a two-hour clip is never in memory at once.
The tables are described in `schema`. A plan is used by one thread at a time.

    scanning --append*, finish_scan--> scanned --write_tracks--> settled --set_action, set_identity, write_tracks*-->
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from vidanon.errors import PlanError
from vidanon.files import claim
from vidanon.plan import schema
from vidanon.plan.check import missing
from vidanon.plan.database import RESCAN, connect, is_cut_short, own_errors, plan_error
from vidanon.plan.edits import anchor_of, person_name, replay
from vidanon.plan.schema import PLAN_SCHEMA, Edit, Header, State
from vidanon.types import SOURCES, Action, Carried, Observation, ScannedFace, ScannedFrame, Track


class Plan:
    """One plan file, open. A context manager; made by `create` or `open`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection
        self._header = self._read_header()

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        source_name: str,
        fingerprint: str,
        width: int,
        height: int,
        time_base: Fraction,
        settings_json: str,
    ) -> Plan:
        """A new, empty plan, mode 0600. Raises PlanError if the file exists or its folder cannot be written.

        It gets its name when it is whole: half of one, left by a killed process, would be in everybody's way.
        """
        unborn = path.with_name(f".{path.name}.new")
        try:
            unborn.unlink(missing_ok=True)
            os.close(os.open(unborn, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            with own_errors(path), closing(connect(unborn, "rw")) as db:
                db.executescript(
                    f"BEGIN; PRAGMA application_id = {schema.APPLICATION_ID}; PRAGMA user_version = {PLAN_SCHEMA};"
                    f"{schema.TABLES} COMMIT;"
                )
                row = (source_name, fingerprint, width, height, time_base.numerator, time_base.denominator)
                db.execute("INSERT INTO plan VALUES (1, ?, ?, ?, ?, ?, ?, ?, 'scanning', 0)", (*row, settings_json))
            claim(unborn, path)
        except FileExistsError:
            raise PlanError(f"{path}: there is a plan already", hint="open it to resume, or delete it") from None
        except OSError as e:
            raise PlanError(f"{path}: the plan cannot be written: {e.strerror}", hint="choose another folder") from e
        finally:
            with suppress(OSError):
                unborn.unlink(missing_ok=True)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Plan:
        """A plan that is there. Raises PlanError if it is missing, not a plan, of another schema, or damaged."""
        if not path.is_file():
            raise PlanError(f"{path}: no such plan", hint="scan the clip first")
        db = connect(path, "rw" if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) else "ro")
        try:
            _require_plan(path, db)
            return cls(path, db)
        except BaseException:
            db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; what was appended stays. Closing twice is fine."""
        self._db.close()

    @property
    def header(self) -> Header:
        """What the plan says about itself, as of now."""
        return self._header

    def require_source(self, fingerprint: str) -> None:
        """Raises PlanError unless the plan was made of the clip with this fingerprint."""
        if fingerprint != self._header.fingerprint:
            name = self._header.source_name
            raise PlanError(f"{self.path}: this plan was made of another file, {name}", hint=RESCAN)

    def require_settled(self) -> None:
        """Raises PlanError unless the tracks have been written, and every frame of every track is there."""
        if self._header.state != "settled":
            raise PlanError(
                f"{self.path}: the plan is unfinished ({self._header.state}, {self._header.frames} frames)",
                hint="run the scan to its end",
            )
        with own_errors(self.path):
            lack = missing(self._db)
        if lack is not None:
            raise PlanError(f"{self.path}: the plan is damaged or was edited by hand: {lack}", hint=RESCAN)

    def append(self, frames: Sequence[ScannedFrame]) -> None:
        """Adds frames in one transaction: all of them or none. Raises PlanError unless they continue the scan."""
        if self._header.state != "scanning":
            raise PlanError(f"{self.path}: the scan is complete, no frame can be added", hint=RESCAN)
        for expected, frame in enumerate(frames, self._header.frames):
            if frame.index != expected:
                raise PlanError(
                    f"{self.path}: frame {frame.index} does not continue the scan, frame {expected} is next",
                    hint="resume at the frame the header names",
                )
            schema.finite("change and camera", frame.index, frame.change, frame.change_skip, *frame.camera, *frame.turn)
        rows = [schema.face_row(frame.index, face) for frame in frames for face in frame.faces]
        carried = [
            schema.carried_row(frame.index, place, face.ahead, face.behind)
            for frame in frames
            for place, face in enumerate(frame.faces)
            if len(face.ahead) or len(face.behind)
        ]
        with self._transaction():
            self._db.executemany(
                "INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                ((f.index, f.pts, f.change, f.change_skip, *map(float, (*f.camera, *f.turn))) for f in frames),
            )
            self._db.executemany(schema.INSERT_FACE, rows)
            self._db.executemany(schema.INSERT_CARRIED, carried)
            self._db.execute("UPDATE plan SET frames = frames + ?", (len(frames),))

    def carry(self, carried: Sequence[Carried]) -> None:
        """Writes down where faces are carried, of frames added before or not. Raises PlanError as `append`."""
        if self._header.state != "scanning":
            raise PlanError(f"{self.path}: the scan is complete, nothing can be added", hint=RESCAN)
        rows = [schema.carried_row(c.frame, c.place, c.ahead, c.behind) for c in carried]
        with self._transaction():
            self._db.executemany(schema.INSERT_CARRIED, rows)

    def finish_scan(self) -> None:
        """Says that the clip has no more frames. Raises PlanError if that has been said before."""
        if self._header.state != "scanning":
            raise PlanError(f"{self.path}: the scan was finished before", hint=RESCAN)
        with self._transaction():
            self._db.execute("UPDATE plan SET state = 'scanned'")

    def scanned(self, start: int = 0) -> Iterator[ScannedFrame]:
        """What the scan wrote, from frame `start` on, streamed in order."""
        faces, carried = self._query(schema.SELECT_FACES, start), self._query(schema.SELECT_CARRIED, start)
        face, also = next(faces, None), next(carried, None)
        for index, pts, change, skip, x, y, zoom, roll in self._query(
            "SELECT * FROM frames WHERE idx >= ? ORDER BY idx", start
        ):
            found: list[ScannedFace] = []
            while face is not None and face[0] == index:
                with own_errors(self.path):
                    one = schema.face_of(face)
                    if also is not None and tuple(also[:2]) == (index, len(found)):
                        one = replace(one, ahead=schema.boxes_of(also[2]), behind=schema.boxes_of(also[3]))
                        also = next(carried, None)
                found.append(one)
                face = next(faces, None)
            yield ScannedFrame(index, pts, tuple(found), change, skip, (x, y), (zoom, roll))

    def frame_times(self) -> Generator[tuple[int, int]]:
        """(index, pts) of every scanned frame, in order."""
        rows = self._query("SELECT idx, pts FROM frames ORDER BY idx")
        yield from cast("Iterator[tuple[int, int]]", rows)

    def interval(self) -> float:
        """Seconds from frame to frame, on average; 0 of a still."""
        ((first, last, frames),) = self._query("SELECT min(pts), max(pts), count(*) FROM frames")
        return float((last - first) * self.header.time_base / (frames - 1)) if frames > 1 else 0.0

    def write_tracks(self, items: Iterable[tuple[Track, Sequence[Observation]]]) -> None:
        """Replaces all tracks and observations in one transaction and applies the edits again.

        A long track may come in pieces: the same number again, continuing where its last piece ended. Raises
        PlanError if the scan is unfinished, ValueError if a track's observations leave out a frame: a hole would be
        a naked face.
        """
        if self._header.state == "scanning":
            raise PlanError(f"{self.path}: the scan is unfinished", hint="run the scan to its end")
        with self._transaction():
            self._db.execute("DELETE FROM observations")
            self._db.execute("DELETE FROM tracks")
            # Rows come track by track, the index runs frame by frame: building it once at the end is faster.
            self._db.execute("DROP INDEX observations_by_frame")
            for track, observations in items:
                self._write_track(track, observations)
            self._db.execute("CREATE UNIQUE INDEX observations_by_frame ON observations (frame, track)")
            replay(self._db)
            self._db.execute("UPDATE plan SET state = 'settled'")

    def _write_track(self, track: Track, observations: Sequence[Observation]) -> None:
        for expected, item in enumerate(observations, track.first):
            if item.track != track.number or item.frame != expected:
                raise ValueError(
                    f"track {track.number} wants frame {expected}, got track {item.track}, frame {item.frame}"
                )
        if not 0 <= track.first <= track.last < self._header.frames or track.last != observations[-1].frame:
            raise ValueError(
                f"track {track.number} says frames {track.first} to {track.last}, has {len(observations)} "
                f"observations, in a clip of {self._header.frames} frames"
            )
        known = self._db.execute("SELECT last FROM tracks WHERE number = ?", (track.number,)).fetchone()
        if known is None:
            row = (track.number, track.first, track.last, track.identity, track.action)
            self._db.execute("INSERT INTO tracks VALUES (?, ?, ?, ?, ?)", row)
        elif known[0] + 1 == track.first:
            self._db.execute("UPDATE tracks SET last = ? WHERE number = ?", (track.last, track.number))
        else:
            raise ValueError(f"track {track.number} ended at frame {known[0]}, its next piece begins at {track.first}")
        self._db.executemany(schema.INSERT_OBSERVATION, map(schema.observation_row, observations))

    def tracks(self) -> list[Track]:
        """All tracks, by number."""
        return [Track(*row) for row in self._query("SELECT * FROM tracks ORDER BY number")]

    def observations(self, start: int = 0, stop: int | None = None) -> Generator[tuple[int, list[Observation]]]:
        """(frame, its observations by track) for start <= frame < stop, streamed; frames without one are left out."""
        group: list[Observation] = []
        stop = self._header.frames if stop is None else stop
        with closing(self._query(schema.SELECT_OBSERVATIONS, start, stop)) as rows:
            for row in rows:
                with own_errors(self.path):
                    item = schema.observation_of(row)
                if group and group[0].frame != item.frame:
                    yield group[0].frame, group
                    group = []
                group.append(item)
        if group:
            yield group[0].frame, group

    def planned(self, start: int = 0) -> Generator[tuple[int, int, list[Observation]]]:
        """(index, pts, observations) of every frame from `start` on, streamed; without a face the list is empty."""
        with closing(self.observations(start)) as groups, closing(self.frame_times()) as times:
            group = next(groups, None)
            for index, pts in times:
                if index < start:
                    continue
                if group is not None and group[0] == index:
                    yield index, pts, group[1]
                    group = next(groups, None)
                else:
                    yield index, pts, []

    def seen_spans(self) -> dict[int, tuple[int, int]]:
        """First and last frame of every track in which the detector saw it, or between which it did."""
        sql = "SELECT track, min(frame), max(frame) FROM observations WHERE source IN (?, ?, ?) GROUP BY track"
        seen = [SOURCES.index(source) for source in ("detected", "weak", "edited")]
        return {track: (first, last) for track, first, last in self._query(sql, *seen)}

    def guessed_runs(self) -> dict[int, list[tuple[int, int]]]:
        """First and last frame of every run in which neither detector nor flow saw a track, in order."""
        sql = (
            "SELECT track, min(frame), max(frame) FROM (SELECT track, frame, frame - row_number() OVER"
            " (PARTITION BY track ORDER BY frame) AS run FROM observations WHERE source IN (?, ?))"
            " GROUP BY track, run ORDER BY track, min(frame)"
        )
        runs: dict[int, list[tuple[int, int]]] = {}
        for track, first, last in self._query(sql, *(SOURCES.index(source) for source in ("interpolated", "hidden"))):
            runs.setdefault(track, []).append((first, last))
        return runs

    def set_action(self, track: int, action: Action) -> None:
        """Decides what the renderer does with a track. Raises PlanError if there is no such track."""
        self._edit(track, "action", action)

    def set_identity(self, track: int, name: str) -> None:
        """Decides whose face a track gets: two tracks with one name get one. Raises PlanError as `set_action`."""
        if not name.strip():
            raise PlanError(f"{self.path}: an identity wants a name", hint="give one that is not empty")
        self._edit(track, "identity", name)

    def set_name(self, track: int, name: str) -> str:
        """Says who a track is, and returns the name as it is kept: with one key, a name is one face in every clip.

        Names that look alike are alike (Unicode NFC, no spaces around). Raises PlanError as `set_identity`, and for a
        name that only means something within one clip, such as "track-3".
        """
        kept = person_name(name)
        if kept is None:
            raise PlanError(f"{self.path}: {name!r} cannot be a person's name", hint="give another, such as anna")
        self.set_identity(track, kept)
        return kept

    def _edit(self, track: int, kind: str, value: str) -> None:
        self.require_settled()
        with self._transaction():
            anchor = anchor_of(self._db, track)
            if anchor is None:
                raise PlanError(f"{self.path}: there is no track {track}", hint="plan show lists them")
            self._db.execute(schema.SET[kind], (value, track))
            self._db.execute(
                "INSERT INTO edits (track, kind, value, applied, first, last, anchor, x0, y0, x1, y1) "
                "VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?)",
                (track, kind, value, *anchor),
            )

    def edits(self) -> list[Edit]:
        """What a person decided, in order."""
        rows = self._query("SELECT track, kind, value, applied FROM edits ORDER BY id")
        return [Edit(track, kind, value, bool(applied)) for track, kind, value, applied in rows]

    def query(self, sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Rows of a reading statement over the tables of `schema`. Raises PlanError if the file is damaged."""
        return self._query(sql, *values)

    def _query(self, sql: str, *values: Any) -> Generator[tuple[Any, ...]]:
        with own_errors(self.path):
            yield from self._db.execute(sql, values)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with own_errors(self.path):
            self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            with own_errors(self.path):
                self._db.execute("COMMIT")
        except BaseException as e:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(e, sqlite3.Error):
                raise plan_error(self.path, e) from e
            raise
        self._header = self._read_header()

    def _read_header(self) -> Header:
        row = next(self._query("SELECT * FROM plan"), None)
        last = next(self._query("SELECT max(idx) FROM frames"), (None,))[0]
        if row is None or (-1 if last is None else last) + 1 != row[9]:
            raise PlanError(f"{self.path}: the plan is damaged, frames are missing", hint=RESCAN)
        _, name, fingerprint, width, height, num, den, settings, state, frames = row
        base = Fraction(num, den)
        return Header(PLAN_SCHEMA, name, fingerprint, width, height, base, settings, cast("State", state), frames)


def _require_plan(path: Path, db: sqlite3.Connection) -> None:
    with own_errors(path):
        kind = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
    if kind != schema.APPLICATION_ID:
        raise PlanError(f"{path}: not a plan", hint="a plan is made by scanning a clip")
    if version != PLAN_SCHEMA:
        raise PlanError(f"{path}: plan schema {version}, this vidanon reads {PLAN_SCHEMA}", hint=RESCAN)
    if is_cut_short(path):
        raise PlanError(f"{path}: the plan is damaged, its end is missing", hint=RESCAN)
