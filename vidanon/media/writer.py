"""Frames into a file: encoded pictures, copied sound, exact times, nothing else.

In: `Frame`s in presentation order and the clip they come from. Out: a file that holds one video stream with the
source's size, times, turn, pixel format and colour tags, its audio packets, and no other stream or tag. The file
appears under its name only when it is complete; until then encoded frames gather in a work folder beside it, from
which a later run goes on.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from vidanon.errors import OutputError
from vidanon.media.encoders import CONTAINERS
from vidanon.media.encoding import SEGMENT_FRAMES, Recorder
from vidanon.media.formats import STILL_SUFFIXES, WRITABLE_SUFFIXES
from vidanon.media.frames import Frame
from vidanon.media.mux import Muxer
from vidanon.media.probe import is_still, probe
from vidanon.media.sinks import EncodeReport, FrameSink, StillSink
from vidanon.media.tracks import VideoTrack
from vidanon.media.work import JOURNAL_SUFFIX, WorkFolder, output_error
from vidanon.settings import OutputSettings
from vidanon.types import VideoInfo

__all__ = ["EncodeReport", "Writer", "check_output", "output_suffix"]


def output_suffix(path: Path) -> str:
    """The suffix a mirrored output of `path` gets: its own where we can write that, .mp4 for a GIF, else .mkv."""
    suffix = path.suffix.lower()
    if suffix in WRITABLE_SUFFIXES or suffix in STILL_SUFFIXES:
        return path.suffix
    return {".gif": ".mp4"}.get(suffix, ".mkv")


def check_output(target: Path, source: Path | VideoInfo | Sequence[VideoInfo], *, settings: OutputSettings) -> None:
    """Raises what a `Writer` of the same arguments would raise; what an earlier run has left stays as it is."""
    infos = _infos(source)
    still = _is_still(target, infos[0])
    work = WorkFolder(target, source=infos[0].path, overwrite=settings.overwrite)
    try:
        if not still:
            _tracks(work, infos, settings)
    finally:
        work.close(keep=bool(work.journals()))


class Writer:
    """Writes `target` out of frames of `source` (several infos: of several cameras of one clip); a context manager.

    Leaving it cleanly finishes the file: flushed, synced, renamed out of its work folder. Leaving it with an exception
    puts nothing at the final path. With an `identity`, which stands for all that the painted pictures depend on, the
    segments encoded so far then stay in the work folder, and a writer with the same identity goes on after them.
    `secret` is what a disguised voice is derived from. Everything that can be known to fail fails in the constructor.
    Raises OutputError, and InputError where the source cannot be read.
    """

    def __init__(
        self,
        target: Path,
        source: Path | VideoInfo | Sequence[VideoInfo],
        *,
        settings: OutputSettings,
        identity: str | None = None,
        secret: bytes = b"",
        segment_frames: int = SEGMENT_FRAMES,
    ) -> None:
        infos = _infos(source)
        self._target = target
        self._settings = settings
        self._secret = secret
        self._resumable = identity is not None
        self._recorders: list[Recorder] = []
        self._still = StillSink(infos[0]) if _is_still(target, infos[0]) else None
        self._work = WorkFolder(target, source=infos[0].path, overwrite=settings.overwrite)
        try:
            tracks = [] if self._still else _tracks(self._work, infos, settings)
            # Nobody can go on from a journal that does not say what it depends on.
            identity = identity or secrets.token_hex(16)
            for track in tracks:
                path = self._work.path / f"video{track.info.stream}{JOURNAL_SUFFIX}"
                recorder = Recorder(path, track, identity=identity, target=target, segment_frames=segment_frames)
                self._recorders.append(recorder)
        except BaseException:
            self._abort()
            raise
        self.sinks: Sequence[FrameSink] = (self._still,) if self._still else tuple(self._recorders)
        """what takes the frames of each camera, in the order of the infos"""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._abort()
            return
        try:
            self._finish()
        except BaseException:
            self._abort()
            raise

    @property
    def report(self) -> EncodeReport:
        """What really encodes (of several cameras: the first)"""
        return self.sinks[0].report

    @property
    def resumed_at(self) -> int:
        """Frames that an earlier run has left: the first one to write (of several cameras: of the first)"""
        return self.sinks[0].resumed_at

    def write(self, frame: Frame) -> None:
        """Encode one frame of the first camera, shown at `frame.pts`. Raises what `FrameSink.write` raises."""
        self.sinks[0].write(frame)

    def _finish(self) -> None:
        if not all(sink.frames for sink in self.sinks):
            raise OutputError(f"{self._target}: no frame was written")
        for recorder in self._recorders:
            recorder.finish()
        # The suffix, so that whoever looks into the folder sees what it is.
        path = self._work.file(f"output{self._target.suffix}")
        if self._still is not None:
            try:
                with path.open("wb") as stream:
                    self._still.save(stream, suffix=self._target.suffix)
            except OSError as error:
                raise output_error(self._target, error) from error
        else:
            self._mux(path)
        for recorder in self._recorders:
            recorder.close()
        self._work.commit(path)
        self._work.close()

    def _mux(self, path: Path) -> None:
        tracks = [recorder.track for recorder in self._recorders]
        muxer = Muxer(path, tracks, target=self._target, settings=self._settings, secret=self._secret)
        try:
            muxer.write([recorder.journal for recorder in self._recorders])
        except BaseException:
            muxer.abandon()
            raise

    def _abort(self) -> None:
        for recorder in self._recorders:
            recorder.close()
        self._work.close(keep=self._resumable and any(r.journal.frames_done for r in self._recorders))


def _infos(source: Path | VideoInfo | Sequence[VideoInfo]) -> Sequence[VideoInfo]:
    if isinstance(source, Path):
        return (probe(source),)
    return (source,) if isinstance(source, VideoInfo) else source


def _is_still(target: Path, info: VideoInfo) -> bool:
    """Whether a picture is to be written. Raises OutputError where the target's kind does not fit the source's."""
    still = is_still(target)
    if still != is_still(info.path):
        what = "a picture" if still else "a video"
        raise OutputError(
            f"{target}: {what} cannot be made of {info.path.name}", hint=f"try {output_suffix(info.path)}"
        )
    if not still and target.suffix.lower() not in CONTAINERS:
        raise OutputError(
            f'{target}: cannot write "{target.suffix}" files', hint=f"use one of {', '.join(sorted(WRITABLE_SUFFIXES))}"
        )
    return still


def _tracks(work: WorkFolder, infos: Sequence[VideoInfo], settings: OutputSettings) -> list[VideoTrack]:
    """The tracks to be written. The container is opened once: a refusal is to come before the work, not after it."""
    tracks = [VideoTrack.of(info, target=work.target, settings=settings) for info in infos]
    path = work.file(f"trial{work.target.suffix}")
    Muxer(path, tracks, target=work.target, settings=settings).abandon()
    path.unlink(missing_ok=True)
    return tracks
