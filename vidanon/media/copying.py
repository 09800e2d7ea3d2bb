"""Packets copied as they are, in step with the video so that memory does not grow.

In: a source clip, a kind of stream, an output container. Out: the same packets, with the same times, in streams that
carry codec and disposition of the originals, the tags that are kept, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import av
import av.error

from vidanon.errors import InputError, OutputError
from vidanon.media.metadata import stream_tags
from vidanon.media.probe import open_input

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream

Kind = Literal["audio", "subtitle"]

_SETTING = {"audio": "audio", "subtitle": "subtitles"}
_NOUN = {"audio": "sound", "subtitle": "subtitle"}


class PacketCopier:
    """Copies all streams of one kind from `source` into `output`.

    Opens the source once more: picture and sound are then read each at its own pace, however they lie in the file.
    `keep` is the setting output.keep_metadata. Raises InputError, and OutputError where the container cannot hold a
    codec.
    """

    def __init__(self, source: Path, output: OutputContainer, *, kind: Kind, target: Path, keep: str) -> None:
        self._source = source
        self._output = output
        self._kind = kind
        self._stack = ExitStack()
        container = self._stack.enter_context(open_input(source))
        self._streams: dict[int, Stream] = {}
        self._ends: dict[int, int] = {}
        self.starts: list[Fraction] = []
        """when each stream begins, seconds"""
        wanted: list[Stream] = []
        try:
            for stream in container.streams:
                if stream.type != kind:
                    stream.discard = av.stream.Discard.all
                    continue
                wanted.append(stream)
                self._streams[stream.index] = _copied(stream, output, kind, target, keep)
                if stream.start_time is None or stream.time_base is None:
                    continue
                self.starts.append(stream.start_time * stream.time_base)
                if stream.duration is not None and container.format.name.startswith("mov"):
                    self._ends[stream.index] = stream.start_time + stream.duration
        except BaseException:
            self._stack.close()
            raise
        # Demuxing no streams at all would mean all of them.
        self._packets: Iterator[Packet[Stream]] = container.demux(wanted) if wanted else iter(())
        self._next: Packet[Stream] | None = None

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
            if self._passes(packet):
                self._trim(packet)
                packet.stream = self._streams[packet.stream_index]
                self._output.mux(packet)
            self._next = None

    def _passes(self, packet: Packet[Stream]) -> bool:
        """Whether a packet may go into the output."""
        return True

    def _trim(self, packet: Packet[Stream]) -> None:
        """An edit list may end within the last packet; the shorter duration says so again."""
        end = self._ends.get(packet.stream_index)
        if end is not None and packet.pts is not None and packet.duration and packet.pts < end:
            packet.duration = min(packet.duration, end - packet.pts)

    def close(self) -> None:
        """Let go of the source."""
        self._packets = iter(())
        self._next = None
        self._stack.close()

    def _read(self) -> Packet[Stream] | None:
        try:
            # The demuxer ends with one empty packet per stream, meant for decoders.
            return next((packet for packet in self._packets if packet.size), None)
        except av.error.FFmpegError as error:
            raise InputError(f"{self._source}: its {_NOUN[self._kind]} cannot be read: {error.strerror}") from error


def _copied(stream: Stream, output: OutputContainer, kind: Kind, target: Path, keep: str) -> Stream:
    other = ".mov" if target.suffix.lower() == ".mkv" else ".mkv"
    hint = f'write a {other} file, or set {_SETTING[kind]} to "drop"'
    noun = _NOUN[kind]
    if stream.codec_context is None:
        raise OutputError(f"{target}: the {noun}'s codec is unknown to FFmpeg and cannot be copied", hint=hint)
    try:
        copy = output.add_stream_from_template(stream)
    except ValueError as error:
        name = stream.codec_context.name
        raise OutputError(
            f"{target}: a {target.suffix} file cannot hold the {noun}'s codec ({name})", hint=hint
        ) from error
    copy.disposition = stream.disposition
    copy.metadata.update(stream_tags(stream.metadata, keep))
    return copy
