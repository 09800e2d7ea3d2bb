"""Which encoder a changed sound gets: the source's codec where we can encode it and the container holds it.

In: codec, rate and channels of the source's stream, and the output's container format. Out: a `SoundChoice` that was
tried out (its encoder opens, and its priming is known), and a `SoundEncoder` that turns samples into packets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.layout import AudioLayout
from av.packet import Packet, PacketSideData
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.container import OutputContainer

_ENCODERS = {"aac": "aac", "mp3": "libmp3lame", "mp2": "mp2", "ac3": "ac3", "eac3": "eac3", "opus": "libopus"}
_ENCODERS |= {"flac": "flac", "alac": "alac"}
_QUICKTIME = ("aac", "mp3", "ac3", "eac3", "alac", "pcm_")
_HELD = {
    "mov": _QUICKTIME,
    "mp4": (*_QUICKTIME, "opus", "flac"),
    "matroska": ("aac", "mp3", "mp2", "ac3", "eac3", "opus", "flac", "alac", "pcm_"),
    "webm": ("opus",),
    "mpegts": ("aac", "mp3", "mp2", "ac3", "eac3"),
    "mpeg": ("mp2", "ac3"),
    "vob": ("mp2", "ac3"),
    # AVI does not say when a stream begins and MXF holds hardly anything else: sound without priming it must be.
    "avi": ("pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"),
    "mxf": ("pcm_s16le", "pcm_s24le"),
}
_FALLBACKS = {
    "webm": ("libopus",),
    "mpegts": ("aac", "ac3", "mp2"),
    "mpeg": ("mp2", "ac3"),
    "vob": ("mp2", "ac3"),
    "avi": ("pcm_s16le",),
    "mxf": ("pcm_s24le",),
}
_ANYWHERE = ("aac", "pcm_s16le")
_BITS_PER_CHANNEL = {"aac": 128_000, "libmp3lame": 128_000, "libopus": 96_000, "mp2": 192_000, "eac3": 128_000}
"""Generous, for it is a second generation; what is not here chooses by itself"""
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_TRIAL_SAMPLES = 8192
_MATROSKA = ("matroska", "webm")
_CUT_PRIMING = (*_MATROSKA, "mp4", "mov")
"""containers that can say that sound begins within a packet, before time zero"""
_SKIP_SAMPLES = 11
"""AV_PKT_DATA_SKIP_SAMPLES"""


@dataclass(frozen=True, slots=True)
class SoundChoice:
    """An encoder and what it is told."""

    encoder: str
    """FFmpeg's name"""
    rate: int
    """samples a second"""
    layout: str
    """FFmpeg's name of the channels and their places"""
    channels: int
    """how many these are"""
    padding: int
    """samples the encoder puts before the first one"""
    step: int
    """samples in one of its frames"""
    flushes: bool
    """whether it gives out its overlap at the end by itself, and says how much of that is not sound"""

    def configure(self, context: AudioCodecContext) -> None:
        """Sets up and opens an encoder, which must not be open yet. Raises av.error.FFmpegError or ValueError."""
        context.sample_rate = self.rate
        context.layout = self.layout
        context.format = (context.codec.audio_formats or [av.AudioFormat("s16")])[0]
        context.time_base = Fraction(1, self.rate)
        context.thread_count = 1
        bits = _BITS_PER_CHANNEL.get(self.encoder)
        if bits is not None:
            context.bit_rate = bits * self.channels
        context.flags |= av.codec.context.Flags.bitexact
        context.open()


def choose_sound(codec: str, *, rate: int, layout: AudioLayout, form: str) -> SoundChoice | None:
    """The encoder for a stream of source codec `codec` in a container of format `form`; None where nothing fits."""
    channels = layout.nb_channels
    # Where a file numbers its channels only, they lie as they usually do.
    name = layout.name if layout.name not in ("", f"{channels} channels") else _LAYOUTS.get(channels, layout.name)
    for encoder in _candidates(codec, form):
        choice = _tried(encoder, rate, name, channels)
        if choice is not None:
            return choice
    return None


def _candidates(codec: str, form: str) -> Iterator[str]:
    held = _HELD.get(form, ())
    if codec.startswith(held):
        yield _ENCODERS.get(codec, codec)
    yield from _FALLBACKS.get(form, _ANYWHERE)


