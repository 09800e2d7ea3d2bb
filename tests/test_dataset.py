"""`vidanon dataset build`: from a folder of anybody's photos to a set that trainings take, whole or not at all."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from drawn_faces import ibug, write_faces
from PIL import Image
from skimage import data as skimage_data

from vidanon.cli.app import main
from vidanon.errors import InputError, OutputError
from vidanon.geometry import similarity
from vidanon.train import alike, crops, dataset, photos
from vidanon.train.crops import Face, FaceCutter
from vidanon.train.dataset import BuildOptions, BuildProgress
from vidanon.train.faces import face_points, load_faces
from vidanon.train.portraits import read_faces
from vidanon.train.sets import announce, check_set, provenance, read_labels
from vidanon.types import FACE_POINT_INDEX, ON_FACE, Detections, FloatArray, ImageArray

build = partial(dataset.build, version="1.2.3")
OPTIONS = BuildOptions(licence="CC0 1.0", source="drawn for a test", look=0)
LIMITS = OPTIONS.limits()
BLUE = (20, 40, 200)


def portrait() -> ImageArray:
    """NASA's portrait of Eileen Collins."""
    return np.asarray(skimage_data.astronaut(), np.uint8)


def turned(image: ImageArray, degrees: float) -> ImageArray:
    """The middle turned clockwise, on a canvas that holds all of it."""
    height, width = image.shape[:2]
    side = math.ceil(math.hypot(height, width))
    matrix = similarity(1.0, math.radians(degrees), (width / 2, height / 2), (side / 2, side / 2))
    return np.asarray(cv2.warpAffine(image, matrix, (side, side), borderValue=BLUE), np.uint8)


def draw(seed: int, *, px: int = 200, size: float = 100.0) -> ImageArray:
    """A photo of one person: a face of their own pattern on blue, a little different each time of the day."""
    random = np.random.default_rng(seed)
    blobs = cv2.resize(random.uniform(60, 255, (7, 7)).astype(np.float32), (px, px), interpolation=cv2.INTER_CUBIC)
    grain = random.normal(0, 12, (px, px))
    skin = np.clip(blobs + grain, 60, 255)
    image = np.empty((px, px, 3), np.uint8)
    image[:] = BLUE
    y, x = np.mgrid[:px, :px] + 0.5 - px / 2
    inside = (x / (0.45 * size)) ** 2 + (y / (0.5 * size)) ** 2 < 1
    image[inside] = np.stack([skin, 0.9 * skin, 0.5 * skin], -1)[inside]
    return image


def save(folder: Path, name: str, image: ImageArray) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


class DrawnFaces:
    """Stands in for detector and landmarker: the face is what is not blue."""

    looked_at = 0

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """See `Detector.detect`."""
        (image,) = images
        DrawnFaces.looked_at += 1
        ys, xs = np.nonzero(image[..., 0].astype(int) > image[..., 2])
        if len(ys) < 20:
            return [Detections.empty()]
        box = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float32)
        return [Detections(box, np.ones(1, np.float32), np.full((1, 5, 2), np.nan, np.float32))]

    def locate(self, image: ImageArray, found: Detections) -> tuple[FloatArray, FloatArray]:
        """See `FaceLandmarker.locate`."""
        points = []
        for x0, y0, x1, y1 in found.boxes.tolist():
            kp = ibug((x0 + x1) / 2, (y0 + y1) / 2, y1 - y0, mouth=0.05, lids=0.04)
            points.append(face_points(kp[None].astype(np.float32), np.zeros((1, 4, 3), np.float32))[0])
        return np.array(points, np.float32).reshape(-1, 30, 2), np.ones((len(found), 30), np.float32)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that know drawn faces."""
    DrawnFaces.looked_at = 0
    monkeypatch.setattr(crops, "build_detector", lambda *_, **__: DrawnFaces())
    monkeypatch.setattr(crops.FaceLandmarker, "shipped", lambda *_: DrawnFaces())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight people, one photo each."""
    for i in range(8):
        save(tmp_path / "photos", f"{i}.png", draw(i))
    return tmp_path / "photos"


