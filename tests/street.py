"""A drawn street whose "faces" are magenta cards: their place in every frame is known, and one look finds a naked one.

`CardDetector` and `CardLandmarker` stand in for the networks where a test is about everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np

from vidanon.types import N_FACE_POINTS, Detections, FloatArray, ImageArray

CARD = (230, 20, 230)
Box = tuple[float, float, float, float]


@dataclass
class Walker:
    """One card: its box in each frame it is in."""

    first: int
    last: int
    at: Callable[[int], Box]


@cache
def ground(width: int, height: int, shot: int) -> ImageArray:
    """The street without anybody in it."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    waves = [
        (90 + 50 * np.sin(x / 17) * np.cos(y / 11), 120 + 30 * np.cos(x / 9), 70 + 40 * np.sin(y / 7)),
        (60 + 40 * np.cos((x + y) / 13), 60 + 50 * np.sin(y / 5), 130 + 60 * np.cos(x / 29)),
    ][shot]
    return np.clip(np.stack(waves, 2), 0, 255).astype(np.uint8)


def picture(number: int, walkers: Sequence[Walker], *, width: int, height: int, shot: int = 0) -> ImageArray:
    """One frame: a patterned ground that differs by shot, cards over it, a black bar on each as a mouth."""
    image = ground(width, height, shot % 2).copy()
    for walker in walkers:
        if walker.first <= number <= walker.last:
            x0, y0, x1, y1 = (round(v) for v in walker.at(number))
            cv2.rectangle(image, (x0, y0), (x1 - 1, y1 - 1), CARD, -1)
            cv2.rectangle(image, (x0 + 4, (y0 + 3 * y1) // 4), (x1 - 5, (y0 + 3 * y1) // 4 + 2), (0, 0, 0), -1)
    return image


def make_street(
    path: Path,
    walkers: Sequence[Walker],
    *,
    frames: int,
    size: tuple[int, int] = (200, 144),
    cut_at: int | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    edit: Callable[[int, ImageArray], ImageArray] | None = None,
) -> Path:
    """Writes the clip; `edit` may change the planes, as PyAV lays them out, before coding. FFV1 keeps every sample."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.time_base = Fraction(1, rate)
        if codec == "libx264":
            stream.options = {"crf": "8", "preset": "ultrafast"}
        for number in range(frames):
            shot = 0 if cut_at is None or number < cut_at else 1
            image = picture(number, walkers, width=size[0], height=size[1], shot=shot)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            if edit:
                frame = av.VideoFrame.from_ndarray(edit(number, frame.to_ndarray()), format=pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def cards_in(image: ImageArray) -> np.ndarray:
    """[h, w] where a card shows."""
    r, g, b = (image[..., i].astype(int) for i in range(3))
    return (r > 150) & (b > 150) & (g < 110)


@dataclass
class CardDetector:
    """Finds cards; `blind` frames (counted over its life) are missed, as detectors do."""

    blind: frozenset[int] = frozenset()
    fail_at: int | None = None
    seen: int = 0
    name: str = "cards"
    device: str = "cpu"
    sizes: list[int] = field(default_factory=list)

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """As `Detector.detect`; raises KeyboardInterrupt at frame `fail_at`."""
        self.sizes.append(len(images))
        return [self._one(image) for image in images]

    def _one(self, image: ImageArray) -> Detections:
        number = self.seen
        self.seen += 1
        if number == self.fail_at:
            raise KeyboardInterrupt
        if number in self.blind:
            return Detections.empty()
        mask = cv2.morphologyEx(cards_in(image).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        boxes = [(s[0], s[1], s[0] + s[2], s[1] + s[3]) for s in stats[1:count] if s[4] > 60]
        n = len(boxes)
        return Detections(
            np.array(boxes, np.float32).reshape(n, 4),
            np.full(n, 0.9, np.float32),
            np.full((n, 5, 2), np.nan, np.float32),
        )


class CardLandmarker:
    """Knows no point: everything must work without keypoints."""

    def locate(self, image: ImageArray, found: Detections) -> tuple[FloatArray, FloatArray]:
        """As `FaceLandmarker.locate`."""
        n = len(found)
        return np.full((n, N_FACE_POINTS, 2), np.nan, np.float32), np.zeros((n, N_FACE_POINTS), np.float32)
