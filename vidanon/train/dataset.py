"""From a folder of photos to a face set that the trainings take: `vidanon dataset build`.

In: photos, any number, in any state, and a word on their licence. Out: a folder in the layout of train/faces.py, whole
or not at all, the same bytes from the same photos:

    images-N.zip     NNNNN.webp, 256 px, upright crops; rows in order of their content's hash, the held-out ones first
    labels.npz       points [N, 30, 2] px, confidence [N, 30], box [N, 4] xyxy px, native_px, sharpness, source, key,
                     split
    dataset.json     licence, source, options, counts, networks
    refused.csv      every photo and face that was not taken, and why
    look.png         some of the crops with their points, to be looked at
"""

from __future__ import annotations

import csv
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from vidanon.errors import InputError, OutputError
from vidanon.media.work import WorkFolder, output_error
from vidanon.models.weights import read_manifest
from vidanon.settings import Frozen, Positive, Unit
from vidanon.train.crops import FaceCutter, Limits
from vidanon.train.harvest import Found, Harvest
from vidanon.train.photos import Photo, PhotoFile, Unreadable, find_photos, quiet, read_photo
from vidanon.train.selection import Refusal, Row, select, unlike
from vidanon.train.sets import LABELS_NAME, RECORD_NAME, DatasetRecord, SetSummary, check_set, look_sheet

HARVEST_NAME = "photos.journal"
"""in the work folder beside the set; `vidanon clean` lists it"""
PICTURES_A_ZIP = 2000
"""crops in one zip file, about 20 MB"""
LOOK_NAME, REFUSED_NAME = "look.png", "refused.csv"
NETWORKS = ("detector", "landmarks")