def contents(target: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(target.iterdir())}


def refused(target: Path) -> dict[str, list[str]]:
    """Reasons by photo."""
    lines = [line.split(",") for line in (target / "refused.csv").read_text().splitlines()[1:]]
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(line[0], []).append(line[2])
    return found


@pytest.fixture(scope="module")
def cutter() -> FaceCutter:
    """The networks that ship."""
    return FaceCutter(LIMITS, device="cpu", threads=1)


def at(face: Face, name: str) -> np.ndarray:
    return np.array(face.points).reshape(30, 2)[FACE_POINT_INDEX[name]]


def the_face(found: list[Face]) -> Face:
    (face,) = (face for face in found if not face.refused)
    return face


def bits(a: bytes, b: bytes) -> float:
    """Share of differing bits of the hash in which more do."""
    half = len(a) // 2
    halves = ((a[:half], b[:half]), (a[half:], b[half:]))
    return max(int.bit_count(int.from_bytes(x) ^ int.from_bytes(y)) for x, y in halves) / alike.BITS


@pytest.mark.parametrize("degrees", [0, 18, -18])
def test_a_face_is_cut_upright_with_its_points_on_it(cutter: FaceCutter, degrees: float) -> None:
    """Eyes are level, mouth below nose below eyes, box in the middle, in a crop of 1.5 to 2.2 face sizes."""
    face = the_face(cutter.cut(turned(portrait(), degrees)))
    right, left, nose, mouth = (at(face, n) for n in ("right_eye", "left_eye", "nose", "mouth_left"))
    assert abs(math.degrees(math.atan2(*(left - right)[::-1]))) < 4
    assert right[1] < nose[1] < mouth[1]
    assert 35 < left[0] - right[0] < 70
    box = np.array(face.crop_box)
    assert np.abs((box[:2] + box[2:]) / 2 - 128).max() < 2
    assert 1.49 < 256 / (box[2:] - box[:2]).max() < 2.21
    # her face is 115 px high in a picture of 512
    assert 1.4 * 105 < face.native_px < 2.3 * 130


def test_the_points_are_those_of_the_crop(cutter: FaceCutter) -> None:
    """The shipped landmarker finds them again in the crop itself, two px off at most."""
    face = the_face(cutter.cut(portrait()))
    crop = save_crop(face)
    box = np.array([face.crop_box], np.float32)
    five = np.array(face.points, np.float32).reshape(1, 30, 2)[:, :5]
    again, _ = crops.FaceLandmarker.shipped("cpu").locate(crop, Detections(box, np.ones(1, np.float32), five))
    assert np.abs(again[0][ON_FACE] - np.array(face.points).reshape(30, 2)[ON_FACE]).max() < 4
    assert np.abs(again[0][ON_FACE] - np.array(face.points).reshape(30, 2)[ON_FACE]).mean() < 1


def save_crop(face: Face) -> ImageArray:
    return np.asarray(cv2.imdecode(np.frombuffer(face.crop, np.uint8), cv2.IMREAD_COLOR)[..., ::-1], np.uint8)


