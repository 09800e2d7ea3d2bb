"""Where a shot ends: how much two pictures differ, and which differences are cuts.

In come thumbnails, out come numbers 0..1 and frame indices. A cut is a change that stays; a flash is one that is taken
back by the next picture. In doubt a change is no cut: a missed cut gives two people one face for a moment, a false one
leaves a hole that nothing fills.
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
"""part of the change that must still be there one frame later"""


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


def cuts(changes: Sequence[float], changes_skip: Sequence[float], threshold: float) -> list[int]:
    """Indices of frames that begin a new shot.

    `changes[i]` is the change from frame i - 1 to i, `changes_skip[i]` that from i - 2 to i, `threshold` the change
    above which a shot ends. The last frame never begins a shot: whether its change stays cannot be known.
    """
    return [
        i
        for i in range(1, len(changes) - 1)
        if _is_cut(changes[i], _stays(i, changes_skip[i], changes_skip[i + 1]), _around(changes, i), threshold)
    ]


def mark_cuts(frames: Iterable[ScannedFrame], threshold: float) -> Iterator[tuple[ScannedFrame, bool]]:
    """Every frame with whether it begins a new shot, as `cuts` says; holds `2 * LOOK + 1` frames."""
    window: deque[ScannedFrame] = deque()
    position = 0

    def decided() -> tuple[ScannedFrame, bool]:
        frame = window[position]
        cut = False
        if 0 < position < len(window) - 1 and frame.index > 0:
            changes = [f.change for f in window]
            stays = _stays(frame.index, frame.change_skip, window[position + 1].change_skip)
            cut = _is_cut(frame.change, stays, _around(changes, position), threshold)
        return frame, cut

    for frame in frames:
        window.append(frame)
        if len(window) - position > LOOK:
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


def _stays(index: int, skip: float, skip_after: float) -> float:
    """How much of a change lasts: less after a flash's first frame (`skip_after`) and after its last (`skip`)."""
    return min(skip, skip_after) if index > 1 else skip_after


def _is_cut(change: float, stays: float, around: Sequence[float], threshold: float) -> bool:
    if stays < STAYS * change:
        return False
    if change >= threshold:
        return not around or change >= STANDS_OUT * float(np.median(around))
    return change >= QUIET_FACTOR * threshold and len(around) >= LOOK and change >= CALM * max(*around, 0.01)
