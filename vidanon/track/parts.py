"""Detections that are a part of a head: a mouth and chin, an eye or an earring, taken for a face of its own.

In come the detections of a frame, and the tracks that are alive; out comes which of them the mask of a larger face
covers anyway. Such a one starts no track, or a second face would be painted into the first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidanon.geometry import area, from_centre_size, iou, within
from vidanon.settings import TrackSettings
from vidanon.track.fit import TWIN_KNOWN, TWIN_POINTS
from vidanon.track.live import LiveTrack
from vidanon.track.view import View
from vidanon.types import ON_FACE, ScannedFace

MISSED_SECONDS = 0.4
"""longest a face may have been missed for a detection inside it to be taken for a part of it"""
TWIN_IOU = 0.1
"""least overlap of two detections that may be of one face"""
DOUBTED = 0.6
"""trust in the keypoints below which a detection beside another one may be hair or a neck ..."""
SURER = 0.2
"""... if the other one's are trusted by so much more"""
SMALL = 0.2
"""A detection less than so large, in sizes of a surer one, is an ear, an earring, hair or a lens where it lies ..."""
HEAD = np.array([-0.2, -0.5, 0.2, 0.125])
"""... in the surer one's box, grown by so much of its sides (xyxy): of 2,041 labelled faces in crowds none lies so"""


def parts(faces: Sequence[ScannedFace], most: float) -> list[bool]:
    """Which of a frame's detections, surest first, lie in a surer one by more than the part `most`.

    With them go small ones on its head (ears, earrings), and those that overlap another one whose keypoints are far
    surer than their own: they are hair or a neck where that one is the face. `most` = 1 keeps all of them apart.
    """
    boxes = np.array([f.box for f in faces], np.float64).reshape(-1, 4)
    inside = np.tril(within(boxes, boxes), -1).max(axis=1, initial=0.0)
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0)
    heads = boxes + np.tile(boxes[:, 2:] - boxes[:, :2], 2) * HEAD
    small = (sides[:, None] < SMALL * sides) & (np.tril(within(boxes, heads), -1) > most)
    trust = np.array([trust_of(f) for f in faces])
    better = (trust[None] >= trust[:, None] + SURER) & (iou(boxes, boxes) >= TWIN_IOU)
    echo = better.any(axis=1) & (trust > 0) & (trust < DOUBTED) & (most < 1)
    return [bool(gone) for gone in (inside > most) | small.any(axis=1) | echo]


def trust_of(face: ScannedFace) -> float:
    """How sure the landmarker was of the points on a face, 0..1; 0 where it said nothing."""
    return float(face.confidence[ON_FACE].mean())


def twins(faces: Sequence[ScannedFace]) -> dict[int, set[int]]:
    """The detections of a frame that are of one face, by identity (`id`): boxes that differ, on the same keypoints.

    A detector's boxes of hair and brow, or of a face in half profile, can overlap too little for its own suppression;
    the landmarker, which looks around a box, finds the same eyes and mouth from both.
    """
    found: dict[int, set[int]] = {}
    if len(faces) < 2:
        return found
    boxes = np.array([f.box for f in faces], np.float64)
    overlaps = np.triu(iou(boxes, boxes), 1)
    for i, k in zip(*np.nonzero(overlaps >= TWIN_IOU), strict=True):
        one, two = faces[i], faces[k]
        known = np.isfinite(one.points[:, 0]) & np.isfinite(two.points[:, 0])
        size = float(np.sqrt(np.sqrt(area(one.box) * area(two.box))))
        if known.sum() < TWIN_KNOWN or size <= 0:
            continue
        if float(np.linalg.norm(one.points[known] - two.points[known], axis=1).mean()) <= TWIN_POINTS * size:
            found.setdefault(id(one), set()).add(id(two))
            found.setdefault(id(two), set()).add(id(one))
    return found


def missed_whole(
    face: ScannedFace, missed: Sequence[LiveTrack], *, seconds: float, camera: View, settings: TrackSettings
) -> bool:
    """Whether a detection is a part of a face that itself was missed for a moment, and will be filled or padded here.

    `missed` are the tracks that were not seen in this frame, `camera` is as in `live.fit`.
    """
    patience = min(settings.pad_seconds, MISSED_SECONDS)
    places = [t.expected(seconds, camera) for t in missed if seconds - t.seconds <= patience]
    if not places:
        return False
    return float(within(face.box, from_centre_size(np.array(places))).max()) > settings.drop_parts