def test_copies_hash_alike_and_other_people_do_not(cutter: FaceCutter) -> None:
    """Recompressed, smaller, brighter, cropped, turned: one photo. A mirrored copy is known by its mirrored hash."""
    image = portrait()
    first = the_face(cutter.cut(image))
    _, packed = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 30])
    copies = {
        "jpeg": cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1],
        "smaller": cv2.resize(image, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA),
        "brighter": np.clip(image * 1.2 + 10, 0, 255).astype(np.uint8),
        "cropped": image[20:420, 40:480],
        "turned": turned(image, 8),
    }
    for name, copy in copies.items():
        assert bits(first.hash, the_face(cutter.cut(np.ascontiguousarray(copy))).hash) <= alike.SAME, name
    mirrored = the_face(cutter.cut(np.ascontiguousarray(image[:, ::-1])))
    assert bits(first.hash, mirrored.hash) > 1.5 * alike.KIN
    assert bits(first.hash, mirrored.mirrored) <= alike.SAME
    others = [alike.difference_hash(cv2.cvtColor(draw(i), cv2.COLOR_RGB2GRAY))[0] for i in range(6)]
    assert min(bits(a, b) for i, a in enumerate(others) for b in others[:i]) > alike.KIN


@pytest.mark.parametrize(
    ("reason", "image"),
    [
        ("too small", cv2.resize(portrait(), (250, 250), interpolation=cv2.INTER_AREA)),
        ("not sharp", cv2.GaussianBlur(portrait(), (0, 0), 4)),
        ("too near the edge", portrait()[52:, 158:]),
        ("face cut off", portrait()[90:, 60:420]),
    ],
)
def test_a_face_of_no_use_is_refused_with_its_measure(cutter: FaceCutter, reason: str, image: ImageArray) -> None:
    """Small, soft, cut off by the photo's edge: no crop, but why."""
    (face,) = cutter.cut(np.ascontiguousarray(image))
    assert face.refused == reason
    assert not face.crop
    assert face.value != face.limit


def test_a_head_turned_further_than_asked_is_refused() -> None:
    """--max-roll is about the face in its photo, not in its crop."""
    strict = FaceCutter(msgspec.structs.replace(LIMITS, roll=15.0), device="cpu", threads=1)
    (face,) = strict.cut(turned(portrait(), 20))
    assert face.refused == "head tilted"
    assert face.value == pytest.approx(20, abs=6)


@pytest.mark.usefixtures("drawn")
def test_a_set_is_what_the_trainings_take(folder: Path, tmp_path: Path) -> None:
    """Both splits load; points stand where they were found; the record says licence and source."""
    target = tmp_path / "set"
    summary = build(folder, target, msgspec.structs.replace(OPTIONS, look=5))
    assert summary.faces == 8
    assert sorted(summary.splits) == ["train", "val"]
    faces = load_faces(target, px=128, split="train")
    assert len(faces) == summary.splits["train"]
    right, left = (faces.points[:, FACE_POINT_INDEX[n]] for n in ("right_eye", "left_eye"))
    np.testing.assert_allclose((left - right)[:, 0], 0.38 / 2.0, atol=0.01)  # 2.0 sizes: as wide as the photo allows
    np.testing.assert_allclose((faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2, 0.5, atol=0.01)
    assert np.isnan(faces.points[:, FACE_POINT_INDEX["left_ear"]]).all(), "unknown stays unknown"
    of_detector = read_faces(target, part="val")
    assert len(of_detector) == summary.splits["val"]
    assert np.isfinite(of_detector[0].points[:5]).all()
    record = json.loads((target / "dataset.json").read_text())
    assert (record["licence"], record["source"]) == ("CC0 1.0", "drawn for a test")
    assert record["photos"] == record["faces"] == 8
    assert set(record["weights"]) == {"detector", "landmarks"}
    with Image.open(target / "look.png") as sheet:
        assert sheet.size == (5 * 192, 192)


@pytest.mark.usefixtures("drawn")
def test_the_same_photos_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """Twice in a row; and pictures and split do not hang on what the photos are called."""
    first, second, renamed = (build_into(folder, tmp_path / name) for name in ("a", "b", "c"))
    assert contents(first) == contents(second) == contents(renamed)
    for path in list(folder.iterdir()):
        path.rename(path.with_name(f"IMG {9 - int(path.stem)}.png"))
    again = contents(build_into(folder, tmp_path / "d"))
    assert again["images-0.zip"] == contents(first)["images-0.zip"]
    assert (read_labels(tmp_path / "d")["split"] == read_labels(first)["split"]).all()


def build_into(folder: Path, target: Path, options: BuildOptions = OPTIONS, **more: Any) -> Path:
    build(folder, target, options, **more)
    return target


@pytest.mark.usefixtures("drawn")
def test_a_stopped_build_goes_on_and_leaves_nothing_half(folder: Path, tmp_path: Path) -> None:
    """Ctrl-C after three photos: no set; then the other five are looked at, and the bytes are those of one sitting."""
    whole = contents(build_into(folder, tmp_path / "whole"))

    def stop(event: BuildProgress) -> None:
        if event.done == 3:
            raise KeyboardInterrupt

    target = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt):
        build(folder, target, OPTIONS, listen=stop)
    assert not target.exists()
    DrawnFaces.looked_at = 0
    seen: list[BuildProgress] = []
    build(folder, target, OPTIONS, listen=seen.append)
    assert seen[0] == BuildProgress(done=3, total=8, before=3, faces=3)
    assert DrawnFaces.looked_at == 2 * 5, "twice each: in the photo and in its crop"
    assert contents(target) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "set", "whole"]


