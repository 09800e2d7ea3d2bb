"""One video track of an output: what its pictures are like and how they are encoded.

In: the probed source, the target, the settings. Out: a `VideoTrack`, from which segment encoders and the muxer set
themselves up alike, so that packets of the one fit into the container of the other.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import av
from av.codec.context import Flags

from vidanon.errors import OutputError
from vidanon.media import metadata
from vidanon.media.cadence import check_cadence
from vidanon.media.encoders import CONTAINERS, FIXED_RATE, NO_TURN, SHOWN_LATE, EncoderChoice, choose_encoder
from vidanon.media.formats import handled_format
from vidanon.media.hdr import hdr_options
from vidanon.media.pictures import ColourTags, FieldOrder
from vidanon.media.probe import display_matrix, first_picture, main_video, open_input
from vidanon.media.sequences import DEFAULT_FRAMERATE
from vidanon.media.timecode import later
from vidanon.settings import OutputSettings
from vidanon.types import VideoInfo

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_GLOBAL_HEADER = cast("int", av.format.Flags.global_header.value)
_QP_TO_LAMBDA = 118
"""FF_QP2LAMBDA: libavcodec's unit of a fixed quantizer"""


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """A video track to be written."""

    info: VideoInfo
    """the clip it is made of"""
    form: str
    """FFmpeg's name of the output's container"""
    picture: av.VideoFrame
    """the clip's first picture, as decoded"""
    choice: EncoderChoice
    """how it is encoded"""
    tags: ColourTags
    """what its pictures say about their colours"""
    order: FieldOrder
    """in which order their fields are shown"""
    aspect: Fraction | None
    """width over height of one sample, None where the clip does not say"""
    matrix: tuple[int, ...] | None
    """display matrix the container has to carry, None where the pictures stand upright"""
    disposition: av.stream.Disposition
    """FFmpeg's disposition flags of the clip's stream"""
    metadata: dict[str, str]
    """tags of the clip's stream that pass, and the timecode of its first frame"""

    @classmethod
    def of(cls, info: VideoInfo, *, target: Path, settings: OutputSettings) -> Self:
        """The track for the clip `info` in `target`.

        Raises InputError where the clip cannot be read, OutputError where it cannot be encoded as asked.
        """
        form = CONTAINERS[target.suffix.lower()]
        with open_input(info.path, framerate=float(info.rate or DEFAULT_FRAMERATE)) as container:
            stream = main_video(container, info.path, info.stream)
            picture = first_picture(container, stream, info.path)
            context = stream.codec_context
            start = (picture.pts or 0) * info.time_base
            choice = choose_encoder(
                codec=info.codec,
                picture=picture,
                pix_fmt=handled_format(picture.format.name, codec=info.codec),
                rate=info.rate,
                container=form,
                # Only these containers can say "decode this before time zero"; elsewhere B frames shift all times.
                reorder=form in ("mp4", "mov", "matroska", "webm") or (form not in FIXED_RATE and start > 1),
                settings=settings,
                start=start,
                traits=info.traits,
            )
            check_cadence(info, target=target, form=form, rate=choice.rate)
            matrix = display_matrix(picture)
            if info.rotation and form in NO_TURN:
                raise OutputError(
                    f"{target}: a {target.suffix} file cannot hold the clip's rotation",
                    hint="write a .mp4, .mov or .mkv",
                )
            return cls(
                info=info,
                form=form,
                picture=picture,
                choice=choice,
                tags=ColourTags.of(picture, context, choice.pix_fmt),
                order=FieldOrder.of(picture),
                aspect=stream.sample_aspect_ratio,
                matrix=matrix if matrix is not None and (info.rotation or _mirrors(matrix)) else None,
                disposition=stream.disposition,
                metadata=_metadata(container, stream, choice, form=form, keep=settings.keep_metadata),
            )

    @property
    def start(self) -> Fraction:
        """When the clip's first picture is shown, seconds"""
        return (self.picture.pts or 0) * self.info.time_base

    @property
    def clock(self) -> Fraction:
        """What the container counts time in: units of the source's where it can, else pictures"""
        return 1 / self.choice.rate if self.form in FIXED_RATE else self.info.time_base

    @property
    def late(self) -> int:
        """How long after its decoding every picture is shown, units of the clip's time base"""
        return self.tick if self.form == "avi" and self.choice.encoder in SHOWN_LATE else 0

    @property
    def tick(self) -> int:
        """How long a frame lasts where nothing else is known, units of the clip's time base"""
        return max(1, round(1 / (self.choice.rate * self.info.time_base)))

    def configure(self, context: av.VideoCodecContext, *, first: int = 0) -> None:
        """Set up an encoder that is not open yet and begins with frame `first`."""
        choice = self.choice
        context.width, context.height, context.pix_fmt = self.picture.width, self.picture.height, choice.pix_fmt
        context.time_base, context.framerate = 1 / choice.rate, choice.rate
        context.thread_count = 0
        context.thread_type = "AUTO"
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = self.tags
        if self.aspect:
            context.sample_aspect_ratio = self.aspect
        if choice.encoder == "libx265" and self.form in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # the tag Apple's players ask for
        if choice.encoder == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only; it writes to stderr by itself
        options = dict(choice.options)
        for name, value in (*hdr_options(self.picture, choice.encoder).items(), *_repeatable(choice.encoder)):
            options[name] = f"{options[name]}:{value}" if name in options else value
        if choice.encoder == "mpeg2video":
            # The only bitstream that carries a timecode of its own; it has to run on over segments.
            code = options.get("gop_timecode") or self.metadata.get("timecode", "00:00:00:00")
            options["gop_timecode"] = later(code, first, choice.rate)
        context.options = options
        if choice.qscale is not None:
            context.flags |= Flags.qscale
            context.global_quality = choice.qscale * _QP_TO_LAMBDA
        if choice.interlaced:
            context.flags |= Flags.interlaced_dct | Flags.interlaced_me
            context.field_order = self.order.value
        if av.ContainerFormat(self.form, "w").flags & _GLOBAL_HEADER:
            context.flags |= Flags.global_header


def _repeatable(encoder: str) -> list[tuple[str, str]]:
    """Options without which an encoder does not give the same bits for the same pictures.

    The AVX-512 code of x264 (core 165) gives one clip in a few other bits, also with one thread, unless its macroblock
    tree is off; its AVX2 code never does.
    """
    return [("x264-params", "asm=AVX2")] if encoder in ("libx264", "libx264rgb") and _has_avx512() else []


@cache
def _has_avx512() -> bool:
    with suppress(OSError):
        return " avx512f " in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    return False


def _metadata(
    container: InputContainer, stream: VideoStream, choice: EncoderChoice, *, form: str, keep: str
) -> dict[str, str]:
    tags = metadata.stream_tags(stream.metadata, keep)
    code = metadata.timecode(container, stream, keep, form=form, rate=choice.rate)
    return tags if code is None else {**tags, "timecode": code}


def _mirrors(matrix: tuple[int, ...]) -> bool:
    return matrix[0] * matrix[4] - matrix[1] * matrix[3] < 0
