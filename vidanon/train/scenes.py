"""Training scenes for the detector, composed on the fly.

In: a data folder (`faces/` with labels, `crowd-dev/` with `boxes.json`) and, optionally, a file of
pseudo-labelled pictures made by `vidanon.train.pseudo`. Out: square uint8 RGB scenes with face boxes,
five keypoints (NaN where nobody knows them) and ignore flags.

Portraits alone teach a detector portraits. A scene is therefore a crop of a real picture (or a mosaic of
several, or texture) with its own labelled faces, more faces pasted in at any size and tilt, things that are
not faces, things that cover faces, and then the damage a camera and an encoder do. Everything decoded is
kept in memory, for a scene may cost only a few milliseconds.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vidanon import geometry
from vidanon.detect.labelled import names_of, split
from vidanon.errors import InputError
from vidanon.train.covering import Covered, occlude
from vidanon.train.damage import damage, distract, smear, texture
from vidanon.train.faces import MIRROR
from vidanon.train.labelled import Labelled, read_pictures, read_pseudo
from vidanon.train.portraits import FaceCrop, halved, read_faces
from vidanon.train.scene import Scene
from vidanon.train.torsos import dress
from vidanon.types import FIVE_POINTS, FloatArray, ImageArray

LABELLED_WEIGHT = 3
"""how much oftener a labelled picture is drawn than a pseudo-labelled one"""
CALM_ZOOM = (0.8, 2.0)
"""Pixels of a calm scene for each px of the picture: what a detector that looks for small faces makes of it."""
NOTICED = 6
"""A place whose grey levels changed by more than this was drawn upon."""
DRESSED, DRESSED_PX = 0.35, 14
"""How many of the pasted faces get a torso, and from what size on."""
MIRRORED, UNMIRRORED = MIRROR[: len(FIVE_POINTS)], list(range(len(FIVE_POINTS)))
"""Order of the five points after a mirror, where the subject's right becomes the left, and without one."""


def paste_masks() -> list[tuple[FloatArray, ...]]:
    """Alpha masks of a face crop at 256, 128, 64, 32 px: soft square, hard square, head-shaped oval."""
    ramp = np.minimum(np.arange(256) + 0.5, 255.5 - np.arange(256)).astype(np.float32)
    soft = np.clip(ramp / 24, 0, 1)
    grid = (np.arange(256) + 0.5) / 128 - 1
    oval = np.clip((1.0 - np.hypot(grid[None, :] * 1.05, grid[:, None] * 0.98)) * 6, 0, 1).astype(np.float32)
    masks = []
    for full in (np.minimum.outer(soft, soft), np.ones((256, 256), np.float32), oval):
        full[[0, -1]], full[:, [0, -1]] = 0, 0
        shrunk = (cv2.resize(full, (s, s), interpolation=cv2.INTER_AREA) for s in (256, 128, 64, 32))
        masks.append(tuple(np.asarray(mask, np.float32) for mask in shrunk))
    return masks


def tilt(rng: Generator) -> float:
    """How far a pasted face is turned, radians: mostly upright, often leaning, sometimes lying."""
    lean = rng.random()
    if lean < 0.5:
        return float(np.radians(rng.normal(0, 9)))
    return float(np.radians(rng.uniform(-60, 60) if lean < 0.8 else rng.uniform(-120, 120)))


def turned_half(width: float, height: float, angle: float) -> FloatArray:
    """Half width and height of the box around a face turned by `angle`: that of the oval in its box, not of the box."""
    cos, sin = np.cos(angle), np.sin(angle)
    half = np.array([np.hypot(width * cos, height * sin), np.hypot(width * sin, height * cos)]) / 2
    return np.asarray(half, np.float32)


