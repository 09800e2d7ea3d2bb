"""Does an output keep what it must: the measurement behind the word "exact".

In: a source and an output, and where faces were painted, if that is known. Out: a `Comparison`. Both are decoded from
end to end, and every audio packet is hashed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from vidanon.errors import InputError
from vidanon.media.fidelity import Fidelity, FidelityMeter
from vidanon.media.frames import Frame
from vidanon.media.probe import open_input
from vidanon.media.reader import Reader


@dataclass(frozen=True, slots=True)
class Comparison:
    """What of a source is found again in an output."""

    frames_in: int
    """frames of the source"""
    frames_out: int
    """frames of the output"""
    pts_equal: bool
    """every frame is shown at the source's time, as nearly as the output's clock can say it: exactly in MP4 and MOV,
    to the millisecond in Matroska"""
    audio_streams: tuple[int, int]
    """audio streams of the source and of the output"""
    audio_packets_equal: bool
    """every audio stream has the same packets, byte for byte, at the same times (by the same rule); for PCM, which
    containers cut into packets as they like: begins at the same time and has the same bytes"""
    fidelity: Fidelity | None = None
    """how near the pictures are outside the faces; None where that was not measured, or the sizes differ"""

    @property
    def exact(self) -> bool:
        """Whether nothing differs."""
        return (
            self.frames_in == self.frames_out
            and self.pts_equal
            and self.audio_streams[0] == self.audio_streams[1]
            and self.audio_packets_equal
        )


Painted = Callable[[Frame], NDArray[np.bool_] | None]
"""From a frame of the source to the pixels [height, width] that were painted over, upright, or None for no pixel."""


def compare(source: Path, output: Path, *, painted: Painted | None = None) -> Comparison:
    """Compare frame times and audio packets of two clips, and with `painted` the pixels everywhere else.

    `painted` is called once a frame, in order. Raises InputError where a clip cannot be read.
    """
    frames_in = frames_out = 0
    pts_equal = True
    meter = FidelityMeter()
    with Reader(source) as a, Reader(output) as b:
        clock = b.info.time_base
        for one, other in zip_longest(a, b):
            frames_in += one is not None
            frames_out += other is not None
            if one is None or other is None or _ticks(one.pts * a.info.time_base, clock) != other.pts:
                pts_equal = False
            if painted is not None and one is not None and other is not None and _size(one) == _size(other):
                meter.add(one, other, painted(one))
        streams = len(a.info.audio), len(b.info.audio)
    clocks = _audio_clocks(output)
    sound_equal = streams[0] == streams[1] and _sound(source, clocks) == _sound(output, clocks)
    return Comparison(frames_in, frames_out, pts_equal, streams, sound_equal, meter.result())


def _size(frame: Frame) -> tuple[int, int]:
    return frame.width, frame.height


def _ticks(seconds: Fraction, clock: Fraction) -> int:
    """A time in units of `clock`, rounded half away from zero as muxers do."""
    ticks = abs(seconds) / clock
    rounded = math.floor(ticks + Fraction(1, 2))
    return rounded if seconds >= 0 else -rounded


def _audio_clocks(path: Path) -> list[Fraction]:
    with open_input(path) as container:
        return [stream.time_base or Fraction(1, 1000) for stream in container.streams.audio]


def _sound(path: Path, clocks: list[Fraction]) -> list[str]:
    """sha256 over the time (in the given clock), length and bytes of every packet, per audio stream in their order."""
    with open_input(path) as container:
        streams = container.streams.audio
        if not streams:
            return []
        digests = {stream.index: hashlib.sha256() for stream in streams}
        pcm = {s.index for s in streams if s.codec_context is not None and s.codec_context.name.startswith("pcm_")}
        begun: set[int] = set()
        units = {stream.index: clock for stream, clock in zip(streams, clocks, strict=True)}
        for stream in container.streams:
            if stream.type != "audio":
                stream.discard = av.stream.Discard.all
        try:
            for packet in container.demux(*streams):
                if packet.size == 0:
                    continue
                digest = digests[packet.stream_index]
                pts = packet.pts
                time = None if pts is None else _ticks(pts * packet.time_base, units[packet.stream_index])
                if packet.stream_index not in pcm:
                    digest.update(f"{time} {packet.size} ".encode())
                elif packet.stream_index not in begun:
                    begun.add(packet.stream_index)
                    digest.update(f"{time} ".encode())
                digest.update(bytes(packet))
        except av.error.FFmpegError as error:
            raise InputError(f"{path}: its sound cannot be read: {error.strerror}") from error
    return [digest.hexdigest() for digest in digests.values()]
