"""Where a face is that the detector misses: its own pixels are followed, by sparse optical flow, while they are seen.

In come the pictures of a clip and the detections in them, out comes for every detection that has no successor (or no
predecessor) a chain of boxes in the frames after (or before) it. Points on the face are followed from frame to frame
and never set anew, so whoever steps in front of it takes them away instead of taking the box along; a chain ends when
too few are left, when the patch has become another, or at the next detection. Flow: pyramidal Lucas-Kanade, Bouguet
2001, in OpenCV, checked forwards and backwards (Kalal et al. 2010, https://doi.org/10.1109/ICPR.2010.675).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.geometry import Array, apply, fit_similarity, iou
from vidanon.types import Carried, FloatArray, ImageArray

REACH = 30
"""frames a face is carried at most, either way"""
MEMORY = 3 * REACH + 1
"""frames before one that have influence on what is carried in it: who begins in the middle feeds these first"""
SIDE = 640
"""px of the longer side of the pictures that are followed in, at most"""
LEAST_PX = 14
"""smallest window of points, px of such a picture: of a smaller face the head around it is followed too"""
GRID = 7
"""points across a face, and down, before those outside its ellipse are left out"""
WINDOW = (11, 11)
"""px around a point that are compared"""
LEVELS = 3
"""of the pyramid"""
ROOM = (16, 0.8)
"""how far around a face it is looked for in the next frame, px, and in parts of its size"""
RETURN = (0.6, 0.03)
"""how far from where it began a point may come back to, px, and in parts of the face's size"""
ASTRAY = 0.12
"""how far from where the face as a whole has gone a point may be, in parts of its size"""
LEAST_POINTS = 8
"""points that must be followed at first; fewer are no evidence"""
ALIVE = 0.45
"""share of the points that must be left"""
PATCH = 20
"""px of the side of the patches that are compared"""
ALIKE = 0.5
"""least correlation of a face's patch with that of `AGO` frames before"""
AGO = 6
GROWTH = 1.6
"""by which factor a face may grow or shrink while it is carried"""
SAME = 0.4
"""overlap from which a detection is the face that is carried"""
SURE = 1.75
"""a face is carried if it, or one that led to it at most `REACH` frames before, has this many times the least score"""
MOST = 24
"""chains at a time; the surest go first"""

NEVER = -(1 << 40)
"""before every frame"""
Matrix = NDArray[np.float64]


@dataclass(slots=True)
class _Chain:
    """One detection on its way."""

    frame: int
    place: int
    root: int
    """frame of the last sure detection that led to it"""
    score: float
    box: Array
    """[4] of the detection, px of the small picture"""
    start: FloatArray
    """[P, 2] points on it"""
    points: FloatArray
    """[P, 2] where they are now"""
    alive: NDArray[np.bool_]
    patches: deque[FloatArray]
    boxes: list[Array] = field(default_factory=list)

    @property
    def now(self) -> Array:
        """Its box by now."""
        return self.boxes[-1] if self.boxes else self.box


@dataclass(slots=True)
class _Past:
    """A frame that is over."""

    index: int
    picture: ImageArray
    """grey and small"""
    boxes: Array
    """[N, 4] px of the small picture"""
    scores: FloatArray
    roots: list[int]
    """frame of the last sure detection that led to each face, `NEVER` if there is none"""
    begun: list[tuple[int, int]]
    """(frame, place) of the detection each face's line began with"""


