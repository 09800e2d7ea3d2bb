"""What decoding a clip and encoding its copy cost by themselves, with nothing between them.

In: a clip and how its copy would be encoded. Out: seconds. Nothing is written: an unpainted frame belongs on no disk.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from vidanon.errors import InputError
from vidanon.media.encoding import SEGMENT_FRAMES, SegmentEncoder
from vidanon.media.pictures import PicturePreparer
from vidanon.media.reader import Reader
from vidanon.media.tracks import VideoTrack
from vidanon.settings import OutputSettings


@dataclass(frozen=True, slots=True)
class TranscodeCost:
    """Wall clock of the two ends of the way of a frame."""

    frames: int
    """how many went through"""
    decode_seconds: float
    """waiting for decoded frames"""
    encode_seconds: float
    """waiting for the encoder, in the segments a render writes"""


def transcode_cost(source: Path, target: Path, *, settings: OutputSettings) -> TranscodeCost:
    """Decodes `source` and encodes it as for `target`, one after the other, and drops what comes out.

    Raises InputError where the clip cannot be read or holds no frame, OutputError where it cannot be encoded as asked.
    """
    decoding = encoding = 0.0
    frames = 0
    encoder: SegmentEncoder | None = None
    with Reader(source, framerate=settings.framerate) as reader:
        track = VideoTrack.of(reader.info, target=target, settings=settings)
        prepare = PicturePreparer(track.choice, track.picture, track.tags, track.order)
        then = time.perf_counter()
        for frame in reader:
            now = time.perf_counter()
            decoding += now - then
            encoder = encoder or SegmentEncoder(track, target=target)
            for _ in encoder.encode(prepare(frame.picture)):
                pass
            frames += 1
            if frames % SEGMENT_FRAMES == 0:
                _flush(encoder)
                encoder = None
            then = time.perf_counter()
            encoding += then - now
    if not frames:
        raise InputError(f"{source}: its video stream holds no frame")
    if encoder is not None:
        then = time.perf_counter()
        _flush(encoder)
        encoding += time.perf_counter() - then
    return TranscodeCost(frames, decoding, encoding)


def _flush(encoder: SegmentEncoder) -> None:
    for _ in encoder.flush():
        pass
