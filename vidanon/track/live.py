"""A track while it is being linked: where it is expected next, and how well a detection fits.

In come the detections of one frame, out come costs. Positions are kept relative to the camera's path, so that a face
that stands still while the camera pans has no velocity of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidanon.geometry import centre_size, from_centre_size, iou
from vidanon.types import FIVE_POINTS, ScannedFace

Array = NDArray[np.float64]

VELOCITY_SECONDS = 0.4
"""how far back a velocity looks"""
DAMPING_SECONDS = 0.8
"""time after which an unseen face is thought to have slowed to a third of its speed"""
REACH = 0.4
"""how far off, in face sizes, a detection may be from where a lost track is expected, at once ..."""
REACH_PER_SECOND = 1.5
"""... and how much farther for every second it has been unseen, up to one second"""
SIZE_GATE = 0.5
"""largest difference of log size between a track and its next detection, more the longer it is unseen"""
TURN = 4.0
"""face sizes a second by which a face may change its motion to the opposite at once ..."""
TURN_PER_SECOND = 10.0
"""... and how much more for every second it has been unseen"""
IMPOSSIBLE = 1e6


@dataclass(frozen=True, slots=True)
class RawPoint:
    """One detection of a track."""

    frame: int
    """frame index"""
    pts: int
    """in units of the clip's time base"""
    face: ScannedFace
    """as scanned"""
    source: Literal["detected", "weak"]
    """whether its score could have started a track"""


@dataclass(slots=True, eq=False)
class LiveTrack:
    """A track that may still grow."""

    shot_start: int
    """frame index of the first frame of its shot"""
    points: list[RawPoint] = field(default_factory=list)
    """its detections so far that have not been emitted, by frame"""
    number: int | None = None
    """None until it has enough strong detections"""
    strong: int = 0
    """strong detections so far"""
    first: int = 0
    """frame index of the first frame not yet emitted"""
    emitted: bool = False
    """whether a piece of it has been emitted"""
    seconds: float = 0.0
    """time of its last detection"""
    frame: int = -1
    """frame index of its last detection"""
    box: Array = field(default_factory=lambda: np.zeros(4))
    """(cx, cy, w, h) of its last detection, px"""
    camera: Array = field(default_factory=lambda: np.zeros(2))
    """position of the camera's path at its last detection, px"""
    velocity: Array = field(default_factory=lambda: np.zeros(2))
    """px a second, relative to the camera"""
    pose: Array = field(default_factory=lambda: np.full((len(FIVE_POINTS), 2), np.nan))
    """running mean of the five keypoints relative to the box, NaN where never known"""
    path: deque[tuple[float, float, float]] = field(default_factory=deque)
    """(seconds, x, y) of its last detections relative to the camera"""

    def add(self, point: RawPoint, *, seconds: float, camera: Array) -> None:
        """Continues the track by a detection at `seconds`, the camera being at `camera`."""
        self.points.append(point)
        self.strong += point.source == "detected"
        self.seconds, self.frame, self.camera = seconds, point.frame, camera
        self.box = centre_size(point.face.box)
        x, y = self.box[:2] - camera
        self.path.append((seconds, float(x), float(y)))
        while self.path[0][0] < seconds - VELOCITY_SECONDS:
            self.path.popleft()
        self.velocity = _slope(self.path)
        pose = pose_of([point.face], self.box[None])[0]
        self.pose = np.where(np.isnan(self.pose), pose, np.where(np.isnan(pose), self.pose, (3 * self.pose + pose) / 4))

    def rewind(self, points: list[RawPoint]) -> None:
        """Puts earlier weak detections before the first one."""
        self.points[:0] = points
        self.first = self.points[0].frame


def _slope(path: deque[tuple[float, float, float]]) -> Array:
    """Least-squares velocity of (seconds, x, y); 0 for a single one."""
    if len(path) < 2:
        return np.zeros(2)
    values = np.array(path)
    t = values[:, 0] - values[:, 0].mean()
    spread = float(t @ t)
    if spread <= 0:
        return np.zeros(2)
    # A pair of jittering boxes is no proof of motion: the few are held back, the many are believed.
    return np.asarray(t @ values[:, 1:] / spread * (len(path) - 1) / (len(path) + 1), np.float64)


def pose_of(faces: Sequence[ScannedFace], boxes: Array) -> Array:
    """The five keypoints [N, 5, 2] relative to (cx, cy, w, h) boxes [N, 4], in parts of the box's side."""
    five = np.array([f.points[: len(FIVE_POINTS)] for f in faces], np.float64).reshape(-1, len(FIVE_POINTS), 2)
    return (five - boxes[:, None, :2]) / _sizes(boxes)[:, None, None]


