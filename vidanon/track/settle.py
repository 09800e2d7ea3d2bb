"""A raw track made whole: gaps filled, jitter smoothed away, both ends extended.

In comes a track of detections, out comes one observation for every frame from its first to its last. What is
guaranteed: no frame in between is left out, no strong detection is left uncovered (the settled box overlaps it by
`path.SURE_IOU` or contains it), and nothing reaches across a cut or past the clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vidanon.settings import DetectSettings, TrackSettings
from vidanon.track import path
from vidanon.track.along import between, past
from vidanon.track.company import hidden
from vidanon.track.link import TICK, RawTrack, link, trusted
from vidanon.track.live import Pan
from vidanon.track.pad import extend
from vidanon.track.points import filled, frame_of, settle_points
from vidanon.track.ride import ride
from vidanon.track.view import View
from vidanon.types import Observation, ScannedFrame, Source, Track

Array = NDArray[np.float64]

FWHM = 2.355
"""width of a Gaussian at half its height, in sigmas"""
TRUST: dict[Source, float] = {"detected": 1.0, "weak": 0.5, "carried": 0.5, "interpolated": 0.3}
"""how much a frame's box counts in smoothing"""


QUICK = 4.5
"""how much narrower than the head's the window of what speaks, blinks and looks is"""
RIDING = 3.0
"""how much wider the window is where flow knows how the face moves: what is smoothed then is only what flow drifts and
the detector trembles, and no motion"""
STILL: Pan = ((0.0, 0.0), (1.0, 0.0))
"""of a background that does not move"""
PAD_RATE, PAD_STRAY = 0.25, 0.15
"""by which part of its size a padded box is larger on every side, for every second of padding, and at most, as the face
may have turned elsewhere"""


@dataclass(frozen=True, slots=True)
class Clip:
    """What settling needs to know of the clip; the sequences may grow while it is read."""

    width: int
    """px of the upright picture"""
    height: int
    """px of the upright picture"""
    time_base: Fraction
    """seconds of one pts unit"""
    pts: Sequence[int]
    """of every frame"""
    camera: Sequence[View]
    """how the camera stood at every frame"""


def settle_all(
    frames: Callable[[], Iterable[ScannedFrame]],
    *,
    width: int,
    height: int,
    time_base: Fraction,
    settings: TrackSettings,
    detect: DetectSettings,
) -> Iterator[tuple[Track, list[Observation]]]:
    """Links and settles a clip; `frames` begins reading it, such as a plan's `scanned`.

    Tracks come as they end. One longer than two minutes comes in pieces, the same number again, each continuing where
    the last one ended; a plan joins them.
    """
    pts: list[int] = []
    camera: list[View] = []

    def watched() -> Iterator[ScannedFrame]:
        view, pan, ahead = View(), STILL, STILL
        for frame in frames():
            # Across a flash the flow is noise, and the camera's last known motion is the better guess.
            pan = ahead if trusted(frame, settings.cut_threshold) else pan
            view = view.after(*pan)
            pts.append(frame.pts)
            camera.append(view)
            ahead = (frame.camera, frame.turn)
            yield frame

    clip = Clip(width, height, time_base, pts, camera)
    for raw in link(watched(), time_base=time_base, settings=settings, detect=detect):
        yield settle(raw, clip=clip, settings=settings)


