"""Labelled face pictures for training, read once.

In: a folder with `images-*.zip` (or loose pictures) of `NNNNN.webp` and `labels.npz` (70 keypoints, ears and
shoulders, or our 30 points; face box, source, split). Out: `Faces`, which train/batches.py cuts crops from.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidanon.errors import InputError
from vidanon.geometry import Array
from vidanon.render.align import face_pose
from vidanon.render.mask import outline_px
from vidanon.train.turning import Turned, some_yaw, turned
from vidanon.types import FACE_POINT_INDEX, FACE_POINTS, FloatArray, ImageArray

IBUG: dict[str, tuple[int, ...]] = {
    "right_eye": tuple(range(36, 42)),
    "left_eye": tuple(range(42, 48)),
    "nose": (30,),
    "mouth_right": (48,),
    "mouth_left": (54,),
    "right_pupil": (68,),
    "left_pupil": (69,),
    "right_lid_upper": (37, 38),
    "right_lid_lower": (40, 41),
    "left_lid_upper": (43, 44),
    "left_lid_lower": (46, 47),
    "lip_upper_inner": (62,),
    "lip_lower_inner": (66,),
    "right_brow_outer": (17,),
    "right_brow_inner": (21,),
    "left_brow_inner": (22,),
    "left_brow_outer": (26,),
    **{f"jaw_{i}": (2 * i,) for i in range(9)},
}
"""FACE_POINTS as means of the iBUG-68 mark-up plus two pupils; ears and shoulders come from the `pose` labels."""
POSE = ("right_ear", "left_ear", "right_shoulder", "left_shoulder")
SYNTHETIC = ("t2i", "sfhq")
LARGE = 0.97
"""Of a picture's side that a crop had in its source: below it, its finest px are made up."""
TIGHT = 0.03
"""Margin of the smallest mask that is trained on, in face sizes ..."""
WIDEST = 0.24
"""... and how much may come on top: `RenderSettings.mask_margin` and the guard band of small faces."""


def _mirror_name(name: str) -> str:
    if name.startswith("jaw_"):
        return f"jaw_{8 - int(name[4:])}"
    swap = {"right": "left", "left": "right"}
    return "_".join(swap.get(part, part) for part in name.split("_"))


MIRROR = [FACE_POINT_INDEX[_mirror_name(name)] for name in FACE_POINTS]
"""Index of each point's counterpart in a mirrored picture."""


@dataclass(frozen=True, slots=True)
class Faces:
    """A labelled set in memory."""

    images: ImageArray
    """[N, S, S, 5] uint8: RGB; how far each pixel lies outside the tight mask (255 = WIDEST face sizes or more); 255
    where nothing is known"""
    points: FloatArray
    """[N, 30, 2] in 0..1 of the picture, NaN where unknown"""
    boxes: FloatArray
    """[N, 4] xyxy in 0..1 of the picture"""
    poses: FloatArray
    """[N, 4] cx, cy, size (0..1 of the picture), roll (radians)"""
    weights: FloatArray
    """[N] sampling weight: both halves, synthetic and portraits, count alike; closed eyes and open mouths for more"""
    people: NDArray[np.intp]
    """[N] whose picture it is: row of the picture as it was, which comes before all turned ones"""
    patterns: NDArray[np.bool_]
    """[people] who is synthetic, and was no smaller than stored: what is taken from them shows nobody who lives"""

    def __len__(self) -> int:
        return len(self.images)


def face_points(kp: NDArray[np.floating], pose: NDArray[np.floating]) -> FloatArray:
    """[N, 30, 2] px in the order of FACE_POINTS from labels kp [N, 70, 2] and pose [N, 4, 3]."""
    out = np.full((len(kp), len(FACE_POINTS), 2), np.nan, np.float32)
    for name, rows in IBUG.items():
        out[:, FACE_POINT_INDEX[name]] = kp[:, list(rows)].mean(1)
    for row, name in enumerate(POSE):
        visible = pose[:, row, 2] > 0.3
        out[visible, FACE_POINT_INDEX[name]] = pose[visible, row, :2]
    return out


def set_points(labels: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]) -> FloatArray:
    """[N, 30, 2] px of some rows of a set's labels: its `points` where it has them, else from `kp` and `pose`."""
    if "points" in labels:
        return np.asarray(labels["points"][rows], np.float32)
    kp, pose = (labels[name][rows].astype(np.float32) for name in ("kp", "pose"))
    return face_points(kp, pose)


def labels_of(folder: Path) -> dict[str, NDArray[Any]]:
    """The labels of a set. Raises InputError if the folder is not one."""
    path = folder / "labels.npz"
    if not path.is_file():
        raise InputError(f"no labels.npz in {folder}", hint="name the folder of a face data set")
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def pictures(folder: Path, rows: NDArray[np.intp]) -> Iterator[ImageArray]:
    """The pictures [S, S, 3] of some rows of a set, in their order. Raises InputError for one that cannot be read."""
    with ExitStack() as stack:
        archives = [stack.enter_context(zipfile.ZipFile(p)) for p in sorted(folder.glob("images-*.zip"))]
        where = {Path(n).name: (a, n) for a in archives for n in a.namelist()}
        for row in rows:
            name = f"{row:05d}.webp"
            try:
                data = where[name][0].read(where[name][1]) if name in where else (folder / name).read_bytes()
                yield np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            except OSError as e:
                raise InputError(f"picture {name} of {folder} cannot be read: {e}") from e


def has_depth(labels: Mapping[str, NDArray[Any]]) -> bool:
    """Whether the heads of a set can be turned (train/turning.py)."""
    return {"kp", "z", "pose"} <= set(labels)