class BuildOptions(Frozen, frozen=True):
    """What a set is to be."""

    licence: Annotated[str, msgspec.Meta(min_length=1)]
    """under which the photos may be used; goes into the record of weights trained on them"""
    source: Annotated[str, msgspec.Meta(min_length=1)]
    """where the photos are from"""
    min_face_px: Positive = 64.0
    """least longer side of a face in its photo, px"""
    min_score: Unit = 0.5
    """least score of the detector"""
    min_sharpness: Unit = 0.16
    """least share of fine detail; see `crops.sharpness`"""
    min_confidence: Annotated[float, msgspec.Meta(ge=0.3, le=1)] = 0.5
    """least confidence of the worst point on the face"""
    max_roll: Annotated[float, msgspec.Meta(ge=0, le=180)] = 45.0
    """most degrees a head is turned in the picture"""
    max_outside: Unit = 0.1
    """largest share of a crop that may lie outside its photo"""
    val_share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.1
    """share of the faces held out, about"""
    people_in_folders: bool = False
    """whether every sub-folder is one person, who must not be on both sides of the split"""
    look: Annotated[int, msgspec.Meta(ge=0)] = 48
    """crops on the sheet to look at, 0 = no sheet"""

    def limits(self) -> Limits:
        """What a face must be."""
        return Limits(
            face_px=self.min_face_px,
            score=self.min_score,
            sharpness=self.min_sharpness,
            confidence=self.min_confidence,
            roll=self.max_roll,
            outside=self.max_outside,
        )


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far a build is."""

    done: int
    """photos looked at, those of an earlier, interrupted build included"""
    total: int
    """photos there are"""
    before: int
    """photos of `done` that an earlier build had looked at"""
    faces: int
    """faces that are good enough so far, near duplicates not yet sorted out"""


def build(
    folder: Path,
    target: Path,
    options: BuildOptions,
    *,
    version: str,
    device: str = "cpu",
    threads: int = 0,
    listen: Callable[[BuildProgress], None] = lambda _: None,
) -> SetSummary:
    """Builds the set `target` from the photos below `folder`, going on with what an interrupted build left.

    `version` is vidanon's own, for the record; `listen` is told of every photo. Raises InputError: no folder, no
    pictures, no good faces, or none that could be held out; OutputError: `target` is there, lies in `folder`, or cannot
    be written; WeightsError, DeviceError.
    """
    if target.exists():
        raise OutputError(f"{target}: exists already", hint="choose another name, or remove it")
    if target.resolve().is_relative_to(folder.resolve()):
        raise OutputError(f"{target}: lies in the folder of the photos", hint="a set would be taken for photos")
    photos, others = find_photos(folder)
    manifest = read_manifest()
    weights = {name: str(manifest.get(name, {}).get("sha256")) for name in NETWORKS}
    limits = options.limits()
    identity = msgspec.json.encode({"version": version, "weights": weights, "limits": limits}).decode()
    work = WorkFolder(target, source=folder, overwrite=False)
    keep = True
    try:
        harvest = Harvest(work.path / HARVEST_NAME, identity=identity, target=target)
        try:
            shas, refused = unlike(photos)
            _look_at(photos, shas, harvest, limits, device=device, threads=threads, listen=listen)
            rows = select(
                photos, shas, harvest, refused, val_share=options.val_share, people_in_folders=options.people_in_folders
            )
            made = work.path / "set"
            made.mkdir()
            _write(made, rows, harvest, options.source)
            with (made / REFUSED_NAME).open("w", encoding="utf-8", newline="") as stream:
                lines = csv.writer(stream, lineterminator="\n")
                lines.writerow(Refusal._fields)
                lines.writerows(sorted(refused))
            record = DatasetRecord(
                licence=options.licence,
                source=options.source,
                vidanon=version,
                weights=weights,
                options={k: v for k, v in msgspec.to_builtins(options).items() if k not in {"licence", "source"}},
                photos=len(photos),
                faces=len(rows),
                train=sum(row.side == "train" for row in rows),
                val=sum(row.side == "val" for row in rows),
                refused=dict(sorted(Counter(refusal.reason for refusal in refused).items())),
                other_files=others,
            )
            text = msgspec.json.format(msgspec.json.encode(record), indent=2)
            (made / RECORD_NAME).write_bytes(text + b"\n")
            if options.look:
                look_sheet(made, options.look).save(made / LOOK_NAME)
            check_set(made)
            _named(made, target)
        finally:
            harvest.close()
        keep = False
    except InputError:
        keep = False
        raise
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        work.close(keep=keep)
    return check_set(target)


def _look_at(
    photos: Sequence[PhotoFile],
    shas: dict[str, str],
    harvest: Harvest,
    limits: Limits,
    *,
    device: str,
    threads: int,
    listen: Callable[[BuildProgress], None],
) -> None:
    """Finds and cuts the faces of all photos that the harvest does not hold."""
    there = harvest.photos()
    todo = [photo for photo in photos if photo.key in shas and shas[photo.key] not in there]
    before = done = len(photos) - len(todo)
    faces = sum(_good(harvest.get(sha)) for sha in there.intersection(shas.values()))
    listen(BuildProgress(done, len(photos), before, faces))
    if not todo:
        return
    cutter = FaceCutter(limits, device=device, threads=threads)
    for photo, read in _decoded(todo):
        found = Found(cutter.cut(read.image, scale=read.scale)) if isinstance(read, Photo) else Found([], read)
        harvest.add(shas[photo.key], found)
        done += 1
        faces += _good(found)
        listen(BuildProgress(done, len(photos), before, faces))


def _good(found: Found) -> int:
    """Faces that were not refused."""
    return sum(not face.refused for face in found.faces)


def _decoded(photos: Sequence[PhotoFile]) -> Iterator[tuple[PhotoFile, Photo | str]]:
    """Every photo, or why it cannot be read; the next one is decoded while this one is looked at."""

    def read(photo: PhotoFile) -> Photo | str:
        try:
            return read_photo(photo.path)
        except Unreadable as error:
            return str(error)

    with quiet(), ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(read, photos[0])
        for i, photo in enumerate(photos):
            now = ahead.result()
            if i + 1 < len(photos):
                ahead = pool.submit(read, photos[i + 1])
            yield photo, now


def _write(folder: Path, rows: Sequence[Row], harvest: Harvest, source: str) -> None:
    """Pictures and labels."""
    for start in range(0, len(rows), PICTURES_A_ZIP):
        with zipfile.ZipFile(folder / f"images-{start // PICTURES_A_ZIP}.zip", "w") as archive:
            for i, row in enumerate(rows[start : start + PICTURES_A_ZIP], start):
                face = next(f for f in harvest.get(row.photo).faces if f.digest == row.face.digest)
                # A ZipInfo of its own has no time of day in it: the same photos give the same bytes.
                archive.writestr(zipfile.ZipInfo(f"{i:05d}.webp"), face.crop)
    faces = [row.face for row in rows]
    np.savez(
        folder / LABELS_NAME,
        points=np.array([f.points for f in faces], np.float32).reshape(-1, 30, 2),
        confidence=np.array([f.confidence for f in faces], np.float32),
        box=np.array([f.crop_box for f in faces], np.float32),
        native_px=np.array([f.native_px for f in faces], np.float32),
        sharpness=np.array([f.sharpness for f in faces], np.float32),
        source=np.array([source] * len(faces)),
        key=np.array([row.key for row in rows]),
        split=np.array([row.side for row in rows]),
    )


def _named(made: Path, target: Path) -> None:
    """Makes a finished set durable and gives it its name."""
    for path in made.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    try:
        made.rename(target)
    except OSError as error:
        if target.exists():
            raise OutputError(f"{target}: appeared while it was being built", hint="rename one of them") from error
        raise