@pytest.mark.usefixtures("drawn")
def test_what_was_found_under_other_limits_is_not_taken_over(folder: Path, tmp_path: Path) -> None:
    """A second try with another --min-face looks at every photo again."""

    def stop(event: BuildProgress) -> None:
        if event.done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(folder, tmp_path / "set", OPTIONS, listen=stop)
    DrawnFaces.looked_at = 0
    build(folder, tmp_path / "set", msgspec.structs.replace(OPTIONS, min_face_px=80.0))
    assert DrawnFaces.looked_at == 2 * 8


@pytest.mark.usefixtures("drawn")
def test_a_full_disk_leaves_no_set_and_loses_no_work(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The labels do not fit any more: one error with what to do; afterwards no photo is looked at again."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(dataset.np, "savez", full)
        with pytest.raises(OutputError, match="No space left") as caught:
            build(folder, tmp_path / "set", OPTIONS)
    assert "free some space" in str(caught.value.hint)
    assert not (tmp_path / "set").exists()
    DrawnFaces.looked_at = 0
    build(folder, tmp_path / "set", OPTIONS)
    assert DrawnFaces.looked_at == 0


@pytest.mark.usefixtures("drawn")
def test_copies_are_taken_once_and_the_best_one_stays(folder: Path, tmp_path: Path) -> None:
    """The same file, the same picture recompressed or smaller or mirrored; each is named with what is there instead."""
    shutil.copy(folder / "0.png", folder / "copy of 0.png")
    Image.open(folder / "1.png").save(folder / "one.jpg", quality=60)
    save(folder, "2 small.png", np.asarray(cv2.resize(draw(2, px=400, size=200), (600, 600)), np.uint8))
    save(folder, "3 mirrored.png", np.ascontiguousarray(draw(3)[:, ::-1]))
    target = build_into(folder, tmp_path / "set")
    found = refused(target)
    assert found.pop("copy of 0.png") == ["same file"]
    assert found.pop("one.jpg") == ["near duplicate"], "the file with more in it stays"
    assert found.pop("2.png") == ["near duplicate"], "the larger face stays"
    assert list(found.values()) == [["near duplicate"]]
    assert next(iter(found)) in {"3.png", "3 mirrored.png"}
    assert len(read_labels(target)["split"]) == 8


@pytest.mark.usefixtures("drawn")
def test_near_duplicates_are_never_on_both_sides(tmp_path: Path) -> None:
    """Ten people in three photos each, alike but not the same: each person is on one side; some are on each."""
    for i in range(10):
        base = draw(i)
        for k in range(3):
            other = draw(100 + 10 * i + k).astype(np.float32)
            mixed = np.where(base == BLUE, base, 0.86 * base + 0.14 * other)
            save(tmp_path / "photos", f"{i}-{k}.png", mixed.astype(np.uint8))
    options = msgspec.structs.replace(OPTIONS, val_share=0.4)
    labels = read_labels(build_into(tmp_path / "photos", tmp_path / "set", options))
    sides: dict[str, set[str]] = {}
    for key, side in zip(labels["key"], labels["split"], strict=True):
        sides.setdefault(key[0], set()).add(side)
    assert all(len(side) == 1 for side in sides.values())
    assert len(set.union(*sides.values())) == 2


@pytest.mark.usefixtures("drawn")
def test_people_in_folders_stay_together(tmp_path: Path) -> None:
    """Photos that look nothing alike, of one person because a folder says so."""
    for i in range(6):
        for k in range(4):
            save(tmp_path / "photos", f"person {i}/{k}.png", draw(10 * i + k))
    options = msgspec.structs.replace(OPTIONS, val_share=0.4, people_in_folders=True)
    labels = read_labels(build_into(tmp_path / "photos", tmp_path / "set", options))
    sides = {(key.split("/")[0], side) for key, side in zip(labels["key"], labels["split"], strict=True)}
    assert len(sides) == 6
    apart = read_labels(
        build_into(tmp_path / "photos", tmp_path / "apart", msgspec.structs.replace(OPTIONS, val_share=0.4))
    )
    assert len({(k.split("/")[0], s) for k, s in zip(apart["key"], apart["split"], strict=True)}) > 6


def test_later_photos_move_nobody_to_the_other_side() -> None:
    """The side of a group hangs on its own smallest hash alone, as long as neither side is empty."""
    random = np.random.default_rng(0)
    digests = [random.bytes(32).hex() for _ in range(400)]
    few = alike.split(list(range(200)), digests[:200], val_share=0.2)
    many = alike.split(list(range(400)), digests, val_share=0.2)
    assert many[:200] == few
    assert 0.14 < Counter(many)["val"] / 400 < 0.26
    assert sorted(alike.split([0, 1], digests[:2], val_share=0.001)) == ["train", "val"]
    assert sorted(alike.split([0, 1], digests[:2], val_share=0.999)) == ["train", "val"]


def test_pairs_are_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Near pairs, mirrored ones too, whatever the block; a group is named by its first member."""
    random = np.random.default_rng(1)
    hashes = [random.bytes(128) for _ in range(40)]
    mirrored = [random.bytes(128) for _ in range(40)]
    hashes[31] = hashes[4]
    mirrored[7] = hashes[22]
    mirrored[22] = hashes[7]
    whole = list(alike.pairs(hashes, mirrored))
    assert [(i, j) for i, j, _ in whole] == [(4, 31), (7, 22)]
    monkeypatch.setattr(alike, "BLOCK", 7)
    assert sorted(alike.pairs(hashes, mirrored)) == whole
    assert alike.groups(5, [(3, 1), (4, 3)]) == [0, 1, 2, 1, 1]
    assert alike.best_of_each([2, 1, 0], [(0, 1, 0.1), (1, 2, 0.1)]) == {1: 2}, "0 is like 1 only, which is gone"


def test_photos_are_read_as_they_are_meant_to_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EXIF turns, 16 bits, transparency, the first picture of an animation, CMYK; a huge JPEG at half its size."""
    image = draw(1)
    image[:60, :60] = (250, 10, 10)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(image).copy()).save(tmp_path / "turned.png", exif=exif)
    assert (photos.read_photo(tmp_path / "turned.png").image == image).all()
    grey = np.asarray(Image.fromarray(image).convert("L"))
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert (photos.read_photo(tmp_path / "deep.png").image == grey[:, :, None]).all()
    Image.fromarray(np.dstack([image, np.full((200, 200), 0, np.uint8)])).save(tmp_path / "clear.png")
    assert (photos.read_photo(tmp_path / "clear.png").image == 128).all()
    frames = [Image.fromarray(picture).convert("P") for picture in (image, draw(2))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert photos.read_photo(tmp_path / "a.gif").image[10, 10, 0] > 200
    Image.fromarray(image).convert("CMYK").save(tmp_path / "a.tif")
    assert np.abs(photos.read_photo(tmp_path / "a.tif").image.astype(int) - image).mean() < 4
    Image.fromarray(image).save(tmp_path / "a.jpg", quality=95)
    assert photos.read_photo(tmp_path / "a.jpg").scale == 1
    monkeypatch.setattr(photos, "DRAFT_PX", 200 * 200 - 1)
    half = photos.read_photo(tmp_path / "a.jpg")
    assert half.scale == 0.5
    assert half.image.shape == (100, 100, 3)


@pytest.mark.usefixtures("drawn")
def test_whatever_lies_in_the_folder_the_build_goes_on(folder: Path, tmp_path: Path) -> None:
    """Broken, empty, foreign, endless files: refused by name, none of them stops the others."""
    whole = (folder / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.webp").write_text("no picture")
    (folder / "notes.txt").write_text("no photo")
    (folder / "phone.HEIC").write_bytes(b"not read")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "pipe.jpg")
    save(folder, "nobody.png", np.full((90, 90, 3), BLUE, np.uint8))
    save(folder, "one.png", np.zeros((1, 1, 3), np.uint8))
    save(folder / ".trash", "deleted.png", draw(77))
    target = build_into(folder, tmp_path / "set")
    assert refused(target) == {
        "cut.png": ["damaged"],
        "empty.jpg": ["not a picture"],
        "text.webp": ["not a picture"],
        "gone.png": ["not a file"],
        "pipe.jpg": ["not a file"],
        "nobody.png": ["no face"],
        "one.png": ["no face"],
    }
    summary = check_set(target)
    assert summary.faces == 8
    assert summary.record is not None
    assert summary.record.other_files == {".heic": 1, ".txt": 1}


@pytest.mark.usefixtures("drawn")
def test_what_cannot_be_built_is_said_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    """No folder, no pictures, no faces, nobody to hold out, an output that is there or would be read as input."""
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="no such folder"):
        build(tmp_path / "nowhere", tmp_path / "set", OPTIONS)
    with pytest.raises(InputError, match="no picture in this folder"):
        build(empty, tmp_path / "set", OPTIONS)
    save(tmp_path / "sky", "0.png", np.full((90, 90, 3), BLUE, np.uint8))
    with pytest.raises(InputError, match="no usable face in 1 pictures: 1 no face"):
        build(tmp_path / "sky", tmp_path / "set", OPTIONS)
    save(tmp_path / "one", "0.png", draw(0))
    with pytest.raises(InputError, match="none can be held out"):
        build(tmp_path / "one", tmp_path / "set", OPTIONS)
    with pytest.raises(OutputError, match="exists already"):
        build(folder, empty, OPTIONS)
    with pytest.raises(OutputError, match="lies in the folder of the photos"):
        build(folder, folder / "sets" / "mine", OPTIONS)
    with pytest.raises(OutputError, match="no such folder"):
        build(folder, tmp_path / "missing" / "set", OPTIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "one", "photos", "sky"]


