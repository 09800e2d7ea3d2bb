"""How much a clip's cover owes to each detection: detections are taken out of a scanned plan, and it is settled again.

In: scanned frames, as a plan has them. Out: a `GapsReport`: how much of the faces the full run covers the reduced run
still covers. No picture is read: the masks of both runs are drawn and compared.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.errors import UsageError
from vidanon.evaluate.rechain import rechained
from vidanon.geometry import Array, iou
from vidanon.plan.store import Plan
from vidanon.render.align import face_pose
from vidanon.render.mask import outline_px
from vidanon.settings import Settings
from vidanon.track.settle import settle_all
from vidanon.types import Observation, ScannedFrame, Track

NAKED = 0.9
"""a face of which less than this part lies under a mask is naked"""
EDGE_FRAMES = 5
"""least frames of a track before, between and after its gaps"""
SAME_FACE_IOU = 0.3
"""overlap of a detection with a settled face from which it belongs to it"""
CANVAS = 96
"""px of the longer side of the canvas on which masks are compared"""
WORST = 20
"""how many of the least covered face-frames a report lists"""

ByFrame = Mapping[int, Sequence[Observation]]


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames in which one track's detections are taken away."""

    track: int
    """number of the full run's track"""
    first: int
    """frame index"""
    last: int
    """frame index, inclusive"""


@dataclass(frozen=True, slots=True)
class FaceFrame:
    """One face of the full run in one frame, and how much of it the reduced run covers."""

    frame: int
    """frame index"""
    track: int
    """number of the full run's track"""
    box: float
    """part of the face's box, as far as it is in the picture, under a mask of the reduced run, 0..1"""
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
    """share of them whose box is covered by 90 % or more, 0..1"""
    naked: int
    """those that are not"""
    sure: int
    """face-frames of tracks that were detected surely in at least half of their frames"""
    sure_coverage: float
    """share of these whose box is covered by 90 % or more"""
    sure_naked: int
    """those that are not"""
    mask_coverage: float
    """share of them whose mask, with its margin, is covered by 90 % or more, 0..1"""
    mean_box: float
    """mean part of a box that is covered"""
    padded: int
    """faces times frames the full run covers on suspicion, before the first and after the last detection"""
    padded_coverage: float
    """share of these whose box is covered by 90 % or more; 1 if there are none"""
    split: int
    """tracks of the full run that more than one identity covers in the reduced run"""
    lost: int
    """tracks of the full run of which nothing is left"""
    worst: tuple[FaceFrame, ...]
    """the least covered face-frames, at most 20"""
    least: float = NAKED
    """part of a box that must be covered, 0..1"""


