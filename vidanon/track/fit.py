"""How well the detections of a frame fit the tracks that are alive.

In come tracks and the detections of one frame, out come costs. Both are compared where the track is expected: by its
velocity, by optical flow, and by where its own pixels, or the detection's, were followed to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidanon.geometry import centre_size, from_centre_size, iou, within
from vidanon.track.live import Array, LiveTrack, Pan, pose_of, sizes_of
from vidanon.track.view import View, drift
from vidanon.types import ScannedFace

REACH = 0.4
"""how far off, in face sizes, a detection may be from where a lost track is expected, at once ..."""
REACH_PER_SECOND = 0.3
"""... and how much farther for every second it has been unseen, up to one second"""
SIZE_GATE = 0.4
"""largest difference of log size between a track and its next detection, more the longer it is unseen"""
PART_INSIDE = 0.65
"""part of a box inside a larger one from which one may be a part of the other's face"""
PART_GROWTH = 0.25
"""difference of log size from which a detection in the place of a track is a part of that face, or the other way"""
PART_SECONDS = 1.0
"""how long after a track was seen a detection may be taken for such a part"""
UNLIKE = 8.0
"""face sizes a second by which two motions differ that hardly are of one face"""
TURN = 4.0
"""face sizes a second by which a face may change its motion to the opposite at once ..."""
TURN_PER_SECOND = 10.0
"""... and how much more for every second it has been unseen"""
FEW = 3
"""detections that tell a track's velocity; of fewer it may as well have stood still"""
TWIN_POINTS = 0.2
"""mean distance of the keypoints of two detections, in face sizes, up to which they are of one face"""
TWIN_KNOWN = 8
"""keypoints that must be known of both; a detector's five alone tell where it looked, not what it saw"""
ALIKE_IOU = 0.15
"""least overlap of the boxes of such two, the one moved to where it is expected"""
ALIKE_SECONDS = 0.5
"""how long a track may have been unseen for its keypoints to tell anything"""
FOLLOWED = 0.4
"""overlap from which pixels that were followed have come to the same face"""
IMPOSSIBLE = 1e6


@dataclass(frozen=True, slots=True)
class Now:
    """The frame that is being linked."""

    frame: int
    """frame index"""
    seconds: float
    """its time"""
    camera: View
    """how the camera stands"""
    pan: Pan
    """how the background moves to the next frame"""
    interval: float
    """seconds to the next frame, 0 if there is none"""
    flow_trusted: bool
    """whether optical flow from the frame before means anything"""


@dataclass(frozen=True, slots=True)
class Fit:
    """How well every track fits every detection of a frame."""

    cost: Array
    """[T, D] 0 (perfect) to about 2, IMPOSSIBLE where it cannot be the same face"""
    overlap: Array
    """[T, D] best IoU of the expected boxes with the detection"""
    followed: Array
    """[T, D] IoU of the one with where the other's own pixels were followed to; 0 where they were not"""