@pytest.mark.usefixtures("drawn")
def test_a_set_that_is_not_whole_is_refused_before_a_training(folder: Path, tmp_path: Path) -> None:
    """A missing picture, labels of other lengths, one side of the split missing, no labels, a damaged record."""
    target = build_into(folder, tmp_path / "set")
    labels = read_labels(target)

    def changed(name: str, **arrays: np.ndarray) -> Path:
        shutil.copytree(target, tmp_path / name)
        np.savez(tmp_path / name / "labels.npz", **{**labels, **arrays})
        return tmp_path / name

    with pytest.raises(InputError, match="box has not 8 rows"):
        check_set(changed("short", box=labels["box"][:7]))
    with pytest.raises(InputError, match="no val faces"):
        check_set(changed("all", split=np.array(["train"] * 8)))
    longer = {name: np.concatenate([array, array[:1]]) for name, array in labels.items()}
    with pytest.raises(InputError, match=r"no picture 00008\.webp"):
        check_set(changed("lost", **longer))
    with pytest.raises(InputError, match=r"no labels\.npz"):
        check_set(folder)
    (target / "dataset.json").write_text("{")
    with pytest.raises(InputError, match=r"dataset\.json cannot be read"):
        check_set(target)


@pytest.mark.usefixtures("drawn")
def test_weights_carry_the_licence_of_what_they_learned_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From dataset.json into the manifest's words and onto stderr; a set without one keeps the words given."""
    target = build_into(folder, tmp_path / "set")
    count = int((read_labels(target)["split"] == "train").sum())
    said = provenance(target, {"licence": "Apache-2.0", "data": "ours"})
    assert said == {
        "licence": "to be chosen within that of the data: CC0 1.0",
        "data": f"{count} training faces: drawn for a test (CC0 1.0)",
    }
    announce(target)
    assert "licence: CC0 1.0; source: drawn for a test" in capsys.readouterr().err
    other = write_faces(tmp_path / "faces")
    assert provenance(other, {"licence": "Apache-2.0", "data": "ours"}) == {"licence": "Apache-2.0", "data": "ours"}
    assert check_set(other).record is None


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


