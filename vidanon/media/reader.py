"""Frames in presentation order, with exact time stamps, out of a clip or a picture.

In: a path. Out: `Frame`s, one at a time or in batches. Memory does not grow with the clip's length. A frame that
cannot be decoded stops the reading with an `InputError`: nothing is skipped, nothing is made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import av
import av.error

from vidanon.errors import InputError
from vidanon.media.formats import handled_format, layout_of, matrix_code
from vidanon.media.frames import Frame
from vidanon.media.probe import is_still, main_video, open_input, probe, rotation_of
from vidanon.media.sequences import DEFAULT_FRAMERATE, is_sequence
from vidanon.media.stills import read_still
from vidanon.types import VideoInfo

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

__all__ = ["DecodeReport", "Frame", "Reader"]

# These decoders patch up damage without marking the frame unless told to stop. H.264 and HEVC mark it, and phones
# write harmless oddities that "explode" would refuse.
_MARKS_DAMAGE = frozenset({"h264", "hevc"})
# Not VP8, whose packets need not show a picture, nor MPEG-2 and MPEG-4, whose pictures may come in fields or packed.
_ONE_PICTURE_PER_PACKET = frozenset(
    {
        "h264",
        "hevc",
        "vp9",
        "av1",
        "mjpeg",
        "prores",
        "dnxhd",
        "ffv1",
        "jpeg2000",
        "huffyuv",
        "ffvhuff",
        "utvideo",
        "v210",
        "rawvideo",
        "qtrle",
        "dvvideo",
        "flv1",
        "msmpeg4v2",
        "msmpeg4v3",
        "wmv1",
        "wmv2",
        "wmv3",
        "vc1",
    }
)
_SAFE_CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mxf", "avi", "asf", "flv"})


@dataclass(frozen=True, slots=True)
class DecodeReport:
    """What really decoded."""

    decoder: str
    """FFmpeg's name of the decoder, or "pillow\""""
    threads: int
    """threads it ran with"""
    threading: str
    """"frame", "slice", "frame+slice" or "none\""""


