"""A folder of pictures whose faces somebody labelled.

In: a folder with `boxes.json` ({name: {"boxes": [[x0, y0, x1, y1], ...]}}, xyxy px; a name may go without its .jpg).
Out: pictures and boxes, and which of them our training leaves out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vidanon.errors import InputError
from vidanon.types import FloatArray, ImageArray

HELD_OUT_EVERY = 5
"""Every fifth labelled picture, in the order of the names, is never trained on."""
SHAPE = '{name: {"boxes": [[x0, y0, x1, y1], ...]}}'


def names_of(folder: Path) -> list[str]:
    """The pictures that a folder's `boxes.json` lists, in order. Raises InputError where there is none."""
    return sorted(_listed(folder))


def split(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The labelled pictures to train on, and the held-out ones."""
    names = sorted(names)
    return [n for i, n in enumerate(names) if i % HELD_OUT_EVERY], names[::HELD_OUT_EVERY]


def read_labelled(folder: Path, *, names: Sequence[str] | None = None) -> tuple[list[ImageArray], list[FloatArray]]:
    """(pictures, boxes [N, 4] each) of a folder, all by name or the named ones.

    Raises InputError for what is missing or damaged.
    """
    listing, listed = folder / "boxes.json", _listed(folder)
    wanted = sorted(listed) if names is None else names
    try:
        labels = [np.array(listed[name]["boxes"], np.float32).reshape(-1, 4) for name in wanted]
    except (ValueError, KeyError, TypeError) as e:
        raise InputError(f"{listing} is not a list of boxes: {e!r}", hint=SHAPE) from e
    images = []
    for name in wanted:
        path = folder / name if (folder / name).is_file() else folder / f"{name}.jpg"
        try:
            with Image.open(path) as picture:
                images.append(np.asarray(picture.convert("RGB")))
        except OSError as e:
            raise InputError(f"picture {path} of {listing} cannot be read: {e}") from e
    return images, labels


def _listed(folder: Path) -> dict[str, Any]:
    listing = folder / "boxes.json"
    try:
        listed = json.loads(listing.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder} has no boxes.json", hint=f"it says {SHAPE}") from None
    except (OSError, ValueError) as e:
        raise InputError(f"{listing} cannot be read: {e}", hint=SHAPE) from e
    if not isinstance(listed, dict):
        raise InputError(f"{listing} lists no pictures by name", hint=SHAPE)
    return listed
