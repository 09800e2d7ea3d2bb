"""Turned heads from photos that look ahead: a labelled face with depth, turned about the neck's axis and seen anew.

Face profiling (Zhu et al. 2016, "Face Alignment Across Large Poses", https://arxiv.org/abs/1511.07212): the depth of
the marks is continued over forehead, skull and neck, the photo is laid over that relief, turned, and drawn again with
what is nearer in front. In: a photo with the 68 marks, pupils, their depth, ears and shoulders. Out: the same for the
turned head, and which pixels of it are known.

What it can do: turn a head by up to about 45 degrees of yaw and 25 of pitch, further away from the camera best of all:
a head at 30 degrees becomes a profile with a true cheek, ear and nose line, because the side that comes forward is in
the photo. What it cannot: show what the photo does not. The side of a head that looks straight ahead is seen at a
grazing angle, so from 30 degrees on its near cheek is stretched (more than STRETCHED: not defined). Hair is a soft cap
that moves along without thickness, glasses are painted on the face, light and shadow turn with the head, and the body
stays as it is. What the turned head uncovers is not invented but left out of `known`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from vidanon.geometry import Array
from vidanon.types import FloatArray, ImageArray

DEPTH = (0.75, 0.95)
"""px of true depth for each px of the marks' (label z times 256): the jaw's and the eyes' width over all poses of a set
fit 0.8, the mouth's 1.0; drawn anew for each head"""
STRETCHED = 3.0
"""A source pixel drawn over more px than this, along any direction, tells nothing."""
EDGE_ON = 0.1
"""Surface that has less of its area than this left in the picture is its own silhouette: not drawn."""
DEEPER = 0.06
"""A mark lies hidden behind what is nearer by this much, in face sizes."""
OVERSAMPLED = 2
"""points of the relief for each px"""
RELIEF = 49
"""nodes a side at which the relief is worked out; between them it is smooth"""

_JAW = slice(0, 17)
_BROWS = slice(17, 27)
_RIM = np.linspace(0, 2 * np.pi, 24, endpoint=False)


@dataclass(frozen=True, slots=True)
class Turned:
    """A head that was turned."""

    image: ImageArray
    """[S, S, 3] RGB; 0 where nothing is known"""
    known: NDArray[np.bool_]
    """[S, S] which of its pixels are defined"""
    kp: FloatArray
    """[70, 2] px; marks on the far side lie where they would be seen through the head"""
    z: FloatArray
    """[70] px of depth, larger = further away, as it was given"""
    visible: NDArray[np.bool_]
    """[70] whether a mark lies on this side of the head"""
    pose: FloatArray
    """[4, 3] right ear, left ear, right shoulder, left shoulder: x, y px, visibility 0..1 (0 = turned away)"""
    box: FloatArray
    """[4] xyxy px around the face, hairline to chin"""


