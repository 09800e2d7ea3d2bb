"""What a file is, before anything is done with it: `probe`, `fingerprint`, `is_still`.

In: a path. Out: a `VideoInfo`, or an `InputError` that says in one line what is wrong. Probing decodes one frame:
only the decoder knows the turn and the pixel format for certain.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np
from av.sidedata.sidedata import Type

from vidanon.errors import InputError
from vidanon.media import stills
from vidanon.media.formats import MEDIA_SUFFIXES, STILL_SUFFIXES, VIDEO_SUFFIXES
from vidanon.media.sequences import (
    DEFAULT_FRAMERATE,
    is_sequence,
    open_sequence,
    sequence_files,
    sequence_fingerprint,
)
from vidanon.media.side_data import side_data
from vidanon.media.traits import traits_of
from vidanon.media.whole import missing_bytes
from vidanon.types import AudioInfo, VideoInfo

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

__all__ = [
    "MEDIA_SUFFIXES",
    "STILL_SUFFIXES",
    "VIDEO_SUFFIXES",
    "display_matrix",
    "fingerprint",
    "first_picture",
    "is_still",
    "main_video",
    "open_input",
    "probe",
    "rotation_of",
]

_FINGERPRINT_BYTES = 1 << 20
_PICTURES_ONLY = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails


def is_still(path: Path) -> bool:
    """Whether `path` is handled as a picture: by its name alone, so that the answer never depends on the content."""
    return path.suffix.lower() in STILL_SUFFIXES and not is_sequence(path)


def fingerprint(path: Path) -> str:
    """sha256 (hex) over a file's size, its first and its last MiB: tells clips apart without reading them whole.

    Numbered pictures are told apart by their names and sizes. Raises InputError where the file cannot be read.
    """
    try:
        if is_sequence(path):
            return sequence_fingerprint(path, _FINGERPRINT_BYTES)
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            digest = hashlib.sha256(size.to_bytes(8, "little"))
            digest.update(stream.read(_FINGERPRINT_BYTES))
            stream.seek(max(0, size - _FINGERPRINT_BYTES))
            digest.update(stream.read(_FINGERPRINT_BYTES))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def probe(path: Path, *, stream: int | None = None, framerate: float = DEFAULT_FRAMERATE) -> VideoInfo:
    """What the clip or picture at `path` is.

    `stream` is the number of the video stream that is meant, None the main one; `framerate` that of numbered
    pictures. Raises InputError: missing, a folder, zero bytes, cut off, not a video or picture, no video stream, no
    such camera, or the first frame cannot be decoded.
    """
    check_file(path)
    if is_still(path):
        return stills.probe_still(path)
    with open_input(path, framerate=framerate) as container:
        video = main_video(container, path, stream)
        picture = first_picture(container, video, path)
        rate = _rate(video)
        duration = _duration(container, video)
        estimate = video.frames or (round(duration * rate) if duration is not None and rate is not None else None)
        sequence = is_sequence(path)
        if sequence:
            estimate = len(sequence_files(path))
        rotation = rotation_of(picture)
        width, height = picture.width, picture.height
        if rotation in (90, 270):
            width, height = height, width
        return VideoInfo(
            path=path,
            container=container.format.name,
            codec=video.codec_context.codec.canonical_name,
            width=width,
            height=height,
            rotation=rotation,
            pix_fmt=picture.format.name,
            time_base=video.time_base or Fraction(1, 1000),
            rate=rate,
            frames_estimate=estimate or None,
            duration_seconds=duration,
            audio=tuple(_audio_info(s) for s in container.streams.audio),
            other_streams=tuple(_others(container, video)),
            stream=video.index,
            cameras=tuple(s.index for s in _cameras(container)),
            traits=traits_of(container, video, loose=sequence),
        )


def check_file(path: Path) -> None:
    """Raises InputError unless `path` is a file with content and with all the bytes its headers promise.

    Numbered pictures are all there if no number is missing.
    """
    if is_sequence(path):
        for file in sequence_files(path):
            if file.stat().st_size == 0:
                raise InputError(f"{file}: is empty (zero bytes)")
        return
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_file():
        raise InputError(f"{path}: is not a file")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: is empty (zero bytes)")
        missing = missing_bytes(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if missing:
        raise InputError(
            f"{path}: is cut off: at least {missing} bytes are missing at the end",
            hint="wait until the copy has finished, or remux what is there with `ffmpeg -i IN -c copy OUT`",
        )


@contextmanager
def open_input(path: Path, *, framerate: float = DEFAULT_FRAMERATE) -> Iterator[InputContainer]:
    """The container at `path`, open for reading; closed on the way out. Raises InputError.

    `framerate` is that of numbered pictures; clips know their own.
    """
    sequence = is_sequence(path)
    try:
        # Broken tags in somebody's camera are no reason to refuse the clip.
        container = open_sequence(path, framerate) if sequence else av.open(str(path), "r", metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{path}: is not a video or a picture that FFmpeg can open") from error
    try:
        name = container.format.name
        if not sequence and (name.endswith("_pipe") or name in ("image2", "tty")):
            raise InputError(
                f"{path}: holds a picture or text, not a video",
                hint="name a picture .jpg, .png or .webp",
            )
        yield container
    finally:
        container.close()


def main_video(container: InputContainer, path: Path, number: int | None = None) -> VideoStream:
    """The video stream that is anonymized: stream `number`, else the default one, else the first, cover art never.

    Raises InputError.
    """
    cameras = _cameras(container)
    if not cameras:
        what = "only cover art" if container.streams.video else "no video stream"
        raise InputError(f"{path}: holds {what}", hint="sound alone has no face to replace")
    if number is None:
        chosen = next((s for s in cameras if s.disposition & av.stream.Disposition.default), cameras[0])
    else:
        found = next((s for s in cameras if s.index == number), None)
        if found is None:
            there = ", ".join(str(s.index) for s in cameras)
            raise InputError(f"{path}: its stream {number} is no video", hint=f"there is video in: {there}")
        chosen = found
    if chosen.codec_context is None:
        raise InputError(f"{path}: its video codec is unknown to FFmpeg")
    return chosen


def _cameras(container: InputContainer) -> list[VideoStream]:
    return [s for s in container.streams.video if not s.disposition & _PICTURES_ONLY]


def display_matrix(picture: av.VideoFrame) -> tuple[int, ...] | None:
    """The nine numbers of the display matrix (16.16 and 2.30 fixed point, row by row), or None where there is none."""
    side = side_data(picture, Type.DISPLAYMATRIX)
    return tuple(int(v) for v in np.frombuffer(side, np.int32)[:9]) if side is not None else None


def rotation_of(picture: av.VideoFrame) -> int:
    """Degrees counter-clockwise (0, 90, 180, 270) that turn the stored picture upright.

    A mirroring matrix (front cameras) is split into a turn and a left-right flip; the flip is left out, so that
    faces stand upright, mirrored. Turns in between are rounded to the nearest quarter.
    """
    matrix = display_matrix(picture)
    if matrix is None:
        return 0
    a, b, c, d = (matrix[i] for i in (0, 1, 3, 4))
    if a * d - b * c < 0:
        a, c = -a, -c
    # As in av_display_rotation_get: rows map x' = a x + c y, y' = b x + d y with y pointing down.
    clockwise = math.degrees(math.atan2(b, a))
    return round(-clockwise / 90) % 4 * 90


def first_picture(container: InputContainer, stream: VideoStream, path: Path) -> av.VideoFrame:
    """The first picture of a freshly opened stream, as decoded. Raises InputError."""
    try:
        for picture in container.decode(stream):
            return picture
    except (av.error.FFmpegError, ValueError) as error:
        raise InputError(f"{path}: its first frame cannot be decoded") from error
    raise InputError(f"{path}: its video stream holds no frame")


def _rate(stream: VideoStream) -> Fraction | None:
    rate = stream.average_rate or stream.guessed_rate
    return rate if rate is not None and rate > 0 else None


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    # Matroska's own duration is that of the longest stream; muxers note each stream's in a tag.
    if tag := re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", "")):
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    return container.duration / av.time_base if container.duration is not None else None


def _audio_info(stream: av.AudioStream) -> AudioInfo:
    context = stream.codec_context
    return AudioInfo(
        index=stream.index,
        codec=context.codec.canonical_name if context is not None else "unknown",
        rate=context.sample_rate or 0 if context is not None else 0,
        channels=len(context.layout.channels) if context is not None else 0,
        language=stream.language,
    )


def _others(container: InputContainer, chosen: Stream) -> Iterator[str]:
    for stream in container.streams:
        if stream.index == chosen.index or stream.type == "audio":
            continue
        name = stream.codec_context.name if stream.codec_context is not None else stream.name
        named = f" ({name})" if name else ""
        if stream.type == "video":
            picture = bool(stream.disposition & _PICTURES_ONLY)
            yield f"{'cover art' if picture else 'another video stream'}{named}"
        elif stream.type == "data":
            yield f"data such as camera telemetry{named}"
        else:
            yield f"{stream.type}{named}"
    if chapters := container.chapters():
        yield f"{len(chapters)} chapters"
