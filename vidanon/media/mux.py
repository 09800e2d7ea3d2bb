"""One output container: the encoder, the copied sound, and the times of both.

In: a path, the probed source, the settings; then `Frame`s. Out: a finished container at that path. Whether it gets
its final name is the writer's business.
"""

from __future__ import annotations

import math
import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
from av.codec.context import Flags
from av.video.stream import VideoStream

from vidanon.errors import OutputError
from vidanon.media.encoders import CONTAINERS, EncoderChoice, choose_encoder
from vidanon.media.formats import handled_format
from vidanon.media.frames import Frame
from vidanon.media.hdr import hdr_options
from vidanon.media.parts import output_error
from vidanon.media.pictures import ColourTags, FieldOrder, PicturePreparer
from vidanon.media.probe import display_matrix, first_picture, main_video, open_input
from vidanon.media.sound import SoundCopier
from vidanon.settings import OutputSettings
from vidanon.types import VideoInfo

if TYPE_CHECKING:
    from av.packet import Packet

_LARGEST_TIMESCALE = 2**31 - 1
_QP_TO_LAMBDA = 118
"""FF_QP2LAMBDA: libavcodec's unit of a fixed quantizer"""


@dataclass(frozen=True, slots=True)
class EncodeReport:
    """What really encoded."""

    encoder: str
    """FFmpeg's name of the encoder, or "pillow\""""
    pix_fmt: str
    """pixel format it was given"""
    threads: int
    """threads it ran with; 0 where the encoder decides"""


