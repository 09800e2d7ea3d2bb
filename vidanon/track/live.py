"""A track while it is being linked: where it is expected next, and how well a detection fits.

In come the detections of one frame, out come costs. Positions are kept in the world (`View`), so that a face that
stands still while the camera pans, zooms or rolls has no velocity of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidanon.geometry import centre_size, from_centre_size, iou, within
from vidanon.track.view import View, drift
from vidanon.types import FACE_POINTS, FIVE_POINTS, ScannedFace

Array = NDArray[np.float64]
Pan = tuple[tuple[float, float], tuple[float, float]]
"""a frame's `camera` and `turn`: how the background moves to the next one"""

VELOCITY_SECONDS = 0.4
"""how far back a velocity looks"""
OPENING_SECONDS = 0.2
"""how far ahead that of a track's beginning does"""
DAMPING_SECONDS = 0.8
"""time after which an unseen face is thought to have slowed to a third of its speed"""
REACH = 0.4
"""how far off, in face sizes, a detection may be from where a lost track is expected, at once ..."""
REACH_PER_SECOND = 0.3
"""... and how much farther for every second it has been unseen, up to one second"""
SIZE_GATE = 0.4
"""largest difference of log size between a track and its next detection, more the longer it is unseen"""
PART_INSIDE = 0.65
"""part of a box inside a larger one from which one may be a part of the other's face"""
PART_GROWTH = 0.25
"""difference of log size from which a detection in the place of a track is a part of that face, or the other way"""
PART_SECONDS = 1.0
"""how long after a track was seen a detection may be taken for such a part"""
UNLIKE = 8.0
"""face sizes a second by which two motions differ that hardly are of one face"""
TURN = 4.0
"""face sizes a second by which a face may change its motion to the opposite at once ..."""
TURN_PER_SECOND = 10.0
"""... and how much more for every second it has been unseen"""
IMPOSSIBLE = 1e6

ON_FACE = np.array([i for i, name in enumerate(FACE_POINTS) if not name.endswith(("_ear", "_shoulder"))])


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
    camera: View = field(default_factory=View)
    """how the camera stood at its last detection"""
    velocity: Array = field(default_factory=lambda: np.zeros(2))
    """px of the world a second"""
    pose: Array = field(default_factory=lambda: np.full((len(FIVE_POINTS), 2), np.nan))
    """running mean of the five keypoints relative to the box, NaN where never known"""
    path: deque[tuple[float, float, float]] = field(default_factory=deque)
    """(seconds, x, y) of its last detections in the world"""
    flows: deque[tuple[float, float, float]] = field(default_factory=deque)
    """(seconds, px a second, px a second) by optical flow, in the world, of its last detections"""
    opening: list[tuple[float, float, float]] = field(default_factory=list)
    """(seconds, x, y) of its first detections in the world"""
    opening_flows: list[tuple[float, float, float]] = field(default_factory=list)
    """as `flows`, of its first detections"""
    opening_box: Array = field(default_factory=lambda: np.zeros(4))
    """(cx, cy, w, h) of its first detection in the world"""
    became: LiveTrack | None = None
    """the track it was joined with"""

    def add(self, point: RawPoint, *, seconds: float, camera: View) -> None:
        """Continues the track by a detection at `seconds`, seen through `camera`."""
        self.points.append(point)
        self.strong += point.source == "detected"
        self.seconds, self.frame, self.camera = seconds, point.frame, camera
        self.box = centre_size(point.face.box)
        x, y = camera.world(self.box[:2])
        self.path.append((seconds, float(x), float(y)))
        while self.path[0][0] < seconds - VELOCITY_SECONDS:
            self.path.popleft()
        while self.flows and self.flows[0][0] < seconds - VELOCITY_SECONDS:
            self.flows.popleft()
        if not self.opening:
            self.opening_box = self.in_world()
        if not self.opening or seconds - self.opening[0][0] <= OPENING_SECONDS:
            self.opening.append(self.path[-1])
        self.velocity = _velocity(self.path, self.flows)
        pose = pose_of([point.face], self.box[None])[0]
        self.pose = np.where(np.isnan(self.pose), pose, np.where(np.isnan(pose), self.pose, (3 * self.pose + pose) / 4))

    def flowed(self, speed: Array) -> None:
        """Takes in how fast optical flow says its last detection moves, px of the world a second."""
        found = (self.seconds, float(speed[0]), float(speed[1]))
        self.flows.append(found)
        if self.seconds - self.opening[0][0] <= OPENING_SECONDS:
            self.opening_flows.append(found)
        self.velocity = _velocity(self.path, self.flows)

    def rewind(self, points: list[RawPoint]) -> None:
        """Puts earlier weak detections before the first one."""
        self.points[:0] = points
        self.first = self.points[0].frame

    def in_world(self) -> Array:
        """(cx, cy, w, h) of its last detection in the world; the box is not rolled with it."""
        return np.concatenate([self.camera.world(self.box[:2]), self.box[2:] / self.camera.scale])

    def opening_velocity(self) -> Array:
        """px of the world a second at its beginning."""
        return _velocity(self.opening, self.opening_flows)

    def go_on_with(self, later: LiveTrack) -> None:
        """Takes over the points and the state of a track that is the same person, seen again."""
        self.points += later.points
        self.strong += later.strong
        self.seconds, self.frame, self.box, self.camera = later.seconds, later.frame, later.box, later.camera
        self.velocity, self.path, self.flows = later.velocity, later.path, later.flows
        self.pose = np.where(np.isnan(later.pose), self.pose, later.pose)
        later.became = self

    def trust(self) -> float:
        """How sure the landmarker was of the points on the face in its strong detections, 0..1."""
        sure = [p.face.confidence[ON_FACE] for p in self.points if p.source == "detected"]
        return float(np.mean(sure)) if sure else 0.0

    def expected(self, seconds: float, camera: View) -> Array:
        """(cx, cy, w, h) px where its velocity has taken it by now, seen through `camera`."""
        box = self.in_world()
        centre = camera.picture(box[:2] + self.velocity * coasted(seconds - self.seconds))
        return np.concatenate([centre, box[2:] * camera.scale])

    def carried(self, frame: int) -> Array | None:
        """(cx, cy, w, h) px where its own pixels were found in a frame after its last detection; None if nowhere."""
        ahead, k = self.points[-1].face.ahead, frame - self.frame - 1
        return centre_size(ahead[k]) if 0 <= k < len(ahead) else None


