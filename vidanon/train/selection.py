"""Which of the faces found become a set, in which order, on which side: copies out, groups together.

In: photos with their hashes and what was found in them. Out: `Row`s in the order of the set, and a `Refusal` for
every photo and face that is not taken.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

import msgspec

from vidanon.errors import InputError
from vidanon.train.alike import best_of_each, groups, pairs, split
from vidanon.train.crops import Face
from vidanon.train.harvest import Harvest
from vidanon.train.photos import PhotoFile, Unreadable, digest

SIZE_STEPS = 3
"""classes of size per doubling, when the best of several copies is chosen"""


@dataclass(frozen=True, slots=True)
class Row:
    """One face of the set."""

    face: Face
    """without its crop"""
    photo: str
    """sha256 of its photo"""
    key: str
    """its photo below the input folder, "#", and which of its faces"""
    side: str = ""
    """"train" or "val\""""


class Refusal(NamedTuple):
    """A photo or a face that was not taken; the fields are the columns of refused.csv."""

    photo: str
    """path below the input folder"""
    face: str
    """box in the photo, xyxy px; "" for the photo as a whole"""
    reason: str
    """a few words"""
    measure: str = ""
    """what was measured, or which photo or face is there instead"""
    limit: str = ""
    """what it should have been, at least or at most"""


def unlike(photos: Sequence[PhotoFile]) -> tuple[dict[str, str], list[Refusal]]:
    """(key -> sha256 of every photo that can be opened and is no copy of an earlier one, refusals of the others)."""
    first: dict[str, str] = {}
    shas: dict[str, str] = {}
    refused: list[Refusal] = []
    for photo in photos:
        try:
            sha = digest(photo.path)
        except Unreadable as error:
            refused.append(Refusal(photo.key, "", str(error)))
            continue
        if sha in first:
            refused.append(Refusal(photo.key, "", "same file", first[sha]))
        else:
            first[sha] = photo.key
            shas[photo.key] = sha
    return shas, refused


def select(
    photos: Sequence[PhotoFile],
    shas: dict[str, str],
    harvest: Harvest,
    refused: list[Refusal],
    *,
    val_share: float,
    people_in_folders: bool,
) -> list[Row]:
    """The rows of the set, the held-out ones first; what is not taken is added to `refused`.

    Near duplicates, faces of one photo and, with `people_in_folders`, of one sub-folder are on one side. Raises
    InputError where no face is left, or none could be held out.
    """
    rows = _usable(photos, shas, harvest, refused)
    if not rows:
        counts = Counter(refusal.reason for refusal in refused).most_common()
        why = ", ".join(f"{number} {reason}" for reason, number in counts)
        raise InputError(f"no usable face in {len(photos)} pictures: {why}", hint="add photos, or lower the limits")
    near = list(pairs([row.face.hash for row in rows], [row.face.mirrored for row in rows]))
    links = [(i, j) for i, j, _ in near]
    first: dict[tuple[str, str], int] = {}
    for i, row in enumerate(rows):
        links.append((first.setdefault(("photo", row.photo), i), i))
        folder = str(PurePosixPath(row.key).parent)
        if people_in_folders and folder != ".":
            links.append((first.setdefault(("folder", folder), i), i))
    members = groups(len(rows), links)
    sizes = {photo.key: photo.size for photo in photos}

    def worth(i: int) -> tuple[int, int, int]:
        # Sizes measured on two copies differ by some per cent; of two that are about as large, the larger file is
        # nearer to the original.
        return (-round(SIZE_STEPS * math.log2(rows[i].face.native_px)), -sizes[_photo(rows[i])], i)

    best_first = sorted(range(len(rows)), key=worth)
    gone = best_of_each(best_first, near)
    for i, j in gone.items():
        refused.append(Refusal(_photo(rows[i]), _box(rows[i].face), "near duplicate", rows[j].key))
    left = [i for i in range(len(rows)) if i not in gone]
    if len({members[i] for i in left}) < 2:
        raise InputError(
            f"{len(left)} usable faces, all of one photo, sitting or folder: none can be held out",
            hint="add other photos",
        )
    sides = split([members[i] for i in left], [rows[i].face.digest for i in left], val_share=val_share)
    taken = [Row(rows[i].face, rows[i].photo, rows[i].key, side) for i, side in zip(left, sides, strict=True)]
    return sorted(taken, key=lambda row: row.side != "val")


def _usable(photos: Sequence[PhotoFile], shas: dict[str, str], harvest: Harvest, refused: list[Refusal]) -> list[Row]:
    """The faces that are good enough, in the order of their pixels' hashes: as good as shuffled, always the same."""
    rows: list[Row] = []
    for key, sha in ((photo.key, shas[photo.key]) for photo in photos if photo.key in shas):
        found = harvest.get(sha)
        if not found.faces:
            refused.append(Refusal(key, "", found.unreadable or "no face"))
        for number, face in enumerate(found.faces):
            if face.refused:
                refused.append(Refusal(key, _box(face), face.refused, f"{face.value:g}", f"{face.limit:g}"))
            else:
                rows.append(Row(msgspec.structs.replace(face, crop=b""), sha, f"{key}#{number}"))
    return sorted(rows, key=lambda row: (row.face.digest, row.photo))


def _photo(row: Row) -> str:
    return row.key.rpartition("#")[0]


def _box(face: Face) -> str:
    return " ".join(f"{value:g}" for value in face.box)
