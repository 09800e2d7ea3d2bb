"""The plan file, version 4: tables, and how a face becomes a row.

A plan is one SQLite 3 file (application_id `VANP`, user_version = schema version), readable with any SQLite tool:

    plan          one row: source_name, fingerprint, width, height, time_base_num, time_base_den,
                  settings (JSON), state (scanning, scanned, settled), frames (scanned so far)
    frames        idx (0-based), pts, change, change_skip, camera_x, camera_y (px to the next frame),
                  turn_x, turn_y (zoom and roll of the background to the next frame)
    faces         what the scan saw, best first within a frame: frame, x0, y0, x1, y1, score,
                  flow_x, flow_y (px to the next frame), points (blob: 30 x (x, y), then 30 confidences, then
                  30 x (x, y) px to the next frame)
    carried       where optical flow takes a face that the detector misses: frame, place (of the face in its frame, 0
                  the best), ahead, behind (blobs: boxes x0, y0, x1, y1 in the frames after, and before)
    tracks        number, first, last, identity, action (anonymize, keep)
    observations  what will be painted: track, frame, x0, y0, x1, y1, score,
                  source (index into SOURCES), points (blob: 30 x (x, y))
    edits         what a person decided, in order: track, kind (action, identity), value, applied, and the track as
                  it was then: first, last, and one of its boxes (anchor, x0, y0, x1, y1)

Coordinates are px of the upright picture. A blob holds little-endian float32 in the order of FACE_POINTS, NaN where a
point is unknown. Boxes are float32 as well, so what is read equals what was written, bit for bit; SQLite has no NaN
outside blobs, so every other number must be finite. Faces as pixels or as recognition vectors are never written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from vidanon.types import N_FACE_POINTS, SOURCES, FloatArray, Observation, ScannedFace

PLAN_SCHEMA = 4
PLAN_SUFFIX = ".vidanon"
"""of the plan beside an output, after the output's own name"""
KEY_SUFFIX = ".key"
"""of the key beside a plan, after the plan's own name"""
State = Literal["scanning", "scanned", "settled"]

APPLICATION_ID = int.from_bytes(b"VANP", "big")

TABLES = """
CREATE TABLE plan (
    one INTEGER PRIMARY KEY CHECK (one = 1), source_name TEXT NOT NULL, fingerprint TEXT NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, time_base_num INTEGER NOT NULL, time_base_den INTEGER NOT NULL,
    settings TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('scanning', 'scanned', 'settled')),
    frames INTEGER NOT NULL);
CREATE TABLE frames (
    idx INTEGER PRIMARY KEY, pts INTEGER NOT NULL, change REAL NOT NULL, change_skip REAL NOT NULL,
    camera_x REAL NOT NULL, camera_y REAL NOT NULL, turn_x REAL NOT NULL, turn_y REAL NOT NULL);
CREATE TABLE faces (
    id INTEGER PRIMARY KEY, frame INTEGER NOT NULL, x0 REAL NOT NULL, y0 REAL NOT NULL, x1 REAL NOT NULL,
    y1 REAL NOT NULL, score REAL NOT NULL, flow_x REAL NOT NULL, flow_y REAL NOT NULL, points BLOB NOT NULL);
CREATE INDEX faces_by_frame ON faces (frame);
CREATE TABLE carried (
    frame INTEGER NOT NULL, place INTEGER NOT NULL, ahead BLOB NOT NULL, behind BLOB NOT NULL,
    PRIMARY KEY (frame, place)) WITHOUT ROWID;
CREATE TABLE tracks (
    number INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, identity TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('anonymize', 'keep')));
CREATE TABLE observations (
    id INTEGER PRIMARY KEY, track INTEGER NOT NULL, frame INTEGER NOT NULL, x0 REAL NOT NULL, y0 REAL NOT NULL,
    x1 REAL NOT NULL, y1 REAL NOT NULL, score REAL NOT NULL, source INTEGER NOT NULL, points BLOB NOT NULL);
CREATE UNIQUE INDEX observations_by_frame ON observations (frame, track);
CREATE TABLE edits (
    id INTEGER PRIMARY KEY, track INTEGER NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('action', 'identity')),
    value TEXT NOT NULL, applied INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    anchor INTEGER NOT NULL, x0 REAL NOT NULL, y0 REAL NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Header:
    """What a plan says about itself."""

    schema: int
    """version of the file's layout"""
    source_name: str
    """file name of the clip, without its folder"""
    fingerprint: str
    """of the clip's content"""
    width: int
    """px of the upright picture"""
    height: int
    """px of the upright picture"""
    time_base: Fraction
    """seconds of one pts unit"""
    settings_json: str
    """the settings the clip was scanned with"""
    state: State
    """how far it has come"""
    frames: int
    """scanned so far"""


@dataclass(frozen=True, slots=True)
class Edit:
    """What a person decided about one track."""

    track: int
    """its number when the decision was made"""
    kind: Literal["action", "identity"]
    """what was changed"""
    value: str
    """to what"""
    applied: bool
    """False when the tracks were written anew since, and none of them is the one that was meant"""


