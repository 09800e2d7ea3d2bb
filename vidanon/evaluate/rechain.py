"""What optical flow would have said had the detector missed some of its faces.

In come scanned frames without some of their detections, out come the others with the chains of boxes that a scan would
have written for them. `recarried` follows them through the clip's pictures, as the scan does; `rechained` reads none
and guesses from the motion the scan measured of those that are gone, so flow holds for as long as there are any.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vidanon.geometry import Array, iou
from vidanon.track.carry import REACH, SAME, Carrier
from vidanon.types import FloatArray, ImageArray, ScannedFace, ScannedFrame

NO_BOXES: FloatArray = np.zeros((0, 4), np.float32)
Missing = Sequence[NDArray[np.bool_]]


def recarried(frames: Sequence[ScannedFrame], pictures: Iterable[ImageArray], *, least: float) -> list[ScannedFrame]:
    """Frames with the chains of their own faces, followed through the clip's pictures [h, w, 3], one for each frame.

    `least` is the score of the weakest detections there are. Raises ValueError where pictures are missing.
    """
    carrier = Carrier(least)
    flows: list[tuple[float, float]] = []
    for frame, picture in zip(frames, pictures, strict=True):
        boxes = np.array([face.box for face in frame.faces], np.float32).reshape(-1, 4)
        carrier.step(frame.index, picture, boxes, np.array([f.score for f in frame.faces], np.float32), flows)
        flows = [face.flow for face in frame.faces]
    carrier.finish()
    told = {(found.frame, found.place): found for found in carrier.take()}

    def with_chains(frame: ScannedFrame, place: int) -> ScannedFace:
        found = told.get((frame.index, place))
        ahead, behind = (found.ahead, found.behind) if found is not None else (NO_BOXES, NO_BOXES)
        return replace(frame.faces[place], ahead=ahead, behind=behind)

    return [replace(frame, faces=tuple(with_chains(frame, k) for k in range(len(frame.faces)))) for frame in frames]


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
