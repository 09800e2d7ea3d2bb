"""What takes frames: the contract, and the one for a single picture. That for video is `encoding.Recorder`.

In: painted `Frame`s in presentation order. Out: whatever the sink makes of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import av

from vidanon.media.frames import Frame
from vidanon.media.stills import write_still
from vidanon.types import VideoInfo


@dataclass(frozen=True, slots=True)
class EncodeReport:
    """What really encoded."""

    encoder: str
    """FFmpeg's name of the encoder, or "pillow\""""
    pix_fmt: str
    """pixel format it was given"""
    threads: int
    """threads it ran with; 0 where the encoder decides"""


class FrameSink(Protocol):
    """Takes the frames of one camera."""

    report: EncodeReport
    """what really encodes"""
    resumed_at: int
    """frames that an earlier run has left: the first one to write"""

    @property
    def frames(self) -> int:
        """Frames there are so far, those of an earlier run included"""

    @property
    def complete(self) -> bool:
        """Whether an earlier run has left all frames, so that none may be written"""

    @property
    def tally(self) -> Counter[str]:
        """Sums of what came with the frames so far, those of an earlier run included"""

    def write(self, frame: Frame, tally: Mapping[str, int] | None = None) -> None:
        """Take one frame, shown at `frame.pts`; what `tally` counts of it is added up.

        Raises OutputError; ValueError where time does not go forward, a frame is left out after going on, or the size
        differs from the source's.
        """

    def finish(self) -> None:
        """All frames have come: what is there is durable. Raises OutputError."""


class StillSink:
    """Keeps the one frame of a picture until it is saved."""

    def __init__(self, info: VideoInfo) -> None:
        self._info = info
        self._picture: av.VideoFrame | None = None
        self.report = EncodeReport("pillow", info.pix_fmt, 1)
        self.resumed_at = 0
        self.complete = False
        self.tally: Counter[str] = Counter()

    @property
    def frames(self) -> int:
        """As `FrameSink.frames`."""
        return int(self._picture is not None)

    def write(self, frame: Frame, tally: Mapping[str, int] | None = None) -> None:
        """As `FrameSink.write`."""
        require_size(frame, self._info)
        if self._picture is not None:
            raise ValueError("a picture has one frame")
        self._picture = frame.picture
        self.tally.update(tally or {})

    def finish(self) -> None:
        """As `FrameSink.finish`; a picture is saved, not kept."""

    def save(self, stream: BinaryIO, *, suffix: str) -> None:
        """Write the picture to `stream`. Raises what `write_still` raises."""
        assert self._picture is not None
        write_still(self._picture, stream, suffix=suffix, source=self._info.path)


def require_size(frame: Frame, info: VideoInfo) -> None:
    """Raises ValueError unless a frame has the size of the clip."""
    if (frame.width, frame.height) != (info.width, info.height):
        raise ValueError(f"the writer wants {info.width} x {info.height} px, got {frame.width} x {frame.height}")