class Muxer:
    """Encodes frames into a container at `path`, which becomes `target` later; everything is checked on the way in.

    Raises OutputError where encoder or container refuse, InputError where the source cannot be read.
    """

    def __init__(self, path: Path, info: VideoInfo, *, target: Path, settings: OutputSettings) -> None:
        self._target = target
        self._time_base = info.time_base
        self._times: deque[tuple[int, int]] = deque()
        self._dropped = 0
        self._packets = 0
        self._delay: int | None = None
        self._first: int | None = None
        self._last: int | None = None
        self._end = 0
        self._sent = 0
        self._sound: SoundCopier | None = None
        form = CONTAINERS[target.suffix.lower()]
        with open_input(info.path) as container:
            stream = main_video(container, info.path)
            picture = first_picture(container, stream, info.path)
            context = stream.codec_context
            aspect = stream.sample_aspect_ratio
            language, disposition = stream.language, stream.disposition
            order = FieldOrder.of(picture)
            matrix = display_matrix(picture)
            worked_on = handled_format(picture.format.name, codec=info.codec)
        start = (picture.pts or 0) * info.time_base
        # Only these containers can say "decode this before time zero"; elsewhere B frames would shift all times.
        reorder = form in ("mp4", "mov", "matroska", "webm") or start > 1
        choice = choose_encoder(
            codec=info.codec,
            picture=picture,
            pix_fmt=worked_on,
            rate=info.rate,
            container=form,
            reorder=reorder,
            settings=settings,
        )
        self._choice = choice
        tags = ColourTags.of(picture, context, choice.pix_fmt)
        if info.rotation and form == "mpegts":
            raise OutputError(
                f"{target}: a {target.suffix} file cannot hold the clip's rotation", hint="write a .mp4, .mov or .mkv"
            )
        self._tick = max(1, round(1 / (choice.rate * info.time_base)))
        self._output = av.open(str(path), "w", format=form)
        try:
            self._stream = self._add_video(picture, choice, tags, aspect, order)
            if language:
                self._stream.metadata["language"] = language
            self._stream.disposition = disposition
            if matrix is not None and (info.rotation or _mirrors(matrix)):
                self._stream.set_display_matrix(matrix)
            if settings.audio == "copy":
                self._sound = SoundCopier(info.path, self._output, target=target)
            starts = [start, *(self._sound.starts if self._sound else [])]
            self._output.container_options.update(_muxer_options(form, target, starts))
            self._prepare = PicturePreparer(choice, picture, tags, order)
            self._start()
        except BaseException:
            self.abandon()
            raise
        self.report = EncodeReport(choice.encoder, choice.pix_fmt, self._stream.codec_context.thread_count)

    def _add_video(
        self,
        picture: av.VideoFrame,
        choice: EncoderChoice,
        tags: ColourTags,
        aspect: Fraction | None,
        order: FieldOrder,
    ) -> VideoStream:
        try:
            stream = self._output.add_stream(choice.encoder, rate=choice.rate)
        except ValueError as error:
            raise OutputError(
                f"{self._target}: a {self._target.suffix} file cannot hold what {choice.encoder} encodes",
                hint='write a .mkv file, or set codec to "auto"',
            ) from error
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = picture.width, picture.height, choice.pix_fmt
        context.time_base = 1 / choice.rate
        context.thread_count = 0
        context.thread_type = "AUTO"
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = tags
        if aspect:
            context.sample_aspect_ratio = aspect
        if choice.encoder == "libx265" and CONTAINERS[self._target.suffix.lower()] in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # the tag Apple's players ask for
        if choice.encoder == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only; it writes to stderr by itself
        options = dict(choice.options)
        for name, value in hdr_options(picture, choice.encoder).items():
            options[name] = f"{options[name]}:{value}" if name in options else value
        context.options = options
        if choice.qscale is not None:
            context.flags |= Flags.qscale
            context.global_quality = choice.qscale * _QP_TO_LAMBDA
        if choice.interlaced:
            context.flags |= Flags.interlaced_dct | Flags.interlaced_me
            context.field_order = order.value
        stream.time_base = self._time_base
        return stream

    def _start(self) -> None:
        try:
            self._output.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            raise OutputError(
                f"{self._target}: {self._choice.encoder} or the container refuses this clip: {error}",
                hint="check codec and encoder_preset, or write a .mkv file",
            ) from error

    def write(self, frame: Frame) -> None:
        """Encode one frame. Raises OutputError; ValueError where time does not go forward."""
        if self._last is not None and frame.pts <= self._last:
            raise ValueError(f"time does not go forward at frame {frame.index}: {self._last} then {frame.pts}")
        self._first = frame.pts if self._first is None else self._first
        self._last = frame.pts
        duration = frame.picture.duration or self._tick
        self._times.append((frame.pts, duration))
        self._end = frame.pts + duration
        picture = self._prepare(frame.picture)
        picture.pts, picture.time_base = self._sent, 1 / self._choice.rate
        self._sent += 1
        self._encode(picture)

    def finish(self) -> None:
        """Write what the encoder still holds, the rest of the sound and the index. Raises OutputError."""
        self._encode(None)
        try:
            if self._sound is not None:
                self._sound.advance(None)
                self._sound.close()
            self._output.close()
        except OSError as error:
            raise output_error(self._target, error) from error

    def abandon(self) -> None:
        """Let go of everything; the file is of no use afterwards."""
        if self._sound is not None:
            self._sound.close()
        # The file is going to be removed: what goes wrong while closing it does not matter any more.
        with suppress(OSError, ValueError):
            self._output.close()

    def _encode(self, picture: av.VideoFrame | None) -> None:
        try:
            packets = self._stream.encode(picture)
            for packet in packets:
                self._stamp(packet)
                if picture is None and packet is packets[-1]:
                    self._close_track(packet)
                if self._sound is not None and packet.dts is not None:
                    self._sound.advance(packet.dts * self._time_base)
                self._output.mux(packet)
        except OSError as error:
            raise output_error(self._target, error) from error

    def _stamp(self, packet: Packet[VideoStream]) -> None:
        """Give a packet the source's times instead of the encoder's count of frames.

        An encoder counts 0, 1, 2...; the k-th packet is decoded at the time of frame k - delay, or before the first
        frame by as many nominal frames. So decoding times rise and never pass a presentation time, under VFR too,
        and no encoder ever has to hold the source's time base.
        """
        if self._delay is None:
            # x265's first decoding time is noise where a clip is shorter than its delay; that is then all frames.
            delay = -(packet.dts or 0)
            self._delay = delay if 0 <= delay <= self._sent else self._sent
        assert packet.pts is not None
        assert self._first is not None
        order = self._packets - self._delay
        self._packets += 1
        packet.pts, duration = self._times[packet.pts - self._dropped]
        packet.dts = self._first + order * self._tick if order < 0 else self._times[order - self._dropped][0]
        packet.duration = duration
        packet.time_base = self._time_base
        while self._dropped <= order:
            self._times.popleft()
            self._dropped += 1

    def _close_track(self, packet: Packet[VideoStream]) -> None:
        """MP4 adds up decoding times: the last makes the sum the time from the first frame to the last one's end."""
        assert self._delay is not None
        assert packet.dts is not None
        packet.duration = max(1, self._end - self._delay * self._tick - packet.dts)


def _mirrors(matrix: tuple[int, ...]) -> bool:
    return matrix[0] * matrix[4] - matrix[1] * matrix[3] < 0


def _muxer_options(form: str, target: Path, starts: list[Fraction]) -> dict[str, str]:
    # Bit-exact: no creation time, no name of the muxer.
    options = {"fflags": "+bitexact"}
    if form in ("mp4", "mov"):
        # A stream that begins late does so by an edit list, which counts in the movie's time scale.
        scale = math.lcm(1000, *(s.denominator for s in starts if s > 0))
        options["movie_timescale"] = str(min(scale, _LARGEST_TIMESCALE))
    elif form == "mpegts":
        options |= {"mpegts_copyts": "1", "mpegts_m2ts_mode": "0" if target.suffix.lower() == ".ts" else "1"}
    else:
        options["avoid_negative_ts"] = "disabled"
    return options