def fit(tracks: Sequence[LiveTrack], faces: Sequence[ScannedFace], *, now: Now, min_iou: float) -> Fit:
    """Compares where each track is expected in this frame with its detections.

    A track seen in the frame before is expected in two places: where its velocity takes it, and where optical flow
    does. Crossing faces disturb flow, turning ones disturb velocity; the cost asks both. A lost track may be anywhere
    between where it stopped and where it would be had it gone on, or where its pixels were followed to. A face that
    moves fast against a lost track's motion is someone else, coming in where the other went out.
    """
    frame, seconds, camera = now.frame, now.seconds, now.camera
    last = np.array([np.append(t.box[:2], t.box[2:] * (camera.scale / t.camera.scale)) for t in tracks])
    elapsed = np.array([seconds - t.seconds for t in tracks])
    velocity = camera.seen([t.velocity for t in tracks])
    by_velocity = np.array([t.expected(seconds, camera)[:2] for t in tracks])
    by_flow = by_velocity.copy()
    seen = np.array([t.frame == frame - 1 for t in tracks])
    for i, track in enumerate(tracks):
        if seen[i] and now.flow_trusted:
            by_flow[i] = last[i, :2] + track.points[-1].face.flow
        elif (carried := track.carried(frame)) is not None:
            by_flow[i] = carried[:2]

    found = centre_size(np.array([f.box for f in faces]))
    sizes, found_sizes = sizes_of(last), sizes_of(found)
    mean_size = (sizes[:, None] + found_sizes[None]) / 2
    overlaps, distances = [], []
    for centres in (by_velocity, by_flow):
        overlaps.append(iou(from_centre_size(np.hstack([centres, last[:, 2:]])), from_centre_size(found)))
        distances.append(np.linalg.norm(centres[:, None] - found[None, :, :2], axis=2) / mean_size)
    overlap, distance = np.maximum(*overlaps), np.minimum(*distances)
    still = camera.picture([t.in_world()[:2] for t in tracks])
    # Seen once, all that is known of its motion is flow, and that may be of somebody who passes in front.
    once = np.array([len(t.path) < FEW for t in tracks])[:, None]
    stayed = iou(from_centre_size(np.hstack([still, last[:, 2:]])), from_centre_size(found))
    overlap = np.where(once, np.maximum(overlap, stayed), overlap)
    near = np.linalg.norm(still[:, None] - found[None, :, :2], axis=2) / mean_size
    distance = np.where(once, np.minimum(distance, near), distance)
    anywhere = _from_segment(found[:, :2], still, still + velocity * np.minimum(elapsed, 1.0)[:, None]) / mean_size
    distance = np.where(seen[:, None], distance, np.minimum(distance, anywhere))
    growth = np.abs(np.log(sizes[:, None] / found_sizes[None]))
    pose = pose_distance(np.array([t.pose for t in tracks]), pose_of(faces, found))

    speed = np.linalg.norm(velocity, axis=1) / sizes
    reach = (REACH + np.minimum(elapsed, 1.0) * (REACH_PER_SECOND + 0.3 * np.minimum(speed, 4)))[:, None]
    wait = np.minimum(elapsed, 2.0)[:, None]
    possible = ((overlap >= min_iou) | (distance <= reach)) & (growth <= SIZE_GATE + 0.2 * wait)
    theirs = (np.array([f.flow for f in faces]) - drift(found[:, :2], *now.pan)) / (
        now.interval if now.interval > 0 else np.inf
    )
    against = _clash(velocity, theirs, elapsed) > sizes[:, None]
    unlike = np.linalg.norm(velocity[:, None] - theirs[None], axis=2) / sizes[:, None] / UNLIKE
    possible &= seen[:, None] | ~against
    boxes, expected = from_centre_size(found), from_centre_size(np.hstack([by_velocity, last[:, 2:]]))
    inside = np.maximum(within(boxes, expected).T, within(expected, boxes))
    possible &= ~((inside >= PART_INSIDE) & (growth > PART_GROWTH) & (elapsed <= PART_SECONDS)[:, None])
    cost = np.where(seen[:, None], 1 - (overlaps[0] + overlaps[1]) / 2 + 0.5 * distance, 0.25 + 0.8 * distance / reach)
    cost += np.where(seen[:, None], 0, 0.4 * np.minimum(unlike, 1))
    cost = cost + 0.6 * growth + 0.4 * pose + 0.3 * against
    alike = _same_points(tracks, faces, by_flow - last[:, :2], mean_size) & (overlap >= ALIKE_IOU)
    alike &= (elapsed <= ALIKE_SECONDS)[:, None] | seen[:, None]
    cost = np.where(alike, np.minimum(cost, 1 - overlap + 0.4 * pose), cost)
    led = np.array([followed(t, faces, frame) for t in tracks]).reshape(len(tracks), len(faces))
    possible &= ~elsewhere(led)
    led = np.nan_to_num(led)
    sure = (led >= FOLLOWED) & ~seen[:, None]
    cost = np.where(sure, np.minimum(cost, 0.25 + 0.8 * (1 - led) + 0.6 * growth + 0.4 * pose), cost)
    return Fit(np.where(possible | alike | sure, cost, IMPOSSIBLE), np.maximum(overlap, led), led)