def in_depth(
    labels: Mapping[str, NDArray[Any]], row: int, side: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """What `turning.turned` is told of a row whose picture is `side` px: kp [70, 2], z [70], pose [4, 3], box [4]."""
    kp, z, pose, box = (labels[name][row].astype(np.float32) for name in ("kp", "z", "pose", "box"))
    return kp, z * np.float32(side), pose, box


def load_faces(
    folder: Path, *, px: int, split: str, limit: int | None = None, turned_heads: int = 0, seed: int = 0
) -> Faces:
    """The faces of one split ("train" or "val"), resized to `px`, and `turned_heads` of them again, turned in depth.

    Turning (train/turning.py) wants labels with depth; in a set without it no head is turned. Raises InputError if the
    folder is not such a set.
    """
    labels = labels_of(folder)
    rows = np.flatnonzero(labels["split"] == split)[:limit]
    points, box = set_points(labels, rows), labels["box"][rows].astype(np.float32)
    synthetic = np.isin(labels["source"][rows], SYNTHETIC)
    rng = np.random.default_rng(seed)
    most = len(rows) if has_depth(labels) else 0
    again = rng.choice(len(rows), min(turned_heads, most), replace=False)
    total = len(rows) + len(again)
    images, poses = np.empty((total, px, px, 5), np.uint8), np.empty((total, 4), np.float32)
    points, box = (np.concatenate([a, a[again]]) for a in (points, box))
    place = {int(i): len(rows) + n for n, i in enumerate(again)}
    for i, picture in enumerate(pictures(folder, rows)):
        side = picture.shape[0]
        images[i], poses[i] = _stored(picture, None, points[i], box[i], px)
        points[i] /= side
        if i in place:
            n = place[i]
            t = _turned(picture, labels, int(rows[i]), rng)
            points[n], box[n] = face_points(t.kp[None], t.pose[None])[0], t.box
            images[n], poses[n] = _stored(t.image, t.known, points[n], t.box, px)
            points[n] /= side
        box[i] /= side
    box[len(rows) :] /= side
    share = np.clip(synthetic.mean(), 0.05, 0.95)
    weights = np.where(synthetic, 0.5 / share, 0.5 / (1 - share)).astype(np.float32) * rarity(points[: len(rows)])
    people = np.concatenate([np.arange(len(rows)), again])
    weights = weights[people]
    large = labels["native_px"][rows] >= LARGE * side if "native_px" in labels else np.ones(len(rows), np.bool_)
    return Faces(images, points, box, poses, weights / weights.sum(), people, synthetic & large)


def rarity(points: FloatArray) -> FloatArray:
    """[N] how often to show a face [N, 30, 2] for what it does: who poses for a portrait looks, and says nothing."""

    def at(name: str) -> FloatArray:
        return points[:, FACE_POINT_INDEX[name]]

    def apart(one: str, other: str) -> FloatArray:
        return np.asarray(np.linalg.norm(at(one) - at(other), axis=-1), np.float32)

    scale = np.maximum(np.hypot(apart("right_eye", "left_eye"), apart("nose", "jaw_4")), 1e-6)
    lids = (apart("right_lid_upper", "right_lid_lower") + apart("left_lid_upper", "left_lid_lower")) / scale
    lips = apart("lip_upper_inner", "lip_lower_inner") / scale
    with np.errstate(invalid="ignore"):
        shut, speaking = lids < np.nanquantile(lids, 0.06), lips > np.nanquantile(lips, 0.9)
    return np.where(shut, 4.0, np.where(speaking, 2.0, 1.0)).astype(np.float32)


def _stored(
    picture: ImageArray, known: NDArray[np.bool_] | None, points: FloatArray, box: FloatArray, px: int
) -> tuple[ImageArray, FloatArray]:
    """([px, px, 5] as `Faces.images`, [4] as `Faces.poses`) of a picture with points and box in its px."""
    side = picture.shape[0]
    pose = face_pose(box, points)
    out = np.zeros((px, px, 5), np.uint8)
    out[..., :3] = picture if side == px else cv2.resize(picture, (px, px), interpolation=cv2.INTER_AREA)
    out[..., 3] = _mask_distance(outline_px(pose, points, margin=TIGHT) * px / side, px, pose.size * px / side)
    if known is not None:
        gaps = np.where(known, np.uint8(0), np.uint8(255))
        out[..., 4] = np.where(cv2.resize(gaps, (px, px), interpolation=cv2.INTER_AREA) > 0, 255, 0)
    return out, np.array([pose.cx / side, pose.cy / side, pose.size / side, pose.roll], np.float32)


def _turned(picture: ImageArray, labels: Mapping[str, NDArray[Any]], row: int, rng: np.random.Generator) -> Turned:
    """A head turned as far as its photo allows, and a little up or down."""
    kp, z, pose, box = in_depth(labels, row, picture.shape[0])
    yaw = max((some_yaw(kp, z, rng) for _ in range(2)), key=abs)
    return turned(picture, kp, z, pose, box, yaw=yaw, pitch=float(rng.uniform(-18, 18)), rng=rng)


def _mask_distance(outline: Array, px: int, size: float) -> ImageArray:
    """[px, px] distance to a convex outline [N, 2] px, as stored in `Faces.images`."""
    canvas = np.ones((px, px), np.uint8)
    cv2.fillConvexPoly(canvas, np.round((outline - 0.5) * 256).astype(np.int32), 0, shift=8)
    away = cv2.distanceTransform(canvas, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) / (size * WIDEST)
    return np.asarray(np.clip(away * 255, 0, 255), np.uint8)
