"""What is measured of one track in one clip, frame by frame, and the figures made of it.

In: numbers as the frames go by; of recognition vectors only the last and the sum are kept. Out: `Figures`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vidanon.evaluate.bareness import NAKED
from vidanon.evaluate.speech import correlation, gain
from vidanon.evaluate.steadiness import jitter
from vidanon.types import FloatArray

Array = NDArray[np.float64]
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one track, or of all tracks of a clip. None: cannot be told."""

    faces: int
    """face-frames looked at"""
    naked: int
    """of these, faces of which half or more is as in the source"""
    coverage: float | None
    """share of the faces' area that is not as in the source, 0..1"""
    e_warp: float | None
    """warping error inside the face along the source's flow, mean square of values 0..1"""
    e_warp_ratio: float | None
    """that, as a multiple of the source's own"""
    t_of: float | None
    """mean difference between the output's flow and the source's inside the face, px of the source a frame"""
    step_median: float | None
    """dlib distance between the faces of adjacent frames of a track"""
    step_p95: float | None
    """its 95th percentile"""
    jitter: float | None
    """motion of the crop above 5 Hz, root mean square, px of the source"""
    still_jitter: float | None
    """the same while the head is still"""
    still_share: float | None
    """part of the frames in which it is"""
    mouth: float | None
    """correlation of mouth opening, source against this clip"""
    mouth_gain: float | None
    """how far this clip's mouth opens for every unit that the source's does"""
    lids: float | None
    """correlation of lid opening, source against this clip"""


@dataclass
class Series:
    """One track in one clip. Lists run in parallel, NaN where there is nothing to tell."""

    frames: list[int] = field(default_factory=list)
    """frame index"""
    bare: list[float] = field(default_factory=list)
    """share of the face that is as in the source"""
    error: list[float] = field(default_factory=list)
    """warping error from the frame before"""
    own_error: list[float] = field(default_factory=list)
    """that of the source"""
    t_of: list[float] = field(default_factory=list)
    """flow difference from the frame before, px of the source"""
    step: list[float] = field(default_factory=list)
    """dlib distance from the frame before"""
    mouth: list[float] = field(default_factory=list)
    """mouth opening, face sizes"""
    lids: list[float] = field(default_factory=list)
    """lid opening, face sizes"""
    crop_times: list[float] = field(default_factory=list)
    """seconds; only frames in which this clip's plan has the face"""
    corners: list[FloatArray] = field(default_factory=list)
    """[4, 2] px of the face's square, as cropped"""
    sizes: list[float] = field(default_factory=list)
    """px"""
    last_vector: FloatArray | None = None
    """of the frame before, if there was one"""
    vectors: int = 0
    """how many there were"""
    vector_sum: FloatArray | None = None
    """sum of all"""

    def add_vector(self, vector: FloatArray | None, *, adjacent: bool) -> None:
        """The next frame's recognition vector [128], None where there is none; `adjacent` to the frame before."""
        known = vector is not None and self.last_vector is not None and adjacent
        self.step.append(float(np.linalg.norm(vector - self.last_vector)) if known else NAN)  # type: ignore[operator]
        self.last_vector = vector
        if vector is not None:
            self.vectors += 1
            self.vector_sum = vector if self.vector_sum is None else self.vector_sum + vector

    def mean_vector(self) -> FloatArray | None:
        """[128] of the whole track, or None."""
        return None if self.vector_sum is None else self.vector_sum / np.float32(self.vectors)

    def figures(self, source: Series) -> Figures:
        """Of this track alone; `source` is the same track in the source."""
        return pooled([(self, source)])


def pooled(pairs: Sequence[tuple[Series, Series]]) -> Figures:
    """Figures over tracks, given as (series, the source's series); every face-frame counts the same."""
    series = [pair[0] for pair in pairs]
    bare = _known(s.bare for s in series)
    own = _mean(_known(s.own_error for s in series))
    error = _mean(_known(s.error for s in series))
    steps = _known(s.step for s in series)
    # by how long a track was measured, so that one of a second does not outweigh one of a minute
    lengths = [(t, len(s.sizes)) for s in series if (t := jitter(s.crop_times, s.corners, s.sizes)) is not None]
    return Figures(
        faces=len(bare),
        naked=int((bare >= NAKED).sum()),
        coverage=None if (shown := _mean(bare)) is None else 1 - shown,
        e_warp=error,
        e_warp_ratio=None if error is None or not own else error / own,
        t_of=_mean(_known(s.t_of for s in series)),
        step_median=float(np.median(steps)) if len(steps) else None,
        step_p95=float(np.quantile(steps, 0.95)) if len(steps) else None,
        jitter=_rms([(t.px, n) for t, n in lengths]),
        still_jitter=_rms([(t.still_px, n * t.still_share) for t, n in lengths if t.still_px is not None]),
        still_share=_weighed([(t.still_share, n) for t, n in lengths]),
        mouth=_weighed([(correlation(o.mouth, s.mouth), len(s.mouth)) for s, o in pairs]),
        mouth_gain=_weighed([(gain(o.mouth, s.mouth), len(s.mouth)) for s, o in pairs]),
        lids=_weighed([(correlation(o.lids, s.lids), len(s.lids)) for s, o in pairs]),
    )


def separation(means: Sequence[tuple[str, FloatArray]]) -> list[float]:
    """dlib distances between the mean faces of every two tracks that are to be different people.

    Args: (identity, mean vector [128]) of each track.
    """
    return [
        float(np.linalg.norm(a - b)) for i, (one, a) in enumerate(means) for other, b in means[i + 1 :] if one != other
    ]


def _known(lists: Iterable[Sequence[float]]) -> Array:
    values = np.array([v for part in lists for v in part], np.float64)
    return values[np.isfinite(values)]


def _mean(values: Array) -> float | None:
    return float(values.mean()) if len(values) else None


def _weighed(values: Sequence[tuple[float | None, float]]) -> float | None:
    """Mean of (value, weight), where there is a value."""
    known = [(value, weight) for value, weight in values if value is not None]
    whole = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / whole if whole else None


def _rms(weighted: Sequence[tuple[float, float]]) -> float | None:
    """Root mean square of (value, weight)."""
    square = _weighed([(value * value, weight) for value, weight in weighted])
    return None if square is None else square**0.5
