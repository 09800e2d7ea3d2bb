"""How much a clip's cover owes to each detection: detections are taken out of a scanned plan, and it is settled again.

In: scanned frames, as a plan has them, and the clip's pictures, so that what is left is followed through them as a scan
would. Out: a `GapsReport`: how much of the faces the full run covers the reduced run still covers, mask against mask.

What is counted (a face-frame) is every face of the full run in every frame from its track's first detection to its
last, whether somebody's or a false alarm, seen or guessed; only those thought to be behind somebody are not. The report
also counts parts of this, so that what is missing can be told apart; none of them replaces the whole.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.errors import UsageError
from vidanon.evaluate.rechain import recarried
from vidanon.evaluate.removal import SAME_FACE_IOU, ByFrame, Follow, Gap, reduced_scan, seen_spans, started, torn_in
from vidanon.geometry import Array, iou
from vidanon.media.probe import fingerprint
from vidanon.media.reader import Reader
from vidanon.plan.store import Plan
from vidanon.render.align import face_pose
from vidanon.render.mask import face_px, outline_px
from vidanon.settings import Settings
from vidanon.track.settle import settle_all
from vidanon.types import Observation, ScannedFrame, Track

NAKED = 0.9
"""a face of which less than this part lies under a mask is naked"""
CANVAS = 96
"""px of the longer side of the canvas on which masks are compared"""
WORST = 20
"""how many of the least covered face-frames a report lists"""


@dataclass(frozen=True, slots=True)
class FaceFrame:
    """One face of the full run in one frame, and how much of it the reduced run covers."""

    frame: int
    """frame index"""
    track: int
    """number of the full run's track"""
    face: float
    """part of the face without a margin, as far as it is in the picture, under a mask of the reduced run, 0..1"""
    mask: float
    """part of the full run's mask, as far as it is in the picture, under a mask of the reduced run, 0..1"""


@dataclass(frozen=True, slots=True)
class GapsReport:
    """What was taken away and what was still covered."""

    detections: int
    """in the plan, weak ones included"""
    dropped: int
    """taken away at random or in gaps"""
    tracks: int
    """of the full run"""
    gaps: tuple[Gap, ...]
    """by track; short tracks have fewer than were asked for"""
    face_frames: int
    """faces times frames the full run covers between a track's first and last detection"""
    coverage: float
    """share of them that are covered by 90 % or more, 0..1"""
    naked: int
    """those that are not"""
    sure: int
    """face-frames of tracks that were detected surely in at least half of their frames"""
    sure_coverage: float
    """share of these that are covered by 90 % or more"""
    sure_naked: int
    """those that are not"""
    seen: int
    """face-frames in which the full run saw the face, by a detection or by its pixels; the others are guesses"""
    seen_coverage: float
    """share of these that are covered by 90 % or more"""
    seen_naked: int
    """those that are not"""
    unstarted: int
    """naked face-frames of tracks of which no detection is left that could start one: there is nothing to go on from"""
    mask_coverage: float
    """share of them whose mask, with its margin, is covered by 90 % or more, 0..1"""
    mean_face: float
    """mean part of a face that is covered"""
    padded: int
    """faces times frames the full run covers on suspicion, before the first and after the last detection"""
    padded_coverage: float
    """share of these that are covered by 90 % or more; 1 if there are none"""
    split: int
    """tracks of the full run that more than one identity covers in the reduced run"""
    lost: int
    """tracks of the full run of which nothing is left"""
    worst: tuple[FaceFrame, ...]
    """the least covered face-frames, at most 20"""
    least: float = NAKED
    """part of a face that must be covered, 0..1"""


def gaps_in_plan(
    plan: Plan,
    clip: Path | None = None,
    *,
    settings: Settings,
    drop: float = 0.3,
    gaps: int = 3,
    gap_frames: int = 15,
    seed: int = 0,
) -> GapsReport:
    """`simulate_gaps` on a scanned plan, with the pictures of its `clip`.

    Raises PlanError if the plan is damaged or of another clip, UsageError if its scan is unfinished, and what reading
    the clip raises.
    """
    header = plan.header
    if header.state == "scanning":
        raise UsageError(f"{plan.path}: the scan is unfinished", hint="run the scan to its end")

    def followed(frames: Sequence[ScannedFrame]) -> list[ScannedFrame]:
        assert clip is not None
        with Reader(clip) as reader:
            return recarried(frames, (frame.rgb() for frame in reader), least=settings.detect.weak_threshold)

    if clip is not None:
        plan.require_source(fingerprint(clip))
    return simulate_gaps(
        plan.scanned,
        follow=None if clip is None else followed,
        width=header.width,
        height=header.height,
        time_base=header.time_base,
        settings=settings,
        drop=drop,
        gaps=gaps,
        gap_frames=gap_frames,
        seed=seed,
    )