def _same_points(
    tracks: Sequence[LiveTrack], faces: Sequence[ScannedFace], moved: Array, size: Array
) -> NDArray[np.bool_]:
    """[T, D] whether the landmarker found the same eyes and mouth: a box may jump to hair or chin, the face does not.

    `moved` [T, 2] px is how far the tracks are thought to have moved, `size` [T, D] px of the faces.
    """
    theirs = np.array([f.points for f in faces], np.float64)
    ours = np.array([t.points[-1].face.points for t in tracks], np.float64) + moved[:, None]
    off = np.linalg.norm(ours[:, None] - theirs[None], axis=3)
    known = np.isfinite(off)
    count = known.sum(axis=2)
    mean = np.where(known, off, 0).sum(axis=2) / np.maximum(count, 1)
    return np.asarray((count >= TWIN_KNOWN) & (mean <= TWIN_POINTS * size), np.bool_)


def followed(track: LiveTrack, faces: Sequence[ScannedFace], frame: int) -> Array:
    """[D] how well the pixels of a track's last detection lead to detections of a later frame, or theirs to it.

    NaN where neither was followed so far.
    """
    carried, k = track.carried(frame), frame - track.frame - 1
    boxes = np.array([f.box for f in faces], np.float64)
    out = iou(from_centre_size(carried), boxes)[0] if carried is not None else np.full(len(faces), np.nan)
    for i, face in enumerate(faces):
        if 0 <= k < len(face.behind):
            out[i] = np.fmax(out[i], iou(face.behind[k], track.points[-1].face.box)[0, 0])
    return out


def elsewhere(led: Array) -> NDArray[np.bool_]:
    """Where pixels were followed, as `followed` says, and came to something else."""
    return np.asarray(led < FOLLOWED, np.bool_)


def _from_segment(points: Array, start: Array, stop: Array) -> Array:
    """[T, D] distances of points [D, 2] from the segments `start` [T, 2] to `stop` [T, 2]."""
    way = stop - start
    along = np.einsum("tdk,tk->td", points[None] - start[:, None], way)
    part = np.clip(along / np.maximum((way * way).sum(axis=1), 1e-9)[:, None], 0, 1)
    return np.asarray(np.linalg.norm(start[:, None] + part[..., None] * way[:, None] - points[None], axis=2))


def _clash(velocity: Array, theirs: Array, elapsed: Array) -> Array:
    """[T, D] how far detections move against tracks, in parts of what turning round allows, times the face's size.

    `velocity` [T, 2] of the tracks and `theirs` [D, 2] of the detections, px a second, `elapsed` [T] seconds since the
    track was seen. 0 where they do not move against each other, or one of them is not known to move.
    """
    against = velocity @ theirs.T < 0
    allowed = TURN + TURN_PER_SECOND * elapsed[:, None]
    return np.where(against, np.linalg.norm(velocity[:, None] - theirs[None], axis=2) / allowed, 0.0)


def pose_distance(a: Array, b: Array) -> Array:
    """[T, D] 0..1 from poses [T, 5, 2] and [D, 5, 2]; 0.5, telling nothing, where they share no known keypoint."""
    difference = np.linalg.norm(a[:, None] - b[None], axis=3)
    known = ~np.isnan(difference)
    count = known.sum(axis=2)
    mean = np.where(known, difference, 0).sum(axis=2) / np.maximum(count, 1)
    return np.where(count > 0, np.minimum(mean / 0.2, 1.0), 0.5)
