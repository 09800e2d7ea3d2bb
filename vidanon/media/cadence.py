"""Whether a clip's times fit a container that only counts pictures: `check_cadence`, `check_starts`.

In: a probed clip and a container's name. Out: nothing, or an `OutputError` before the scan instead of after it. The
packets' times are read, none is decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av.error

from vidanon.errors import InputError, OutputError
from vidanon.media.encoders import FIXED_RATE
from vidanon.media.probe import main_video, open_input
from vidanon.types import VideoInfo

_HINT = "write a .mp4, .mov or .mkv file"
_HEARD = Fraction(1, 1000)
"""seconds by which sound may be late before it is refused"""


def check_cadence(info: VideoInfo, *, target: Path, form: str, rate: Fraction) -> None:
    """Raises OutputError where `form` would show a frame of `info` at another time, InputError where it cannot be read.

    An AVI can begin late and leave pictures out, an MXF neither. Times a container has rounded to its clock count as
    what they were rounded from.
    """
    if form not in FIXED_RATE or info.container == form:
        return
    tolerance = info.time_base * rate * Fraction(11, 20)
    last = -1
    for frame, stamp in enumerate(_stamps(info)):
        place = stamp * info.time_base * rate
        number = round(place)
        if abs(place - number) > tolerance:
            raise OutputError(
                f"{target}: {target.suffix} files hold {float(rate):.6g} pictures a second and nothing in between; "
                f"frame {frame} of this clip lies in between",
                hint=_HINT,
            )
        if number <= last or (form == "mxf" and number != frame):
            raise OutputError(
                f"{target}: {target.suffix} files count their pictures without a gap; frame {frame} of this clip "
                f"would be number {number}",
                hint=_HINT,
            )
        last = number


def check_starts(starts: Sequence[Fraction], *, target: Path, form: str) -> None:
    """Raises OutputError where `form` cannot hold when streams begin (seconds, the picture's first)."""
    if form in FIXED_RATE and any(abs(start) > _HEARD for start in starts[1:]):
        raise OutputError(
            f"{target}: sound that begins before or after zero cannot be held by {target.suffix} files",
            hint=f'{_HINT}, or set audio to "drop"',
        )


def _stamps(info: VideoInfo) -> list[int]:
    """Times of the frames in presentation order, in the clip's time base."""
    try:
        with open_input(info.path) as container:
            stream = main_video(container, info.path, info.stream)
            return sorted(p.pts for p in container.demux(stream) if p.size and p.pts is not None and not p.is_discard)
    except av.error.FFmpegError as error:
        raise InputError(f"{info.path}: cannot be read: {error.strerror}") from error
