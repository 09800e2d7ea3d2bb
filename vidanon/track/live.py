"""A track while it is being linked: what is known of it, and where it is expected next.

In come its detections one by one, out come velocities and expected boxes. Positions are kept in the world (`View`), so
that a face that stands still while the camera pans, zooms or rolls has no velocity of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidanon.geometry import centre_size
from vidanon.track.view import View
from vidanon.types import FIVE_POINTS, ON_FACE, ScannedFace

Array = NDArray[np.float64]
Pan = tuple[tuple[float, float], tuple[float, float]]
"""a frame's `camera` and `turn`: how the background moves to the next one"""

VELOCITY_SECONDS = 0.4
"""how far back a velocity looks"""
OPENING_SECONDS = 0.2
"""how far ahead that of a track's beginning does"""
DAMPING_SECONDS = 0.8
"""time after which an unseen face is thought to have slowed to a third of its speed"""


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
    """None until it has enough strong detections, or has lasted"""
    strong: int = 0
    """strong detections so far"""
    lasting: bool = False
    """whether a line of weak detections in it is as good as a strong one"""
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

    @property
    def begun(self) -> bool:
        """Whether it is a track already: some detection could have started it, or the weak ones lasted."""
        return self.strong > 0 or self.lasting

    def in_world(self) -> Array:
        """(cx, cy, w, h) of its last detection in the world; the box is not rolled with it."""
        return np.concatenate([self.camera.world(self.box[:2]), self.box[2:] / self.camera.scale])

    def shrunk(self) -> float:
        """How many times larger than its last detection the largest of those just before it is, at least 1."""
        return _largest(self.points[-len(self.path) :]) / _largest(self.points[-1:])

    def grown(self) -> float:
        """How many times larger than its first detection the largest of those just after it is, at least 1."""
        return _largest(self.points[: len(self.opening)]) / _largest(self.points[:1])

    def opening_velocity(self) -> Array:
        """px of the world a second at its beginning."""
        return _velocity(self.opening, self.opening_flows)

    def go_on_with(self, later: LiveTrack) -> None:
        """Takes over the points and the state of a track that is the same person, seen again."""
        self.points += later.points
        self.strong += later.strong
        self.lasting |= later.lasting
        self.seconds, self.frame, self.box, self.camera = later.seconds, later.frame, later.box, later.camera
        self.velocity, self.path, self.flows = later.velocity, later.path, later.flows
        self.pose = np.where(np.isnan(later.pose), self.pose, later.pose)
        later.became = self

    def take_in(self, other: LiveTrack) -> None:
        """Takes over the points of a track that was this one, in a hole before its last detection."""
        self.points[-1:-1] = other.points
        self.strong += other.strong
        self.lasting |= other.lasting
        other.became = self

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


def _largest(points: Sequence[RawPoint]) -> float:
    """Geometric mean of the sides, px, of the largest of some detections."""
    return float(sizes_of(centre_size(np.array([p.face.box for p in points], np.float64))).max())


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


def coasted(elapsed: float) -> float:
    """Seconds at full speed that take an unseen face as far as it is thought to get, slowing down."""
    return float(DAMPING_SECONDS * (1 - np.exp(-elapsed / DAMPING_SECONDS)))
