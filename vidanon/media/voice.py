"""Sound that is not what was recorded: silence, or a disguised voice, in step with the video.

In: a source clip and an output container. Out: as many audio streams, of the same start and length, encoded anew with
the source's codec where that can be, else with one the container holds. No packet of the source's sound passes.
What a disguise can and cannot do is said in `disguise`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import av
import av.error
import numpy as np

from vidanon.errors import InputError, OutputError
from vidanon.media.disguise import Disguise, Samples, Wander
from vidanon.media.metadata import stream_tags
from vidanon.media.probe import fingerprint, open_input
from vidanon.media.sound_encoders import SoundEncoder, choose_sound

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet

Change = Literal["mute", "disguise"]

_JITTER_SECONDS = 0.02
"""by how much time stamps may differ from the count of samples before the count is set right"""


class VoiceChanger:
    """Replaces all audio streams of `source` in `output` by muted or disguised ones.

    Args: `form`, the output's container format; `keep`, the setting output.keep_metadata; `secret`, what the disguise
    is derived from, together with the file: another file gets another voice, the same file always the same. Without one
    (empty) it is drawn at random, for what everybody can compute everybody can undo.
    Raises InputError, and OutputError where a stream cannot be decoded or encoded.
    """

    def __init__(
        self,
        source: Path,
        output: OutputContainer,
        *,
        target: Path,
        form: str,
        keep: str,
        change: Change,
        secret: bytes,
    ) -> None:
        self._source = source
        self._output = output
        self._stack = ExitStack()
        container = self._stack.enter_context(open_input(source))
        self._voices: dict[int, _Voice] = {}
        self.starts: list[Fraction] = []
        """when the first packet of each stream begins, seconds"""
        wanted = list(container.streams.audio)
        try:
            for stream in container.streams:
                if stream.type != "audio":
                    stream.discard = av.stream.Discard.all
            wander = _wander(source, secret) if wanted and change == "disguise" else None
            for stream in wanted:
                voice = _Voice(stream, output, target=target, form=form, keep=keep, wander=wander)
                self._voices[stream.index] = voice
                if voice.start is not None:
                    self.starts.append(voice.start)
        except BaseException:
            self._stack.close()
            raise
        # Demuxing no streams at all would mean all of them.
        self._packets = cast("Iterator[Packet[av.AudioStream]]", container.demux(wanted) if wanted else iter(()))
        self._next: Packet[av.AudioStream] | None = None
        self._ended = False

    def advance(self, until: Fraction | None) -> None:
        """Write what was changed up to about `until` seconds of the source; None: all that is left.

        Raises InputError; av.error.FFmpegError where writing fails.
        """
        while not self._ended:
            if self._next is None:
                self._next = self._read()
            packet = self._next
            if packet is None:
                self._ended = True
                for voice in self._voices.values():
                    for changed in voice.end():
                        self._output.mux(changed)
                return
            time = packet.dts if packet.dts is not None else packet.pts
            if until is not None and time is not None and time * packet.time_base > until:
                return
            for changed in self._voices[packet.stream_index].change(packet):
                self._output.mux(changed)
            self._next = None

    def close(self) -> None:
        """Let go of the source."""
        self._packets = iter(())
        self._next = None
        self._stack.close()

    def _read(self) -> Packet[av.AudioStream] | None:
        try:
            # The demuxer ends with one empty packet per stream, meant for decoders.
            return next((packet for packet in self._packets if packet.size), None)
        except av.error.FFmpegError as error:
            raise InputError(f"{self._source}: its sound cannot be read: {error.strerror}") from error


def _wander(source: Path, secret: bytes) -> Wander:
    key = hashlib.sha512(secret or secrets.token_bytes()).digest()
    return Wander(hashlib.blake2b(fingerprint(source).encode(), key=key).digest())


class _Voice:
    """One stream: decoded, laid out by its time stamps without a hole, changed, encoded."""

    def __init__(
        self,
        stream: av.AudioStream,
        output: OutputContainer,
        *,
        target: Path,
        form: str,
        keep: str,
        wander: Wander | None,
    ) -> None:
        context = stream.codec_context
        if context is None or not context.sample_rate:
            raise OutputError(
                f"{target}: the sound's codec is unknown to FFmpeg and cannot be changed", hint='set audio to "drop"'
            )
        codec = context.codec.canonical_name
        choice = choose_sound(codec, rate=context.sample_rate, layout=context.layout, form=form)
        if choice is None:
            raise OutputError(
                f"{target}: no encoder for {context.layout.nb_channels} channels of sound fits a {target.suffix} file",
                hint='write a .mov or .mkv file, or set audio to "drop"',
            )
        self._rate, self._channels = choice.rate, choice.channels
        self._encoder = SoundEncoder(output, choice, form=form)
        self._encoder.stream.disposition = stream.disposition
        self._encoder.stream.metadata.update(stream_tags(stream.metadata, keep))
        self._layout = choice.layout
        self._resampler = self._fresh_resampler()
        self._wander = wander
        self._disguise: Disguise | None = None
        self._decoder = stream
        self._first: int | None = None
        self._laid = 0
        self._damaged_until: int | None = None
        self._last: int | None = None
        self.start: Fraction | None = None
        """when the first packet begins, seconds; None where nobody knows"""
        if stream.start_time is not None and stream.time_base is not None:
            begin = stream.start_time * stream.time_base
            self.start = Fraction(self._encoder.opens_at(round(begin * self._rate)), self._rate)
            if stream.duration is not None and stream.container.format.name.startswith("mov"):
                # An edit list may end within the last packet; the decoder does not know.
                self._last = round((begin + stream.duration * stream.time_base) * self._rate)

    def change(self, packet: Packet[av.AudioStream]) -> Iterator[Packet[av.AudioStream]]:
        """A packet of the source in, packets to be written out."""
        try:
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError:
            # What cannot be decoded is silent: the next time stamp tells how long, or else the packet does.
            if packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                self._damaged_until = round(end * self._rate)
            return
        for frame in frames:
            yield from self._lay(self._resampled(frame))

    def end(self) -> Iterator[Packet[av.AudioStream]]:
        """What decoder, disguise and encoder still hold. Raises InputError where nothing at all could be decoded."""
        try:
            frames = self._decoder.decode(None)
        except av.error.FFmpegError:
            frames = []
        for frame in frames:
            yield from self._lay(self._resampled(frame))
        yield from self._lay(self._resampler.resample(None))
        if self._damaged_until is not None:
            if self._first is None:
                raise InputError(
                    f"{self._decoder.container.name}: its sound cannot be decoded", hint='set audio to "drop"'
                )
            yield from self._silence(self._damaged_until - self._first - self._laid)
        if self._first is None:
            return
        if self._disguise is not None:
            yield from self._encode(self._disguise.flush())
        yield from self._encoder.end(stop=self._first + self._laid)

    def _fresh_resampler(self) -> av.AudioResampler:
        return av.AudioResampler(format="flt", layout=self._layout, rate=self._rate)

    def _resampled(self, frame: av.AudioFrame) -> Iterator[av.AudioFrame]:
        try:
            yield from self._resampler.resample(frame)
        except ValueError:  # broadcasts change between mono, stereo and surround within a stream
            yield from self._resampler.resample(None)
            self._resampler = self._fresh_resampler()
            yield from self._resampler.resample(frame)

    def _lay(self, frames: Iterable[av.AudioFrame]) -> Iterator[Packet[av.AudioStream]]:
        """Where samples go by their time stamps: holes are filled with silence, what comes twice is heard once."""
        for frame in frames:
            samples = frame.to_ndarray().astype(np.float32, copy=False).reshape(-1, self._channels).T
            count = self._laid if self._first is None else self._first + self._laid
            stamp = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
            begin = count if stamp is None else round(stamp * self._rate)
            if self._first is None:
                self._first = count = begin
            if abs(begin - count) <= _JITTER_SECONDS * self._rate:
                begin = count
            yield from self._silence(begin - count)
            samples = samples[:, max(0, count - begin) :]
            if self._last is not None:
                samples = samples[:, : max(0, self._last - self._first - self._laid)]
            if samples.shape[1]:
                yield from self._put(samples)

    def _silence(self, missing: int) -> Iterator[Packet[av.AudioStream]]:
        """A hole of any length, in pieces that fit into memory."""
        while missing > 0:
            length = min(missing, self._rate)
            yield from self._put(np.zeros((self._channels, length), np.float32))
            missing -= length

    def _put(self, samples: Samples) -> Iterator[Packet[av.AudioStream]]:
        self._laid += samples.shape[1]
        if self._wander is None:
            yield from self._encode(np.zeros_like(samples))
            return
        if self._disguise is None:
            assert self._first is not None
            start = self._first / self._rate
            self._disguise = Disguise(
                rate=self._rate, channels=self._channels, wander=self._wander, start_seconds=start
            )
        yield from self._encode(self._disguise.feed(samples))

    def _encode(self, samples: Samples) -> Iterator[Packet[av.AudioStream]]:
        assert self._first is not None
        yield from self._encoder.encode(samples, first=self._first)