def gaps_in_plan(
    plan: Plan, *, settings: Settings, drop: float = 0.3, gaps: int = 3, gap_frames: int = 15, seed: int = 0
) -> GapsReport:
    """`simulate_gaps` on a scanned plan. Raises PlanError if it is damaged, UsageError if its scan is unfinished."""
    header = plan.header
    if header.state == "scanning":
        raise UsageError(f"{plan.path}: the scan is unfinished", hint="run the scan to its end")
    return simulate_gaps(
        plan.scanned,
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

    `frames` begins reading the scan; `drop` is the share of detections taken away at random, `gaps` how many holes of
    `gap_frames` frames are torn into every track that is long enough to have frames on both sides of them.
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
    spans = _seen_spans(full)
    torn = tuple(gap for track in sorted(spans) for gap in _torn(track, spans[track], gaps, gap_frames, rng))
    reduced_scan = _reduced(whole, full, torn, drop, rng)
    left, reduced = settled(lambda: reduced_scan)

    identity = {track.number: track.identity for track in left}
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
            (seen if inside else padded).append(FaceFrame(frame, item.track, *parts))
            if inside and outlines:
                overlaps = iou(item.box, [o.box for o, _ in outlines])[0]
                if overlaps.max() >= SAME_FACE_IOU:
                    identities[item.track].add(identity[outlines[int(overlaps.argmax())][0].track])
    strong = Counter(o.track for items in full.values() for o in items if o.source == "detected")
    sure = [f for f in seen if strong[f.track] >= (spans[f.track][1] - spans[f.track][0] + 1) / 2]
    detections = sum(len(frame.faces) for frame in whole)
    worst = sorted(seen, key=lambda f: (f.box, f.frame, f.track))
    return GapsReport(
        detections=detections,
        dropped=detections - sum(len(frame.faces) for frame in reduced_scan),
        tracks=len(identities),
        gaps=torn,
        face_frames=len(seen),
        coverage=_share([f.box for f in seen]),
        naked=sum(f.box < NAKED for f in seen),
        sure=len(sure),
        sure_coverage=_share([f.box for f in sure]),
        sure_naked=sum(f.box < NAKED for f in sure),
        mask_coverage=_share([f.mask for f in seen]),
        mean_box=float(np.mean([f.box for f in seen])) if seen else 1.0,
        padded=len(padded),
        padded_coverage=_share([f.box for f in padded]),
        split=sum(len(found) > 1 for found in identities.values()),
        lost=sum(not found for found in identities.values()),
        worst=tuple(worst[:WORST]),
    )


def _share(parts: Sequence[float]) -> float:
    return float(np.mean(np.array(parts) >= NAKED)) if parts else 1.0


def _seen_spans(full: ByFrame) -> dict[int, tuple[int, int]]:
    """First and last frame of every track in which the detector saw it."""
    spans: dict[int, tuple[int, int]] = {}
    for frame in sorted(full):
        for item in full[frame]:
            if item.source in {"detected", "weak"}:
                spans[item.track] = (spans.get(item.track, (frame, frame))[0], frame)
    return spans


def _torn(track: int, span: tuple[int, int], gaps: int, length: int, rng: np.random.Generator) -> Iterator[Gap]:
    """As many gaps as fit into the frames from the first to the last of a track, at random places."""
    frames = span[1] - span[0] + 1
    fit = min(gaps, max(0, (frames - EDGE_FRAMES) // (length + EDGE_FRAMES)))
    slack = frames - fit * length - (fit + 1) * EDGE_FRAMES
    for k, place in enumerate(np.sort(rng.integers(0, slack + 1, fit)).tolist() if fit else ()):
        begin = span[0] + place + (k + 1) * EDGE_FRAMES + k * length
        yield Gap(track, begin, begin + length - 1)


def _reduced(
    frames: Sequence[ScannedFrame], full: ByFrame, torn: Sequence[Gap], drop: float, rng: np.random.Generator
) -> list[ScannedFrame]:
    """The scan without what was taken away, and with the chains of flow that the scan would have made of the rest."""
    holes: dict[int, set[int]] = defaultdict(set)
    for gap in torn:
        for index in range(gap.first, gap.last + 1):
            holes[index].add(gap.track)
    missing = []
    for frame in frames:
        gone = rng.random(len(frame.faces)) < drop
        here = full.get(frame.index, ())
        if len(frame.faces) and here and holes[frame.index]:
            overlaps = iou([f.box for f in frame.faces], [o.box for o in here])
            for i, row in enumerate(overlaps):
                best = int(row.argmax())
                gone[i] |= row[best] >= SAME_FACE_IOU and here[best].track in holes[frame.index]
        missing.append(gone)
    return [
        replace(
            frame,
            faces=tuple(rechained(frames, missing, k, int(i)) for i in np.flatnonzero(~missing[k])),
        )
        for k, frame in enumerate(frames)
    ]


def _outline(item: Observation, margin: float) -> Array:
    return outline_px(face_pose(item.box, item.points), item.points, margin=margin)


def _covered(
    item: Observation, masks: Sequence[Array], margin: float, width: int, height: int
) -> tuple[float, float] | None:
    """Parts of a face's box and of its mask that lie under `masks`; None if it is not in the picture."""
    outline = _outline(item, margin)
    x0, y0, x1, y1 = (float(v) for v in item.box)
    box = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
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
    parts = [float(under[area].mean()) for area in (drawn([box]), drawn([outline])) if area.any()]
    return (parts[0], parts[1]) if len(parts) == 2 else None