@pytest.mark.usefixtures("drawn")
def test_the_verbs(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Licence and source are asked for; the summary is data on stdout; show draws a sheet."""
    target = tmp_path / "set"
    assert run("dataset", "build", str(folder), "-o", str(target), "--source", "me") == 2
    assert "--licence" in capsys.readouterr().err
    assert run("dataset", "build", str(folder), "-o", str(target), "--licence", " ", "--source", "me") == 2
    base = ["dataset", "build", str(folder), "-o", str(target), "--licence", "my own", "--source", "me", "--look", "0"]
    assert run(*base, "--val-share", "1") == 2
    assert "--val-share 1.0 is not allowed" in capsys.readouterr().err
    assert run(*base, "--progress", "none") == 0
    out = capsys.readouterr().out
    assert "my own" in out
    assert run("dataset", "show", str(target), "--look", str(tmp_path / "look.png")) == 0
    assert capsys.readouterr().out == out
    assert (tmp_path / "look.png").exists()
    assert run("dataset", "show", str(target), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["record"]["licence"] == "my own"
    assert sum(document["native_px"].values()) == sum(document["splits"].values()) == 8
    assert run(*base) == 4


def test_a_killed_build_goes_on(tmp_path: Path) -> None:
    """SIGKILL in a process of its own, networks and all: what was looked at is there for the next one."""
    for i in range(4):
        save(tmp_path / "photos", f"{i}.png", turned(portrait(), 6 * i)[:, :: (-1) ** i].copy())
    script = (
        "import os, sys, signal; from pathlib import Path; from vidanon.train.dataset import *\n"
        "def die(e):\n"
        "    if e.done == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "options = BuildOptions(licence='x', source='y')\n"
        "build(Path(sys.argv[1]), Path(sys.argv[2]), options, version='1.2.3', threads=1, listen=die)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "photos"), str(tmp_path / "set")]
    assert subprocess.run(command, check=False, cwd=Path(__file__).parent.parent).returncode == -9
    assert not (tmp_path / "set").exists()
    seen: list[BuildProgress] = []
    with pytest.raises(InputError, match="1 usable faces, all of one photo"):  # one person, however she is turned
        build(tmp_path / "photos", tmp_path / "set", BuildOptions(licence="x", source="y"), listen=seen.append)
    assert seen[0].before == 2
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
