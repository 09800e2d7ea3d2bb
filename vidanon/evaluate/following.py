"""The work of a temporal measurement: every face of every frame, looked at in all clips at once.

In: frames side by side and what the plans say of them. Out: `Series` of every track, and the report made of them.
Memory holds one crop a track and clip, and a few numbers a face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from vidanon.evaluate.bareness import bare_share
from vidanon.evaluate.crops import FACE_PX, SQUARE, Crop, Place, cut
from vidanon.evaluate.report import ClipFigures, Measured, TemporalReport, TrackFigures
from vidanon.evaluate.series import NAN, Series, pooled, separation
from vidanon.evaluate.speech import Locator, Openings, correlation, openings, seen_openings
from vidanon.evaluate.warping import WarpMeter, warping_error
from vidanon.geometry import apply, area, invert, iou
from vidanon.media.frames import Frame
from vidanon.models.embeddings import Embedder
from vidanon.settings import TrackSettings
from vidanon.track.company import chests
from vidanon.track.parts import parts
from vidanon.types import FloatArray, Observation, ScannedFace, Track

SURE = 0.65
"""score from which a scanned face that no track holds counts as a face ..."""
PART = TrackSettings().drop_parts
"""... unless more than this part of it lies in a surer one's, or it is an ear, an earring or the chest of that one's"""
HELD = 0.5
"""part of a scanned face's box that lies in a planned one's, from which it is the same face"""
SAME_FACE = 0.3
"""overlap from which boxes of two plans are one face"""


@dataclass(frozen=True, slots=True)
class _Before:
    """A track's last frame."""

    frame: int
    place: Place
    crops: list[Crop]


@dataclass
class _Spoken:
    """Openings of one track: as scanned and as settled."""

    scanned: list[Openings] = field(default_factory=list)
    settled: list[Openings] = field(default_factory=list)