def settle(track: RawTrack, *, clip: Clip, settings: TrackSettings) -> tuple[Track, list[Observation]]:
    """One track, or a piece of one, as it will be painted. Its identity is named after its number."""
    carried = _carried(track, clip, settings)
    found = [p.frame for p in track.points]
    start, stop = min([found[0], *carried]), max([found[-1], *carried]) + 1
    times = np.array([p - clip.pts[start] for p in clip.pts[start:stop]], np.float64) * float(clip.time_base)
    if (np.diff(times) <= 0).any():
        # Frames shown at the same moment would have no speed; a nanosecond apart they do no harm.
        times = np.maximum.accumulate(times) + 1e-9 * np.arange(len(times))
    seen = np.array(found, np.intp) - start
    raw = path.logs(np.array([p.face.box for p in track.points], np.float64))
    strong = np.array([p.source == "detected" for p in track.points])
    loner = path.loners(times[seen], raw)

    sources: list[Source] = ["interpolated"] * len(times)
    for i, point, odd in zip(seen, track.points, loner, strict=True):
        sources[i] = point.source if point.source == "detected" or not odd else "interpolated"
    flown = np.array(sorted(carried), np.intp) - start
    for i in flown:
        sources[i] = "carried"
    weights = np.array([TRUST[s] for s in sources])
    weights[seen[loner]] = TRUST["interpolated"]
    sigma = settings.smooth_seconds / FWHM
    camera = clip.camera[start:stop]
    known = np.concatenate([seen[~loner], flown])
    places = np.concatenate([raw[~loner], path.logs(np.array([carried[f] for f in sorted(carried)]).reshape(-1, 4))])
    order = np.argsort(known)
    full = path.fill(times, known[order], places[order], camera)
    marks = np.array([p.face.points for p in track.points], np.float64)
    known_marks = np.isfinite(marks).all(axis=2) & ~loner[:, None]
    ridden = ride(track.points, start, full, filled(times, seen, marks, path.unlogs(full), known=known_marks))
    quick = sigma / QUICK
    if ridden.told > 0.5:
        sigma *= RIDING
    boxes = path.unlogs(path.settled(times, full, weights, sigma, ride=ridden.box))
    must = strong | ~loner
    boxes[seen[must]] = path.cover(boxes[seen[must]], path.unlogs(raw[must]), loner=loner[must])

    points = settle_points(
        times,
        seen,
        marks,
        np.array([p.face.confidence for p in track.points], np.float64),
        boxes,
        known=known_marks,
        ride=ridden.points,
        sigma=sigma,
        quick=quick,
    )
    wide = _widened(times, boxes, seen[must], flown, camera)
    unseen = np.array([source == "interpolated" for source in sources]) & ~np.isin(np.arange(len(times)), seen)
    where = np.flatnonzero(unseen)
    behind = where[hidden(wide[where], [start + int(k) for k in where], track.others)]
    for i in behind:
        sources[i] = "hidden"
    wide[behind] = boxes[behind]  # who is behind somebody shows nothing: what is covered there is no larger than they
    boxes = wide
    boxes32 = boxes.astype(np.float32)
    scores = _scores(track, seen, len(times))
    low = start if track.begins else track.first
    high = stop - 1 if track.ends else track.last
    made = [
        Observation(start + i, track.number, boxes32[i], points[i], float(scores[i]), sources[i])
        for i in range(low - start, high + 1 - start)
    ]
    if track.begins:
        frames = range(start - 1, track.shot_start - 1, -1)
        ahead = _within(clip, start, frames, _pad(clip, start, found[0], settings))
        flow = _flow_speed(track, clip, backwards=True)
        more = extend(-times[::-1], boxes[::-1], ahead, flow=flow, width=clip.width, height=clip.height)
        made[:0] = _padded(frames, ahead, more, made[0], track.others)[::-1]
    if track.ends:
        frames = range(stop, min(track.shot_stop, len(clip.pts)))
        ahead = _within(clip, stop - 1, frames, _pad(clip, found[-1], stop - 1, settings))
        flow = _flow_speed(track, clip, backwards=False)
        more = extend(times, boxes, ahead, flow=flow, width=clip.width, height=clip.height)
        made += _padded(frames, ahead, more, made[-1], track.others)
    name = f"track-{track.number}"
    return Track(track.number, made[0].frame, made[-1].frame, name, "anonymize"), made


def _widened(
    times: Array, boxes: Array, seen: NDArray[np.intp], flown: NDArray[np.intp], camera: Sequence[View]
) -> Array:
    """Boxes [N, 4] larger by how far a face may have strayed since it was seen; in `flown` only its pixels were."""
    wide = path.widened(times, boxes, np.unique(np.concatenate([seen, flown])), camera)
    if len(flown):
        away = np.abs(times[flown, None] - times[seen]).min(axis=1)
        wide[flown] = path.grown(wide[flown], path.UNSEEN + np.minimum(path.STRAY[0] * away, PAD_STRAY))
    return wide


