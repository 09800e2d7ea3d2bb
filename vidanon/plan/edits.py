"""Edits that outlive the tracks they were made on.

When tracks are written anew (other settings, a longer gap), their numbers may change. An edit therefore remembers
where its track was, and is applied again to the track that is there now. In comes an open database inside a
transaction, out go changed `tracks` and `edits` rows.
"""

from __future__ import annotations

import sqlite3
import unicodedata
from typing import Any

from vidanon.geometry import iou
from vidanon.plan.schema import SET
from vidanon.types import UNNAMED

SAME_FACE_IOU = 0.5
"""overlap at the anchor frame above which an old and a new track are the same face"""


def person_name(text: str) -> str | None:
    """A person's name as it is kept (Unicode NFC, single spaces); None for one that cannot be."""
    kept = unicodedata.normalize("NFC", " ".join(text.split()))
    return kept if kept and kept.isprintable() and not UNNAMED.fullmatch(kept) else None


def anchor_of(db: sqlite3.Connection, track: int) -> tuple[Any, ...] | None:
    """(first, last, anchor frame, x0, y0, x1, y1) of a track, its middle box as the anchor; None if there is none."""
    row: tuple[Any, ...] | None = db.execute(
        "SELECT t.first, t.last, o.frame, o.x0, o.y0, o.x1, o.y1 FROM tracks t "
        "JOIN observations o ON o.track = t.number AND o.frame = (t.first + t.last) / 2 WHERE t.number = ?",
        (track,),
    ).fetchone()
    return row


def replay(db: sqlite3.Connection) -> None:
    """Applies all edits, in order, to the tracks of now.

    `keep` shows a face, so it never reaches further than the frames a person has looked at: where the track of now
    is longer than the one of then, it is anonymized and the edit is marked as not applied.
    """
    edits = db.execute("SELECT id, kind, value, first, last, anchor, x0, y0, x1, y1 FROM edits ORDER BY id").fetchall()
    for number, kind, value, first, last, anchor, *box in edits:
        track = _track_at(db, anchor, box)
        if track is not None and value == "keep" and kind == "action":
            now = db.execute("SELECT first, last FROM tracks WHERE number = ?", (track,)).fetchone()
            if now[0] < first or now[1] > last:
                track = None
        if track is not None:
            db.execute(SET[kind], (value, track))
        db.execute("UPDATE edits SET applied = ? WHERE id = ?", (int(track is not None), number))


def _track_at(db: sqlite3.Connection, frame: int, box: list[float]) -> int | None:
    rows = db.execute("SELECT track, x0, y0, x1, y1 FROM observations WHERE frame = ?", (frame,)).fetchall()
    if not rows:
        return None
    overlaps = iou([row[1:] for row in rows], box)[:, 0]
    best = int(overlaps.argmax())
    return int(rows[best][0]) if overlaps[best] >= SAME_FACE_IOU else None
