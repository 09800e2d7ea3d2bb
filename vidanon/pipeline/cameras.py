"""Which video streams of a clip are painted, and where the plan of each lies.

In: a clip, the path of its plan, the settings. Out: `Camera`s. Cover art and thumbnails are no cameras.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vidanon.errors import InputError
from vidanon.media.probe import fingerprint, probe
from vidanon.pipeline.events import Listener, Note, silent
from vidanon.settings import OutputSettings
from vidanon.types import VideoInfo


@dataclass(frozen=True, slots=True)
class Camera:
    """A video stream to be painted."""

    info: VideoInfo
    """the clip, as this stream shows it"""
    plan: Path
    """where its plan is or will be"""

    def mark(self) -> str:
        """What tells this camera's pictures from all others: the file's fingerprint, with the stream's number where
        there are several cameras. Raises InputError where the file cannot be read.
        """
        mark = fingerprint(self.info.path)
        return mark if len(self.info.cameras) < 2 else f"{mark}.s{self.info.stream}"


def cameras_of(source: Path, plan: Path, settings: OutputSettings, *, listen: Listener = silent) -> tuple[Camera, ...]:
    """The cameras of a clip that are painted, in the order in which the file has them.

    One alone has the plan `plan`; of several, each has its own: NAME.s<stream number>.vidanon for NAME.vidanon. What
    is left out is told. Raises InputError where the clip cannot be read, or has several cameras and nobody has said
    what is to be done with them.
    """
    main = probe(source, framerate=settings.framerate)
    if len(main.cameras) < 2:
        return (Camera(main, plan),)
    numbers = ", ".join(map(str, main.cameras))
    if settings.video_streams == "refuse":
        raise InputError(
            f"{source}: holds {len(main.cameras)} cameras (video streams {numbers})",
            hint=f"--video-streams main paints and keeps stream {main.stream} alone, --video-streams all every one",
        )
    if settings.video_streams == "main":
        others = ", ".join(str(number) for number in main.cameras if number != main.stream)
        listen(Note(source, f"of {len(main.cameras)} cameras only video stream {main.stream} is kept, not {others}"))
        return (Camera(main, plan),)
    return tuple(
        Camera(
            probe(source, stream=number, framerate=settings.framerate),
            plan.with_name(f"{plan.stem}.s{number}{plan.suffix}"),
        )
        for number in main.cameras
    )
