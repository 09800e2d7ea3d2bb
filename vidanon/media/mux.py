"""One output container: encoded pictures out of journals, copied sound, and the times of both.

In: tracks with their journals, the clip they come from, the settings. Out: a finished container at a path. Whether it
gets its final name is the writer's business.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import av.error
from av.packet import Packet, PacketSideData
from av.video.stream import VideoStream

from vidanon.errors import OutputError
from vidanon.media import metadata
from vidanon.media.cadence import check_starts
from vidanon.media.extras import ExtrasCopier
from vidanon.media.journal import CodedPacket, Journal
from vidanon.media.probe import open_input
from vidanon.media.sound import SoundCopier
from vidanon.media.tracks import VideoTrack
from vidanon.media.voice import VoiceChanger
from vidanon.media.work import DISK_TROUBLE, output_error
from vidanon.settings import OutputSettings

_LARGEST_TIMESCALE = 2**31 - 1
_ALPHA_SIDE_DATA = 15
"""AV_PKT_DATA_MATROSKA_BLOCKADDITIONAL"""


class Companion(Protocol):
    """Streams that go along with the pictures: sound, subtitles."""

    @property
    def starts(self) -> Sequence[Fraction]:
        """When each stream begins, seconds"""

    def advance(self, until: Fraction | None) -> None:
        """Write all packets whose decoding time is at most `until` seconds; None: all that are left."""

    def close(self) -> None:
        """Let go of the source."""


class Muxer:
    """A container at `path`, which becomes `target` later, with the streams of `tracks` and what goes along with them.

    `secret` is what a disguised voice is derived from. Everything is checked on the way in, and the header is written.
    Raises OutputError where encoder or container refuse, InputError where the source cannot be read.
    """

    def __init__(
        self,
        path: Path,
        tracks: Sequence[VideoTrack],
        *,
        target: Path,
        settings: OutputSettings,
        secret: bytes = b"",
    ) -> None:
        self._target = target
        self._tracks = tracks
        self._companions: list[Companion] = []
        form, source = tracks[0].form, tracks[0].info.path
        self._output = av.open(str(path), "w", format=form)
        try:
            self._streams = [self._add_video(track) for track in tracks]
            self._add_companions(source, form, settings, secret)
            starts = [track.start for track in tracks]
            starts += [start for companion in self._companions for start in companion.starts]
            check_starts(starts, target=target, form=form)
            tags = self._container_tags(source, settings.keep_metadata)
            self._output.metadata.update(tags)
            options = _muxer_options(form, target, starts, tracks) | metadata.muxer_options(form, tags)
            self._output.container_options.update(options)
            self._start()
        except BaseException:
            self.abandon()
            raise

    def _add_video(self, track: VideoTrack) -> VideoStream:
        encoder = track.choice.encoder
        try:
            stream = self._output.add_stream(encoder, rate=track.choice.rate)
        except ValueError as error:
            raise OutputError(
                f"{self._target}: a {self._target.suffix} file cannot hold what {encoder} encodes",
                hint='write a .mkv file, or set codec to "auto"',
            ) from error
        assert isinstance(stream, VideoStream)
        # It never encodes here; open, it tells the container what the packets' own encoders told theirs.
        track.configure(stream.codec_context)
        stream.time_base = track.clock
        stream.metadata.update(track.metadata)
        stream.disposition = track.disposition
        if track.matrix is not None:
            stream.set_display_matrix(track.matrix)
        return stream

    def _add_companions(self, source: Path, form: str, settings: OutputSettings, secret: bytes) -> None:
        output, target, keep = self._output, self._target, settings.keep_metadata
        if settings.audio == "drop":
            pass
        elif settings.voice == "original":
            self._companions.append(SoundCopier(source, output, target=target, keep=keep))
        else:
            changer = VoiceChanger(
                source, output, target=target, form=form, keep=keep, change=settings.voice, secret=secret
            )
            self._companions.append(changer)
        self._companions.append(ExtrasCopier(source, output, target=target, form=form, settings=settings))

    @staticmethod
    def _container_tags(source: Path, keep: str) -> dict[str, str]:
        with open_input(source) as container:
            return metadata.container_tags(container.metadata, keep)

    def _start(self) -> None:
        try:
            self._output.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in DISK_TROUBLE:
                raise output_error(self._target, error) from error
            raise OutputError(
                f"{self._target}: {self._tracks[0].choice.encoder} or the container refuses this clip: {error}",
                hint="check codec and encoder_preset, or write a .mkv file",
            ) from error

    def write(self, journals: Sequence[Journal]) -> None:
        """Write all that the journals hold (one for each track, complete), what goes along with it, and the index.

        Raises OutputError, and InputError where the source's sound cannot be read.
        """
        timed = [
            _timed(track, journal, stream)
            for track, journal, stream in zip(self._tracks, journals, self._streams, strict=True)
        ]
        try:
            for packet in heapq.merge(*timed, key=_decoding_time):
                for companion in self._companions:
                    companion.advance(_decoding_time(packet))
                self._output.mux(packet)
            for companion in self._companions:
                companion.advance(None)
                companion.close()
            self._output.close()
        except OSError as error:
            raise output_error(self._target, error) from error
        except (av.error.FFmpegError, ValueError) as error:
            raise OutputError(f"{self._target}: the container refuses what it was given: {error}") from error

    def abandon(self) -> None:
        """Let go of everything; the file is of no use afterwards."""
        for companion in self._companions:
            companion.close()
        # The file is going to be removed: what goes wrong while closing it does not matter any more.
        with suppress(OSError, ValueError, av.error.FFmpegError):
            self._output.close()


def _timed(track: VideoTrack, journal: Journal, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """The packets of a journal with the source's times, in decoding order.

    The k-th packet is decoded at the time of frame k - delay, or before the first frame by as many nominal frames,
    where delay is the most places that any packet lies behind its frame. So decoding times rise and never pass a
    presentation time, under VFR too and across segments, and no encoder ever has to hold the source's time base.

    MP4 and MOV say how long a picture lasts by when the next one is decoded. That is nobody's time but for the last one
    shown: whatever is decoded behind it is decoded when it ends, as far as there is room.
    """
    first, end = journal.times()
    delay, last = journal.delay, journal.frames_done - 1
    waiting: deque[int] = deque()
    order = before = 0
    shown: int | None = None  # when the last picture's time is over, once it has been decoded
    for segment in journal.segments():
        waiting.extend(pts for pts, _ in segment.times)
        for coded in segment.packets:
            packet = _packet(coded, stream)
            pts, duration = segment.times[coded.display]
            # MP4 tells how long the next one in decoding order takes, which may reach past the end.
            packet.pts, packet.duration = pts, min(duration, end - pts)
            place = order - delay
            packet.dts = waiting.popleft() if place >= 0 else first + place * track.tick
            packet.dts -= track.late
            packet.time_base = track.info.time_base
            if shown is not None and track.form in ("mp4", "mov"):
                room = pts if order == last else min(pts, waiting[0] - track.late - 1)
                packet.dts, shown = max(before + 1, min(shown, room)), None
                if order == last:
                    packet.duration = max(1, end - delay * track.tick - packet.dts)
            elif order == last and delay:
                # MP4 adds up decoding times: the sum is to be the time from the first frame to the last one's end.
                left = end - delay * track.tick
                packet.dts = max(before + 1, min(left - packet.duration, pts))
                packet.duration = min(max(packet.duration, left - packet.dts), end - pts)
            if pts + duration == end:
                shown = packet.dts + duration
            before = packet.dts
            order += 1
            yield packet


def _packet(coded: CodedPacket, stream: VideoStream) -> Packet[VideoStream]:
    packet: Packet[VideoStream] = Packet(coded.data)  # type: ignore[assignment]
    packet.is_keyframe = coded.key
    packet.stream = stream
    if coded.alpha is not None:
        side = PacketSideData(_ALPHA_SIDE_DATA, len(coded.alpha))  # type: ignore[call-arg]
        side.update(coded.alpha)
        packet.set_sidedata(side)
    return packet


def _decoding_time(packet: Packet[VideoStream]) -> Fraction:
    assert packet.dts is not None
    return packet.dts * packet.time_base


def _muxer_options(form: str, target: Path, starts: Sequence[Fraction], tracks: Sequence[VideoTrack]) -> dict[str, str]:
    # Bit-exact: no creation time, no name of the muxer.
    options = {"fflags": "+bitexact"}
    if form in ("mp4", "mov"):
        # An edit list says when a stream begins and how long it lasts; it counts in the movie's time scale.
        scale = min(math.lcm(1000, *(s.denominator for s in starts if s > 0)), _LARGEST_TIMESCALE)
        finer = math.lcm(scale, *(track.clock.denominator for track in tracks))
        options["movie_timescale"] = str(finer if finer <= _LARGEST_TIMESCALE else scale)
    elif form == "mpegts":
        options |= {"mpegts_copyts": "1", "mpegts_m2ts_mode": "0" if target.suffix.lower() == ".ts" else "1"}
    else:
        options["avoid_negative_ts"] = "disabled"
    return options
