"""Taking detections out of a scan: at random, and in holes torn into tracks.

In come scanned frames and the tracks that were settled from them, out come the frames as a scan would have written them
had its detector seen less.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidanon.evaluate.rechain import rechained
from vidanon.geometry import iou
from vidanon.types import Observation, ScannedFrame

EDGE_FRAMES = 5
"""least frames of a track before, between and after its gaps"""
SAME_FACE_IOU = 0.3
"""overlap of a detection with a settled face from which it belongs to it"""

ByFrame = Mapping[int, Sequence[Observation]]
Follow = Callable[[Sequence[ScannedFrame]], list[ScannedFrame]]
"""gives frames the chains of boxes that a scan of them would have written"""


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames in which one track's detections are taken away."""

    track: int
    """number of the full run's track"""
    first: int
    """frame index"""
    last: int
    """frame index, inclusive"""


def seen_spans(full: ByFrame) -> dict[int, tuple[int, int]]:
    """First and last frame of every track in which the detector saw it."""
    spans: dict[int, tuple[int, int]] = {}
    for frame in sorted(full):
        for item in full[frame]:
            if item.source in {"detected", "weak"}:
                spans[item.track] = (spans.get(item.track, (frame, frame))[0], frame)
    return spans


def torn_in(track: int, span: tuple[int, int], gaps: int, length: int, rng: np.random.Generator) -> Iterator[Gap]:
    """As many gaps as fit into the frames from the first to the last of a track, at random places."""
    frames = span[1] - span[0] + 1
    fit = min(gaps, max(0, (frames - EDGE_FRAMES) // (length + EDGE_FRAMES)))
    slack = frames - fit * length - (fit + 1) * EDGE_FRAMES
    for k, place in enumerate(np.sort(rng.integers(0, slack + 1, fit)).tolist() if fit else ()):
        begin = span[0] + place + (k + 1) * EDGE_FRAMES + k * length
        yield Gap(track, begin, begin + length - 1)


def started(frames: Sequence[ScannedFrame], full: ByFrame, threshold: float) -> set[int]:
    """Tracks of the full run that have a detection left which could start one."""
    found: set[int] = set()
    for frame in frames:
        here = full.get(frame.index, ())
        boxes = [f.box for f in frame.faces if f.score >= threshold]
        if boxes and here:
            overlaps = iou(boxes, [o.box for o in here])
            found.update(here[int(row.argmax())].track for row in overlaps if row.max() >= SAME_FACE_IOU)
    return found


def reduced_scan(
    frames: Sequence[ScannedFrame],
    full: ByFrame,
    torn: Sequence[Gap],
    *,
    drop: float,
    rng: np.random.Generator,
    follow: Follow | None,
) -> list[ScannedFrame]:
    """The scan without what was taken away, and with the chains of boxes that the scan would have made of the rest."""
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
    if follow is not None:
        return follow(
            [
                replace(frame, faces=tuple(f for f, away in zip(frame.faces, gone, strict=True) if not away))
                for frame, gone in zip(frames, missing, strict=True)
            ]
        )
    return [
        replace(
            frame,
            faces=tuple(rechained(frames, missing, k, int(i)) for i in np.flatnonzero(~missing[k])),
        )
        for k, frame in enumerate(frames)
    ]
