"""A film set without a camera: people whose faces are known exactly, and a detector that makes mistakes.

Used by the tests of track/: `Scene.scan()` gives what a scan would have written, `Scene.judge()` compares settled
tracks with the truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from vidanon.geometry import iou, within
from vidanon.settings import DetectSettings, TrackSettings
from vidanon.track.settle import settle_all
from vidanon.track.shots import FLASH
from vidanon.types import N_FACE_POINTS, Observation, ScannedFace, ScannedFrame, Track

WIDTH, HEIGHT = 1280, 720
TIME_BASE = Fraction(1, 90000)

STRONG = DetectSettings().threshold
"""score from which on a detection starts a track"""

Path = Callable[[float], tuple[float, float, float] | None]
"""seconds to (cx, cy, side) of a face, None where there is none"""


@dataclass
class Person:
    """Someone whose face is known."""

    path: Path
    pose: float = 0.0
    """where the nose points, -1 (picture's left) to 1"""
    hidden: Callable[[int], bool] = lambda _: False
    """frames in which the detector is made to miss this face"""
    score: float = 0.9

    def box(self, seconds: float) -> np.ndarray | None:
        """xyxy [4], None where there is none."""
        at = self.path(seconds)
        if at is None:
            return None
        cx, cy, side = at
        return np.array([cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2])

    def points(self, seconds: float) -> np.ndarray:
        """[30, 2], the five known."""
        cx, cy, side = self.path(seconds) or (0.0, 0.0, 0.0)
        five = np.array([[-0.2, -0.15], [0.2, -0.15], [0.0, 0.05], [-0.15, 0.25], [0.15, 0.25]])
        five = five + np.array([[0.1], [0.1], [0.25], [0.1], [0.1]]) * [self.pose, 0]
        points = np.full((N_FACE_POINTS, 2), np.nan)
        points[:5] = five * side + [cx, cy]
        return points


@dataclass
class Scene:
    """People, a camera, and a detector with its faults."""

    people: Sequence[Person]
    seconds: float
    fps: float = 30.0
    seed: int = 0
    jitter: float = 0.015
    """standard deviation of a box side, in parts of it"""
    drop: float = 0.0
    """share of detections that are missed"""
    weak: float = 0.0
    """share of detections whose score is below the threshold"""
    false: float = 0.0
    """false strong detections a frame"""
    keypoints: bool = True
    flow: bool = True
    """False: the scan knows no flow"""
    cuts: Sequence[int] = ()
    flashes: Sequence[int] = ()
    camera: Callable[[float], tuple[float, float]] = lambda _: (0.0, 0.0)
    """seconds to where the world's origin lies in the picture"""
    uneven: bool = False
    """variable frame rate"""
    times: list[float] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed + 99)
        n = round(self.seconds * self.fps)
        steps = rng.choice([0.5, 1.0, 2.0], n) / self.fps if self.uneven else np.full(n, 1 / self.fps)
        self.times = [round(float(t) * 90000) / 90000 for t in np.concatenate([[0], np.cumsum(steps[:-1])])]

    def truth(self, frame: int) -> list[tuple[int, np.ndarray]]:
        """(person, box) in the picture of a frame, as far as at least half of it is in the picture."""
        seconds = self.times[frame]
        shift = np.tile(self.camera(seconds), 2)
        out = []
        for k, person in enumerate(self.people):
            box = person.box(seconds)
            if box is not None:
                box = box + shift
                cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
                if 0 <= cx < WIDTH and 0 <= cy < HEIGHT:
                    out.append((k, box))
        return out

    def seen(self) -> list[list[tuple[int, ScannedFace]]]:
        """What the detector finds in every frame: (person, face); person -1 for a false one."""
        rng = np.random.default_rng(self.seed)
        out = []
        for frame, seconds in enumerate(self.times):
            found: list[tuple[int, ScannedFace]] = []
            here = np.array(self.camera(seconds))
            after = dict(self.truth(frame + 1)) if frame + 1 < len(self.times) else {}
            for k, box in self.truth(frame):
                noise = rng.normal(0, self.jitter, 4) * (box[2] - box[0])
                missed, doubtful = rng.random() < self.drop, rng.random() < self.weak
                person = self.people[k]
                flow = (after[k] - box)[:2] if k in after and self.flow else np.zeros(2)
                flow = flow + rng.normal(0, 0.2, 2) * self.flow
                if missed or person.hidden(frame) or self._behind(frame, k, box):
                    continue
                score = person.score * (0.35 if doubtful else 1)
                marks = person.points(seconds) + here + rng.normal(0, 0.01, (N_FACE_POINTS, 2)) * (box[2] - box[0])
                found.append((k, self._face(box + noise, score, marks, flow)))
            for _ in range(rng.poisson(self.false)):
                side = rng.uniform(20, 60)
                x, y = rng.uniform(0, WIDTH - side), rng.uniform(0, HEIGHT - side)
                box = np.array([x, y, x + side, y + side])
                found.append((-1, self._face(box, 0.7, np.full((N_FACE_POINTS, 2), np.nan), np.zeros(2))))
            out.append(sorted(found, key=lambda it: -it[1].score))
        return out

    def _shot(self, frame: int) -> int:
        """What the picture looks like as a whole: the number of the shot, or -1 in a flash."""
        return -1 if frame in self.flashes else sum(cut <= frame for cut in self.cuts)

    def _behind(self, frame: int, k: int, box: np.ndarray) -> bool:
        """Whether a person listed before this one stands in front: a detector gives one box for the two."""
        return any(iou(box, other)[0, 0] > 0.4 for j, other in self.truth(frame) if j < k)

    def _face(self, box: np.ndarray, score: float, marks: np.ndarray, flow: np.ndarray) -> ScannedFace:
        marks = marks if self.keypoints else np.full_like(marks, np.nan)
        confidence = np.where(np.isfinite(marks[:, 0]), 0.9, 0.0).astype(np.float32)
        return ScannedFace(
            box.astype(np.float32), score, marks.astype(np.float32), confidence, (float(flow[0]), float(flow[1]))
        )

    def scan(self) -> list[ScannedFrame]:
        """What a scan would have written."""
        out = []
        for frame, found in enumerate(self.seen()):
            seconds = self.times[frame]
            ahead = self.times[min(frame + 1, len(self.times) - 1)]
            pan = np.subtract(self.camera(ahead), self.camera(seconds))
            change, skip = (0.0, 0.0) if frame == 0 else (0.03, 0.04)
            # As a ChangeMeter says it: of a jump, the picture before it is looked for in the frames after it.
            jumps = [k for k in range(max(1, frame - FLASH), frame) if self._shot(k) != self._shot(k - 1)]
            if frame and self._shot(frame) != self._shot(frame - 1):
                change = 0.8
            before = jumps[0] - 1 if jumps else frame - 2
            if before >= 0 and self._shot(frame) != self._shot(before):
                skip = 0.8
            pts = round(seconds * 90000)
            faces = tuple(face for _, face in found)
            out.append(ScannedFrame(frame, pts, faces, change, skip, (float(pan[0]), float(pan[1]))))
        return out

    def settle(self, **options: float) -> dict[int, tuple[Track, list[Observation]]]:
        """Linked and settled, by number."""
        return joined(
            settle_all(
                self.scan,
                width=WIDTH,
                height=HEIGHT,
                time_base=TIME_BASE,
                settings=TrackSettings(**options),  # type: ignore[arg-type]
                detect=DetectSettings(),
            )
        )

    def judge(self, tracks: dict[int, tuple[Track, list[Observation]]], *, overlap: float = 0.5) -> Verdict:
        """How much of every person's time between first and last detection is covered, and by which tracks."""
        by_frame: dict[int, list[Observation]] = {}
        for _, items in tracks.values():
            for item in items:
                by_frame.setdefault(item.frame, []).append(item)
        spans: dict[int, list[int]] = {}
        for frame, found in enumerate(self.seen()):
            for k, face in found:
                if k >= 0 and face.score >= STRONG:
                    spans.setdefault(k, []).append(frame)
        covered = total = 0
        naked: list[tuple[int, int]] = []
        numbers: dict[int, Counter[int]] = {k: Counter() for k in spans}
        for k, seen in spans.items():
            for frame in range(seen[0], seen[-1] + 1):
                box = dict(self.truth(frame)).get(k)
                if box is None:
                    continue
                total += 1
                here = by_frame.get(frame, [])
                fits = [o for o in here if _holds(o, box, overlap)]
                if fits:
                    covered += 1
                    # Where two faces pass, boxes of both hold them; their own is the one that held them before.
                    own = max(fits, key=lambda o: (numbers[k][o.track], iou(o.box, box)[0, 0]))
                    numbers[k][own.track] += 1
                else:
                    naked.append((k, frame))
        return Verdict(covered, total, numbers, naked)


