"""What stands beside picture and sound and may name people: subtitles and chapters, where they are asked for.

In: a source clip and an output container whose header is not written yet. Out: the same subtitle packets, the same
chapter marks with their titles. Never an attachment, a data stream, a thumbnail or any other kind of stream, and no
subtitle in which a drone or a dashboard camera notes where it is.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from vidanon.errors import OutputError
from vidanon.media.copying import PacketCopier
from vidanon.media.probe import open_input
from vidanon.settings import OutputSettings

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.container.core import Chapter
    from av.packet import Packet
    from av.stream import Stream

_PLACE = re.compile(rb"latitude|longitude|GPS\s?[(:]|\blat[:=]|[NS]\s?\d{1,2}\.\d{3,}[,;]?\s?[EW]\s?\d", re.IGNORECASE)
_HOLDS_CHAPTERS = ("mp4", "mov", "matroska", "webm")


class SubtitleCopier(PacketCopier):
    """Copies all subtitle streams of `source` into `output`, but for those lines that tell a place.

    Raises InputError, and OutputError where the container cannot hold a codec.
    """

    def __init__(self, source: Path, output: OutputContainer, *, target: Path, keep: str) -> None:
        super().__init__(source, output, kind="subtitle", target=target, keep=keep)

    def _passes(self, packet: Packet[Stream]) -> bool:
        return _PLACE.search(bytes(packet)) is None


class ExtrasCopier:
    """Copies the subtitles and chapters that the settings ask for; with the defaults it does nothing at all.

    Args: `form`, the output's container format. Raises InputError, and OutputError where the container cannot hold
    them.
    """

    def __init__(
        self, source: Path, output: OutputContainer, *, target: Path, form: str, settings: OutputSettings
    ) -> None:
        if settings.chapters == "copy":
            _copy_chapters(source, output, target, form)
        self._subtitles = (
            SubtitleCopier(source, output, target=target, keep=settings.keep_metadata)
            if settings.subtitles == "copy"
            else None
        )

    @property
    def starts(self) -> list[Fraction]:
        """When each subtitle stream begins, seconds"""
        return self._subtitles.starts if self._subtitles is not None else []

    def advance(self, until: Fraction | None) -> None:
        """Write all subtitle packets up to `until` seconds; None: all that are left.

        Raises InputError; av.error.FFmpegError where writing fails.
        """
        if self._subtitles is not None:
            self._subtitles.advance(until)

    def close(self) -> None:
        """Let go of the source."""
        if self._subtitles is not None:
            self._subtitles.close()


def _copy_chapters(source: Path, output: OutputContainer, target: Path, form: str) -> None:
    with open_input(source) as container:
        chapters = container.chapters()
    if chapters and form not in _HOLDS_CHAPTERS:
        raise OutputError(
            f"{target}: a {target.suffix} file cannot hold chapters",
            hint='write a .mkv or .mov file, or set chapters to "drop"',
        )
    output.set_chapters([_with_title_only(chapter) for chapter in chapters])


def _with_title_only(chapter: Chapter) -> Chapter:
    title = {name: value for name, value in chapter["metadata"].items() if name.lower() == "title"}
    return {**chapter, "metadata": title}
