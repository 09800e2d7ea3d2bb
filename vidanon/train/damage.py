"""What happens to a training scene: texture, things that are not faces, camera damage.

In: uint8 RGB pictures and a random generator. Out: the same, changed; `distract` draws in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vidanon.types import FloatArray, ImageArray

T = TypeVar("T", np.uint8, np.float32)

WORDS = ("STOP", "TAXI", "8:45", "o o", "NEWS", "(..)", "B 8O8", "QO", "Www", "%8@", "EXIT", "3M")


def texture(height: int, width: int, rng: Generator) -> ImageArray:
    """A faceless background [height, width, 3]: gradient, cloud, or leaf-like noise."""
    kind = rng.integers(3)
    if kind == 0:
        a, b = rng.uniform(0, 255, (2, 3))
        t = np.linspace(0, 1, height)[:, None, None] * rng.uniform(-1, 1) + np.linspace(0, 1, width)[None, :, None]
        return np.asarray(np.clip(a + (b - a) * t, 0, 255), np.uint8)
    cells = int(rng.integers(3, 10)) if kind == 1 else int(rng.integers(20, 80))
    noise = rng.normal(0, 60, (cells, cells, 3)).astype(np.float32) * (0.3 if kind == 2 else 1)
    noise += rng.normal(0, 50, (cells, cells, 1)).astype(np.float32)
    big = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) + rng.uniform(30, 220, 3)
    return np.clip(big, 0, 255).astype(np.uint8)


def skin(rng: Generator) -> tuple[int, int, int]:
    """A random skin-like colour, RGB."""
    light = rng.uniform(0.3, 1.0)
    base = np.array([235, 190, 160]) * light * np.exp(rng.normal(0, 0.08, 3))
    return tuple(int(v) for v in np.clip(base, 10, 255))  # type: ignore[return-value]


def colour(rng: Generator) -> tuple[int, int, int]:
    """Any colour, RGB."""
    return tuple(int(v) for v in rng.integers(0, 256, 3))  # type: ignore[return-value]


def blob(image: ImageArray, centre: FloatArray, size: float, rng: Generator) -> None:
    """A hand-like cluster of skin-coloured ovals, about `size` px across, drawn in place."""
    tone, angle = skin(rng), float(rng.uniform(0, 360))
    axes = (max(1, int(size * 0.3)), max(1, int(size * 0.24)))
    where = (int(centre[0]), int(centre[1]))
    cv2.ellipse(image, where, axes, angle, 0, 360, tone, -1, cv2.LINE_AA)
    for k in range(int(rng.integers(0, 5))):
        turn = np.radians(angle + (k - 2) * 22)
        tip = (int(centre[0] + size * 0.45 * np.cos(turn)), int(centre[1] + size * 0.45 * np.sin(turn)))
        shade = tuple(int(c * rng.uniform(0.85, 1.0)) for c in tone)
        cv2.line(image, where, tip, shade, max(1, int(size * 0.11)), cv2.LINE_AA)


def distract(image: ImageArray, boxes: Sequence[FloatArray], rng: Generator) -> None:
    """Draws text, discs with holes, bars and hands where no face is."""
    px = image.shape[0]
    for _ in range(int(rng.integers(1, 6))):
        centre, size = rng.uniform(0, px, 2), float(np.exp(rng.uniform(np.log(8), np.log(px * 0.35))))
        reach = size * 0.8
        if any(b[0] - reach < centre[0] < b[2] + reach and b[1] - reach < centre[1] < b[3] + reach for b in boxes):
            continue
        where, kind = (int(centre[0]), int(centre[1])), rng.integers(5)
        if kind == 0:
            word = WORDS[int(rng.integers(len(WORDS)))]
            cv2.putText(
                image, word, where, int(rng.integers(8)), size / 45, colour(rng), max(1, int(size / 14)), cv2.LINE_AA
            )
        elif kind == 1:
            cv2.ellipse(image, where, (int(size * 0.4), int(size * 0.5)), 0, 0, 360, skin(rng), -1, cv2.LINE_AA)
        elif kind == 2:
            cv2.circle(image, where, int(size * 0.5), colour(rng), -1, cv2.LINE_AA)
            cv2.circle(image, where, max(1, int(size * 0.25)), colour(rng), -1, cv2.LINE_AA)
        elif kind == 3:
            end = (int(centre[0] + size * rng.normal()), int(centre[1] + size * rng.normal()))
            cv2.line(
                image,
                where,
                end,
                skin(rng) if rng.random() < 0.5 else colour(rng),
                max(1, int(size * 0.25)),
                cv2.LINE_AA,
            )
        else:
            blob(image, centre.astype(np.float32), size, rng)


def blur(image: ImageArray, rng: Generator) -> ImageArray:
    """Out of focus, or moved during the exposure."""
    if rng.random() < 0.6:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.5))), np.uint8)
    return np.asarray(smear(image, float(rng.integers(3, 8)), float(rng.uniform(0, np.pi))), np.uint8)


def smear(image: NDArray[T], reach: float, turn: float) -> NDArray[T]:
    """Motion blur of [H, W] or [H, W, C] over `reach` px in direction `turn` (radians)."""
    length = max(2, round(reach))
    kernel = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2
    along = np.array([np.cos(turn), np.sin(turn)]) * middle
    a, b = (tuple(round(float(v)) for v in middle + s * along) for s in (-1, 1))
    cv2.line(kernel, a, b, 1.0, 1)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), image.dtype)


def damage(image: ImageArray, rng: Generator) -> ImageArray:
    """Light, colour, blur, low resolution, noise and compression, each now and then."""
    if rng.random() < 0.7:
        gamma, low = float(np.exp(rng.normal(0, 0.35))), rng.random() < 0.15
        gain = float(rng.uniform(0.15, 0.6)) if low else float(np.exp(rng.normal(0, 0.15)))
        x = np.arange(256, dtype=np.float32)[:, None] / 255
        cast = np.exp(rng.normal(0, 0.1, 3)).astype(np.float32)
        table = np.clip(255 * gain * cast * x**gamma + rng.normal(0, 8), 0, 255).astype(np.uint8)
        image = np.asarray(cv2.LUT(image, np.ascontiguousarray(table.reshape(1, 256, 3))), np.uint8)
    if rng.random() < 0.12:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    if rng.random() < 0.25:
        image = blur(image, rng)
    h, w = image.shape[:2]
    if rng.random() < 0.12:
        f = rng.uniform(0.4, 0.8)
        small = cv2.resize(image, (int(w * f), int(h * f)), interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < 0.3:
        sigma = float(rng.uniform(2, 16))
        # One cheap tile of noise, shifted: drawing fresh noise for every pixel would cost more than the scene.
        tile = rng.normal(0, sigma, (64, 64, 3)).astype(np.float32)
        noise = np.tile(tile, (h // 64 + 1, w // 64 + 1, 1))[:h, :w]
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = int(rng.integers(20, 90))
        _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(image, np.uint8)