def _velocity(path: Sequence[tuple[float, float, float]], flows: Sequence[tuple[float, float, float]]) -> Array:
    """px a second, from (seconds, x, y) of detections and (seconds, px a second, px a second) of their flow.

    A pair of jittering boxes is no proof of motion: the few are held back towards what flow says, many are believed.
    """
    n = len(path)
    flow = np.mean([f[1:] for f in flows], axis=0) if flows else np.zeros(2)
    if n < 2:
        return flow
    values = np.array(path)
    t = values[:, 0] - values[:, 0].mean()
    spread = float(t @ t)
    slope = t @ values[:, 1:] / spread if spread > 0 else flow
    return np.asarray(((n - 1) * slope + 2 * flow) / (n + 1), np.float64)


def pose_of(faces: Sequence[ScannedFace], boxes: Array) -> Array:
    """The five keypoints [N, 5, 2] relative to (cx, cy, w, h) boxes [N, 4], in parts of the box's side."""
    five = np.array([f.points[: len(FIVE_POINTS)] for f in faces], np.float64).reshape(-1, len(FIVE_POINTS), 2)
    return (five - boxes[:, None, :2]) / sizes_of(boxes)[:, None, None]


def sizes_of(boxes: Array) -> Array:
    """Geometric mean of the sides [N], px, of (cx, cy, w, h) boxes [N, 4]."""
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
    camera: View,
    pan: Pan,
    interval: float,
    flow_trusted: bool,
    min_iou: float,
) -> Fit:
    """Compares where each track is expected in this frame with its detections.

    A track seen in the frame before is expected in two places: where its velocity takes it, and where optical flow
    does. Crossing faces disturb flow, turning ones disturb velocity; the cost asks both. A lost track may be anywhere
    between where it stopped and where it would be had it gone on, or where its pixels were carried. `camera` is this
    frame's view, `pan` its motion to the next frame, `interval` seconds later: a face that moves fast against a lost
    track's motion is someone else, coming in where the other went out.
    """
    last = np.array([np.append(t.box[:2], t.box[2:] * (camera.scale / t.camera.scale)) for t in tracks])
    elapsed = np.array([seconds - t.seconds for t in tracks])
    velocity = camera.seen([t.velocity for t in tracks])
    by_velocity = np.array([t.expected(seconds, camera)[:2] for t in tracks])
    by_flow = by_velocity.copy()
    seen = np.array([t.frame == frame - 1 for t in tracks])
    for i, track in enumerate(tracks):
        if seen[i] and flow_trusted:
            by_flow[i] = last[i, :2] + track.points[-1].face.flow
        elif (carried := track.carried(frame)) is not None:
            by_flow[i] = carried[:2]

    found = centre_size(np.array([f.box for f in faces]))
    sizes, found_sizes = sizes_of(last), sizes_of(found)
    mean_size = (sizes[:, None] + found_sizes[None]) / 2
    overlaps, distances = [], []
    for centres in (by_velocity, by_flow):
        overlaps.append(iou(from_centre_size(np.hstack([centres, last[:, 2:]])), from_centre_size(found)))
        distances.append(np.linalg.norm(centres[:, None] - found[None, :, :2], axis=2) / mean_size)
    overlap, distance = np.maximum(*overlaps), np.minimum(*distances)
    still = camera.picture([t.in_world()[:2] for t in tracks])
    anywhere = _from_segment(found[:, :2], still, still + velocity * np.minimum(elapsed, 1.0)[:, None]) / mean_size
    distance = np.where(seen[:, None], distance, np.minimum(distance, anywhere))
    growth = np.abs(np.log(sizes[:, None] / found_sizes[None]))
    pose = pose_distance(np.array([t.pose for t in tracks]), pose_of(faces, found))

    speed = np.linalg.norm(velocity, axis=1) / sizes
    reach = (REACH + np.minimum(elapsed, 1.0) * (REACH_PER_SECOND + 0.3 * np.minimum(speed, 4)))[:, None]
    wait = np.minimum(elapsed, 2.0)[:, None]
    possible = ((overlap >= min_iou) | (distance <= reach)) & (growth <= SIZE_GATE + 0.2 * wait)
    theirs = (np.array([f.flow for f in faces]) - drift(found[:, :2], *pan)) / (interval if interval > 0 else np.inf)
    against = _clash(velocity, theirs, elapsed) > sizes[:, None]
    unlike = np.linalg.norm(velocity[:, None] - theirs[None], axis=2) / sizes[:, None] / UNLIKE
    possible &= seen[:, None] | ~against
    boxes, expected = from_centre_size(found), from_centre_size(np.hstack([by_velocity, last[:, 2:]]))
    inside = np.maximum(within(boxes, expected).T, within(expected, boxes))
    possible &= ~((inside >= PART_INSIDE) & (growth > PART_GROWTH) & (elapsed <= PART_SECONDS)[:, None])
    cost = np.where(seen[:, None], 1 - (overlaps[0] + overlaps[1]) / 2 + 0.5 * distance, 0.25 + 0.8 * distance / reach)
    cost += np.where(seen[:, None], 0, 0.4 * np.minimum(unlike, 1))
    cost = cost + 0.6 * growth + 0.4 * pose + 0.3 * against
    return Fit(np.where(possible, cost, IMPOSSIBLE), overlap)


