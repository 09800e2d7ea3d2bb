"""Detections that are a part of a face: a mouth and chin, or an eye, taken for a face of its own.

In come the detections of a frame, and the tracks that are alive; out comes which of them the mask of a larger face
covers anyway. Such a one starts no track, or a second face would be painted into the first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidanon.geometry import from_centre_size, within
from vidanon.settings import TrackSettings
from vidanon.track.live import Array, LiveTrack
from vidanon.types import ScannedFace

MISSED_SECONDS = 0.4
"""longest a face may have been missed for a detection inside it to be taken for a part of it"""


def parts(faces: Sequence[ScannedFace], most: float) -> list[bool]:
    """Which of a frame's detections, surest first, lie in a surer one by more than the part `most`."""
    boxes = np.array([f.box for f in faces], np.float64).reshape(-1, 4)
    inside = np.tril(within(boxes, boxes), -1).max(axis=1, initial=0.0)
    return [bool(part > most) for part in inside]


def missed_whole(
    face: ScannedFace, missed: Sequence[LiveTrack], *, seconds: float, camera: Array, settings: TrackSettings
) -> bool:
    """Whether a detection is a part of a face that itself was missed for a moment, and will be filled or padded here.

    `missed` are the tracks that were not seen in this frame, `camera` is as in `live.fit`.
    """
    patience = min(settings.pad_seconds, MISSED_SECONDS)
    places = [t.expected(seconds, camera) for t in missed if seconds - t.seconds <= patience]
    if not places:
        return False
    return float(within(face.box, from_centre_size(np.array(places))).max()) > settings.drop_parts