def _sizes(boxes: Array) -> Array:
    return np.asarray(np.sqrt(np.maximum(boxes[:, 2] * boxes[:, 3], 1e-6)), np.float64)


@dataclass(frozen=True, slots=True)
class Fit:
    """How well every track fits every detection of a frame."""

    cost: Array
    """[T, D] 0 (perfect) to about 2, IMPOSSIBLE where it cannot be the same face"""
    overlap: Array
    """[T, D] best IoU of the expected boxes with the detection"""


def fit(
    tracks: Sequence[LiveTrack],
    faces: Sequence[ScannedFace],
    *,
    frame: int,
    seconds: float,
    camera: Array,
    pan: Array,
    interval: float,
    flow_trusted: bool,
    min_iou: float,
) -> Fit:
    """Compares where each track is expected in this frame with its detections.

    A track is expected in two places: where its velocity takes it, and, if it was seen in the frame before, where
    optical flow takes it. Crossing faces disturb flow, turning ones disturb velocity; the cost asks both. `camera` is
    the position of the camera's path, `pan` its motion to the next frame, `interval` seconds later: a face that moves
    fast against a lost track's motion is someone else, coming in where the other went out.
    """
    last = np.array([t.box for t in tracks])
    elapsed = np.array([seconds - t.seconds for t in tracks])
    coasting = DAMPING_SECONDS * (1 - np.exp(-elapsed / DAMPING_SECONDS))
    panned = np.array([camera - t.camera for t in tracks])
    velocity = np.array([t.velocity for t in tracks])
    by_velocity = last[:, :2] + panned + velocity * coasting[:, None]
    by_flow = by_velocity.copy()
    seen = np.array([t.frame == frame - 1 for t in tracks])
    if flow_trusted:
        for i, track in enumerate(tracks):
            if seen[i]:
                by_flow[i] = last[i, :2] + track.points[-1].face.flow

    found = centre_size(np.array([f.box for f in faces]))
    sizes, found_sizes = _sizes(last), _sizes(found)
    mean_size = (sizes[:, None] + found_sizes[None]) / 2
    overlaps, distances = [], []
    for centres in (by_velocity, by_flow):
        overlaps.append(iou(from_centre_size(np.hstack([centres, last[:, 2:]])), from_centre_size(found)))
        distances.append(np.linalg.norm(centres[:, None] - found[None, :, :2], axis=2) / mean_size)
    overlap, distance = np.maximum(*overlaps), np.minimum(*distances)
    growth = np.abs(np.log(sizes[:, None] / found_sizes[None]))
    pose = _pose_distance(np.array([t.pose for t in tracks]), pose_of(faces, found))

    speed = np.linalg.norm(velocity, axis=1) / sizes
    reach = (REACH + np.minimum(elapsed, 1.0) * (REACH_PER_SECOND + 0.3 * np.minimum(speed, 4)))[:, None]
    wait = np.minimum(elapsed, 2.0)[:, None]
    possible = ((overlap >= min_iou) | (distance <= reach)) & (growth <= SIZE_GATE + 0.4 * wait)
    theirs = (np.array([f.flow for f in faces]) - pan) / (interval if interval > 0 else np.inf)
    clash = _clash(velocity, theirs, elapsed) > sizes[:, None]
    possible &= seen[:, None] | ~clash
    cost = np.where(seen[:, None], 1 - (overlaps[0] + overlaps[1]) / 2 + 0.5 * distance, 0.25 + 0.8 * distance / reach)
    cost = cost + 0.6 * growth + 0.4 * pose + 0.3 * clash
    return Fit(np.where(possible, cost, IMPOSSIBLE), overlap)


def _clash(velocity: Array, theirs: Array, elapsed: Array) -> Array:
    """[T, D] how far detections move against tracks, in parts of what turning round allows, times the face's size.

    `velocity` [T, 2] of the tracks and `theirs` [D, 2] of the detections, px a second, `elapsed` [T] seconds since the
    track was seen. 0 where they do not move against each other, or one of them is not known to move.
    """
    against = velocity @ theirs.T < 0
    allowed = TURN + TURN_PER_SECOND * elapsed[:, None]
    return np.where(against, np.linalg.norm(velocity[:, None] - theirs[None], axis=2) / allowed, 0.0)


def _pose_distance(a: Array, b: Array) -> Array:
    """[T, D] 0..1 from poses [T, 5, 2] and [D, 5, 2]; 0.5, telling nothing, where they share no known keypoint."""
    difference = np.linalg.norm(a[:, None] - b[None], axis=3)
    known = ~np.isnan(difference)
    count = known.sum(axis=2)
    mean = np.where(known, difference, 0).sum(axis=2) / np.maximum(count, 1)
    return np.where(count > 0, np.minimum(mean / 0.2, 1.0), 0.5)
