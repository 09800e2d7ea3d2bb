"""Photos of people, and their faces as `vidanon run` finds them in a still picture.

In: a folder of photos, `NAME__0.jpg` and `NAME__1.jpg` being one person, or a face set with its `labels.npz`. Out:
`Photo`s; and of each a `Still`: the decoded frame, its settled faces, and which of them the photo is of.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidanon.detect.base import Detector, exact
from vidanon.errors import InputError
from vidanon.evaluate.crops import Place
from vidanon.evaluate.speech import Locator
from vidanon.geometry import area
from vidanon.media.frames import Frame
from vidanon.media.probe import is_still, probe
from vidanon.media.reader import Reader
from vidanon.settings import Settings
from vidanon.track.settle import settle_all
from vidanon.types import FloatArray, Observation, ScannedFace, ScannedFrame

SEPARATOR = "__"
"""what stands between a person's name and the number of the photo"""


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a folder."""

    path: Path
    """the file"""
    person: str | None
    """who is on it: the file's name up to the separator; None without one"""


@dataclass(frozen=True, slots=True)
class Still:
    """A photo with its faces."""

    frame: Frame
    """the picture, decoded"""
    faces: tuple[Observation, ...]
    """all faces to be covered, in the order of painting"""
    subject: int
    """index of the face the photo is of"""

    def place(self) -> Place:
        """Where the subject's face is."""
        face = self.faces[self.subject]
        return Place.of(face.box, face.points)

    def boxes(self) -> FloatArray:
        """[N, 4] xyxy px of all faces."""
        return np.array([face.box for face in self.faces], np.float32).reshape(-1, 4)


def photos_in(folder: Path, *, limit: int | None = None) -> list[Photo]:
    """The photos of a folder, by name; at most `limit` of them, spread evenly, people kept whole.

    Raises InputError for a folder without pictures.
    """
    paths = sorted(path for path in folder.glob("*") if path.is_file() and is_still(path))
    if not paths:
        raise InputError(f"no pictures in {folder}", hint="name a folder of photos: NAME__0.jpg, NAME__1.jpg")
    photos = [Photo(path, path.stem.rpartition(SEPARATOR)[0] or None) for path in paths]
    groups: dict[str, list[Photo]] = {}
    for photo in photos:
        groups.setdefault(photo.person or str(photo.path), []).append(photo)
    whole = kept = list(groups.values())
    wanted = len(whole)
    while limit is not None and wanted > 1 and sum(map(len, kept)) > limit:
        wanted = min(wanted - 1, math.ceil(limit * len(whole) / len(photos)))
        kept = [whole[i] for i in np.linspace(0, len(whole) - 1, wanted).round().astype(int)]
    return [photo for group in kept for photo in group][:limit]


def unpack_face_set(folder: Path, target: Path, *, split: str = "val") -> list[Photo]:
    """The pictures of one split of a face set (`labels.npz`, `images-*.zip`), written to the folder `target`.

    Raises InputError if the folder is not such a set.
    """
    try:
        with np.load(folder / "labels.npz", allow_pickle=False) as labels:
            rows = np.flatnonzero(labels["split"] == split)
        wanted = {f"{row:05d}.webp" for row in rows}
        for archive in sorted(folder.glob("images-*.zip")):
            with zipfile.ZipFile(archive) as opened:
                for name in opened.namelist():
                    if Path(name).name in wanted:
                        (target / Path(name).name).write_bytes(opened.read(name))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as e:
        raise InputError(f"{folder}: is no face set: {e}", hint="name a folder of photos, or a face set") from e
    photos = [Photo(path, None) for path in sorted(target.glob("*.webp"))]
    if not photos:
        raise InputError(f"{folder}: its split {split!r} has no pictures", hint="name a folder of photos instead")
    return photos


class FaceFinder:
    """Detects, locates keypoints and settles, as pass 1 does with a clip of one frame."""

    def __init__(self, detector: Detector, locator: Locator, settings: Settings) -> None:
        self._detector, self._locator, self._settings = detector, locator, settings

    def find(self, path: Path) -> Still | None:
        """A photo's faces; None where there is none. Raises InputError for a file that cannot be read.

        The subject is the largest face that holds the picture's middle, else the largest of all.
        """
        with Reader(path) as reader:
            frame = next(iter(reader))
        picture = frame.rgb()
        found = exact(self._detector.detect([picture])[0])
        points, confidence = self._locator.locate(picture, found)
        seen = tuple(
            ScannedFace(found.boxes[i], float(found.scores[i]), points[i], confidence[i], (0.0, 0.0))
            for i in range(len(found))
        )
        scanned = ScannedFrame(frame.index, frame.pts, seen, 0.0, 0.0, (0.0, 0.0))
        tracks = settle_all(
            lambda: [scanned],
            width=frame.width,
            height=frame.height,
            time_base=probe(path).time_base,
            settings=self._settings.track,
            detect=self._settings.detect,
        )
        # the largest is painted last, as the pipeline does
        faces = sorted((face for _, group in tracks for face in group), key=lambda face: float(area(face.box)))
        if not faces:
            return None
        middle = (frame.width / 2, frame.height / 2)
        return Still(frame, tuple(faces), max(_middle_first(faces, middle)))


def _middle_first(faces: Sequence[Observation], middle: tuple[float, float]) -> Iterator[int]:
    """Indices of the faces that hold the middle, of all where none does; faces come smallest first."""
    holding = [
        i
        for i, face in enumerate(faces)
        if face.box[0] <= middle[0] <= face.box[2] and face.box[1] <= middle[1] <= face.box[3]
    ]
    yield from holding or range(len(faces))
