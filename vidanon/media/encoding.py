"""Frames into a journal: each segment by an encoder of its own, so that what is finished stands by itself.

In: painted `Frame`s in presentation order. Out: encoded packets in a `Journal`. An undisturbed run cuts the same
segments as one that was killed and went on, so both give the same packets, bit for bit.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error

from vidanon.errors import OutputError
from vidanon.media.frames import Frame
from vidanon.media.journal import CodedPacket, Journal
from vidanon.media.pictures import PicturePreparer
from vidanon.media.sinks import EncodeReport, require_size
from vidanon.media.tracks import VideoTrack
from vidanon.media.work import output_error

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream

SEGMENT_FRAMES = 240
"""frames of a segment: what a killed render loses at most"""


class SegmentEncoder:
    """One encoder, from the key frame `first` to its last packet. Raises OutputError where it refuses."""

    def __init__(self, track: VideoTrack, *, target: Path, first: int = 0) -> None:
        self._track = track
        self._target = target
        self._sent = 0
        context = av.CodecContext.create(track.choice.encoder, "w")
        assert isinstance(context, av.VideoCodecContext)
        self._context = context
        track.configure(context, first=first)
        try:
            context.open()
        except (av.error.FFmpegError, ValueError) as error:
            raise OutputError(
                f"{target}: {track.choice.encoder} refuses this clip: {error}",
                hint="check codec, encoder_preset and encoder_options",
            ) from error

    @property
    def threads(self) -> int:
        """Threads it runs with; 0 where the encoder decides"""
        return self._context.thread_count

    @property
    def header(self) -> bytes:
        """What all packets rely on and the container keeps once (parameter sets)"""
        return self._context.extradata or b""

    def encode(self, picture: av.VideoFrame) -> Iterator[CodedPacket]:
        """The next picture, as `PicturePreparer` makes it. Raises OutputError."""
        picture.pts, picture.time_base = self._sent, 1 / self._track.choice.rate
        self._sent += 1
        return self._encode(picture)

    def flush(self) -> Iterator[CodedPacket]:
        """What the encoder still holds; it takes no picture afterwards. Raises OutputError."""
        return self._encode(None)

    def _encode(self, picture: av.VideoFrame | None) -> Iterator[CodedPacket]:
        try:
            # Encoders count the pictures they were given; the source's times are put on by the muxer.
            for packet in self._context.encode(picture):
                assert packet.pts is not None
                yield CodedPacket(packet.pts, packet.is_keyframe, bytes(packet), _alpha(packet))
        except OSError as error:
            raise output_error(self._target, error) from error
        except (av.error.FFmpegError, ValueError) as error:
            raise OutputError(f"{self._target}: {self._track.choice.encoder} failed: {error}") from error


def _alpha(packet: Packet[Stream]) -> bytes | None:
    if not packet.has_sidedata("matroska_block_additional"):
        return None
    return bytes(packet.get_sidedata("matroska_block_additional"))


class Recorder:
    """Encodes the frames of one track into its journal at `path`, or goes on with the one that is there.

    `identity` stands for all that the painted pictures depend on; with another one the journal is begun anew. Raises
    OutputError.
    """

    def __init__(
        self, path: Path, track: VideoTrack, *, identity: str, target: Path, segment_frames: int = SEGMENT_FRAMES
    ) -> None:
        if segment_frames < 1:
            raise ValueError(f"a segment has at least one frame, got {segment_frames}")
        self.track = track
        self._target = target
        self._length = segment_frames
        # This one encodes the first segment, if that is not there; its header is what all finished segments rely on.
        self._encoder: SegmentEncoder | None = SegmentEncoder(track, target=target)
        self._prepare = PicturePreparer(track.choice, track.picture, track.tags, track.order)
        self._times: list[tuple[int, int]] = []
        self._tally: Counter[str] = Counter()
        self._last: int | None = None
        self.report = EncodeReport(track.choice.encoder, track.choice.pix_fmt, self._encoder.threads)
        self.journal = Journal(path, identity=self._identity(identity), target=target)
        self.resumed_at = self.journal.frames_done
        """frames that were there from an earlier run"""
        if self.resumed_at:
            self._encoder = None

    @property
    def frames(self) -> int:
        """As `FrameSink.frames`."""
        return self.journal.frames_done + len(self._times)

    @property
    def complete(self) -> bool:
        """As `FrameSink.complete`."""
        return self.journal.complete

    @property
    def tally(self) -> Counter[str]:
        """As `FrameSink.tally`."""
        return self.journal.tally + self._tally

    def write(self, frame: Frame, tally: Mapping[str, int] | None = None) -> None:
        """As `FrameSink.write`; the tally is kept with the segment."""
        require_size(frame, self.track.info)
        if self._last is not None and frame.pts <= self._last:
            raise ValueError(f"time does not go forward at frame {frame.index}: {self._last} then {frame.pts}")
        if self.journal.complete or (self.resumed_at and frame.index != self.frames):
            raise ValueError(f"frame {self.frames} is next, or none if all have come, got frame {frame.index}")
        self._last = frame.pts
        if self._encoder is None:
            self._encoder = SegmentEncoder(self.track, target=self._target, first=self.journal.frames_done)
        for packet in self._encoder.encode(self._prepare(frame.picture)):
            self.journal.add(packet)
        self._times.append((frame.pts, frame.picture.duration or self.track.tick))
        self._tally.update(tally or {})
        if len(self._times) == self._length:
            self._close(last=False)

    def finish(self) -> None:
        """As `FrameSink.finish`: closes the last segment."""
        if not self.journal.complete:
            self._close(last=True)

    def close(self) -> None:
        """Let go of the journal; an open segment is forgotten."""
        self._encoder = None
        self.journal.close()

    def _close(self, *, last: bool) -> None:
        if self._times and self._encoder is not None:
            for packet in self._encoder.flush():
                self.journal.add(packet)
        self.journal.commit(self._times, tally=self._tally, last=last)
        self._encoder = None
        self._times.clear()
        self._tally.clear()

    def _identity(self, given: str) -> str:
        assert self._encoder is not None
        choice = self.track.choice
        parts = (av.ffmpeg_version_info, choice, self._length, self.track.form, given)
        digest = hashlib.sha256(repr(parts).encode() + self._encoder.header)
        return digest.hexdigest()
