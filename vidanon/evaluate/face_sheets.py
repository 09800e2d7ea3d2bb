"""New faces side by side, to be looked at: many people once, and a few people with several latents.

In: photos and an `Examiner`. Out: two PNGs of upright crops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from vidanon.errors import InputError, OutputError
from vidanon.evaluate.examine import Equipment, Examiner
from vidanon.evaluate.photos import Photo
from vidanon.media.filters import contact_sheet
from vidanon.types import ImageArray

MANY = 64
"""faces on the first sheet"""
PEOPLE = LATENTS = 8
"""rows and columns of the second, beside the originals"""
CELL_PX = 128


def draw_sheets(
    photos: Sequence[Photo], examiner: Examiner, equipment: Equipment, folder: Path, *, overwrite: bool = False
) -> tuple[Path, Path]:
    """Writes `outputs.png`, MANY people with a new face each, and `latents.png`, a row a person: original and LATENTS.

    Photos without a face are left out. Raises OutputError if a sheet is there or cannot be written, InputError if no
    photo has a face.
    """
    many, few = sheets_in(folder)
    require_free(folder, overwrite=overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    own = [equipment.key(0)]
    outputs = _rows(photos, MANY, lambda photo: examiner.sheet(photo, own))
    contact_sheet([row[1] for row in outputs], many, columns=8, cell_width=CELL_PX, overwrite=overwrite)
    keys = [equipment.key(latent) for latent in range(LATENTS)]
    people = _rows(photos, PEOPLE, lambda photo: examiner.sheet(photo, keys))
    images = [image for row in people for image in row]
    contact_sheet(images, few, columns=1 + LATENTS, cell_width=CELL_PX, overwrite=overwrite)
    return many, few


def sheets_in(folder: Path) -> tuple[Path, Path]:
    """Where the two sheets of a folder go."""
    return folder / "outputs.png", folder / "latents.png"


def require_free(folder: Path, *, overwrite: bool) -> None:
    """Raises OutputError if a sheet is in the folder already."""
    taken = [path for path in sheets_in(folder) if path.exists() and not overwrite]
    if taken:
        raise OutputError(f"{taken[0]} exists", hint="choose another folder, or pass --overwrite")


def _rows(
    photos: Sequence[Photo], count: int, draw: Callable[[Photo], list[ImageArray] | None]
) -> list[list[ImageArray]]:
    """What is drawn of `count` photos spread evenly, or of the next ones where there is no face."""
    stride = max(1, len(photos) // count)
    turns = [photos[i] for begin in range(stride) for i in range(begin, len(photos), stride)]
    rows: list[list[ImageArray]] = []
    for photo in turns:
        if len(rows) == count:
            break
        row = draw(photo)
        if row is not None:
            rows.append(row)
    if not rows:
        raise InputError("no face is found in any of the photos", hint="look at them, or lower detect.threshold")
    return rows