def _holds(item: Observation, box: np.ndarray, overlap: float) -> bool:
    """Whether a settled face overlaps a true one by so much; between detections it is wider, and holds it."""
    if item.source in {"interpolated", "padded", "carried", "hidden"}:
        return bool(within(box, item.box)[0, 0] >= 0.75 and iou(box, item.box)[0, 0] >= overlap / 2)
    return bool(iou(box, item.box)[0, 0] >= overlap)


@dataclass
class Verdict:
    """Tracks against truth."""

    covered: int
    total: int
    numbers: dict[int, Counter[int]]
    """for every person, how often which track covered them best"""
    naked: list[tuple[int, int]]
    """(person, frame)"""

    @property
    def coverage(self) -> float:
        """Share of the truth that is covered."""
        return self.covered / self.total

    @property
    def identity(self) -> float:
        """Share of covered frames whose track is their person's own, each track belonging to one person only."""
        owner: dict[int, int] = {}
        for k, counter in self.numbers.items():
            for number, n in counter.items():
                if n > self.numbers.get(owner.get(number, -1), Counter())[number]:
                    owner[number] = k
        right = 0
        for k, counter in self.numbers.items():
            right += max((n for number, n in counter.items() if owner[number] == k), default=0)
        return right / max(1, self.covered)


def joined(
    pieces: Iterable[tuple[Track, list[Observation]]],
) -> dict[int, tuple[Track, list[Observation]]]:
    """Tracks by number, the pieces of a long one put together as a plan does."""
    out: dict[int, tuple[Track, list[Observation]]] = {}
    for track, items in pieces:
        if track.number in out:
            before, earlier = out[track.number]
            assert before.last + 1 == track.first
            whole = Track(track.number, before.first, track.last, track.identity, track.action)
            out[track.number] = (whole, earlier + items)
        else:
            out[track.number] = (track, items)
    return out
