"""Who else is in the picture: where the other tracks are seen while one of them is not.

In come the tracks of every frame, out comes for one of them the boxes of the others in the frames in which it was not
seen, and which of its boxes there lie behind one of these: on their head, or on the body below it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidanon.geometry import Array, area, centre_size, iou, within
from vidanon.track.live import LiveTrack
from vidanon.track.parts import trust_of
from vidanon.types import ScannedFace

HEAD = 0.5
"""part of a box that lies on a face that is seen, from which it is behind it, or is that face"""
BODY = 0.75
"""part of a box that lies on somebody's body, from which it is behind it"""
NEARER = 1.15
"""how many times larger a face is than another, at least, whose owner walks in front"""
SHOULDERS = 1.4
"""half the width of a body, in face widths"""
WAIST = 5.0
"""height of what of a body is thought to be upright, in face heights, from the chin down"""
ECHO_IOU = 0.2
"""overlap of two boxes of which one may be an echo of the other's face ..."""
ECHO_INSIDE = 0.4
"""... or part of it inside the other"""
ECHO_TIMES = 3
"""how many times as often as its echo a face is seen"""
ECHO_NEARLY = 0.7
"""share of its sure detections that lie there, of a track whose keypoints are trusted less than the face's"""
CLOSEUP_PX = 96.0
"""longer side of a face, at least, whose chest may be taken for another one"""
CHEST_ASIDE, CHEST_BELOW = 0.6, (0.65, 1.7)
"""how far a chest is from the middle of that face, to the side and down, in its sizes ..."""
CHEST_SIZE = (0.4, 1.25)
"""... and how large it is taken to be"""
CHEST_LEAST = 8
"""detections of which fewer say nothing"""
CHEST_STRONG = 0.35
"""share of strong ones among them from which on it is a face"""
CHEST_TRUST, SURER = 0.75, 0.2
"""trust in its keypoints from which on it is one, and by how much more the other's are trusted"""
HOLE = 3
"""frames between two hidden ones that are hidden as well"""


class Company:
    """Where which track was seen, as far back as any that is alive may be asked about."""

    def __init__(self) -> None:
        self._frames: deque[tuple[int, float, list[tuple[LiveTrack, Array]]]] = deque()

    def note(self, frame: int, seconds: float, tracks: Sequence[LiveTrack], *, since: float) -> None:
        """Notes the tracks seen in a frame; what is older than `since` seconds is forgotten."""
        seen = [(t, np.asarray(t.points[-1].face.box, np.float64)) for t in tracks if t.frame == frame]
        self._frames.append((frame, seconds, seen))
        while self._frames and self._frames[0][1] < since:
            self._frames.popleft()

    def of(self, track: LiveTrack, frames: set[int], believed: Callable[[LiveTrack], bool]) -> dict[int, Array]:
        """Boxes [N, 4] of the other tracks that are believed, by frame, outside `frames`; none are left out."""
        found: dict[int, Array] = {}
        known: dict[int, bool] = {id(track): False}
        for frame, _, seen in self._frames:
            if frame in frames:
                continue
            boxes = []
            for other, box in seen:
                owner = _owner(other)
                if id(owner) not in known:
                    known[id(owner)] = believed(owner)
                if known[id(owner)]:
                    boxes.append(box)
            if boxes:
                found[frame] = np.array(boxes)
        return found

    def echo(self, track: LiveTrack, seconds: float) -> bool:
        """Whether a track is the neck, hair or collar of another's face, taken for a face now and then.

        That is: whenever it was seen surely, or at all if that never was, it lay on or beside one and the same face
        that is seen more surely, and far more often, from `seconds` before to `seconds` after it; or nearly always, if
        that one's keypoints are trusted far more. Two people close together are both seen steadily.
        """
        if track.emitted:
            return False
        kind = "detected" if track.strong else "weak"
        sure = {p.frame: np.asarray(p.face.box, np.float64) for p in track.points if p.source == kind}
        times = [at for frame, at, _ in self._frames if frame in sure]
        if len(times) < len(sure):
            return False
        low, high = min(times) - seconds, max(times) + seconds
        beside: Counter[int] = Counter()
        hosts: Counter[int] = Counter()
        owners: dict[int, LiveTrack] = {}
        for frame, at, seen in self._frames:
            if not low <= at <= high:
                continue
            for other, box in seen:
                owner = _owner(other)
                if owner is track:
                    continue
                hosts[id(owner)] += 1
                owners[id(owner)] = owner
                if frame in sure and _beside(sure[frame], box):
                    beside[id(owner)] += 1
        return any(
            min(hosts[k], owners[k].strong) >= ECHO_TIMES * n
            and (n == len(sure) or (n >= ECHO_NEARLY * len(sure) and owners[k].trust() >= track.trust() + SURER))
            for k, n in beside.items()
        )

    def chest(self, track: LiveTrack) -> bool:
        """Whether a track is what is below somebody's chin in a close-up, taken for a face again and again.

        That is: doubted in most frames and by the landmarker, always there where one and the same face has its chest,
        and that face never doubted. Who stands before somebody's chest is a face: found surely, or eyes and all.
        """
        points = track.points
        if track.emitted or len(points) < CHEST_LEAST or track.strong > CHEST_STRONG * len(points):
            return False
        boxes = {p.frame: np.asarray(p.face.box, np.float64) for p in points}
        below: Counter[int] = Counter()
        owners: dict[int, LiveTrack] = {}
        for frame, _, seen in self._frames:
            for other, box in seen if frame in boxes else ():
                owner = _owner(other)
                if owner is not track and below_closeup(boxes[frame], box):
                    below[id(owner)] += 1
                    owners[id(owner)] = owner
        trust = track.trust()
        return trust < CHEST_TRUST and any(
            n == len(points) and owners[k].strong >= n and owners[k].trust() >= trust + SURER for k, n in below.items()
        )


