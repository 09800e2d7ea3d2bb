"""Where a shot ends: how much two pictures differ, and which differences are cuts.

In come thumbnails, out come numbers 0..1 and frame indices. A cut is a change that stays; a flash is one that is taken
back within `FLASH` frames. In doubt a change is no cut: a missed cut gives two people one face for a moment, a false
one leaves a hole that nothing fills.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.types import ImageArray, ScannedFrame

THUMBNAIL = 32
"""px of a thumbnail's side, whatever the picture's shape"""
SHIFT = 3
"""px of a thumbnail by which pictures may move and still count as alike (about a tenth of the picture)"""
LOOK = 4
"""frames on either side a change is compared with: a cut stands out, a shaken camera does not"""
STANDS_OUT = 2.0
"""factor by which a cut exceeds the typical change around it"""
QUIET_FACTOR = 0.55
"""part of the threshold that is enough for a cut where the picture is otherwise calm"""
CALM = 5.0
"""factor by which such a quiet cut exceeds every change around it"""
STAYS = 0.7
"""part of the change that must still be there one frame later ..."""
STAYS_ON = 0.4
"""... and in the frames after that, in which a new shot may come to look a little like the old one"""
FLASH = 8
"""frames within which a change that is taken back was a flash: photographers' lights, a burst of lightning"""
JUMP = 0.15
"""change from which the picture before it is remembered, to see whether it comes back"""


def thumbnail(rgb: ImageArray) -> ImageArray:
    """[32, 32, 3] uint8 of an upright picture [h, w, 3]: all that `picture_change` looks at."""
    # The area filter of OpenCV only averages when both sides shrink; linear is right for the rest.
    shrinks = min(rgb.shape[:2]) >= THUMBNAIL
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, (THUMBNAIL, THUMBNAIL), interpolation=how), np.uint8)


def picture_change(a: ImageArray, b: ImageArray) -> float:
    """How much two thumbnails differ, 0 (same) to 1; exposure and small motion hardly count.

    Structure (normalized correlation of brightness, best over small shifts) weighs 0.65, colour (overlap of
    brightness-normalized chroma histograms) 0.35.
    """
    return float(np.clip(0.65 * _structure(a, b) + 0.35 * _colour(a, b), 0, 1))


def _structure(a: ImageArray, b: ImageArray) -> float:
    x, y = a.astype(np.float64).mean(axis=2), b.astype(np.float64).mean(axis=2)
    return 1 - max(_best_match(x, y), _best_match(y, x))


