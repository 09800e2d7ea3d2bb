"""What covers faces in training scenes: masks, sunglasses, caps, hoods, hands, microphones, bars.

In: uint8 RGB pictures, the 30 points of a face in them, a random generator. Out: the same pictures, drawn upon.

Masks follow the jaw and the bridge of the nose and stand off a face that is turned, with folds, straps and the light of
the face below: half of the faces a detector misses in crowds are masked ones seen from the side, and an oval is
no mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from vidanon.train.damage import blob, colour
from vidanon.train.faces import Faces
from vidanon.types import FACE_POINT_INDEX, FloatArray, ImageArray

JAW = [FACE_POINT_INDEX[f"jaw_{i}"] for i in range(9)]
EYES = [FACE_POINT_INDEX[name] for name in ("right_eye", "left_eye")]
EARS = [FACE_POINT_INDEX[name] for name in ("right_ear", "left_ear")]
MOUTH = [FACE_POINT_INDEX[name] for name in ("mouth_right", "mouth_left")]
BROWS = [FACE_POINT_INDEX[name] for name in ("right_brow_outer", "left_brow_outer")]
NOSE = FACE_POINT_INDEX["nose"]
SUPERSAMPLED = 8
"""Fractional bits of the coordinates that OpenCV draws at."""


@dataclass(frozen=True, slots=True)
class Covered:
    """A face that something is drawn over."""

    box: FloatArray
    """[4] xyxy px"""
    points: FloatArray
    """[30, 2] px in the order of FACE_POINTS, NaN where unknown"""

    @property
    def size(self) -> float:
        """Longer side of the box, px."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))

    @property
    def down(self) -> FloatArray:
        """[2] px, unit vector from the eyes to the mouth."""
        axis = self.points[MOUTH].mean(0) - self.points[EYES].mean(0)
        return np.asarray(axis / max(float(np.hypot(*axis)), 1e-3), np.float32)

    @property
    def degrees(self) -> float:
        """How far the face is turned in the picture, 0 = upright, clockwise."""
        return float(np.degrees(np.arctan2(-self.down[0], self.down[1])))


def some_covered(faces: Faces, count: int, rng: Generator, *, of: int | None = None) -> Faces:
    """The set, and after it `count` of its first `of` faces (default: all) again with something before them."""
    rows = rng.choice(of or len(faces), min(count, of or len(faces)), replace=False)
    images = faces.images[rows].copy()
    side = images.shape[1]
    for picture, row in zip(images, rows, strict=True):
        drawn = np.ascontiguousarray(picture[..., :3])
        occlude(drawn, Covered(faces.boxes[row] * side, faces.points[row] * side), rng)
        picture[..., :3] = drawn
    everyone = np.concatenate([np.arange(len(faces)), rows])
    weights = faces.weights[everyone]
    return Faces(
        np.concatenate([faces.images, images]),
        faces.points[everyone],
        faces.boxes[everyone],
        faces.poses[everyone],
        weights / weights.sum(),
        faces.people[everyone],
        faces.patterns,
    )


def occlude(image: ImageArray, face: Covered, rng: Generator) -> None:
    """Covers a part of the face in place."""
    if not np.isfinite(face.points[[*JAW, *EYES, *MOUTH, NOSE]]).all():
        block(image, face, rng)
        return
    kind = rng.random()
    if kind < 0.42:
        mask(image, face, rng)
        if rng.random() < 0.35:
            (cap if rng.random() < 0.6 else hood)(image, face, rng)
    elif kind < 0.52:
        glasses(image, face, rng)
    elif kind < 0.64:
        cap(image, face, rng)
    elif kind < 0.7:
        hood(image, face, rng)
    elif kind < 0.84:
        blob(image, rng.uniform(face.box[:2], face.box[2:]).astype(np.float32), face.size * rng.uniform(0.4, 0.9), rng)
    elif kind < 0.93:
        block(image, face, rng)
    else:
        microphone(image, face, rng)


