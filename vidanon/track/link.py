"""Detections of one clip, joined into tracks: one per person and shot.

In come scanned frames in order, out come raw tracks as they end. Memory holds the tracks that are alive, the longest of
them two minutes of it (longer ones come in pieces). Association in two stages after ByteTrack (Zhang et al. 2022,
https://arxiv.org/abs/2110.06864): strong detections first, then weak ones, which continue a track but never start one.

What is guaranteed: every strong detection ends in exactly one track, or is part of a surer one's face that does
(`drop_parts`), unless `min_detections` or `veto_confidence` drops the track; and no track crosses a cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidanon.geometry import iou
from vidanon.settings import DetectSettings, TrackSettings
from vidanon.track.company import Company
from vidanon.track.join import successor
from vidanon.track.live import IMPOSSIBLE, Array, LiveTrack, Pan, RawPoint, fit
from vidanon.track.parts import missed_whole, parts, twins
from vidanon.track.shots import mark_cuts
from vidanon.track.view import View, drift
from vidanon.types import ScannedFace, ScannedFrame

UNMATCHED = 1.2
"""cost of leaving a track without a detection, in the first round: a doubtful match must not displace a good one"""
WEAK_IOU = 0.3
"""least overlap of a weak detection with the place a track is expected"""
WEAK_SECONDS = 0.5
"""how long a track may have been unseen for a weak detection to continue it"""
BEHIND_IOU = 0.4
"""least overlap of an earlier weak detection with a track's first, for it to be the same face"""
BEHIND_HOLE_SECONDS = 0.15
"""longest hole between such earlier weak detections"""
DISTURBED = 0.7
"""part of the cut threshold above which a change makes optical flow worthless"""
PIECE_SECONDS = 120.0
"""length of the pieces a long track comes in"""
CONTEXT_SECONDS = 3.0
"""how much of its neighbours a piece carries, so that smoothing does not see where it was cut"""
TICK = 1e-6
"""seconds by which times may differ and be the same"""


@dataclass(frozen=True, slots=True)
class RawTrack:
    """A track, or a piece of one, as linked: detections only, gaps open."""

    number: int
    """from 1, in order of appearance"""
    points: tuple[RawPoint, ...]
    """its detections by frame; a piece's reach a little into its neighbours"""
    shot_start: int
    """frame index of the shot's first frame"""
    shot_stop: int
    """frame index behind the shot's last frame, or behind the last frame that can matter to this track"""
    first: int
    """frame index of the first frame this piece is responsible for"""
    last: int
    """frame index of the last frame this piece is responsible for, inclusive"""
    begins: bool
    """whether the track begins here"""
    ends: bool
    """whether the track ends here"""
    others: Mapping[int, Array] = field(default_factory=dict)
    """boxes [N, 4] of other tracks in frames in which this one was not seen, by frame"""


def link(
    frames: Iterable[ScannedFrame], *, time_base: Fraction, settings: TrackSettings, detect: DetectSettings
) -> Iterator[RawTrack]:
    """Tracks of a clip, each when it has ended; pieces of one track in order."""
    linker = _Linker(time_base, settings, detect)
    before: tuple[ScannedFrame, bool] | None = None
    for marked in mark_cuts(frames, settings.cut_threshold):
        if before is not None:
            yield from linker.step(
                before[0], cut=before[1], interval=float((marked[0].pts - before[0].pts) * time_base)
            )
        before = marked
    if before is not None:
        yield from linker.step(before[0], cut=before[1], interval=0.0)
    yield from linker.finish()


def trusted(frame: ScannedFrame, threshold: float) -> bool:
    """Whether optical flow from the frame before to this one means anything: not in a flash, not across a cut."""
    return frame.change < DISTURBED * threshold