def simulate_gaps(
    frames: Callable[[], Iterable[ScannedFrame]],
    *,
    follow: Follow | None = None,
    width: int,
    height: int,
    time_base: Fraction,
    settings: Settings,
    drop: float = 0.3,
    gaps: int = 3,
    gap_frames: int = 15,
    seed: int = 0,
) -> GapsReport:
    """Settles a clip twice, the second time with detections missing, and compares what the two cover.

    `frames` begins reading the scan; `follow` gives frames the chains of boxes that a scan which saw no more than they
    hold would have written, None guesses them from the flow of what was taken away. `drop` is the share of detections
    taken away at random, `gaps` how many holes of `gap_frames` frames are torn into every track that is long enough to
    have frames on both sides of them.
    """

    def settled(scan: Callable[[], Iterable[ScannedFrame]]) -> tuple[list[Track], ByFrame]:
        tracks, by_frame = [], defaultdict(list)
        for track, observations in settle_all(
            scan, width=width, height=height, time_base=time_base, settings=settings.track, detect=settings.detect
        ):
            tracks.append(track)
            for item in observations:
                by_frame[item.frame].append(item)
        return tracks, by_frame

    whole = list(frames())

    rng = np.random.default_rng(seed)
    tracks, full = settled(lambda: whole)
    spans = seen_spans(full)
    torn = tuple(gap for track in sorted(spans) for gap in torn_in(track, spans[track], gaps, gap_frames, rng))
    scan = reduced_scan(whole, full, torn, drop=drop, rng=rng, follow=follow)
    left, reduced = settled(lambda: scan)

    identity = {track.number: track.identity for track in left}
    inner: list[FaceFrame] = []
    seen: list[FaceFrame] = []
    padded: list[FaceFrame] = []
    identities: dict[int, set[str]] = {track.number: set() for track in tracks}
    for frame in sorted(full):
        outlines = [(o, _outline(o, settings.render.mask_margin)) for o in reduced.get(frame, ())]
        for item in full[frame]:
            parts = _covered(item, [p for _, p in outlines], settings.render.mask_margin, width, height)
            if parts is None or item.source == "hidden":
                continue
            inside = spans[item.track][0] <= frame <= spans[item.track][1]
            face = FaceFrame(frame, item.track, *parts)
            (inner if inside else padded).append(face)
            if inside and item.source in {"detected", "weak", "carried"}:
                seen.append(face)
            if inside and outlines:
                overlaps = iou(item.box, [o.box for o, _ in outlines])[0]
                if overlaps.max() >= SAME_FACE_IOU:
                    identities[item.track].add(identity[outlines[int(overlaps.argmax())][0].track])
    strong = Counter(o.track for items in full.values() for o in items if o.source == "detected")
    sure = [f for f in inner if strong[f.track] >= (spans[f.track][1] - spans[f.track][0] + 1) / 2]
    begun = started(scan, full, settings.detect.threshold)
    detections = sum(len(frame.faces) for frame in whole)
    worst = sorted(inner, key=lambda f: (f.face, f.frame, f.track))
    return GapsReport(
        detections=detections,
        dropped=detections - sum(len(frame.faces) for frame in scan),
        tracks=len(identities),
        gaps=torn,
        face_frames=len(inner),
        coverage=_share([f.face for f in inner]),
        naked=sum(f.face < NAKED for f in inner),
        sure=len(sure),
        sure_coverage=_share([f.face for f in sure]),
        sure_naked=sum(f.face < NAKED for f in sure),
        seen=len(seen),
        seen_coverage=_share([f.face for f in seen]),
        seen_naked=sum(f.face < NAKED for f in seen),
        unstarted=sum(f.face < NAKED and f.track not in begun for f in inner),
        mask_coverage=_share([f.mask for f in inner]),
        mean_face=float(np.mean([f.face for f in inner])) if inner else 1.0,
        padded=len(padded),
        padded_coverage=_share([f.face for f in padded]),
        split=sum(len(found) > 1 for found in identities.values()),
        lost=sum(not found for found in identities.values()),
        worst=tuple(worst[:WORST]),
    )


def _share(parts: Sequence[float]) -> float:
    return float(np.mean(np.array(parts) >= NAKED)) if parts else 1.0


def _outline(item: Observation, margin: float) -> Array:
    return outline_px(face_pose(item.box, item.points), item.points, margin=margin)


def _covered(
    item: Observation, masks: Sequence[Array], margin: float, width: int, height: int
) -> tuple[float, float] | None:
    """Parts of a face and of its mask that lie under `masks`; None if it is not in the picture."""
    outline = _outline(item, margin)
    face = face_px(face_pose(item.box, item.points), item.points)
    low, high = np.maximum(outline.min(axis=0), 0), np.minimum(outline.max(axis=0), (width, height))
    if (high <= low).any():
        return None
    scale = CANVAS / float((high - low).max())
    size = np.maximum(np.ceil((high - low) * scale), 1).astype(int)

    def drawn(polygons: Sequence[Array]) -> NDArray[np.bool_]:
        canvas = np.zeros((size[1], size[0]), np.uint8)
        for polygon in polygons:
            cv2.fillConvexPoly(canvas, np.round(((polygon - low) * scale - 0.5) * 256).astype(np.int32), 1, shift=8)
        return canvas.astype(np.bool_)

    under = drawn(masks)
    parts = [float(under[area].mean()) for area in (drawn([face]), drawn([outline])) if area.any()]
    return (parts[0], parts[1]) if len(parts) == 2 else None