def paint(image: ImageArray, alpha: FloatArray, tone: FloatArray, x0: int, y0: int) -> None:
    """Lays `tone` ([3] or [h, w, 3], 0..255) over the window at (x0, y0) with `alpha` [h, w] 0..1."""
    h, w = alpha.shape
    under = image[y0 : y0 + h, x0 : x0 + w]
    under[:] = np.clip(under + alpha[..., None] * (tone - under.astype(np.float32)), 0, 255).astype(np.uint8)


def outlined(image: ImageArray, outline: FloatArray) -> tuple[FloatArray, int, int] | None:
    """Coverage [h, w] 0..1 of a polygon [N, 2] px and its window's corner (x0, y0); None if outside the picture."""
    x0, y0 = (max(0, int(v)) for v in np.floor(outline.min(0)) - 1)
    x1, y1 = (
        min(side, int(v)) for side, v in zip((image.shape[1], image.shape[0]), np.ceil(outline.max(0)) + 2, strict=True)
    )
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    canvas = np.zeros((y1 - y0, x1 - x0), np.uint8)
    corners = np.round((outline - (x0 + 0.5, y0 + 0.5)) * 2**SUPERSAMPLED).astype(np.int32)
    cv2.fillPoly(canvas, [corners], 255, cv2.LINE_AA, SUPERSAMPLED)
    return np.asarray(canvas / np.float32(255), np.float32), x0, y0


def stroke(image: ImageArray, a: FloatArray, b: FloatArray, tone: tuple[int, ...], width: float) -> None:
    """A line from a to b, px."""
    ends = [tuple(int(v) for v in np.round(end * 2**SUPERSAMPLED)) for end in (a, b)]
    cv2.line(image, ends[0], ends[1], tone, max(1, round(width)), cv2.LINE_AA, SUPERSAMPLED)


def cloth(rng: Generator) -> FloatArray:
    """[3] what masks are: white, light blue, black, or anything."""
    kind = rng.random()
    if kind < 0.4:
        tone = rng.uniform(170, 250) * np.array([1, 1, 1]) + rng.normal(0, 4, 3)
    elif kind < 0.62:
        tone = rng.uniform(0.7, 1.0) * np.array([160, 205, 228]) + rng.normal(0, 8, 3)
    elif kind < 0.82:
        tone = rng.uniform(15, 70) * np.array([1, 1, 1]) + rng.normal(0, 4, 3)
    else:
        tone = np.array(colour(rng), np.float64)
    return np.asarray(np.clip(tone, 0, 255), np.float32)


