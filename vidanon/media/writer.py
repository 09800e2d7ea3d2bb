"""Frames into a file: encoded pictures, copied sound, exact times, nothing else.

In: `Frame`s in presentation order and the clip they come from. Out: a file that holds one video stream with the
source's size, times, turn, pixel format and colour tags, its audio packets, and no other stream or tag. The file
appears under its name only when it is complete.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import av

from vidanon.errors import OutputError
from vidanon.media.encoders import CONTAINERS
from vidanon.media.formats import STILL_SUFFIXES, WRITABLE_SUFFIXES
from vidanon.media.frames import Frame
from vidanon.media.mux import EncodeReport, Muxer
from vidanon.media.parts import PartFile, output_error
from vidanon.media.probe import is_still, probe
from vidanon.media.stills import write_still
from vidanon.settings import OutputSettings
from vidanon.types import VideoInfo

__all__ = ["EncodeReport", "Writer", "output_suffix"]


def output_suffix(path: Path) -> str:
    """The suffix a mirrored output of `path` gets: its own where we can write that, .mp4 for a GIF, else .mkv."""
    suffix = path.suffix.lower()
    if suffix in WRITABLE_SUFFIXES or suffix in STILL_SUFFIXES:
        return path.suffix
    return {".gif": ".mp4", ".mxf": ".mov"}.get(suffix, ".mkv")


class Writer:
    """Writes `target` out of frames of `source`; a context manager.

    Leaving it cleanly finishes the file: flushed, synced, renamed from `<name>.part`. Leaving it with an exception
    removes the part and puts nothing at the final path. Everything that can be known to fail fails in the
    constructor. Raises OutputError, and InputError where the source cannot be read.
    """

    def __init__(self, target: Path, source: Path | VideoInfo, *, settings: OutputSettings) -> None:
        self.info = probe(source) if isinstance(source, Path) else source
        self.frames = 0
        """frames written so far"""
        self._target = target
        self._still = is_still(target)
        self._picture: av.VideoFrame | None = None
        suffix = target.suffix.lower()
        if self._still != is_still(self.info.path):
            what = "a picture" if self._still else "a video"
            raise OutputError(
                f"{target}: {what} cannot be made of {self.info.path.name}", hint=f"try {output_suffix(self.info.path)}"
            )
        if not self._still and suffix not in CONTAINERS:
            raise OutputError(
                f'{target}: cannot write "{target.suffix}" files',
                hint=f"use one of {', '.join(sorted(WRITABLE_SUFFIXES))}",
            )
        self.report = EncodeReport("pillow", self.info.pix_fmt, 1)
        self._part = PartFile(target, source=self.info.path, overwrite=settings.overwrite)
        self._mux: Muxer | None = None
        try:
            if not self._still:
                self._mux = Muxer(self._part.path, self.info, target=target, settings=settings)
                self.report = self._mux.report
        except BaseException:
            self._part.discard()
            raise

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

    def write(self, frame: Frame) -> None:
        """Encode one frame, shown at `frame.pts`.

        Raises OutputError; ValueError where time does not go forward or the size differs from the source's.
        """
        if (frame.width, frame.height) != (self.info.width, self.info.height):
            raise ValueError(
                f"the writer wants {self.info.width} x {self.info.height} px, got {frame.width} x {frame.height}"
            )
        if self._mux is not None:
            self._mux.write(frame)
        elif self.frames:
            raise ValueError("a picture has one frame")
        else:
            self._picture = frame.picture
        self.frames += 1

    def _finish(self) -> None:
        if self.frames == 0:
            raise OutputError(f"{self._target}: no frame was written")
        if self._mux is not None:
            self._mux.finish()
        elif self._picture is not None:
            try:
                with self._part.path.open("wb") as stream:
                    write_still(self._picture, stream, suffix=self._target.suffix, source=self.info.path)
            except OSError as error:
                raise output_error(self._target, error) from error
        self._part.commit()

    def _abort(self) -> None:
        if self._mux is not None:
            self._mux.abandon()
        self._part.discard()
