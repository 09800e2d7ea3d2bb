"""How near the pictures of a copy are to the source's where nothing was painted: luma PSNR.

In: pairs of frames and which pixels to leave out. Out: a `Fidelity`. Errors are counted in the source's sample values
against its largest one, so that for two clips of one pixel format the figure is FFmpeg's psnr filter's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidanon.media.formats import is_full_range, layout_of, samples
from vidanon.media.frames import Frame
from vidanon.types import FloatArray

_BT709 = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How well the unpainted pixels were kept."""

    psnr_db: float
    """of the mean squared error over all pixels measured; infinite where none differs"""
    worst_db: float
    """of the frame that came out worst"""
    worst_frame: int
    """its index"""
    measured: float
    """share of all pixels that was measured, the rest being painted or next to it"""


class FidelityMeter:
    """Adds up the errors of frame after frame."""

    def __init__(self) -> None:
        self._squares = 0.0
        self._measured = self._pixels = 0
        self._peak = 1.0
        self._worst = (-1.0, -1)

    def add(self, one: Frame, other: Frame, painted: NDArray[np.bool_] | None) -> None:
        """A frame of the source and the same one of the copy; `painted` [height, width], upright, is left out.

        Raises ValueError if their sizes differ.
        """
        if (one.width, one.height) != (other.width, other.height):
            raise ValueError(f"{one.width} x {one.height} px cannot be measured against {other.width} x {other.height}")
        (before, span, top), (after, _, _) = _luma(one), _luma(other)
        error = (after - before) * np.float32(span)
        if painted is not None:
            error = error[~painted]
        self._pixels += one.width * one.height
        if not error.size:
            return
        squares = float(np.square(error).sum(dtype=np.float64))
        self._peak = top
        self._squares += squares
        self._measured += error.size
        self._worst = max(self._worst, (squares / error.size, one.index), key=lambda pair: pair[0])

    def result(self) -> Fidelity | None:
        """The figures so far; None where no pixel could be measured."""
        if not self._measured:
            return None
        mean, (worst, frame) = self._squares / self._measured, self._worst
        return Fidelity(self._db(mean), self._db(worst), frame, self._measured / self._pixels)

    def _db(self, mean_square: float) -> float:
        return 20 * math.log10(self._peak) - 10 * math.log10(mean_square) if mean_square > 0 else math.inf


def _luma(frame: Frame) -> tuple[FloatArray, float, float]:
    """Upright Y' [height, width], 0..1 from black to white; the sample values from black to white; the largest one."""
    layout = layout_of(frame.picture.format.name)
    if layout is None:
        raise ValueError(f"the reader hands out no {frame.picture.format.name} pictures")
    top = float((1 << layout.depth) - 1)
    planes = [samples(frame.picture, component, layout) for component in layout.components]
    if layout.kind == "rgb":
        weighted = [np.float32(k) * (p >> layout.shift) for k, p in zip(_BT709, planes, strict=True)]
        luma, zero, span = weighted[0] + weighted[1] + weighted[2], 0.0, top
    else:
        luma = (planes[0] >> layout.shift).astype(np.float32)
        full = is_full_range(frame.picture)
        zero, span = (0.0, top) if full else (float(16 << layout.depth - 8), float(219 << layout.depth - 8))
    luma = (luma.astype(np.float32) - np.float32(zero)) / np.float32(span)
    return np.rot90(luma, frame.rotation // 90), span, top
