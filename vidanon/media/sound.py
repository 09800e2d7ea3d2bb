"""Audio packets copied as they are, in step with the video so that memory does not grow.

In: a source clip and an output container. Out: the same packets, with the same times, in streams that carry codec,
language and disposition of the originals and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error

from vidanon.errors import InputError, OutputError
from vidanon.media.probe import open_input

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet


class SoundCopier:
    """Copies all audio streams of `source` into `output`.

    Opens the source a second time: each of picture and sound is then read at its own pace, however they lie in the
    file. Raises InputError, and OutputError where the container cannot hold a codec.
    """

    def __init__(self, source: Path, output: OutputContainer, *, target: Path) -> None:
        self._source = source
        self._output = output
        self._stack = ExitStack()
        container = self._stack.enter_context(open_input(source))
        self._streams: dict[int, av.AudioStream] = {}
        self._ends: dict[int, int] = {}
        self.starts: list[Fraction] = []
        """when each stream begins, seconds"""
        try:
            for stream in container.streams:
                if stream.type != "audio":
                    stream.discard = av.stream.Discard.all
                    continue
                assert isinstance(stream, av.AudioStream)
                self._streams[stream.index] = _copied_stream(stream, output, target)
                if stream.start_time is None or stream.time_base is None:
                    continue
                self.starts.append(stream.start_time * stream.time_base)
                if stream.duration is not None and container.format.name.startswith("mov"):
                    self._ends[stream.index] = stream.start_time + stream.duration
        except BaseException:
            self._stack.close()
            raise
        # Demuxing no streams at all would mean all of them.
        self._packets: Iterator[Packet[av.AudioStream]] = (
            container.demux(container.streams.audio) if self._streams else iter(())
        )
        self._next: Packet[av.AudioStream] | None = None

    def advance(self, until: Fraction | None) -> None:
        """Write all packets whose decoding time is at most `until` seconds; None: all that are left.

        Raises InputError; av.error.FFmpegError where writing fails.
        """
        while True:
            if self._next is None:
                self._next = self._read()
            packet = self._next
            if packet is None:
                return
            time = packet.dts if packet.dts is not None else packet.pts
            if until is not None and time is not None and time * packet.time_base > until:
                return
            self._trim(packet)
            packet.stream = self._streams[packet.stream_index]
            self._output.mux(packet)
            self._next = None

    def _trim(self, packet: Packet[av.AudioStream]) -> None:
        """An edit list may end within the last packet; the shorter duration says so again."""
        end = self._ends.get(packet.stream_index)
        if end is not None and packet.pts is not None and packet.duration and packet.pts < end:
            packet.duration = min(packet.duration, end - packet.pts)

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


def _copied_stream(stream: av.AudioStream, output: OutputContainer, target: Path) -> av.AudioStream:
    other = ".mov" if target.suffix.lower() == ".mkv" else ".mkv"
    hint = f'write a {other} file, or set audio to "drop"'
    if stream.codec_context is None:
        raise OutputError(f"{target}: the sound's codec is unknown to FFmpeg and cannot be copied", hint=hint)
    try:
        copy = output.add_stream_from_template(stream)
    except ValueError as error:
        name = stream.codec_context.name
        raise OutputError(
            f"{target}: a {target.suffix} file cannot hold the sound's codec ({name})", hint=hint
        ) from error
    copy.disposition = stream.disposition
    if stream.language:
        copy.metadata["language"] = stream.language
    return copy