class _Linker:
    def __init__(self, time_base: Fraction, settings: TrackSettings, detect: DetectSettings) -> None:
        self.time_base = float(time_base)
        self.settings = settings
        self.threshold = detect.threshold
        self.live: list[LiveTrack] = []
        self.weak: deque[tuple[int, float, int, list[ScannedFace]]] = deque()
        self.company = Company()
        self.camera = View()
        self.pan: Pan = ((0.0, 0.0), (1.0, 0.0))
        self.interval = 0.0
        self.twins: dict[int, set[int]] = {}
        self.shot_start = 0
        self.frames = 0
        self.tracks = 0

    def step(self, frame: ScannedFrame, *, cut: bool, interval: float) -> Iterator[RawTrack]:
        """Takes in one frame and the seconds to the next; yields what ended before it."""
        now = frame.pts * self.time_base
        if cut:
            yield from self.close(frame.index)
            self.weak.clear()
            self.shot_start = frame.index
        self.frames = frame.index + 1
        flow_trusted = trusted(frame, self.settings.cut_threshold)
        if flow_trusted:
            self.camera = self.camera.after(*self.pan)
            for track in self.live:
                if track.frame == frame.index - 1 and self.interval > 0:
                    own = np.array(track.points[-1].face.flow) - drift(track.box[:2], *self.pan)
                    track.flowed(self.camera.unseen(own) / self.interval)
        self.pan, self.interval = (frame.camera, frame.turn), interval
        part = parts(frame.faces, self.settings.drop_parts)
        self.twins = twins(frame.faces)
        strong = [f for f, p in zip(frame.faces, part, strict=True) if f.score >= self.threshold and not p]
        weak = [f for f, p in zip(frame.faces, part, strict=True) if f.score < self.threshold or p]
        yield from self.retire(now)
        left, weak = self.associate(frame, now, strong, weak, flow_trusted=flow_trusted)
        for face in left:
            if self.told(face, frame.index):
                continue
            missed = [t for t in self.live if t.frame < frame.index]
            if missed_whole(face, missed, seconds=now, camera=self.camera, settings=self.settings):
                weak.append(face)
            else:
                self.begin(frame, now, face)
        weak = [face for face in weak if not self.told(face, frame.index)]
        self.weak.append((frame.index, now, frame.pts, weak))
        while self.weak[0][1] < now - self.settings.max_gap_seconds:
            self.weak.popleft()
        oldest = min((t.points[0].pts * self.time_base for t in self.live), default=now)
        self.company.note(frame.index, now, self.live, since=oldest - self.settings.pad_seconds - WEAK_SECONDS)
        yield from self.pieces(now)

    def told(self, face: ScannedFace, frame: int) -> bool:
        """Whether a track has a detection of this frame already that is of the same face."""
        same = self.twins.get(id(face), ())
        return any(id(t.points[-1].face) in same for t in self.live if t.frame == frame)

    def finish(self) -> Iterator[RawTrack]:
        """Yields what is still alive at the clip's end."""
        yield from self.close(self.frames)

    def associate(
        self,
        frame: ScannedFrame,
        now: float,
        strong: list[ScannedFace],
        weak: list[ScannedFace],
        *,
        flow_trusted: bool,
    ) -> tuple[list[ScannedFace], list[ScannedFace]]:
        """Continues tracks; returns the strong and the weak detections no track wanted."""
        tracks = [t for t in self.live if self.awaited(t, frame.index, now)]
        for found, source in ((strong, "detected"), (weak, "weak")):
            faces = [f for f in found if not self.told(f, frame.index)]
            if not tracks or not faces:
                continue
            how = fit(
                tracks,
                faces,
                frame=frame.index,
                seconds=now,
                camera=self.camera,
                pan=self.pan,
                interval=self.interval,
                flow_trusted=flow_trusted,
                min_iou=self.settings.min_iou,
            )
            cost = how.cost
            if source == "weak":
                fresh = np.array([t.frame == frame.index - 1 or now - t.seconds <= WEAK_SECONDS for t in tracks])
                good = (how.overlap >= max(WEAK_IOU, self.settings.min_iou)) & fresh[:, None]
                cost = np.where(good, cost, IMPOSSIBLE)
            pairs = self.one_each(_assign(cost), tracks, faces)
            for i, k in pairs:
                point = RawPoint(frame.index, frame.pts, faces[k], "weak" if source == "weak" else "detected")
                tracks[i].add(point, seconds=now, camera=self.camera)
            taken_tracks, taken_faces = {i for i, _ in pairs}, {k for _, k in pairs}
            tracks = [t for i, t in enumerate(tracks) if i not in taken_tracks]
            rest = [f for k, f in enumerate(faces) if k not in taken_faces]
            if source == "weak":
                weak = rest
            else:
                strong = rest
        return strong, weak

    def one_each(
        self, pairs: list[tuple[int, int]], tracks: list[LiveTrack], faces: list[ScannedFace]
    ) -> list[tuple[int, int]]:
        """The pairs (track, detection) without those that give one face to two tracks: the surer track has it."""
        kept: list[tuple[int, int]] = []
        for i, k in sorted(pairs, key=lambda pair: (-tracks[pair[0]].strong, pair)):
            same = self.twins.get(id(faces[k]), ())
            if not any(id(faces[other]) in same for _, other in kept):
                kept.append((i, k))
        return kept

    def awaited(self, track: LiveTrack, frame: int, now: float) -> bool:
        """Whether a track may go on: unseen no longer than allowed; a slow clip's next frame is never too late."""
        return track.frame == frame - 1 or now - track.seconds <= self.settings.max_gap_seconds + TICK

    def begin(self, frame: ScannedFrame, now: float, face: ScannedFace) -> None:
        """A new track; weak detections that lead up to it become its beginning."""
        track = LiveTrack(self.shot_start, first=frame.index)
        track.add(RawPoint(frame.index, frame.pts, face, "detected"), seconds=now, camera=self.camera)
        track.rewind(self.lead_up(frame.index, now, face))
        self.live.append(track)

    def lead_up(self, frame: int, now: float, face: ScannedFace) -> list[RawPoint]:
        """Weak detections of the frames before that flow into a face, by frame; they are taken out of memory."""
        found: list[RawPoint] = []
        box, next_frame, next_seconds = np.asarray(face.box, np.float64), frame, now
        for index, seconds, pts, faces in reversed(self.weak):
            if next_seconds - seconds > BEHIND_HOLE_SECONDS and next_frame != index + 1:
                break
            if not faces:
                continue
            moved = np.array([f.box + np.tile(f.flow, 2) for f in faces])
            overlaps = np.maximum(iou(moved, box), iou(np.array([f.box for f in faces]), box))[:, 0]
            best = int(overlaps.argmax())
            if overlaps[best] >= BEHIND_IOU:
                earlier = faces.pop(best)
                found.append(RawPoint(index, pts, earlier, "weak"))
                box, next_frame, next_seconds = np.asarray(earlier.box, np.float64), index, seconds
        return found[::-1]

    def retire(self, now: float) -> Iterator[RawTrack]:
        """Yields tracks that can neither go on, nor be joined with a later one, nor be padded any further."""
        settings = self.settings
        patience = max(settings.max_gap_seconds, settings.join_seconds, settings.pad_seconds) + 2 * TICK
        for track in tuple(self.live):
            ended = now - track.seconds > patience and track.frame < self.frames - 2
            if ended and track in self.live and not self.goes_on(track):
                yield from self.emit(track, self.frames)
                self.live.remove(track)

    def close(self, stop: int) -> Iterator[RawTrack]:
        """Ends every track before frame `stop`."""
        for track in sorted(self.live, key=lambda t: t.frame):
            while track in self.live and self.goes_on(track):
                pass
        for track in self.live:
            yield from self.emit(track, stop)
        self.live = []

    def goes_on(self, track: LiveTrack) -> bool:
        """Whether a track that ended was joined with a later one, and is alive again."""
        later = successor(track, self.live, seconds=self.settings.join_seconds + TICK)
        if later is None:
            return False
        track.go_on_with(later)
        self.live.remove(later)
        return True

    def emit(self, track: LiveTrack, stop: int) -> Iterator[RawTrack]:
        """The whole of a track, or what is left of it, unless it is dropped."""
        if self.numbered(track):
            points, begins, last = tuple(track.points), not track.emitted, track.points[-1].frame
            yield self.raw(track, points, stop, last, begins=begins, ends=True)

    def raw(
        self, track: LiveTrack, points: tuple[RawPoint, ...], stop: int, last: int, *, begins: bool, ends: bool
    ) -> RawTrack:
        """A track as it is handed on."""
        assert track.number is not None
        others = self.company.of(track, {p.frame for p in points}, self.believed)
        return RawTrack(track.number, points, track.shot_start, stop, track.first, last, begins, ends, others)

    def numbered(self, track: LiveTrack) -> bool:
        """Whether a track is to be handed on; it has a number then. Those that began before it get theirs first."""
        for other in self.live:
            if other.number is None and self.believed(other):
                self.tracks += 1
                other.number = self.tracks
            if other is track:
                break
        return track.number is not None

    def believed(self, track: LiveTrack) -> bool:
        """Whether the settings keep a track: enough detections, and not one doubtful detection alone."""
        if track.strong < self.settings.min_detections:
            return False
        return track.strong > 1 or track.trust() >= self.settings.veto_confidence

    def pieces(self, now: float) -> Iterator[RawTrack]:
        """Yields what of the long tracks can be settled already."""
        for track in self.live:
            begin = track.points[0].pts * self.time_base + (CONTEXT_SECONDS if track.emitted else 0)
            if now - begin < PIECE_SECONDS + 2 * CONTEXT_SECONDS or not self.numbered(track):
                continue
            times = np.array([p.pts for p in track.points]) * self.time_base
            cut = int(np.searchsorted(times, begin + PIECE_SECONDS))
            if cut >= len(times):
                continue
            last = track.points[cut].frame - 1
            points, begins = tuple(track.points), not track.emitted
            yield self.raw(track, points, self.frames, last, begins=begins, ends=False)
            keep = min(int(np.searchsorted(times, times[cut] - CONTEXT_SECONDS)), max(cut - 2, 0))
            track.points = track.points[keep:]
            track.first, track.emitted = last + 1, True


def _assign(cost: Array) -> list[tuple[int, int]]:
    """Pairs (track, detection) of least total cost, none impossible.

    The first round may leave a track alone at a price, so that one good match beats two bad ones; the second gives what
    is left to whoever can take it.
    """
    pairs: list[tuple[int, int]] = []
    n, m = cost.shape
    alone = np.full((n, n), UNMATCHED)
    for i, k in zip(*linear_sum_assignment(np.hstack([cost, alone])), strict=True):
        if k < m and cost[i, k] < IMPOSSIBLE:
            pairs.append((int(i), int(k)))
    rest = cost.copy()
    rest[[i for i, _ in pairs]] = IMPOSSIBLE
    rest[:, [k for _, k in pairs]] = IMPOSSIBLE
    if (rest < IMPOSSIBLE).any():
        pairs += [
            (int(i), int(k)) for i, k in zip(*linear_sum_assignment(rest), strict=True) if rest[i, k] < IMPOSSIBLE
        ]
    return pairs