def mask(image: ImageArray, face: Covered, rng: Generator) -> None:
    """A surgical mask, a respirator or a scarf, from the bridge of the nose (or the lips) to under the chin."""
    p, size, down = face.points, face.size, face.down
    eyes, nose, mouth, chin = p[EYES].mean(0), p[NOSE], p[MOUTH].mean(0), p[JAW[4]]
    # How far the middle of the face has moved towards one ear tells how it is turned, and where cloth stands off.
    out = nose - (p[JAW[1]] + p[JAW[7]]) / 2
    out = out - down * float(out @ down)
    loose = float(rng.uniform(0.15, 0.7)) * out
    top = eyes + (nose - eyes) * float(rng.uniform(0.25, 0.9) if rng.random() < 0.85 else rng.uniform(1.1, 1.5))
    cheek = float(rng.uniform(0.0, 0.8))
    sides = [p[JAW[i]] + cheek * (p[JAW[j]] - p[JAW[i]]) for i, j in ((1, 2), (7, 6))]
    below = down * size * float(rng.uniform(0.0, 0.07))
    rim = [sides[0], *(p[JAW[i]] + below + 0.4 * loose for i in range(2, 7)), sides[1]]
    bulge = [(nose + mouth) / 2 + 1.3 * loose, chin + below + loose]
    across = (sides[1] - sides[0]) * 0.1
    outline = np.stack([*rim, top + across + 0.5 * loose, top + 0.6 * loose, top - across + 0.5 * loose])
    hull = cv2.convexHull(np.concatenate([outline, np.stack(bulge)]).astype(np.float32))[:, 0]
    drawn = outlined(
        image, np.asarray(hull, np.float32) if float(np.hypot(*out)) > 0.1 * size or rng.random() < 0.5 else outline
    )
    if drawn is None:
        return
    alpha, x0, y0 = drawn
    h, w = alpha.shape
    under = image[y0 : y0 + h, x0 : x0 + w].astype(np.float32).mean(2)
    light = cv2.GaussianBlur(under, (0, 0), max(0.8, 0.1 * size))
    light = np.clip(light / max(float((light * alpha).sum() / max(alpha.sum(), 1e-3)), 8.0), 0.45, 1.5)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    along = ((x + x0) - top[0]) * down[0] + ((y + y0) - top[1]) * down[1]
    folds = np.ones((h, w), np.float32)
    if rng.random() < 0.6:
        folds += rng.uniform(0.03, 0.15) * np.sin(along / max(size, 1) * rng.uniform(20, 60) + rng.uniform(0, 6))
    tone = cloth(rng)
    middle = np.array([x0, y0]) + np.array([w, h]) / 2
    bow = 1 - float(rng.uniform(0, 0.35)) * ((x + x0 - middle[0]) ** 2 + (y + y0 - middle[1]) ** 2) / (0.35 * size) ** 2
    shade = np.asarray(light ** rng.uniform(0.4, 1.0) * folds * np.clip(bow, 0.5, 1), np.float32)
    paint(image, alpha * np.float32(rng.uniform(0.93, 1.0)), tone * shade[..., None], x0, y0)
    if rng.random() < 0.7:
        strap = tuple(int(v) for v in tone * rng.uniform(0.75, 1.0))
        for side, ear in zip(sides, EARS, strict=True):
            # The strap of the far side is behind the face.
            hidden = float((side - p[JAW[4]]) @ out) > 0.15 * size * float(np.hypot(*out))
            end = p[ear] if np.isfinite(p[ear]).all() else side - down * 0.25 * size - out * 0.3
            if not hidden and float(np.hypot(*(end - side))) < 0.8 * size:
                stroke(image, side, end, strap, size * rng.uniform(0.012, 0.03))


def glasses(image: ImageArray, face: Covered, rng: Generator) -> None:
    """Dark glasses, or a bar over the eyes."""
    p, size = face.points, face.size
    right, left = p[EYES]
    across = left - right
    tone = np.array(colour(rng) if rng.random() < 0.4 else [int(rng.integers(5, 60))] * 3, np.float32)
    if rng.random() < 0.25:
        stroke(
            image, right - 0.7 * across, left + 0.7 * across, tuple(int(v) for v in tone), size * rng.uniform(0.1, 0.25)
        )
        return
    span = max(float(np.hypot(*across)), 0.15 * size)
    for eye in (right, left):
        reach = (rng.uniform(0.3, 0.48) * span, rng.uniform(0.22, 0.42) * span)
        around, turn = np.linspace(0, 2 * np.pi, 24, endpoint=False), np.radians(face.degrees)
        ring = np.stack([np.cos(around), np.sin(around)], 1) * reach
        ring = ring @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        drawn = outlined(image, (ring + eye + face.down * 0.03 * size).astype(np.float32))
        if drawn is not None:
            paint(image, drawn[0] * np.float32(rng.uniform(0.7, 1)), tone, drawn[1], drawn[2])
    frame = tuple(int(v) for v in tone * 0.7)
    stroke(image, right, left, frame, size * 0.02)
    for eye, i in ((right, 0), (left, 8)):
        if float(np.hypot(*(p[JAW[i]] - eye))) > 0.12 * size:
            stroke(image, eye, p[JAW[i]], frame, size * rng.uniform(0.01, 0.04))