class Carrier:
    """Fed with every frame of a clip in turn; what it says follows from the last `MEMORY` frames alone."""

    def __init__(self, least: float) -> None:
        """`least` is the score of the weakest detections there are."""
        self._sure = min(1.0, SURE * least)
        self._past: deque[_Past] = deque(maxlen=2 * REACH)
        self._open: list[_Chain] = []
        self._told: list[Carried] = []
        self._rows: dict[tuple[int, int], tuple[FloatArray, FloatArray]] = {}
        self._scale = 1.0

    def step(
        self,
        index: int,
        rgb: ImageArray,
        boxes: FloatArray,
        scores: FloatArray,
        flows: Sequence[tuple[float, float]],
    ) -> None:
        """Takes in a frame: picture [h, w, 3], detections [N, 4] px and their scores [N], best first.

        `flows` are the motions, px, of the detections of the frame before to this one.
        """
        picture, scale = _small(rgb)
        if scale != self._scale or (self._past and self._past[-1].picture.shape != picture.shape):
            self._past.clear()
            self._open.clear()
        self._scale = scale
        here = np.asarray(boxes, np.float64).reshape(-1, 4) * scale
        now = _Past(index, picture, here, scores, [NEVER] * len(here), [(index, k) for k in range(len(here))])
        if self._past:
            self._succeed(now, np.asarray(flows, np.float64).reshape(-1, 2) * scale)
        for k, score in enumerate(scores):
            if score >= self._sure:
                if self._lost(now, k):
                    self._rewind(now, k)
                now.roots[k] = index
        self._past.append(now)

    def take(self) -> list[Carried]:
        """What has become known since the last call."""
        told, self._told = self._told, []
        return told

    def finish(self) -> None:
        """The clip is over: what is still under way is told."""
        for chain in self._open:
            self._tell(chain)
        self._open = []

    def _lost(self, now: _Past, place: int) -> bool:
        """Whether nothing sure has led to a face."""
        return now.roots[place] < now.index - REACH

    def _succeed(self, now: _Past, flows: Array) -> None:
        """Finds out which face of the frame before, or which chain, leads to which of this one's; opens chains."""
        before = self._past[-1]
        moved = before.boxes + np.tile(flows, (1, 2))
        overlaps = iou(moved, now.boxes)
        taken: set[int] = set()
        for i in range(len(before.boxes)):
            if len(now.boxes) and overlaps[i].max() >= SAME:
                k = int(overlaps[i].argmax())
                if k not in taken:
                    taken.add(k)
                    now.roots[k], now.begun[k] = before.roots[i], before.begun[i]
            elif before.roots[i] >= before.index - REACH and len(self._open) < MOST:
                chain = _begun(before, i)
                if chain is not None:
                    self._open.append(chain)
        still = []
        for chain in self._open:
            if not _follow(chain, before.picture, now.picture):
                self._tell(chain)
                continue
            met = iou(chain.now, now.boxes)[0] if len(now.boxes) else np.zeros(0)
            if len(met) and met.max() >= SAME:
                k = int(met.argmax())
                self._tell(chain)
                if k not in taken:
                    taken.add(k)
                    now.roots[k], now.begun[k] = chain.root, (chain.frame, chain.place)
            elif len(chain.boxes) >= REACH:
                self._tell(chain)
            else:
                still.append(chain)
        self._open = still

    def _rewind(self, now: _Past, place: int) -> None:
        """Follows a face that nothing led to backwards, from the detection its line began with."""
        frame, first = now.begun[place]
        frames = [now, *reversed(self._past)]
        frames = frames[next((i for i, p in enumerate(frames) if p.index == frame), len(frames)) :]
        chain = _begun(frames[0], first) if frames else None
        if chain is None:
            return
        for later, earlier in pairwise(frames[: REACH + 1]):
            if not _follow(chain, later.picture, earlier.picture):
                break
            if len(earlier.boxes) and iou(chain.now, earlier.boxes).max() >= SAME:
                break
        self._tell(chain, backwards=True)

    def _tell(self, chain: _Chain, *, backwards: bool = False) -> None:
        if not chain.boxes:
            return
        boxes = np.round(np.array(chain.boxes) / self._scale * 64) / 64
        ahead, behind = self._rows.get((chain.frame, chain.place), (_NONE, _NONE))
        if backwards:
            behind = boxes.astype(np.float32)
        else:
            ahead = boxes.astype(np.float32)
        self._rows = {key: row for key, row in self._rows.items() if key[0] > chain.frame - MEMORY}
        self._rows[chain.frame, chain.place] = ahead, behind
        self._told.append(Carried(chain.frame, chain.place, ahead, behind))


_NONE: FloatArray = np.zeros((0, 4), np.float32)