def covered(before: ImageArray, after: ImageArray, points: FloatArray) -> NDArray[np.bool_]:
    """[N] whether something was drawn over the 3x3 px around a point [N, 2]."""
    h, w = before.shape[:2]
    column, row = np.clip(np.floor(points), 0, (w - 1, h - 1)).astype(int).T
    changed = cv2.blur(cv2.absdiff(before, after).max(2), (3, 3)) > NOTICED
    return np.asarray(changed[row, column], np.bool_)


class Composer:
    """Makes scenes of `px` x `px` from face crops and labelled pictures; `rng` is all its randomness.

    `calm` is the share of scenes that are a plain window of a picture, about as large as a detector is shown it.
    """

    def __init__(self, faces: list[FaceCrop], pictures: list[Labelled], *, rng: Generator) -> None:
        if not faces and not pictures:
            raise InputError("no training pictures", hint="the data folder wants faces/ or crowd-dev/")
        self.faces, self.pictures, self.rng = faces, pictures, rng
        self.calm = 0.0
        self.masks = paste_masks()
        # Shrinking a whole picture for every scene would cost more than the rest of the scene.
        self.levels = [halved(p.image, least=64) for p in pictures]

    def scene(self, px: int) -> Labelled:
        """One scene [px, px, 3] with its labels."""
        rng, scene = self.rng, Scene(np.zeros((px, px, 3), np.uint8))
        if rng.random() < self.calm and self.pictures:
            self.fill(scene, (0, 0, px, px), calm=True)
            scene.image = damage(scene.image, rng) if rng.random() < 0.25 else scene.image
            return scene.labelled()
        if rng.random() < 0.3:
            cut_x, cut_y = (int(v) for v in rng.uniform(0.3, 0.7, 2) * px)
            for x0, x1 in ((0, cut_x), (cut_x, px)):
                for y0, y1 in ((0, cut_y), (cut_y, px)):
                    self.fill(scene, (x0, y0, x1, y1))
        else:
            self.fill(scene, (0, 0, px, px))
        if rng.random() < 0.35:
            distract(scene.image, scene.boxes, rng)
        if self.faces:
            closeup = rng.random() < 0.12
            wanted = 1 if closeup else int(rng.choice([0, 1, 2, 3, 5, 8], p=[0.35, 0.2, 0.17, 0.12, 0.1, 0.06]))
            for _ in range(wanted):
                size = (
                    rng.uniform(0.4, 0.85) * px if closeup else float(np.exp(rng.uniform(np.log(8), np.log(0.5 * px))))
                )
                self.paste(scene, size)
        scene.image = damage(scene.image, rng)
        return scene.labelled()

    def fill(self, scene: Scene, window: tuple[int, int, int, int], *, calm: bool = False) -> None:
        """Fills a window with a randomly zoomed crop of a picture and its faces, or with texture (not if `calm`)."""
        rng, (x0, y0, x1, y1) = self.rng, window
        w, h = x1 - x0, y1 - y0
        if not self.pictures or (not calm and rng.random() < 0.08):
            scene.image[y0:y1, x0:x1] = texture(h, w, rng)
            return
        chosen = int(rng.integers(len(self.pictures)))
        source = self.pictures[chosen]
        ih, iw = source.image.shape[:2]
        if len(source.boxes) and rng.random() < 0.7:
            # Aim at one of its faces: at log-uniform size, somewhere in the window.
            b = source.boxes[int(rng.integers(len(source.boxes)))]
            size = max(float(b[2] - b[0]), float(b[3] - b[1]), 1.0)
            zoom = float(np.clip(np.exp(rng.uniform(np.log(9), np.log(min(0.7 * min(w, h), 180)))) / size, 0.35, 4.0))
            aim = np.array([(b[0] + b[2]) / 2, (b[1] + b[3]) / 2])
        else:
            zoom = float(np.exp(rng.uniform(np.log(0.4), np.log(2.5))))
            aim = rng.uniform(0, 1, 2) * (iw, ih)
        if calm:
            zoom = float(np.exp(rng.uniform(*np.log(CALM_ZOOM))))
        zoom = max(zoom, min(w / iw, h / ih) * 0.9)
        offset = rng.uniform(0.15, 0.85, 2) * (w, h) - aim * zoom
        # The picture should fill the window as far as it reaches.
        for axis, (have, need) in enumerate(((iw * zoom, w), (ih * zoom, h))):
            offset[axis] = np.clip(offset[axis], min(need - have, 0), max(need - have, 0))
        matrix = np.array([[zoom, 0, offset[0]], [0, zoom, offset[1]]])
        angle = float(np.radians(rng.uniform(-25, 25))) if not calm and rng.random() < 0.25 else 0.0
        if angle:
            about = geometry.similarity(1.0, angle, (w / 2, h / 2), (w / 2, h / 2))
            matrix = about @ np.vstack([matrix, [0, 0, 1]])
        mirror = rng.random() < 0.5
        if mirror:
            matrix = np.array([[-1.0, 0, w], [0, 1, 0]]) @ np.vstack([matrix, [0, 0, 1]])
        level = int(np.clip(np.ceil(-np.log2(zoom) - 0.25), 0, len(self.levels[chosen]) - 1))
        image = self.levels[chosen][level]
        linear = matrix @ np.diag([iw / image.shape[1], ih / image.shape[0], 1.0])
        # cv2 counts pixel centres as integers, we as half-integers.
        linear = (
            np.array([[1, 0, -0.5], [0, 1, -0.5]])
            @ np.vstack([linear, [0, 0, 1]])
            @ np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        )
        fill = [int(v) for v in rng.integers(0, 256, 3)] if rng.random() < 0.5 else [0, 0, 0]
        mode = cv2.INTER_CUBIC if rng.random() < 0.3 else cv2.INTER_LINEAR
        scene.image[y0:y1, x0:x1] = cv2.warpAffine(image, linear, (w, h), flags=mode, borderValue=fill)
        shift = np.array([x0, y0], np.float32)
        faces = zip(source.boxes, source.points, source.ignore, source.visible, strict=True)
        for box, points, ignore, visible in faces:
            cx, cy, bw, bh = geometry.centre_size(box)
            centre = geometry.apply(matrix, [(cx, cy)])[0] + shift
            half = turned_half(bw, bh, angle) * np.float32(zoom)
            moved = np.concatenate([centre - half, centre + half]).astype(np.float32)
            marks = (geometry.apply(matrix, points) + shift).astype(np.float32)
            order = MIRRORED if mirror else UNMIRRORED
            scene.add(moved, marks[order], visible[order], ignore=bool(ignore), window=window)

    def paste(self, scene: Scene, size: float) -> None:
        """Pastes one face, its box's longer side `size` px, where no other face is; gives up after a few places."""
        rng, px = self.rng, scene.image.shape[0]
        face = self.faces[int(rng.integers(len(self.faces)))]
        cx, cy, w, h = geometry.centre_size(face.box)
        scale = size / max(w, h)
        angle = tilt(rng)
        half = scale * turned_half(w, h, angle)
        for _ in range(6):
            spread = half if rng.random() < 0.85 else half * 0.2
            centre = rng.uniform(np.minimum(spread, px / 2), np.maximum(px - spread, px / 2))
            box = np.concatenate([centre - half, centre + half]).astype(np.float32)
            if scene.free(box):
                break
        else:
            return
        matrix = geometry.similarity(scale, angle, (cx, cy), centre)
        mirror = rng.random() < 0.5
        if mirror:
            matrix = np.array([[-1.0, 0, 2 * centre[0]], [0, 1, 0]]) @ np.vstack([matrix, [0, 0, 1]])
        level = int(np.clip(np.floor(-np.log2(scale)), 0, len(face.levels) - 1))
        corners = geometry.apply(matrix, [(0, 0), (256, 0), (0, 256), (256, 256)])
        x0, y0 = (int(v) for v in np.clip(np.floor(corners.min(0)), 0, px))
        x1, y1 = (int(v) for v in np.clip(np.ceil(corners.max(0)), 0, px))
        if x1 - x0 < 2 or y1 - y0 < 2:
            return
        local = matrix @ np.diag([2.0**level, 2.0**level, 1.0]) @ np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        local[:, 2] -= (x0 + 0.5, y0 + 0.5)
        shape = (x1 - x0, y1 - y0)
        dressed = size > DRESSED_PX and rng.random() < DRESSED
        if dressed:
            chin = geometry.similarity(size, angle + float(rng.normal(0, 0.08)), (0.0, -0.5), centre)
            scene.cover(dress(scene.image, chin, face.tone(), rng), 0, 0)
        patch = cv2.warpAffine(
            face.levels[level], local, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        kind = int(rng.choice(3, p=[0.3, 0.15, 0.55]))
        mask = face.head(level) if dressed else self.masks[kind][level]
        alpha = cv2.warpAffine(mask, local, shape, flags=cv2.INTER_LINEAR)
        if face.known:
            alpha = alpha * (cv2.warpAffine(face.known[level], local, shape, flags=cv2.INTER_LINEAR) / np.float32(255))
        marks = geometry.apply(matrix, face.points).astype(np.float32)
        order = MIRRORED if mirror else UNMIRRORED
        points, visible = marks[order], face.visible[order]
        under = scene.image[y0:y1, x0:x1]
        if rng.random() < 0.5:
            # Light the face like the place it stands in, about.
            gain = 0.5 + 0.5 * (under.mean((0, 1)) + 20) / (patch.mean((0, 1)) + 20)
        else:
            gain = np.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, 0.06, 3))
        patch = np.clip(patch * gain.astype(np.float32), 0, 255)
        if rng.random() < 0.3 and min(shape) > 8:
            coarse = float(rng.uniform(1.2, 3.0))
            small = cv2.resize(
                patch, (max(2, int(shape[0] / coarse)), max(2, int(shape[1] / coarse))), interpolation=cv2.INTER_AREA
            )
            patch = cv2.resize(small, shape, interpolation=cv2.INTER_LINEAR)
        if rng.random() < 0.12 and size > 12:
            reach = float(rng.uniform(0.05, 0.45)) * size
            along = float(rng.uniform(0, np.pi))
            patch, alpha = (smear(np.asarray(part, np.float32), reach, along) for part in (patch, alpha))
        scene.image[y0:y1, x0:x1] = (under + alpha[:, :, None] * (patch - under)).astype(np.uint8)
        scene.cover(np.asarray(alpha, np.float32), x0, y0)
        if rng.random() < 0.35:
            before = scene.image[y0:y1, x0:x1].copy()
            occlude(scene.image, Covered(box, marks), rng)
            here = points - np.array([x0, y0], np.float32)
            visible = np.where(covered(before, scene.image[y0:y1, x0:x1], here), np.float32(0), visible)
        scene.add(box, points, visible, ignore=False, window=(0, 0, px, px))


def composer(data: Path, *, pseudo: Path | None, seed: int, faces: int | None = None) -> Composer:
    """The composer over a face set, or a folder of `faces/` (train split) and `crowd-dev/` (not held out)."""
    folder = data if (data / "labels.npz").exists() else data / "faces"
    crops = read_faces(folder, limit=faces) if folder.exists() else []
    pictures: list[Labelled] = []
    if (data / "crowd-dev").exists():
        names, _ = split(names_of(data / "crowd-dev"))
        # Labelled by people, and no two alike: worth more than neighbouring frames of a clip.
        pictures += LABELLED_WEIGHT * read_pictures(data / "crowd-dev", names)
    if pseudo is not None:
        pictures += read_pseudo(pseudo)
    # Pictures without a face are few, and they alone teach what real places hold that is not a face.
    pictures += 3 * [p for p in pictures if not len(p.boxes)]
    return Composer(crops, pictures, rng=np.random.default_rng(seed))
