"""Consecutive frames of one face, zoomed, a row a clip: what a figure means is seen here.

In: a measurement and its clips. Out: a PNG. The crop stands still, so that what moves in it moves in the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from vidanon.evaluate.crops import Place, cut
from vidanon.evaluate.report import Measured
from vidanon.evaluate.temporal import Output
from vidanon.media.filters import contact_sheet
from vidanon.media.reader import Reader
from vidanon.models.embeddings import SIDE
from vidanon.plan import Plan
from vidanon.types import ImageArray

FRAMES = 8
"""frames in a row"""


def strip(
    measured: Measured,
    original: Path,
    outputs: Sequence[Output],
    plan: Path,
    target: Path,
    *,
    track: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Draws one track (default: the longest) around its worst moment: where the last output's warping error is largest.

    Raises UsageError if there is no such track, OutputError if the picture is there or cannot be written.
    """
    number = measured.track(track)
    first = worst_moment(measured, number)
    with Plan.open(plan) as opened:
        face = next(
            item for _, group in opened.observations(first, first + 1) for item in group if item.track == number
        )
    place = Place.of(face.box, face.points)
    images: list[ImageArray] = []
    labels: list[str] = []
    for name, path in (("source", original), *((output.name, output.path) for output in outputs)):
        with Reader(path, start=first) as reader:
            for frame in islice(reader, FRAMES):
                images.append(cut(frame, place).image())
                labels.append(f"{name}  frame {frame.index}")
    columns = len(images) // (1 + len(outputs))
    contact_sheet(images, target, columns=columns, cell_width=SIDE, labels=labels, overwrite=overwrite)
    return target


def worst_moment(measured: Measured, track: int) -> int:
    """The frame to begin at, so that the largest warping error of the last clip lies in the middle.

    The strip neither begins before the track nor, where that can be helped, ends after it.
    """
    series = measured.series[track][-1]
    errors = np.array(series.error, np.float64)
    worst = int(np.nanargmax(errors)) if np.isfinite(errors).any() else 0
    begin = min(worst - FRAMES // 2, len(series.frames) - FRAMES)
    return series.frames[max(begin, 0)]
