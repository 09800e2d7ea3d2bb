"""A few frames from anywhere in a clip: thumbnails, previews, contact sheets.

In: a path and frame numbers. Out: upright RGB. decord finds the frames; it is opened for one call and closed again,
because it keeps what it has decoded in memory. Colours are close, not exact: what is measured or painted comes from
the `Reader`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vidanon.media.probe import is_still, probe
from vidanon.media.reader import Reader
from vidanon.media.sequences import is_sequence
from vidanon.types import ImageArray, VideoInfo

try:
    import decord
except (ImportError, OSError):  # wheels exist for x86-64 alone
    decord = None
else:
    decord.logging.set_level(decord.logging.QUIET)


def evenly(n_frames: int, k: int) -> list[int]:
    """At most `k` different frame numbers spread over a clip of `n_frames`, each in the middle of its share."""
    if n_frames < 0 or k < 0:
        raise ValueError(f"evenly wants counts, got {n_frames} frames and {k} samples")
    k = min(n_frames, k)
    return [(2 * i + 1) * n_frames // (2 * k) for i in range(k)]


def sample_frames(path: Path, indices: Sequence[int], *, max_side: int | None = None) -> list[ImageArray]:
    """The frames at `indices`, in that order, as upright uint8 RGB [height, width, 3].

    `max_side` shrinks them so that the longer side has at most so many px. Raises InputError for what cannot be
    read, IndexError for a frame past the clip's end.
    """
    if not indices:
        return []
    if min(indices) < 0:
        raise IndexError(f"frame numbers start at 0, got {min(indices)}")
    info = probe(path)
    width, height = _size(info, max_side)
    if decord is not None and not is_still(path) and not is_sequence(path):
        images = _through_decord(info, indices, width, height)
        if images is not None:
            return images
    return _through_reader(path, indices, width, height)


def _size(info: VideoInfo, max_side: int | None) -> tuple[int, int]:
    longer = max(info.width, info.height)
    if max_side is None or longer <= max_side:
        return info.width, info.height
    return max(1, round(info.width * max_side / longer)), max(1, round(info.height * max_side / longer))


def _through_decord(info: VideoInfo, indices: Sequence[int], width: int, height: int) -> list[ImageArray] | None:
    """None where decord cannot open the clip, or might show something else than the reader does.

    It turns some containers' pictures and others not, picks a stream by its own taste, and may count otherwise.
    """
    if info.rotation or any("video stream" in other for other in info.other_streams):
        return None
    try:
        clip = decord.VideoReader(
            os.fspath(info.path),
            ctx=decord.cpu(0),
            width=width,
            height=height,
            num_threads=1,
        )
        if len(clip) != info.frames_estimate or max(indices) >= len(clip):
            return None
        batch = clip.get_batch(list(indices)).asnumpy()
        del clip
    except (decord.DECORDError, RuntimeError):
        return None
    return [np.ascontiguousarray(image) for image in batch]


def _through_reader(path: Path, indices: Sequence[int], width: int, height: int) -> list[ImageArray]:
    wanted = set(indices)
    found: dict[int, ImageArray] = {}
    with Reader(path) as reader:
        for frame in reader:
            if frame.index in wanted:
                found[frame.index] = frame.rgb(width, height)
            if len(found) == len(wanted):
                break
    if len(found) < len(wanted):
        raise IndexError(f"{path} has no frame {max(wanted - set(found))}")
    return [found[index] for index in indices]
