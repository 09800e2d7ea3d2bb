"""Frames in presentation order, with exact time stamps, out of a clip or a picture.

In: a path. Out: `Frame`s, one at a time or in batches. Memory does not grow with the clip's length. A frame that
cannot be decoded stops the reading with an `InputError`: nothing is skipped, nothing is made up.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import av
import av.error
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from vidanon.errors import InputError
from vidanon.media.formats import (
    FULL,
    LIMITED,
    handled_format,
    is_full_range,
    layout_of,
    matrix_code,
    swscale_matrix,
)
from vidanon.media.probe import is_still, main_video, open_input, probe, rotation_of
from vidanon.media.stills import read_still
from vidanon.types import ImageArray, VideoInfo

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

# These decoders patch up damage without marking the frame unless told to stop. H.264 and HEVC mark it, and phones
# write harmless oddities that "explode" would refuse.
_MARKS_DAMAGE = frozenset({"h264", "hevc"})
# Packets of these codecs need not show a picture (VP8's hidden reference frames), or come in fields.
_ONE_PICTURE_PER_PACKET = frozenset({"h264", "hevc", "vp9", "av1", "mjpeg", "prores", "dnxhd", "ffv1"})
_SAFE_CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
_STUDIO_TO_FULL = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture and when it is shown."""

    index: int
    """0-based, in presentation order"""
    pts: int
    """in units of the clip's time base"""
    picture: av.VideoFrame
    """the samples as decoded, not turned; treat them as read-only (the decoder may still refer to them)"""
    rotation: int
    """degrees counter-clockwise that turn `picture` upright: 0, 90, 180 or 270"""

    @property
    def width(self) -> int:
        """px of the upright picture"""
        return self.picture.height if self.rotation in (90, 270) else self.picture.width

    @property
    def height(self) -> int:
        """px of the upright picture"""
        return self.picture.width if self.rotation in (90, 270) else self.picture.height

    def rgb(self, width: int | None = None, height: int | None = None) -> ImageArray:
        """The upright picture as uint8 RGB [height, width, 3], converted with the frame's own matrix and range.

        One of `width` and `height` alone keeps the proportions; neither keeps the size. Shrinking averages areas,
        enlarging is bicubic.
        """
        if width is None and height is None:
            width, height = self.width, self.height
        elif height is None:
            assert width is not None
            height = max(1, round(width * self.height / self.width))
        elif width is None:
            width = max(1, round(height * self.width / self.height))
        if width < 1 or height < 1:
            raise ValueError(f"rgb wants a size of at least 1 x 1 px, got {width} x {height}")
        out_w, out_h = (height, width) if self.rotation in (90, 270) else (width, height)
        smaller = out_w < self.picture.width or out_h < self.picture.height
        # Without swscale's accuracy flags: they cost tenfold and change a value by five at most.
        flags = Interpolation.AREA if smaller else Interpolation.BICUBIC
        code = matrix_code(self.picture)
        layout = layout_of(self.picture.format.name)
        coded = layout is None or layout.kind != "rgb"
        converted = _reformatter(self.picture, out_w, out_h).reformat(
            self.picture,
            width=out_w,
            height=out_h,
            format="rgb24",
            src_colorspace=swscale_matrix(code) if code is not None and coded else None,
            src_color_range=FULL if is_full_range(self.picture) else LIMITED,
            dst_color_range=ColorRange.JPEG,
            interpolation=flags,
            threads=1,
        )
        plane = converted.planes[0]
        view: ImageArray = np.ndarray((out_h, out_w, 3), np.uint8, buffer=memoryview(plane), strides=(plane.line_size, 3, 1))
        if layout is not None and layout.kind == "gray" and not is_full_range(self.picture):
            view = _STUDIO_TO_FULL[view]  # swscale takes all gray for full range
        if self.rotation:
            return cast("ImageArray", cv2.rotate(view, _TURNS[self.rotation]))
        return np.ascontiguousarray(view)


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
    Raises InputError: what `probe` raises; time stamps that do not rise; a frame that is damaged or missing; a
    picture whose size or format changes on the way.
    """

    def __init__(self, path: Path, *, start: int = 0) -> None:
        if start < 0:
            raise ValueError(f"start is a number of frames to skip, got {start}")
        self._path = path
        self._start = start
        self._stack = ExitStack()
        self._frames: Iterator[Frame] | None = None
        self.info: VideoInfo = probe(path)
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
        container = self._stack.enter_context(open_input(self._path))
        stream = main_video(container, self._path)
        for other in container.streams:
            if other.index != stream.index:
                other.discard = av.stream.Discard.all
        context = stream.codec_context
        context.thread_type = "AUTO"
        if self.info.codec not in _MARKS_DAMAGE:
            context.options = {"err_detect": "explode"}
        ledger = _Ledger(counts=self.info.codec in _ONE_PICTURE_PER_PACKET and self.info.container in _SAFE_CONTAINERS)
        index, last, shape = 0, None, None
        try:
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise self._damaged(index, last, "its packet is marked as corrupt")
                ledger.sent(packet)
                for picture in packet.decode():
                    pts = picture.pts if picture.pts is not None else picture.dts
                    if pts is None:
                        raise self._damaged(index, last, "it has no time stamp", hint="remux the clip to .mkv first")
                    if picture.is_corrupt:
                        raise self._damaged(index, pts, "the decoder found it damaged")
                    if last is not None and pts <= last:
                        raise self._damaged(index, pts, "time does not go forward there", hint="remux the clip first")
                    if not ledger.shown(picture.pts):
                        raise self._damaged(index, pts, "a frame before it could not be decoded")
                    if shape is None:
                        shape = (picture.width, picture.height, picture.format.name)
                        self.report = _report(context)
                        self._check_colour(picture)
                    elif shape != (picture.width, picture.height, picture.format.name):
                        raise self._damaged(
                            index, pts, "the picture's size or format changes", hint="split the clip there first"
                        )
                    if index >= self._start:
                        yield Frame(index, pts, self._conform(picture), rotation_of(picture))
                    index, last = index + 1, pts
        except (av.error.FFmpegError, ValueError) as error:
            raise self._damaged(index, last, "it cannot be decoded") from error
        if ledger.missing():
            raise self._damaged(index, last, "a frame could not be decoded")
        if index == 0:
            raise InputError(f"{self._path}: its video stream holds no frame")

    def _conform(self, picture: av.VideoFrame) -> av.VideoFrame:
        wanted = handled_format(picture.format.name, codec=self.info.codec)
        return picture if wanted == picture.format.name else picture.reformat(format=wanted)

    def _check_colour(self, picture: av.VideoFrame) -> None:
        layout = layout_of(handled_format(picture.format.name, codec=self.info.codec))
        if layout is not None and layout.kind == "yuv" and matrix_code(picture) is None:
            raise InputError(
                f"{self._path}: its colour matrix (H.273 code {int(picture.colorspace)}) is not supported",
                hint="convert the clip to BT.709 or BT.2020 first",
            )

    def _damaged(self, index: int, pts: int | None, why: str, *, hint: str | None = None) -> InputError:
        where = f"frame {index}" if pts is None else f"frame {index} at or after {_clock(pts * self.info.time_base)}"
        return InputError(
            f"{self._path}: {where}: {why}",
            hint=hint or "repair or re-export the clip; vidanon passes on no frame that it could not see whole",
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


_local = threading.local()
_KEPT_SCALERS = 8


def _reformatter(picture: av.VideoFrame, width: int, height: int) -> VideoReformatter:
    """A scaler for this kind of conversion, kept per thread: setting one up costs more than using it."""
    kept: OrderedDict[tuple[object, ...], VideoReformatter] = _local.__dict__.setdefault("kept", OrderedDict())
    key = (picture.format.name, picture.width, picture.height, width, height)
    scaler = kept.pop(key, None) or VideoReformatter()
    kept[key] = scaler
    if len(kept) > _KEPT_SCALERS:
        kept.popitem(last=False)
    return scaler


def _report(context: av.CodecContext) -> DecodeReport:
    kinds = [k for k in ("FRAME", "SLICE") if av.codec.context.ThreadType[k] in context.thread_type]
    return DecodeReport(context.codec.name, max(1, context.thread_count), "+".join(kinds).lower() or "none")


def _clock(seconds: Fraction) -> str:
    whole = int(abs(seconds))
    millis = int((abs(seconds) - whole) * 1000)
    sign = "-" if seconds < 0 else ""
    return f"{sign}{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{millis:03}"