def coasted(elapsed: float) -> float:
    """Seconds at full speed that take an unseen face as far as it is thought to get, slowing down."""
    return float(DAMPING_SECONDS * (1 - np.exp(-elapsed / DAMPING_SECONDS)))


def _from_segment(points: Array, start: Array, stop: Array) -> Array:
    """[T, D] distances of points [D, 2] from the segments `start` [T, 2] to `stop` [T, 2]."""
    way = stop - start
    along = np.einsum("tdk,tk->td", points[None] - start[:, None], way)
    part = np.clip(along / np.maximum((way * way).sum(axis=1), 1e-9)[:, None], 0, 1)
    return np.asarray(np.linalg.norm(start[:, None] + part[..., None] * way[:, None] - points[None], axis=2))


def _clash(velocity: Array, theirs: Array, elapsed: Array) -> Array:
    """[T, D] how far detections move against tracks, in parts of what turning round allows, times the face's size.

    `velocity` [T, 2] of the tracks and `theirs` [D, 2] of the detections, px a second, `elapsed` [T] seconds since the
    track was seen. 0 where they do not move against each other, or one of them is not known to move.
    """
    against = velocity @ theirs.T < 0
    allowed = TURN + TURN_PER_SECOND * elapsed[:, None]
    return np.where(against, np.linalg.norm(velocity[:, None] - theirs[None], axis=2) / allowed, 0.0)


def pose_distance(a: Array, b: Array) -> Array:
    """[T, D] 0..1 from poses [T, 5, 2] and [D, 5, 2]; 0.5, telling nothing, where they share no known keypoint."""
    difference = np.linalg.norm(a[:, None] - b[None], axis=3)
    known = ~np.isnan(difference)
    count = known.sum(axis=2)
    mean = np.where(known, difference, 0).sum(axis=2) / np.maximum(count, 1)
    return np.where(count > 0, np.minimum(mean / 0.2, 1.0), 0.5)