def turned(
    image: ImageArray,
    kp: FloatArray,
    z: FloatArray,
    pose: FloatArray,
    box: FloatArray,
    *,
    yaw: float,
    pitch: float = 0.0,
    rng: np.random.Generator,
) -> Turned:
    """The face of a photo [S, S, 3], its head turned by `yaw` degrees (towards the picture's right) and `pitch` (up).

    `kp` [70, 2] px: iBUG-68 and two pupils; `z` [70] their depth in px, nearer = smaller (label z times 256); `pose`
    [4, 3] ears and shoulders, x, y px and visibility; `box` [4] xyxy px. `rng` draws the head's depth and the skull's
    width. Raises ValueError if the marks span no face.
    """
    side = image.shape[0]
    head = _Head(np.asarray(kp, np.float64), np.asarray(z, np.float64) * rng.uniform(*DEPTH), box, rng)
    turn = _rotation(math.radians(yaw), math.radians(pitch))

    source, known, nearest = _drawn(*head.sheet(side, turn), side)
    centre = source - 0.5
    drawn = cv2.remap(
        image, centre[..., 0].astype(np.float32), centre[..., 1].astype(np.float32), cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    known &= (source >= 0).all(-1) & (source <= side).all(-1)

    marks, away = head.moved(np.concatenate([kp, head.z[:, None]], 1), turn)
    ears_z = np.full((2, 1), head.axis[2])
    ears, _ = head.moved(np.concatenate([pose[:2, :2], ears_z], 1), turn)
    out = np.array(pose, np.float32)
    out[:2, :2] = ears
    out[:2, 2] *= _facing(head, turn)
    oval, _ = head.moved(head.oval(), turn)
    at = np.clip(marks.astype(np.intp), 0, side - 1)
    inside = ((marks >= 0) & (marks < side)).all(1)
    front = nearest[at[:, 1], at[:, 0]]
    return Turned(
        image=np.where(known[..., None], drawn, 0).astype(np.uint8),
        known=known,
        kp=marks.astype(np.float32),
        z=(away / head.z_scale(z)).astype(np.float32),
        visible=~inside | (away <= front + DEEPER * head.size),
        pose=out,
        box=np.array([*oval.min(0), *oval.max(0)], np.float32),
    )


def yaw_of(kp: FloatArray, z: FloatArray) -> float:
    """Degrees by which a head looks towards the picture's right (negative: left), from marks and depth in px."""
    across = np.asarray(kp[16], np.float64) - kp[0]
    return math.degrees(math.atan2(float(z[16] - z[0]) * float(np.mean(DEPTH)), float(np.hypot(*across))))


def some_yaw(kp: FloatArray, z: FloatArray, rng: np.random.Generator, *, most: float = 75.0) -> float:
    """Degrees to turn a head by, drawn so that what comes out can be drawn well: up to `most` in all, frontal heads up
    to 45, turned ones further away from the camera and hardly back, for their far cheek is not in the photo.
    """
    now = yaw_of(kp, z)
    low, high = max(-45.0, -most - now), min(45.0, most - now)
    if abs(now) > 10:  # one side is hidden: hardly any turning back
        low, high = (max(low, -5.0), high) if now > 0 else (low, min(high, 5.0))
    return float(rng.uniform(min(low, 0.0), max(high, 0.0)))


def _rotation(yaw: float, pitch: float) -> Array:
    """[3, 3] for points x right, y down, z away."""
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    return np.asarray(about_y @ about_x)


def _unit(v: Array) -> Array:
    length = float(np.linalg.norm(v))
    if length < 1e-6:
        raise ValueError("the marks span no face")
    return v / length


class _Head:
    """The relief of a photo: marks, their depth, and the axis between the ears that everything turns about."""

    def __init__(self, kp: Array, z: Array, box: FloatArray, rng: np.random.Generator) -> None:
        self.kp, self.z = kp, z
        b = np.asarray(box, np.float64)
        self.box = b
        self.size = float(max(b[2] - b[0], b[3] - b[1]))
        if not self.size > 0:
            raise ValueError(f"a face box wants a size, got {b.tolist()}")
        marks = np.concatenate([kp, z[:, None]], 1)
        right = _unit(marks[16] - marks[0])
        down = marks[8] - marks[27]
        self.right = right
        self.down = _unit(down - right * (down @ right))
        self.ahead = np.cross(self.down, right)  # towards where the face looks: z is away from the camera
        self.axis = (marks[0] + marks[16]) / 2 - self.ahead * 0.08 * self.size
        self.width = rng.uniform(0.5, 0.58)
        around = np.concatenate([kp, self.oval()[:, :2]])
        self.outline = cv2.convexHull(around.astype(np.float32))
        self._smooth = self._fitted()

    def z_scale(self, z: FloatArray) -> float:
        """true depth for each px of the marks' depth"""
        spread = float(np.ptp(z))
        return float(np.ptp(self.z)) / spread if spread > 0 else 1.0

    def oval(self) -> Array:
        """[N, 3] the face's outline: jaw, and the forehead between its ends as high as the box."""
        marks = np.concatenate([self.kp, self.z[:, None]], 1)
        brow = marks[_BROWS].mean(0)
        top = max(0.08 * self.size, float(brow[1] - self.box[1]))
        forehead = []
        for share in np.linspace(-1, 1, 9):
            bow = math.sqrt(1 - min(1.0, share * share) * 0.75)
            at = brow + self.right * share * 0.4 * self.size - self.down * top * bow
            forehead.append(at - self.ahead * (0.1 + 0.25 * share * share) * self.size)
        return np.concatenate([marks[_JAW], np.array(forehead), marks[27:36]])

    def beyond(self, points: Array) -> Array:
        """[...] how far points [..., 2] px lie outside the face's outline, in face sizes; 0 inside."""
        flat = points.reshape(-1, 2).tolist()
        inside = np.array([cv2.pointPolygonTest(self.outline, p, measureDist=True) for p in flat])
        return np.asarray(np.clip(-inside / self.size, 0, None)).reshape(points.shape[:-1])

    def _fitted(self) -> RBFInterpolator:
        """Depth over the picture: marks, forehead, the skull's rim between the ears, the neck, and a plane behind."""
        marks = np.concatenate([self.kp, self.z[:, None]], 1)
        crown = self.axis - self.down * 0.12 * self.size
        rim = crown + self.size * (
            self.width * np.cos(_RIM)[:, None] * self.right + 0.7 * np.sin(_RIM)[:, None] * self.down
        )
        rim = rim[np.sin(_RIM) < 0.6]  # below lies the neck
        neck = marks[3:14:2] + self.down * 0.1 * self.size
        neck[:, 2] = self.axis[2] - 0.12 * self.size
        far = self.axis[:2] + 1.6 * self.size * np.stack([np.cos(_RIM), np.sin(_RIM)], 1)
        behind = np.concatenate([far, np.full((len(far), 1), self.axis[2])], 1)
        outer = np.concatenate([rim, neck])
        clear = self.beyond(outer[:, :2]) > 0.03
        pins = np.concatenate([marks[:68], self.oval()[17:26], outer[clear], behind])
        _, first = np.unique(np.round(pins[:, :2], 1), axis=0, return_index=True)
        pins = pins[first]
        return RBFInterpolator(pins[:, :2] / self.size, pins[:, 2], kernel="linear", smoothing=0.02)

    def sheet(self, side: int, turn: Array) -> tuple[FloatArray, FloatArray]:
        """([M, M, 2] px, [M, M] depth) where the points of a picture of `side` px lie when the head has turned.

        M = OVERSAMPLED * side; worked out at RELIEF x RELIEF nodes.
        """
        line = np.linspace(0, side, RELIEF)
        at = np.stack(np.meshgrid(line, line), -1)
        depth = self._smooth(at.reshape(-1, 2) / self.size).reshape(RELIEF, RELIEF, 1)
        flat, away = self.moved(np.concatenate([at, depth], -1), turn)
        coarse = cv2.GaussianBlur(np.dstack([flat - at, away]).astype(np.float32), (0, 0), 0.5)
        points = (np.arange(OVERSAMPLED * side, dtype=np.float32) + 0.5) / OVERSAMPLED
        x, y = np.meshgrid(points, points)
        scale = np.float32((RELIEF - 1) / side)
        fine = cv2.remap(coarse, x * scale, y * scale, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(fine[..., :2] + np.dstack([x, y]), np.float32), np.asarray(fine[..., 2], np.float32)

    def moved(self, points: Array, turn: Array) -> tuple[Array, Array]:
        """([..., 2] px, [...] depth) of points [..., 3]: the head turns about its axis, the farther off the less."""
        off = points - self.axis
        below = np.clip(off[..., :2] / self.size @ self.down[:2], 0, None) / max(0.3, float(np.hypot(*self.down[:2])))
        # the face as a whole; skull and hair are round, their outline stays; the body stands still
        share = _eased((0.5 - self.beyond(points[..., :2])) / 0.48) * _eased((1.45 - below) / 0.6)
        gone = off @ turn.T
        landed = off + share[..., None] * (gone - off) + self.axis
        return landed[..., :2], landed[..., 2]


def _eased(t: Array) -> Array:
    t = np.clip(t, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _facing(head: _Head, turn: Array) -> FloatArray:
    """[2] whether the right and the left ear are on this side of the head: 1 = seen, 0 = hidden behind the cheek."""
    right = turn @ head.right
    away = math.degrees(math.asin(float(np.clip(right[2], -1, 1))))  # > 0: the subject's left side is further off
    return np.array([away > -25, away < 25], np.float32)


def _drawn(flat: FloatArray, depth: FloatArray, side: int) -> tuple[Array, NDArray[np.bool_], Array]:
    """A relief of points [M, M] drawn on `side` px, nearest in front.

    Returns (source px [side, side, 2] of every pixel, whether it has one, its depth).
    """
    nodes = len(depth)
    unit = side / nodes
    # px of the picture for each px of the source
    dx, dy = (np.asarray(np.gradient(flat, axis=axis), np.float32) / np.float32(unit) for axis in (1, 0))
    det = dx[..., 0] * dy[..., 1] - dx[..., 1] * dy[..., 0]
    power = (dx**2 + dy**2).sum(-1)
    largest = np.sqrt((power + np.sqrt(np.clip(power**2 - 4 * det**2, 0, None))) / 2)
    column, row = np.floor(flat[..., 0]).astype(np.intp), np.floor(flat[..., 1]).astype(np.intp)
    drawn = (det > EDGE_ON) & (largest < STRETCHED)
    drawn &= (column >= 0) & (column < side) & (row >= 0) & (row < side)
    points = np.flatnonzero(drawn)
    far = depth.ravel()[points]
    low, high = (float(far.min()), float(far.max())) if len(far) else (0.0, 1.0)
    level = ((far - low) / max(high - low, 1e-6) * 65535).astype(np.uint16)
    order = points[np.argsort(level, kind="stable")[::-1]]  # the nearest comes last and stays
    winner = np.full(side * side, -1, np.intp)
    winner[(row * side + column).ravel()[order]] = order
    winner = _closed(winner.reshape(side, side), depth)
    known = winner >= 0
    w = np.where(known, winner, 0)
    # the point lies somewhere in its pixel: one step of Newton takes its source to the pixel's centre
    target = np.stack(np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5), -1)
    off = target - flat.reshape(-1, 2)[w]
    jx, jy, d = dx.reshape(-1, 2)[w], dy.reshape(-1, 2)[w], np.maximum(det.ravel()[w], EDGE_ON)
    step = np.stack(
        [jy[..., 1] * off[..., 0] - jy[..., 0] * off[..., 1], jx[..., 0] * off[..., 1] - jx[..., 1] * off[..., 0]], -1
    )
    source = np.stack([(w % nodes + 0.5) * unit, (w // nodes + 0.5) * unit], -1) + np.clip(step / d[..., None], -3, 3)
    return source, known, np.where(known, depth.ravel()[w], np.inf)


def _closed(winner: NDArray[np.intp], depth: FloatArray) -> NDArray[np.intp]:
    """Pixels between points that were spread apart take the nearest of their neighbours' points."""
    side = len(winner)
    padded = np.pad(winner, 1, constant_values=-1)
    around = np.stack([padded[j : j + side, i : i + side] for j in range(3) for i in range(3) if (i, j) != (1, 1)])
    away = np.where(around >= 0, depth.ravel()[np.maximum(around, 0)], np.inf)
    best = np.take_along_axis(around, away.argmin(0)[None], 0)[0]
    fill = (winner < 0) & ((around >= 0).sum(0) >= 4)
    return np.where(fill, best, winner)
