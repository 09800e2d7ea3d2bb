"""Numbered pictures as a clip: `shots/take_%04d.png`.

In: a path whose name holds one "%d" or "%04d" in place of the number. Out: the files it stands for, in order, and a
container of FFmpeg's that shows one after the other. A number that is missing is an error: FFmpeg alone would end the
clip there without a word.
"""

from __future__ import annotations

import hashlib
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error

from vidanon.errors import InputError
from vidanon.media.formats import SEQUENCE_SUFFIXES

if TYPE_CHECKING:
    from av.container import InputContainer

DEFAULT_FRAMERATE = 25.0
"""frames a second where nobody says otherwise"""

_NUMBER = re.compile(r"%(?:0(?P<width>\d+))?d")
_DIGITS = re.compile(r"\d+")


def is_sequence(path: Path) -> bool:
    """Whether `path` names numbered pictures: by its name alone."""
    return path.suffix.lower() in SEQUENCE_SUFFIXES and len(_NUMBER.findall(path.name)) == 1


def sequence_files(path: Path) -> list[Path]:
    """The pictures `path` stands for, by rising number. Raises InputError: none, or a number is missing."""
    numbers = sorted(_numbers(path))
    if not numbers:
        raise InputError(f"{path}: there is no such picture", hint="check the folder and the digits of the numbers")
    for expected, number in enumerate(numbers, numbers[0]):
        if number != expected:
            missing = path.with_name(_name(path, expected))
            raise InputError(f"{missing}: is missing from the sequence", hint="add it, or number the pictures anew")
    return [path.with_name(_name(path, number)) for number in numbers]


def sequence_in(folder: Path) -> Path | None:
    """The pattern of a folder whose pictures are one numbered sequence (two or more); None where they are not."""
    names = [p.name for p in folder.iterdir() if p.suffix.lower() in SEQUENCE_SUFFIXES and not p.name.startswith(".")]
    first = min(names, default="")
    digits = _DIGITS.findall(Path(first).stem)
    if not digits or "%" in first:
        return None
    stem, suffix = Path(first).stem, Path(first).suffix
    at = stem.rindex(digits[-1])
    padded = len({len(name) for name in names}) == 1
    number = f"%0{len(digits[-1])}d" if padded else "%d"
    pattern = folder / f"{stem[:at]}{number}{stem[at + len(digits[-1]) :]}{suffix}"
    return pattern if len(names) > 1 and len(_numbers(pattern)) == len(names) else None


def sequence_name(path: Path) -> str:
    """What a clip made of the pictures is called: their name without the number, "clip" where nothing is left."""
    return _NUMBER.sub("", path.stem).replace("%%", "%").strip(" ._-") or "clip"


def sequence_rate(framerate: float) -> Fraction:
    """Frames a second as a fraction; 23.976, 29.97 and their kin are meant to be n * 1000/1001."""
    ntsc = Fraction(round(framerate * 1.001) * 1000, 1001)
    if framerate != round(framerate) and abs(float(ntsc) - framerate) < 0.005:
        return ntsc
    return Fraction(framerate).limit_denominator(1001)


def open_sequence(path: Path, framerate: float) -> InputContainer:
    """FFmpeg's reader of the pictures; raises InputError, as `sequence_files` does."""
    sequence_files(path)
    first = min(_numbers(path))
    rate = sequence_rate(framerate)
    # FFmpeg looks for the number in the whole path, so a per cent sign in a folder's name is written twice.
    pattern = str(path.parent / "").replace("%", "%%") + os.sep + path.name
    options = {"framerate": f"{rate.numerator}/{rate.denominator}", "start_number": str(first)}
    try:
        return av.open(pattern, "r", format="image2", options=options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{path}: FFmpeg cannot open these pictures") from error


def sequence_fingerprint(path: Path, sample_bytes: int) -> str:
    """sha256 (hex) over every picture's name and size and the beginnings of the first and the last.

    Raises InputError; OSError where a picture cannot be read.
    """
    files = sequence_files(path)
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
    for file in (files[0], files[-1]):
        with file.open("rb") as stream:
            digest.update(stream.read(sample_bytes))
    return digest.hexdigest()


def _numbers(path: Path) -> list[int]:
    """The numbers of the pictures there are, in no order. Raises InputError."""
    mark = _NUMBER.search(path.name)
    assert mark is not None
    # FFmpeg pads to the width and lets longer numbers through; it never pads further than asked.
    width = int(mark["width"] or 1)
    ends = path.name[: mark.start()], path.name[mark.end() :]
    before, after = (re.escape(text.replace("%%", "%")) for text in ends)
    wanted = re.compile(rf"{before}(\d{{{width}}}|[1-9]\d{{{width},}}){after}")
    try:
        found = [wanted.fullmatch(file.name) for file in path.parent.iterdir()]
    except OSError as error:
        raise InputError(f"{path}: its folder cannot be read: {error.strerror}") from error
    return [int(match[1]) for match in found if match is not None]


def _name(path: Path, number: int) -> str:
    return path.name % number