def _beside(box: Array, other: Array) -> bool:
    """Whether a box overlaps another so much that both can hardly be faces."""
    return float(iou(box, other)[0, 0]) >= ECHO_IOU or float(within(box, other)[0, 0]) >= ECHO_INSIDE


def below_closeup(box: ArrayLike, face: ArrayLike) -> bool:
    """Whether a box [4] xyxy px is where a face in a close-up, another box, has its chest, and as large as that."""
    (x, y, w, h), (fx, fy, fw, fh) = centre_size(box), centre_size(face)
    size, span = max(w, h), max(fw, fh)
    if span < CLOSEUP_PX or not CHEST_SIZE[0] <= size / span <= CHEST_SIZE[1]:
        return False
    return bool(abs(x - fx) < CHEST_ASIDE * span and CHEST_BELOW[0] * span < y - fy < CHEST_BELOW[1] * span)


def chests(faces: Sequence[ScannedFace]) -> list[bool]:
    """Which of a frame's detections are where another one in a close-up has its chest, and far less to be trusted."""
    trust = [trust_of(f) for f in faces]
    return [
        own < CHEST_TRUST
        and any(
            sure >= own + SURER and below_closeup(f.box, other.box) for other, sure in zip(faces, trust, strict=True)
        )
        for f, own in zip(faces, trust, strict=True)
    ]


def _owner(track: LiveTrack) -> LiveTrack:
    while track.became is not None:
        track = track.became
    return track


def hidden(boxes: Array, frames: Sequence[int], others: Mapping[int, Array]) -> NDArray[np.bool_]:
    """Which of a track's boxes [N, 4] xyxy px, in frames in which it was not seen, lie behind somebody who was.

    Holes of a few frames between two such are filled: nobody shows for a moment.
    """
    out = np.array([frame in others and _behind(box, others[frame]) for box, frame in zip(boxes, frames, strict=True)])
    where = [int(k) for k in np.flatnonzero(out)]
    for low, high in pairwise(where):
        if high - low <= HOLE + 1 and abs(frames[high] - frames[low]) == high - low:
            out[low:high] = True
    return out.astype(bool)


def _behind(box: Array, others: Array) -> bool:
    if float(within(box, others).max()) >= HEAD or float(within(others, box).max()) >= BODY:
        return True
    nearer = others[area(others) >= NEARER**2 * area(box)]
    if not len(nearer):
        return False
    c = centre_size(nearer)
    body = np.stack(
        [
            c[:, 0] - SHOULDERS * c[:, 2],
            nearer[:, 3] - 0.25 * c[:, 3],
            c[:, 0] + SHOULDERS * c[:, 2],
            nearer[:, 3] + WAIST * c[:, 3],
        ],
        axis=1,
    )
    return bool(float(within(box, body).max()) >= BODY)
