"""What optical flow would have said had the detector missed some of its faces.

In come scanned frames and which of their detections are taken away, out come the others with the chains of boxes that
a scan would have written for them: it would have followed the pixels of those that are gone, whose motion it measured.
No picture is read, so how long flow would have held is that of the detections taken away: as long as there are any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vidanon.geometry import Array, iou
from vidanon.track.carry import REACH, SAME
from vidanon.types import FloatArray, ScannedFace, ScannedFrame

Missing = Sequence[NDArray[np.bool_]]


def rechained(frames: Sequence[ScannedFrame], missing: Missing, at: int, place: int) -> ScannedFace:
    """Detection `place` of `frames[at]` with `ahead` and `behind` as they are without those that are `missing`."""
    face = frames[at].faces[place]
    return replace(face, ahead=_chain(frames, missing, at, face, +1), behind=_chain(frames, missing, at, face, -1))


def _chain(frames: Sequence[ScannedFrame], missing: Missing, at: int, face: ScannedFace, step: int) -> FloatArray:
    now, carrier = np.asarray(face.box, np.float64), face
    boxes: list[Array] = []
    while len(boxes) < REACH:
        own = carrier.ahead if step > 0 else carrier.behind
        if len(own):
            boxes += [now + (box - carrier.box) for box in own]
            at, now = at + step * len(own), boxes[-1]
            found = _found(frames, at, now)
        elif 0 <= at + step < len(frames):
            at += step
            if step > 0:
                now = now + np.tile(carrier.flow, 2)
                found = _found(frames, at, now)
            else:
                found = _leading(frames, at, now)
                now = now - np.tile(frames[at].faces[found].flow, 2) if found is not None else now
            if found is None or (not boxes and not missing[at][found]):
                break
            boxes.append(now)
        else:
            break
        if found is None or not missing[at][found]:
            break
        carrier = frames[at].faces[found]
    return np.asarray(boxes[:REACH], np.float32).reshape(-1, 4)


def _found(frames: Sequence[ScannedFrame], at: int, box: Array) -> int | None:
    """The detection of a frame that is where a box is."""
    return _nearest([f.box for f in frames[at].faces], box) if 0 <= at < len(frames) else None


def _leading(frames: Sequence[ScannedFrame], at: int, box: Array) -> int | None:
    """The detection of a frame that flows to where a box is in the next."""
    return _nearest([f.box + np.tile(f.flow, 2) for f in frames[at].faces], box)


def _nearest(boxes: Sequence[Array | FloatArray], box: Array) -> int | None:
    """The one of some boxes that overlaps a box most, if it is the same face's."""
    if not boxes:
        return None
    overlaps = iou(box, boxes)[0]
    best = int(overlaps.argmax())
    return best if overlaps[best] >= SAME else None