def _small(rgb: ImageArray) -> tuple[ImageArray, float]:
    """A picture, grey and small, and px of it per px of the source."""
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    height, width = grey.shape
    # Averaging whole blocks of pixels takes a fifth of the time that any other factor does.
    times = -(-max(height, width) // SIDE)
    if times > 1 and min(height, width) >= times:
        size = (width // times, height // times)
        grey = np.asarray(
            cv2.resize(grey[: size[1] * times, : size[0] * times], size, interpolation=cv2.INTER_AREA), np.uint8
        )
        return grey, 1 / times
    return grey, 1.0


def _begun(past: _Past, place: int) -> _Chain | None:
    """A chain that begins with a face; None if it is too far outside the picture."""
    box = past.boxes[place]
    centre, sides = (box[:2] + box[2:]) / 2, np.maximum(box[2:] - box[:2], LEAST_PX)
    height, width = past.picture.shape[:2]
    line = (np.arange(GRID) + 0.5) / GRID * 2 - 1
    unit = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    unit = unit[np.hypot(unit[:, 0], unit[:, 1]) <= 1]
    points = centre + 0.45 * unit * sides
    points = points[((points >= 2) & (points < (width - 2, height - 2))).all(axis=1)].astype(np.float32)
    if len(points) < LEAST_POINTS:
        return None
    patches = deque([_patch(past.picture, box)], maxlen=AGO)
    alive = np.ones(len(points), bool)
    root = past.roots[place]
    return _Chain(past.index, place, root, float(past.scores[place]), box, points, points.copy(), alive, patches)


def _follow(chain: _Chain, before: ImageArray, after: ImageArray) -> bool:
    """Moves a chain from one picture to the next; says whether it still holds, and gives it another box if so."""
    height, width = after.shape[:2]
    box = chain.now
    reach = ROOM[0] + ROOM[1] * max(box[2] - box[0], box[3] - box[1])
    x0, y0 = (max(0, int(v - reach)) for v in box[:2])
    x1, y1 = min(width, int(box[2] + reach)), min(height, int(box[3] + reach))
    if min(x1 - x0, y1 - y0) < 2 * WINDOW[0] or not chain.alive.any():
        return False
    one, two = (np.ascontiguousarray(picture[y0:y1, x0:x1]) for picture in (before, after))
    here = chain.points[chain.alive] - np.array([x0, y0], np.float32)
    there, found = _flowed(one, two, here)
    back, returned = _flowed(two, one, there)
    good = found & returned & ((there >= 0) & (there < (x1 - x0, y1 - y0))).all(axis=1)
    off = np.linalg.norm(back - here, axis=1)
    return _moved(chain, there + np.array([x0, y0], np.float32), good, off, after)


def _flowed(before: ImageArray, after: ImageArray, points: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Where points [N, 2] of a picture are in another, and which were found [N]."""
    unknown: Any = None  # OpenCV makes the array itself, though its stubs do not say so
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points[:, None], unknown, winSize=WINDOW, maxLevel=LEVELS)
    return np.asarray(there, np.float32).reshape(-1, 2), np.asarray(found).ravel() == 1


def _moved(chain: _Chain, there: FloatArray, good: NDArray[np.bool_], off: FloatArray, picture: ImageArray) -> bool:
    """Whether a chain holds, its points alive having gone `there`; it has another box then."""
    size = float(np.sqrt(np.prod(np.maximum(chain.box[2:] - chain.box[:2], 1))))
    left = np.flatnonzero(chain.alive)
    good = good & (off <= max(RETURN[0], RETURN[1] * size))
    chain.points[left] = there
    chain.alive[left[~good]] = False
    need = max(LEAST_POINTS, ALIVE * len(chain.start)) if chain.boxes else LEAST_POINTS
    if chain.alive.sum() < need:
        return False
    middle = np.median((chain.points - chain.start)[chain.alive], axis=0)
    matrix: Matrix = np.hstack([np.eye(2), middle[:, None]])
    for tolerance in (2 * ASTRAY, ASTRAY):
        near = np.linalg.norm(apply(matrix, chain.start) - chain.points, axis=1) <= max(1.0, tolerance * size)
        if (near & chain.alive).sum() < need:
            return False
        matrix = fit_similarity(chain.start[near & chain.alive], chain.points[near & chain.alive])
    chain.alive &= near
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if not 1 / GROWTH <= scale <= GROWTH:
        return False
    centre = apply(matrix, (chain.box[:2] + chain.box[2:]) / 2)
    half = (chain.box[2:] - chain.box[:2]) / 2 * scale
    box = np.concatenate([centre - half, centre + half])
    patch = _patch(picture, box)
    if float((patch * chain.patches[0]).mean()) < ALIKE:
        return False
    chain.patches.append(patch)
    chain.boxes.append(box)
    return True


def _patch(picture: ImageArray, box: Array) -> FloatArray:
    """The inside of a box [PATCH, PATCH], mean 0 and deviation 1, beyond the picture its edge repeated."""
    side = np.maximum(box[2:] - box[:2], LEAST_PX)
    step = side / PATCH
    low = (box[:2] + box[2:]) / 2 - side / 2 + step / 2 - 0.5
    matrix = np.array([[step[0], 0, low[0]], [0, step[1], low[1]]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    patch = cv2.warpAffine(picture, matrix, (PATCH, PATCH), flags=how, borderMode=cv2.BORDER_REPLICATE)
    values = np.asarray(patch, np.float32)
    # A little noise in both keeps flat patches alike.
    return np.asarray((values - values.mean()) / np.sqrt(values.var() + 9.0), np.float32)