INSERT_FACE = (
    "INSERT INTO faces (frame, x0, y0, x1, y1, score, flow_x, flow_y, points) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
SELECT_FACES = (
    "SELECT frame, x0, y0, x1, y1, score, flow_x, flow_y, points FROM faces WHERE frame >= ? ORDER BY frame, id"
)
INSERT_CARRIED = "INSERT OR REPLACE INTO carried VALUES (?, ?, ?, ?)"
SELECT_CARRIED = "SELECT frame, place, ahead, behind FROM carried WHERE frame >= ? ORDER BY frame, place"
INSERT_OBSERVATION = (
    "INSERT INTO observations (track, frame, x0, y0, x1, y1, score, source, points) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
SELECT_OBSERVATIONS = (
    "SELECT track, frame, x0, y0, x1, y1, score, source, points FROM observations "
    "WHERE frame >= ? AND frame < ? ORDER BY frame, track"
)
SET = {
    "action": "UPDATE tracks SET action = ? WHERE number = ?",
    "identity": "UPDATE tracks SET identity = ? WHERE number = ?",
}

_FLOATS = np.dtype("<f4")
_POINTS_BYTES = N_FACE_POINTS * 2 * 4
_FACE_BYTES = N_FACE_POINTS * 5 * 4


def finite(what: str, frame: int, *values: float) -> None:
    """Raises ValueError if one of `values` is NaN or infinite: a plan holds none outside points."""
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{what} of frame {frame} must be finite, got {values}")


def _box(values: FloatArray, what: str, frame: int) -> list[float]:
    box: list[float] = np.asarray(values, np.float32).tolist()
    if len(box) != 4:
        raise ValueError(f"{what} of frame {frame} must be a box of 4 numbers, got {len(box)}")
    finite(what, frame, *box)
    return box


def face_row(frame: int, face: ScannedFace) -> tuple[Any, ...]:
    """A face as a row of `faces`. Raises ValueError on wrong shapes and numbers that are not finite."""
    shapes = face.points.shape, face.confidence.shape, face.moved.shape
    if shapes != ((N_FACE_POINTS, 2), (N_FACE_POINTS,), (N_FACE_POINTS, 2)):
        raise ValueError(
            f"a face of frame {frame} wants points and their motion [{N_FACE_POINTS}, 2] and confidence "
            f"[{N_FACE_POINTS}], got {shapes}"
        )
    score, flow = float(face.score), (float(face.flow[0]), float(face.flow[1]))
    finite("score and flow", frame, score, *flow)
    blob = b"".join(part.astype(_FLOATS).tobytes() for part in (face.points, face.confidence, face.moved))
    return (frame, *_box(face.box, "a face's box", frame), score, *flow, blob)


def carried_row(frame: int, place: int, ahead: FloatArray, behind: FloatArray) -> tuple[Any, ...]:
    """A row of `carried`: boxes [K, 4] and [M, 4]. Raises ValueError as `face_row`."""
    for boxes in (ahead, behind):
        if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
            raise ValueError(f"the boxes carried from frame {frame} must be finite [K, 4], got {boxes.shape}")
    return (frame, place, ahead.astype(_FLOATS).tobytes(), behind.astype(_FLOATS).tobytes())


def boxes_of(blob: bytes) -> FloatArray:
    """The boxes [K, 4] of a blob of `carried`. Raises ValueError if it is not one."""
    return np.frombuffer(blob, _FLOATS).astype(np.float32).reshape(-1, 4)


def face_of(row: tuple[Any, ...]) -> ScannedFace:
    """The face of a row of `faces`. Raises ValueError if its blob is not one."""
    _, x0, y0, x1, y1, score, flow_x, flow_y, blob = row
    if len(blob) != _FACE_BYTES:
        raise ValueError(f"a face's points take {_FACE_BYTES} bytes, found {len(blob)}")
    values = np.frombuffer(blob, _FLOATS).astype(np.float32)
    points, confidence, moved = np.split(values, [N_FACE_POINTS * 2, N_FACE_POINTS * 3])
    return ScannedFace(
        box=np.array((x0, y0, x1, y1), np.float32),
        score=score,
        points=points.reshape(N_FACE_POINTS, 2),
        confidence=confidence,
        flow=(flow_x, flow_y),
        moved=moved.reshape(N_FACE_POINTS, 2),
    )


def observation_row(item: Observation) -> tuple[Any, ...]:
    """An observation as a row of `observations`. Raises ValueError as `face_row`."""
    if item.points.shape != (N_FACE_POINTS, 2):
        raise ValueError(f"an observation wants points [{N_FACE_POINTS}, 2], got {item.points.shape}")
    box = _box(item.box, f"the box of track {item.track}", item.frame)
    finite("score", item.frame, item.score)
    points = item.points.astype(_FLOATS).tobytes()
    return (item.track, item.frame, *box, float(item.score), SOURCES.index(item.source), points)


def observation_of(row: tuple[Any, ...]) -> Observation:
    """The observation of a row of `observations`. Raises ValueError if its blob or source is not one."""
    track, frame, x0, y0, x1, y1, score, source, blob = row
    if len(blob) != _POINTS_BYTES or not 0 <= source < len(SOURCES):
        raise ValueError(f"the observation of track {track} in frame {frame} is not one")
    return Observation(
        frame=frame,
        track=track,
        box=np.array((x0, y0, x1, y1), np.float32),
        points=np.frombuffer(blob, _FLOATS).astype(np.float32).reshape(N_FACE_POINTS, 2),
        score=score,
        source=SOURCES[source],
    )