def cap(image: ImageArray, face: Covered, rng: Generator) -> None:
    """A cap, a hat or a helmet: everything above the brows, and perhaps a peak with its shadow."""
    p, size, down = face.points, face.size, face.down
    brows = p[BROWS].mean(0) if np.isfinite(p[BROWS]).all() else p[EYES].mean(0) - 0.12 * size * down
    low = brows - down * size * float(rng.uniform(-0.06, 0.16))
    right = np.array([down[1], -down[0]])
    back = (p[JAW[0]] + p[JAW[8]]) / 2 - p[NOSE]
    behind = right * float(back @ right) * 0.6
    half = float(rng.uniform(0.42, 0.56)) * size
    height = float(rng.uniform(0.35, 0.65)) * size
    turn = np.linspace(np.pi, 2 * np.pi, 13)
    dome = low + behind + np.outer(np.cos(turn), right) * half + np.outer(np.sin(turn), down) * height
    tone = np.array(colour(rng), np.float32) * np.float32(rng.uniform(0.2, 1))
    drawn = outlined(image, dome.astype(np.float32))
    if drawn is not None:
        alpha, x0, y0 = drawn
        ramp = np.linspace(rng.uniform(0.8, 1.2), rng.uniform(0.6, 1.0), alpha.shape[1], dtype=np.float32)
        paint(image, alpha, tone * ramp[None, :, None], x0, y0)
    if rng.random() < 0.6:
        ahead = -behind * float(rng.uniform(0.5, 1.6))
        drop = down * size * float(rng.uniform(0.02, 0.14))
        peak = np.stack([low - right * half * 0.9, low + right * half * 0.9, low + right * half * 0.6 + drop + ahead])
        peak = np.concatenate([peak, (low - right * half * 0.6 + drop + ahead)[None]])
        shadow = outlined(image, (peak + down * 0.08 * size).astype(np.float32))
        if shadow is not None:
            paint(image, shadow[0] * np.float32(rng.uniform(0.2, 0.6)), np.zeros(3, np.float32), shadow[1], shadow[2])
        brim = outlined(image, peak.astype(np.float32))
        if brim is not None:
            paint(image, brim[0], tone * np.float32(rng.uniform(0.5, 1)), brim[1], brim[2])


def hood(image: ImageArray, face: Covered, rng: Generator) -> None:
    """A hood, a scarf or long hair: a ring around the face that leaves its middle free."""
    size, middle = face.size, (face.box[:2] + face.box[2:]) / 2
    tone = tuple(int(v * rng.uniform(0.15, 1)) for v in colour(rng))
    axes = (int(size * rng.uniform(0.46, 0.6)), int(size * rng.uniform(0.58, 0.72)))
    thick = max(1, int(size * rng.uniform(0.1, 0.25)))
    where = tuple(int(v) for v in middle)
    cv2.ellipse(image, where, axes, face.degrees, 140, 400, tone, thick, cv2.LINE_AA)


def block(image: ImageArray, face: Covered, rng: Generator) -> None:
    """A hard edge over one side of the box: a pillar, a shoulder, somebody's back."""
    x0, y0, x1, y1 = (int(v) for v in face.box)
    share, side = rng.uniform(0.15, 0.4), int(rng.integers(4))
    if side == 0:
        x1 = int(x0 + (x1 - x0) * share)
    elif side == 1:
        x0 = int(x1 - (x1 - x0) * share)
    elif side == 2:
        y1 = int(y0 + (y1 - y0) * share)
    else:
        y0 = int(y1 - (y1 - y0) * share)
    cv2.rectangle(image, (x0, y0), (x1, y1), colour(rng), -1)


def microphone(image: ImageArray, face: Covered, rng: Generator) -> None:
    """A rod and its windshield from below to about the mouth."""
    size = face.size
    start = face.points[MOUTH].mean(0) + rng.normal(0, 0.15, 2) * size
    end = start + np.array([rng.normal(0, 0.6), rng.uniform(0.3, 1.0)]) * size
    tone = colour(rng)
    stroke(image, start, end, tone, size * 0.1)
    where = tuple(int(v) for v in start)
    cv2.circle(image, where, max(1, int(size * rng.uniform(0.08, 0.16))), tone, -1, cv2.LINE_AA)