def _carried(track: RawTrack, clip: Clip, settings: TrackSettings) -> dict[int, Array]:
    """Boxes [4] xyxy px by frame, where optical flow saw the face and the detector did not."""
    first, last = track.points[0], track.points[-1]
    found = between(track.points)
    if track.begins:
        frames = range(first.frame - 1, track.shot_start - 1, -1)
        near = frames[: len(_within(clip, first.frame, frames, settings.carry_seconds))]
        found.update(zip(near, past(first, track.points, backwards=True), strict=False))
    if track.ends:
        frames = range(last.frame + 1, min(track.shot_stop, len(clip.pts)))
        near = frames[: len(_within(clip, last.frame, frames, settings.carry_seconds))]
        found.update(zip(near, past(last, track.points, backwards=False), strict=False))
    return found


def _pad(clip: Clip, one: int, two: int, settings: TrackSettings) -> float:
    """Seconds a track is padded where it was carried from one frame to another before: less, but at least half."""
    carried = float((clip.pts[two] - clip.pts[one]) * clip.time_base)
    return max(settings.pad_seconds - carried, settings.pad_seconds / 2)


def _scores(track: RawTrack, seen: NDArray[np.intp], n: int) -> Array:
    """Scores [n]: of the detection, in gaps of the weaker neighbour."""
    own = np.array([p.face.score for p in track.points])
    after = np.minimum(np.searchsorted(seen, np.arange(n)), len(seen) - 1)
    before = np.searchsorted(seen, np.arange(n), side="right") - 1
    return np.asarray(np.minimum(own[before], own[after]), np.float64)


def _within(clip: Clip, edge: int, frames: range, seconds: float) -> Array:
    """How far, in seconds, the first of `frames` lie from frame `edge`, as long as that is at most `seconds`."""
    out = []
    for frame in frames:
        distance = abs(float((clip.pts[frame] - clip.pts[edge]) * clip.time_base))
        if distance > seconds + TICK:
            break
        out.append(distance)
    return np.array(out)


def _flow_speed(track: RawTrack, clip: Clip, *, backwards: bool) -> tuple[float, float]:
    """px a second by optical flow at a track's end, away from the track; 0 where its shot has no next frame."""
    point = track.points[0 if backwards else -1]
    if point.frame + 1 >= min(track.shot_stop, len(clip.pts)):
        return (0.0, 0.0)
    seconds = float((clip.pts[point.frame + 1] - clip.pts[point.frame]) * clip.time_base)
    if seconds <= 0:
        return (0.0, 0.0)
    sign = -1 if backwards else 1
    return (sign * point.face.flow[0] / seconds, sign * point.face.flow[1] / seconds)


def _padded(
    frames: range, ahead: Array, boxes: Sequence[Array], end: Observation, others: Mapping[int, Array]
) -> list[Observation]:
    """Observations of the padded boxes, `ahead` seconds past the track's end, their keypoints moving with them."""
    behind = hidden(np.array(boxes).reshape(-1, 4), frames[: len(boxes)], others)
    (centre,), (size,) = frame_of(end.box[None].astype(np.float64))
    out = []
    for frame, seconds, box, covered in zip(frames, ahead, boxes, behind, strict=False):
        (new_centre,), (new_size,) = frame_of(box[None])
        points = (end.points - centre) / size * new_size + new_centre
        strayed = PAD_RATE * seconds + path.STRAY[1] * np.linalg.norm(new_centre - centre) / size
        (wide,) = path.grown(box[None], np.array([0.0 if covered else min(float(strayed.item()), PAD_STRAY)]))
        source: Source = "hidden" if covered else "padded"
        out.append(Observation(frame, end.track, wide.astype(np.float32), points.astype(np.float32), end.score, source))
    return out