class Reader:
    """Frames of the clip or picture at `path`, a context manager and an iterator.

    `start` skips that many frames by decoding them: exact for every codec, at the price of their decoding time.
    `stream` is the number of the video stream, None the main one; `framerate` that of numbered pictures.
    Raises InputError: what `probe` raises; time stamps that do not rise; a frame that is damaged or missing; a
    picture whose size or format changes on the way.
    """

    def __init__(
        self, path: Path, *, start: int = 0, stream: int | None = None, framerate: float = DEFAULT_FRAMERATE
    ) -> None:
        if start < 0:
            raise ValueError(f"start is a number of frames to skip, got {start}")
        self._path = path
        self._start = start
        self._stack = ExitStack()
        self._frames: Iterator[Frame] | None = None
        self._framerate = framerate
        self.info: VideoInfo = probe(path, stream=stream, framerate=framerate)
        self.report = DecodeReport("pillow", 1, "none")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. Frames already handed out stay valid."""
        self._frames = iter(())
        self._stack.close()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        if self._frames is None:
            self._frames = self._still() if is_still(self._path) else self._decode()
        return next(self._frames)

    def batches(self, n: int) -> Iterator[list[Frame]]:
        """The frames in lists of `n`, the last one maybe shorter."""
        if n < 1:
            raise ValueError(f"a batch holds at least one frame, got {n}")
        batch: list[Frame] = []
        for frame in self:
            batch.append(frame)
            if len(batch) == n:
                yield batch
                batch = []
        if batch:
            yield batch

    def _still(self) -> Iterator[Frame]:
        if self._start == 0:
            yield Frame(0, 0, read_still(self._path), 0)

    def _decode(self) -> Iterator[Frame]:
        container = self._stack.enter_context(open_input(self._path, framerate=self._framerate))
        stream = main_video(container, self._path, self.info.stream)
        for other in container.streams:
            if other.index != stream.index:
                other.discard = av.stream.Discard.all
        context = stream.codec_context
        context.thread_type = av.codec.context.ThreadType.AUTO
        if self.info.codec not in _MARKS_DAMAGE:
            context.options = {"err_detect": "explode"}
        gate = _Gate(self.info)
        try:
            for packet in container.demux(stream):
                gate.sent(packet)
                for picture in packet.decode():
                    pts = gate.passed(picture)
                    index = gate.count - 1
                    if index == 0:
                        self.report = _report(context)
                    if index >= self._start:
                        yield Frame(index, pts, self._conform(picture), gate.rotation)
        except (av.error.FFmpegError, ValueError) as error:
            raise gate.refusal("it cannot be decoded") from error
        gate.closed()

    def _conform(self, picture: av.VideoFrame) -> av.VideoFrame:
        wanted = handled_format(picture.format.name, codec=self.info.codec)
        return picture if wanted == picture.format.name else picture.reformat(format=wanted)


class _Gate:
    """Lets a stream's pictures through one by one, and none that is damaged, missing or out of order.

    Every method raises InputError for what it finds.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._info = info
        self._ledger = _Ledger(counts=info.codec in _ONE_PICTURE_PER_PACKET and info.container in _SAFE_CONTAINERS)
        self._last: int | None = None
        self._shape: tuple[int, int, str, int] | None = None
        self._angle: int | None = None
        self.count = 0
        """pictures let through"""
        self.rotation = 0
        """degrees counter-clockwise of the last one"""

    def sent(self, packet: Packet[VideoStream]) -> None:
        """A packet goes to the decoder."""
        if packet.is_corrupt:
            raise self.refusal("its packet is marked as corrupt")
        self._ledger.sent(packet)

    def passed(self, picture: av.VideoFrame) -> int:
        """A picture has come out; returns its time stamp."""
        # Containers without presentation times (AVI) give decoding times alone.
        pts = picture.pts if picture.pts is not None else picture.dts
        if pts is None:
            raise self.refusal("it has no time stamp", hint="remux the clip to .mkv first")
        if self._last is not None and pts <= self._last:
            raise self.refusal("time does not go forward there", hint="remux the clip first")
        if picture.is_corrupt:
            raise self.refusal("the decoder found it damaged")
        if not self._ledger.shown(picture.pts):
            raise self.refusal("a frame there could not be decoded")
        # Looking at its side data ties a picture to itself, and it stays in memory until Python looks for such knots.
        if picture.rotation != self._angle:
            self._angle = picture.rotation
            self.rotation = rotation_of(picture)
        shape = (picture.width, picture.height, picture.format.name, self.rotation)
        if self._shape is None:
            self._check_colour(picture)
        elif shape != self._shape:
            raise self.refusal("the picture's size, format or turn changes", hint="split the clip there first")
        self._shape, self._last = shape, pts
        self.count += 1
        return pts

    def closed(self) -> None:
        """The stream has ended."""
        if self._ledger.missing():
            raise self.refusal("a frame could not be decoded")
        if self.count == 0:
            raise InputError(f"{self._info.path}: its video stream holds no frame")
        # FFmpeg takes a picture that has vanished meanwhile for the end.
        if is_sequence(self._info.path) and self.count != self._info.frames_estimate:
            raise self.refusal("its picture is missing or cannot be decoded")

    def refusal(self, why: str, *, hint: str | None = None) -> InputError:
        """The error for the frame that should come next."""
        where = f"frame {self.count}"
        if self._last is not None:
            where += f", after {_clock(self._last * self._info.time_base)}"
        return InputError(
            f"{self._info.path}: {where}: {why}",
            hint=hint or "repair or re-export the clip; vidanon passes on no frame that it could not see whole",
        )

    def _check_colour(self, picture: av.VideoFrame) -> None:
        layout = layout_of(handled_format(picture.format.name, codec=self._info.codec))
        if layout is not None and layout.kind == "yuv" and matrix_code(picture) is None:
            raise InputError(
                f"{self._info.path}: its colour matrix (H.273 code {int(picture.colorspace)}) is not supported",
                hint="convert the clip to BT.709 or BT.2020 first",
            )


class _Ledger:
    """Which packets have been sent to the decoder and not yet come out as a frame.

    Decoders drop what they cannot decode without a word; in containers where one packet is one picture the time
    stamps tell. Pictures before the first key frame cannot be shown by anyone and are not counted.
    """

    def __init__(self, *, counts: bool) -> None:
        self._counts = counts
        self._key: int | None = None
        self._due: set[int] = set()

    def sent(self, packet: Packet[VideoStream]) -> None:
        if not self._counts or packet.size == 0 or packet.pts is None:
            return
        if self._key is None and packet.is_keyframe:
            self._key = packet.pts
        if self._key is not None and packet.pts >= self._key and not packet.is_discard:
            self._due.add(packet.pts)

    def shown(self, pts: int | None) -> bool:
        """Note that a frame came out; False where one that is due before it has not."""
        if not self._counts or pts is None:
            return True
        self._due.discard(pts)
        return not any(due < pts for due in self._due)

    def missing(self) -> bool:
        return bool(self._due)


def _report(context: av.CodecContext) -> DecodeReport:
    kinds = [k for k in ("FRAME", "SLICE") if av.codec.context.ThreadType[k] in context.thread_type]
    return DecodeReport(context.codec.name, max(1, context.thread_count), "+".join(kinds).lower() or "none")


def _clock(seconds: Fraction) -> str:
    whole = int(abs(seconds))
    millis = int((abs(seconds) - whole) * 1000)
    sign = "-" if seconds < 0 else ""
    return f"{sign}{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{millis:03}"