class Following:
    """Fed with the frames of all clips in turn; the first clip is the source."""

    def __init__(
        self,
        names: Sequence[str],
        tracks: Sequence[Track],
        *,
        clock: Fraction,
        embedder: Embedder | None = None,
        locator: Locator | None = None,
        every: int = 1,
    ) -> None:
        """`names` of the clips; `tracks` of the source's plan; `clock` in seconds a pts unit; `every` n-th pair of
        frames is embedded.
        """
        self.times: list[float] = []
        self._names, self._clock = names, clock
        self._tracks = {track.number: track for track in tracks}
        self._series: dict[int, list[Series]] = {}
        self._before: dict[int, _Before] = {}
        self._spoken: dict[int, _Spoken] = {}
        self._loose = [Series() for _ in names]
        self._embedder, self._locator, self._meter = embedder, locator, WarpMeter()
        self._every = every

    def step(
        self, frames: Sequence[Frame], planned: Sequence[Sequence[Observation]], scanned: Sequence[ScannedFace]
    ) -> None:
        """One frame of every clip, the faces that each clip's plan has there, and those the scan found there."""
        index = len(self.times)
        self.times.append(float(frames[0].pts * self._clock))
        for face in planned[0]:
            if face.source not in {"padded", "hidden"} and self._tracks[face.track].action == "anonymize":
                own = _nearest(face, scanned)
                self._face(index, frames, face, own=own, planned=planned[1:])
        for number in [n for n, before in self._before.items() if before.frame < index]:
            del self._before[number]
        for found, part, chest in zip(scanned, parts(scanned, PART), chests(scanned), strict=True):
            if found.score >= SURE and not (part or chest) and not _is_held(found.box, planned[0]):
                self._shown(self._loose, Place.of(found.box, found.points), frames)

    def _face(
        self,
        index: int,
        frames: Sequence[Frame],
        face: Observation,
        *,
        own: ScannedFace | None,
        planned: Sequence[Sequence[Observation]],
    ) -> None:
        series = self._series.setdefault(face.track, [Series() for _ in self._names])
        place, before = Place.of(face.box, face.points), self._before.get(face.track)
        crops = self._shown(series, place, frames)
        for one in series:
            one.frames.append(index)
        self._moved(series, place, before, frames)
        for one, crop in zip(series, crops, strict=True):
            looked = self._embedder is not None and index % self._every < 2
            vector = self._embedder.embed(crop.image()) if looked and self._embedder else None
            one.add_vector(vector, adjacent=before is not None)
            spoken = self._openings(crop, place)
            one.mouth.append(spoken.mouth)
            one.lids.append(spoken.lids)
        if own is not None:
            said = self._spoken.setdefault(face.track, _Spoken())
            said.scanned.append(openings(own.points, place.pose.size))
            said.settled.append(openings(face.points, place.pose.size))
        poses: list[Observation | ScannedFace | None] = [own, *(_counterpart(face, others) for others in planned)]
        for one, item in zip(series, poses, strict=True):
            if item is not None:
                self._placed(one, Place.of(item.box, item.points))
        self._before[face.track] = _Before(index, place, crops)

    def _shown(self, series: Sequence[Series], place: Place, frames: Sequence[Frame]) -> list[Crop]:
        """Crops of a face in every clip, and how bare it is in each."""
        crops = [cut(frame, place) for frame in frames]
        face = place.core()
        for one, crop in zip(series, crops, strict=True):
            share = bare_share(crops[0], crop, face, size_px=place.pose.size)
            one.bare.append(NAN if share is None else share)
        return crops

    def _moved(self, series: Sequence[Series], place: Place, before: _Before | None, frames: Sequence[Frame]) -> None:
        """What changed since the frame before, seen through that frame's crop."""
        errors: list[float | None] = [None] * len(series)
        flows: list[float | None] = [None] * len(series)
        if before is not None:
            then = before.place
            seconds = [cut(frame, then) for frame in frames]
            first = before.crops
            motion = self._meter.source(first[0], seconds[0], face=then.core(), face_next=place.core(then.matrix))
            px = then.pose.size / FACE_PX
            for i, (a, b) in enumerate(zip(first, seconds, strict=True)):
                errors[i] = warping_error(a, b, motion)
                # the source's own flow has been measured: it is what the others are compared with
                flow = self._meter.difference(a, b, motion) if i else 0.0
                flows[i] = None if flow is None else flow * px
        for one, error, flow in zip(series, errors, flows, strict=True):
            one.error.append(NAN if error is None else error)
            one.own_error.append(NAN if errors[0] is None else errors[0])
            one.t_of.append(NAN if flow is None else flow)

    def _openings(self, crop: Crop, place: Place) -> Openings:
        if self._locator is None:
            return Openings(NAN, NAN)
        return seen_openings(crop, place, self._locator)

    def _placed(self, series: Series, place: Place) -> None:
        series.crop_times.append(self.times[-1])
        series.corners.append(apply(invert(place.matrix), SQUARE).astype(np.float32))
        series.sizes.append(place.pose.size)

    def measured(self, original: str) -> Measured:
        """The report over all that was fed; `original` is the source's name."""
        clips = []
        for i, name in enumerate(self._names):
            pairs = [(track[i], track[0]) for track in self._series.values()]
            means = [
                (self._tracks[number].identity, mean)
                for number, track in self._series.items()
                if (mean := track[i].mean_vector()) is not None
            ]
            apart = separation(means)
            clips.append(
                ClipFigures(
                    name=name,
                    whole=pooled([*pairs, (self._loose[i], self._loose[0])]),
                    tracks=tuple(self._of_track(number, i) for number in sorted(self._series)),
                    separation_least=min(apart, default=None),
                    separation_median=float(np.median(apart)) if apart else None,
                )
            )
        report = TemporalReport(
            original=original,
            frames=len(self.times),
            mouth_settled=self._settled("mouth"),
            lids_settled=self._settled("lids"),
            clips=tuple(clips),
        )
        return Measured(report, tuple(self.times), self._series)

    def _of_track(self, number: int, clip: int) -> TrackFigures:
        one, source = self._series[number][clip], self._series[number][0]
        sizes = one.sizes or source.sizes
        size = float(np.median(sizes)) if sizes else NAN
        return TrackFigures(number, self._tracks[number].identity, size, one.figures(source))

    def _settled(self, what: str) -> float | None:
        found = [
            correlation([getattr(o, what) for o in said.scanned], [getattr(o, what) for o in said.settled])
            for said in self._spoken.values()
        ]
        known = [value for value in found if value is not None]
        return float(np.mean(known)) if known else None


def _nearest(face: Observation, scanned: Sequence[ScannedFace]) -> ScannedFace | None:
    """The detection a settled face stands for, None in gaps."""
    if face.source not in {"detected", "weak"} or not scanned:
        return None
    overlaps = iou(face.box, np.array([found.box for found in scanned]))[0]
    best = int(overlaps.argmax())
    return scanned[best] if overlaps[best] >= SAME_FACE else None


def _counterpart(face: Observation, others: Sequence[Observation]) -> Observation | None:
    """The same face in another plan's frame."""
    if not others:
        return None
    overlaps = iou(face.box, np.array([other.box for other in others]))[0]
    best = int(overlaps.argmax())
    return others[best] if overlaps[best] >= SAME_FACE else None


def _is_held(box: FloatArray, planned: Sequence[Observation]) -> bool:
    """Whether half of a box lies in that of a planned face."""
    held = np.array([face.box for face in planned], np.float64).reshape(-1, 4)
    inner = np.hstack([np.maximum(box[:2], held[:, :2]), np.minimum(box[2:], held[:, 2:])])
    return bool((area(inner) >= HELD * area(box)).any())
