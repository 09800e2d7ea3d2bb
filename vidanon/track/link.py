"""Detections of one clip, joined into tracks: one per person and shot.

In come scanned frames in order, out come raw tracks as they end. Memory holds the tracks that are alive, the longest of
them two minutes of it (longer ones come in pieces). Association in two stages after ByteTrack (Zhang et al. 2022,
https://arxiv.org/abs/2110.06864): strong detections first, then weak ones. A line of weak ones is followed like a
track, faintly: it becomes one when a strong detection continues it, or, if the settings say so, by being long.

What is guaranteed: every strong detection ends in exactly one track, or is part of a surer one's face that does
(`drop_parts`), unless `min_detections` or `veto_confidence` drops the track; and no track crosses a cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vidanon.geometry import from_centre_size, iou, within
from vidanon.settings import DetectSettings, TrackSettings
from vidanon.track.associate import Gate, matched
from vidanon.track.company import Company
from vidanon.track.fit import Now, elsewhere, followed
from vidanon.track.join import successor
from vidanon.track.live import Array, LiveTrack, Pan, RawPoint
from vidanon.track.parts import missed_whole, parts, twins
from vidanon.track.shots import mark_cuts
from vidanon.track.view import View, drift
from vidanon.types import ScannedFace, ScannedFrame

WEAK = Gate(overlap=0.3, seconds=0.5)
"""what a weak detection must show to continue a track"""
FAINT = Gate(overlap=0.4, seconds=0.15)
"""what any detection must show to continue a line of weak ones"""
FAINT_LEAST = 3
"""weak detections in a line that may count as a track, whatever the frame rate"""
REUNION_IOU = 0.5
"""overlap of where a track is found again with where one that began meanwhile is expected, for that to have been it"""
ON_ANOTHER = 0.5
"""part of a weak detection on the face of a track, or of this on it, from which it begins no line of its own"""
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
        self.threshold, self.least = detect.threshold, detect.weak_threshold
        self.live: list[LiveTrack] = []
        self.company = Company()
        self.camera = View()
        self.pan: Pan = ((0.0, 0.0), (1.0, 0.0))
        self.interval = self.pace = 0.0
        self.twins: dict[int, set[int]] = {}
        self.shot_start = 0
        self.frames = 0
        self.tracks = 0

    def step(self, frame: ScannedFrame, *, cut: bool, interval: float) -> Iterator[RawTrack]:
        """Takes in one frame and the seconds to the next; yields what ended before it."""
        seconds = frame.pts * self.time_base
        if cut:
            yield from self.close(frame.index)
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
        self.pace = interval or self.pace  # the last frame has none after it
        yield from self.retire(seconds)
        now = Now(frame.index, seconds, self.camera, self.pan, interval, flow_trusted)
        self.take(frame, now)
        oldest = min((t.points[0].pts * self.time_base for t in self.live), default=seconds)
        self.company.note(frame.index, seconds, self.live, since=oldest - self.settings.pad_seconds - WEAK.seconds)
        yield from self.pieces(seconds)

    def take(self, frame: ScannedFrame, now: Now) -> None:
        """Gives every detection of a frame to a track, or begins one with it, or lets it be."""
        part = parts(frame.faces, self.settings.drop_parts)
        self.twins = twins(frame.faces)
        strong = [f for f, p in zip(frame.faces, part, strict=True) if f.score >= self.threshold and not p]
        weak = [f for f, p in zip(frame.faces, part, strict=True) if f.score < self.threshold or p]
        ends = {id(f) for f, p in zip(frame.faces, part, strict=True) if p}
        strong = self.go_on(strong, frame, now, begun=True, strong=True)
        weak = self.go_on(weak, frame, now, begun=True, strong=False)
        for face in self.go_on(strong, frame, now, begun=False, strong=True):
            if self.told(face, frame.index, begun=True):
                continue
            missed = [t for t in self.live if t.frame < frame.index and t.begun]
            if missed_whole(face, missed, seconds=now.seconds, camera=self.camera, settings=self.settings):
                ends.add(id(face))
                weak.append(face)
            else:
                self.begin(frame, now, face, strong=True)
        for face in self.go_on(weak, frame, now, begun=False, strong=False):
            told = self.told(face, frame.index, begun=False)
            if id(face) not in ends and not told and not self.on_another(face, frame.index):
                self.begin(frame, now, face, strong=False)

    def told(self, face: ScannedFace, frame: int, *, begun: bool) -> bool:
        """Whether a track, one that has begun or any, has a detection of this frame that is of the same face."""
        same = self.twins.get(id(face), ())
        here = (t for t in self.live if t.frame == frame and (t.begun or not begun))
        return any(id(t.points[-1].face) in same for t in here)

    def on_another(self, face: ScannedFace, frame: int) -> bool:
        """Whether a detection lies on the face of a track that has begun, as seen in this frame."""
        boxes = np.array([t.points[-1].face.box for t in self.live if t.frame == frame and t.begun], np.float64)
        if not len(boxes):
            return False
        return max(float(within(face.box, boxes).max()), float(within(boxes, face.box).max())) >= ON_ANOTHER

    def finish(self) -> Iterator[RawTrack]:
        """Yields what is still alive at the clip's end."""
        yield from self.close(self.frames)

    def go_on(
        self, found: list[ScannedFace], frame: ScannedFrame, now: Now, *, begun: bool, strong: bool
    ) -> list[ScannedFace]:
        """Continues tracks, those that have begun or the others; returns the detections that no track has."""
        faces = [f for f in found if not self.told(f, frame.index, begun=begun or strong)]
        gate = FAINT if not begun else None if strong else WEAK
        behind = max((len(f.behind) for f in faces), default=0)
        tracks = [t for t in self.live if t.begun == begun and t.frame < frame.index and self.awaited(t, now, behind)]
        barred = self.barred(tracks, faces, now)
        pairs = matched(
            tracks, faces, now=now, min_iou=self.settings.min_iou, twins=self.twins, gate=gate, barred=barred
        )
        for track, face in pairs:
            since = track.frame
            point = RawPoint(frame.index, frame.pts, face, "detected" if strong else "weak")
            track.add(point, seconds=now.seconds, camera=self.camera)
            track.lasting = track.lasting or self.lasts(track)
            if since < frame.index - 1:
                self.reunite(track, since, now)
        taken = {id(face) for _, face in pairs}
        return [f for f in faces if id(f) not in taken]

    def barred(self, tracks: Sequence[LiveTrack], faces: Sequence[ScannedFace], now: Now) -> NDArray[np.bool_]:
        """[T, D] which detections go on with a faint line that began where the track's pixels had not gone."""
        out = np.zeros((len(tracks), len(faces)), np.bool_)
        lines = [t for t in self.live if not t.begun and t.frame == now.frame - 1]
        if not lines or not out.size:
            return out
        boxes = [f.box for f in faces]
        for line in lines:
            here = iou(from_centre_size(line.expected(now.seconds, now.camera)), boxes)[0] >= REUNION_IOU
            if not here.any():
                continue
            first = line.points[0]
            for i, track in enumerate(tracks):
                if track is not line and track.frame < first.frame:
                    out[i] |= here & elsewhere(followed(track, [first.face], first.frame))[0]
        return out

    def reunite(self, track: LiveTrack, since: int, now: Now) -> None:
        """Takes in what began after frame `since`, when a track was lost, and was where it is found again."""
        for other in tuple(self.live):
            fresh = (
                since < other.points[0].frame
                and other.frame < now.frame
                and now.seconds - other.seconds <= WEAK.seconds
            )
            if other is track or not fresh or other.number is not None:
                continue
            place = from_centre_size(other.expected(now.seconds, now.camera))
            if float(iou(place, track.points[-1].face.box)[0, 0]) >= REUNION_IOU:
                track.take_in(other)
                self.live.remove(other)

    def awaited(self, track: LiveTrack, now: Now, behind: int) -> bool:
        """Whether a track may go on: unseen no longer than allowed; a slow clip's next frame is never too late.

        A faint one may only for a moment, or as far as its pixels are followed, or `behind`, those of a detection.
        """
        unseen = now.seconds - track.seconds
        if track.frame == now.frame - 1:
            return True
        followed = max(behind, len(track.points[-1].face.ahead)) >= now.frame - track.frame
        return unseen <= self.settings.max_gap_seconds + TICK and (track.begun or followed or unseen <= FAINT.seconds)

    def begin(self, frame: ScannedFrame, now: Now, face: ScannedFace, *, strong: bool) -> None:
        """A new track, or a faint one."""
        track = LiveTrack(self.shot_start, first=frame.index)
        point = RawPoint(frame.index, frame.pts, face, "detected" if strong else "weak")
        track.add(point, seconds=now.seconds, camera=self.camera)
        self.live.append(track)

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
        if not track.begun:
            return False
        begun = [t for t in self.live if t.begun]
        later = successor(track, begun, seconds=self.settings.join_seconds + TICK)
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

    def lasts(self, track: LiveTrack) -> bool:
        """Whether a track's last detections are as good as one that can start it: enough of them, halfway sure."""
        if not self.settings.faint_seconds or not self.pace:
            return False
        frames = int(np.ceil((self.settings.faint_seconds - TICK) / self.pace))
        least = max(FAINT_LEAST, frames)
        scores = [p.face.score for p in track.points[-least:]]
        return len(scores) == least and float(np.mean(scores)) >= (self.threshold + self.least) / 2

    def believed(self, track: LiveTrack) -> bool:
        """Whether the settings keep a track: enough detections, and not one doubtful detection alone."""
        if track.strong + track.lasting < self.settings.min_detections:
            return False
        if (
            self.settings.drop_parts < 1
            and track.number is None
            and (self.company.echo(track, self.settings.pad_seconds) or self.company.chest(track))
        ):
            return False
        return track.strong > 1 or track.lasting or track.trust() >= self.settings.veto_confidence

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
