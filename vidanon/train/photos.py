"""A user's own photos: which files of a folder are pictures, and their pixels, whatever is wrong with them.

In: a folder. Out: paths in a fixed order, and upright RGB. A file that cannot be read raises `Unreadable` with a
reason of a few words: one broken photo among thousands is the rule, and no cause to stop.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vidanon.errors import InputError
from vidanon.media.formats import STILL_SUFFIXES
from vidanon.types import ImageArray

PHOTO_SUFFIXES = STILL_SUFFIXES | {".gif", ".bmp", ".tif", ".tiff", ".tga", ".jp2"}
"""endings of the files that are looked at"""
DRAFT_PX = 40_000_000
"""JPEGs with more pixels are decoded at a half, a quarter, an eighth of their size: faces are as good, memory is not"""
BACKDROP = (128, 128, 128, 255)
"""what shows through transparent pixels"""


class Unreadable(Exception):  # noqa: N818  (a reason, not a fault: the caller writes it down and goes on)
    """Why a photo cannot be used. Args: a few words, the same for all photos with this trouble."""


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """One file to be looked at."""

    path: Path
    """where it is"""
    key: str
    """its path below the folder, with "/" everywhere"""
    size: int
    """bytes"""


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo."""

    image: ImageArray
    """[H, W, 3] RGB, upright"""
    scale: float
    """px of `image` for each px of the file: 1, less where a huge JPEG was decoded smaller"""


def find_photos(folder: Path) -> tuple[list[PhotoFile], dict[str, int]]:
    """(photos below a folder by key, endings of the other files with their number); hidden ones and links to folders
    are left out. Raises InputError: no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder", hint="name a folder of photos")
    photos: list[PhotoFile] = []
    others: Counter[str] = Counter()

    def closed(_: OSError) -> None:
        others["(folder that cannot be opened)"] += 1

    for parent, folders, names in os.walk(folder, onerror=closed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if name.startswith("."):
                continue
            if path.suffix.lower() in PHOTO_SUFFIXES:
                # A name that is no text on this system could not be written into a label file.
                key = path.relative_to(folder).as_posix().encode("utf-8", "replace").decode()
                photos.append(PhotoFile(path, key, path.stat().st_size if path.is_file() else 0))
            else:
                others[path.suffix.lower() or "(none)"] += 1
    if not photos:
        endings = ", ".join(sorted(PHOTO_SUFFIXES))
        raise InputError(f"{folder}: no picture in this folder", hint=f"pictures end in {endings}")
    return sorted(photos, key=lambda photo: photo.key), dict(sorted(others.items()))


def digest(path: Path) -> str:
    """sha256 (hex) of a file. Raises Unreadable."""
    if not path.is_file():  # a pipe would be waited for
        raise Unreadable("not a file")
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise Unreadable("cannot be opened") from error


def read_photo(path: Path) -> Photo:
    """The photo as it is meant to be seen: turned by its EXIF, the first picture if there are several.

    Raises Unreadable.
    """
    try:
        with Image.open(path) as image:
            stored = image.width
            if image.format == "JPEG" and image.width * image.height > DRAFT_PX:
                image.draft(None, _below(image.width, image.height))
            scale = image.width / stored
            return Photo(_rgb(ImageOps.exif_transpose(image)), scale)
    except UnidentifiedImageError as error:
        raise Unreadable("not a picture") from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise Unreadable("too many pixels") from error
    except Exception as error:  # a broken file makes decoders raise whatever they like
        raise Unreadable("damaged") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without Pillow's warnings of large pictures and odd metadata: what cannot be used raises. For the main thread."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module=r"PIL\b")
        yield


def _below(width: int, height: int) -> tuple[int, int]:
    """The largest half, quarter or eighth with at most DRAFT_PX."""
    for part in (2, 4):
        if width * height <= DRAFT_PX * part**2:
            return width // part, height // part
    return width // 8, height // 8


def _rgb(image: Image.Image) -> ImageArray:
    """[H, W, 3] of a picture of any mode."""
    if image.mode in ("I;16", "I;16L", "I;16B", "I"):
        # Pillow clips 16-bit grey instead of scaling it.
        deep = np.clip(np.asarray(image, np.int64), 0, 65535) // 257
        return np.ascontiguousarray(np.repeat(deep.astype(np.uint8)[:, :, None], 3, axis=2))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, BACKDROP), seen)
    return np.ascontiguousarray(np.asarray(image.convert("RGB")))