def _tried(encoder: str, rate: int, layout: str, channels: int) -> SoundChoice | None:
    """A choice that opens and encodes silence, with its priming measured."""
    try:
        context = av.CodecContext.create(encoder, "w")
        assert isinstance(context, AudioCodecContext)
        rates = context.codec.audio_rates
        fitting = rate if not rates or rate in rates else min(rates, key=lambda r: (r < rate, abs(r - rate)))
        SoundChoice(encoder, fitting, layout, channels, 0, 0, flushes=False).configure(context)
        silence = np.zeros((1, _TRIAL_SAMPLES * channels), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = fitting, 0, Fraction(1, fitting)
        step = context.frame_size or 1024
        packets = [*context.encode(frame), *context.encode(None)]
    except (av.error.FFmpegError, av.codec.codec.UnknownCodecError, ValueError):
        return None
    first = next((packet.pts for packet in packets if packet.size and packet.pts is not None), 0)
    return SoundChoice(encoder, fitting, layout, channels, max(0, -first), step, flushes=context.codec.delay)


class SoundEncoder:
    """A new stream of `output`: samples in, packets of exactly the time these samples take out."""

    def __init__(self, output: OutputContainer, choice: SoundChoice, *, form: str) -> None:
        stream = output.add_stream(choice.encoder, rate=choice.rate)
        assert isinstance(stream, av.AudioStream)
        choice.configure(stream.codec_context)
        stream.time_base = Fraction(1, choice.rate)
        self.stream = stream
        """the stream, of which disposition and tags are not set"""
        self._choice = choice
        self._form = form
        self._first = 0
        self._sent = 0
        self._waiting = np.zeros((choice.channels, 0), np.float32)

    def opens_at(self, first: int) -> int:
        """Where the first packet begins, in samples, for sound that begins at sample `first`."""
        padding = self._choice.padding
        return first if self._primes_in_vain(self._choice.step - padding, first) else first - padding

    def encode(self, samples: NDArray[np.float32], *, first: int) -> Iterator[Packet[av.AudioStream]]:
        """Packets of [channels, n] more samples, of which the very first is sample `first`.

        Raises av.error.FFmpegError.
        """
        self._first = first
        ready = np.concatenate([self._waiting, samples], axis=1)
        whole = ready.shape[1] // self._choice.step * self._choice.step
        self._waiting = ready[:, whole:]
        yield from self._sent_off(ready[:, :whole], stop=first + self._sent + whole)

    def end(self, *, stop: int) -> Iterator[Packet[av.AudioStream]]:
        """The packets that are left, up to the sample `stop`, where the sound ends. Raises av.error.FFmpegError."""
        # The end may still lie in the encoder's overlap, and not every encoder gives that out by itself.
        behind = 0 if self._choice.flushes else self._choice.padding
        rest = np.concatenate([self._waiting, np.zeros((self._choice.channels, behind), np.float32)], axis=1)
        yield from self._sent_off(rest, stop=stop)
        yield from self._timed(self.stream.codec_context.encode(None), stop=stop)

    def _sent_off(self, samples: NDArray[np.float32], *, stop: int) -> Iterator[Packet[av.AudioStream]]:
        """Samples in frames as long as the encoder wants them, the last one as long as it is."""
        for begin in range(0, samples.shape[1], self._choice.step):
            piece = np.clip(samples[:, begin : begin + self._choice.step], -1, 1)
            packed = np.ascontiguousarray(piece.T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=self._choice.layout)
            frame.sample_rate, frame.time_base = self._choice.rate, Fraction(1, self._choice.rate)
            frame.pts = self._first + self._sent
            self._sent += piece.shape[1]
            yield from self._timed(self.stream.codec_context.encode(frame), stop=stop)

    def _timed(self, packets: Iterable[Packet[av.AudioStream]], *, stop: int) -> Iterator[Packet[av.AudioStream]]:
        """The packets that hold sound before the sample `stop`, the last one no longer than that."""
        for packet in packets:
            if packet.pts is None or not packet.size:
                continue
            begin = round(packet.pts * packet.time_base * self._choice.rate)
            length = packet.duration or self._choice.step
            unheard = begin < 0 and self._form not in _CUT_PRIMING
            if begin >= stop or unheard or self._primes_in_vain(begin + length - self._first, self._first):
                continue
            if begin + length > stop:
                packet.duration = stop - begin
                if self._form in _MATROSKA:
                    side = PacketSideData(_SKIP_SAMPLES, 10)  # type: ignore[call-arg]
                    side.update(struct.pack("<IIBB", 0, begin + length - stop, 0, 0))
                    packet.set_sidedata(side)
            packet.stream = self.stream
            yield packet

    def _primes_in_vain(self, end: int, first: int) -> bool:
        """Whether a packet that ends `end` samples after the sound begins, at sample `first`, only moves its start.

        Priming is told apart from sound by Matroska always, by QuickTime before time zero, elsewhere never.
        """
        return end <= 0 and self._form not in _MATROSKA and (self._form not in _CUT_PRIMING or first > 0)