def _best_match(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    middle = a[SHIFT:-SHIFT, SHIFT:-SHIFT]
    windows = np.lib.stride_tricks.sliding_window_view(b, middle.shape).reshape(-1, middle.size)
    x = middle.ravel() - middle.mean()
    y = windows - windows.mean(axis=1, keepdims=True)
    # Grain of about 3 grey levels, the same in both: two flat or dark pictures are alike rather than undefined.
    grain = 9.0
    match = (y @ x / x.size + grain) / np.sqrt((x @ x / x.size + grain) * ((y * y).mean(axis=1) + grain))
    return float(match.max())


def _colour(a: ImageArray, b: ImageArray) -> float:
    return 1 - float(np.minimum(_chroma_histogram(a), _chroma_histogram(b)).sum())


def _chroma_histogram(rgb: ImageArray) -> NDArray[np.float64]:
    pixels = rgb.reshape(-1, 3).astype(np.float64)
    luma = pixels @ [0.2126, 0.7152, 0.0722]
    # Divided by the picture's brightness, so that exposure does not move colours; the floor keeps black pictures grey.
    chroma = np.clip((pixels[:, [0, 2]] - luma[:, None]) / (luma.mean() + 16) * 4 + 6, 0, 11.999)
    histogram = np.histogramdd(chroma, bins=(12, 12), range=((0, 12), (0, 12)))[0]
    # Smoothed over neighbouring bins: a colour on a bin's edge must not jump.
    smooth = np.asarray(cv2.GaussianBlur(histogram, (5, 5), 1.0, borderType=cv2.BORDER_REPLICATE), np.float64)
    return np.asarray(smooth / smooth.sum(), np.float64)


class ChangeMeter:
    """Fed with every picture of a clip in turn; what `step` says follows from the last `FLASH + 2` pictures alone."""

    def __init__(self) -> None:
        self._last: deque[ImageArray] = deque(maxlen=2)
        self._before_jumps: deque[tuple[int, ImageArray]] = deque()
        self._index = 0

    def step(self, rgb: ImageArray) -> tuple[float, float]:
        """`ScannedFrame.change` and `change_skip` of a picture [h, w, 3]; 0 where there is none to compare it with."""
        small = thumbnail(rgb)
        index, self._index = self._index, self._index + 1
        while self._before_jumps and self._before_jumps[0][0] < index - FLASH:
            self._before_jumps.popleft()
        if not self._last:
            self._last.append(small)
            return 0.0, 0.0
        change = picture_change(self._last[-1], small)
        # The oldest jump alone: a flash right after a cut must not look as if the cut were taken back.
        old = self._before_jumps[0][1] if self._before_jumps else self._last[0]
        skip = picture_change(old, small) if len(self._last) > 1 else 0.0
        if change > JUMP:
            self._before_jumps.append((index, self._last[-1]))
        self._last.append(small)
        return change, skip


def cuts(changes: Sequence[float], changes_skip: Sequence[float], threshold: float) -> list[int]:
    """Indices of frames that begin a new shot.

    `changes[i]` is the change from frame i - 1 to i, `changes_skip[i]` that from the frames before it that are worth
    comparing it with (see `ScannedFrame`), `threshold` the change above which a shot ends. The last frame never begins
    a shot: whether its change stays cannot be known.
    """
    left = [_left(k, skip) for k, skip in enumerate(changes_skip)]
    return [
        i
        for i in range(1, len(changes) - 1)
        if _is_cut(changes[i], left[i : i + FLASH + 1], _around(changes, i), threshold)
    ]


def mark_cuts(frames: Iterable[ScannedFrame], threshold: float) -> Iterator[tuple[ScannedFrame, bool]]:
    """Every frame with whether it begins a new shot, as `cuts` says; holds `LOOK + FLASH + 2` frames."""
    window: deque[ScannedFrame] = deque()
    position = 0

    def decided() -> tuple[ScannedFrame, bool]:
        frame = window[position]
        cut = False
        if 0 < position < len(window) - 1 and frame.index > 0:
            changes = [f.change for f in window]
            left = [_left(f.index, f.change_skip) for f in window]
            cut = _is_cut(frame.change, left[position : position + FLASH + 1], _around(changes, position), threshold)
        return frame, cut

    for frame in frames:
        window.append(frame)
        if len(window) - position > FLASH:
            yield decided()
            position += 1
            if position > LOOK + 1:
                window.popleft()
                position -= 1
    while position < len(window):
        yield decided()
        position += 1


def _around(changes: Sequence[float], i: int) -> list[float]:
    """The changes near frame i; never frame 0's, which has nothing before it, nor i's own."""
    low = max(0, i - LOOK)
    return [changes[k] for k in range(low, min(len(changes), i + LOOK + 1)) if k != i and k > 0]


def _left(index: int, skip: float) -> float:
    """How much of an earlier change is left in a frame; all of it in the first two, which have nothing before that."""
    return skip if index > 1 else 1.0


def _is_cut(change: float, left: Sequence[float], around: Sequence[float], threshold: float) -> bool:
    if min(left[:2]) < STAYS * change or min(left) < STAYS_ON * change:
        return False
    if change >= threshold:
        return not around or change >= STANDS_OUT * float(np.median(around))
    return change >= QUIET_FACTOR * threshold and len(around) >= LOOK and change >= CALM * max(*around, 0.01)
