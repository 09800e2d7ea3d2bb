"""From a network that sees one tile to a detector that sees pictures: passes, tiles, merging.

In: pictures and a `Network`. Out: `Detections` in px of each picture. The rules, in this order: a box cut by an inner
tile edge gives way to any whole box over the same place; of several looks at one face the box comes from the pass in
which the face has the most comfortable size, the score from the surest; a box inside a surer, much larger one is a
part of that face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon import geometry
from vidanon.detect.base import Network, best_first, moved
from vidanon.detect.scales import Pass, SizeRange, Tile, plan_passes
from vidanon.types import Detections, FloatArray, ImageArray

EDGE_PX = 3.0
"""A box that comes this close to an inner tile edge may be cut by it."""
INSIDE = 0.85
"""Share of a box that must lie in a larger, surer one to be a part of it."""
MOSTLY_INSIDE, DOUBT = 0.6, 0.6
"""This share is enough for a box whose score is under `DOUBT` of the larger one's: chins and collars."""


@dataclass(frozen=True, slots=True)
class Look:
    """The detections of one tile, in px of the picture, with what merging must know."""

    found: Detections
    comfort: FloatArray
    """[N] 1 = the face had a size the network likes, towards 0 = far from it"""
    cut: NDArray[np.bool_]
    """[N] touches an inner tile edge"""


def resized(image: ImageArray, one: Pass) -> ImageArray:
    """The picture at the size of a pass."""
    if image.shape[:2] == (one.height, one.width):
        return image
    kind = cv2.INTER_AREA if one.scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (one.width, one.height), interpolation=kind), np.uint8)


def comfort(sides: FloatArray, sizes: SizeRange) -> FloatArray:
    """How much a network likes faces with these longer sides [N], px of its input: 1 well inside its range."""
    below = sides / sizes.reliable
    above = 0.7 * sizes.largest / np.maximum(sides, 1e-3)
    return np.asarray(np.clip(np.minimum(below, above), 0.01, 1), np.float32)


def look(found: Detections, one: Pass, tile: Tile, *, width: int, height: int, sizes: SizeRange) -> Look:
    """A tile's detections (px of the tile) as seen from the whole picture of `width` x `height` px."""
    low_x = (found.boxes[:, 0] < EDGE_PX) & (tile.x0 > 0)
    low_y = (found.boxes[:, 1] < EDGE_PX) & (tile.y0 > 0)
    high_x = (found.boxes[:, 2] > tile.x1 - tile.x0 - EDGE_PX) & (tile.x1 < one.width)
    high_y = (found.boxes[:, 3] > tile.y1 - tile.y0 - EDGE_PX) & (tile.y1 < one.height)
    sides = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1, initial=0)
    inside = moved(found, scale=1, x=tile.x0, y=tile.y0)
    # Sides of a pass are whole px, so the two axes may differ by a hair.
    ratio = np.array([width / one.width, height / one.height], np.float32)
    boxes, points = inside.boxes * np.tile(ratio, 2), inside.keypoints * ratio
    placed = Detections(boxes, found.scores, points, found.visibility)
    return Look(placed, comfort(sides, sizes), low_x | low_y | high_x | high_y)


def merge(looks: Sequence[Look], *, iou: float) -> Detections:
    """One detection for each face, best first."""
    looks = [one for one in looks if len(one.found)]
    if not looks:
        return Detections.empty()
    boxes = np.concatenate([one.found.boxes for one in looks])
    scores = np.concatenate([one.found.scores for one in looks])
    points = np.concatenate([one.found.keypoints for one in looks])
    visibility = np.concatenate([one.found.visibility for one in looks])
    liking = np.concatenate([one.comfort for one in looks])
    cut: NDArray[np.bool_] = np.concatenate([one.cut for one in looks])

    areas, inter = geometry.area(boxes), geometry.intersection(boxes, boxes)
    overlap = inter / np.maximum(areas[:, None] + areas[None, :] - inter, 1e-6)
    within = inter / np.maximum(areas[:, None], 1e-6)  # share of i inside j

    # Cut boxes come last, so that they meet the whole ones; a cut box is dropped for half its area, not for IoU.
    order = np.lexsort((-scores * liking, cut))
    same = np.asarray((overlap > iou) | (cut[None, :] & (within.T > 0.5)), np.bool_)
    np.fill_diagonal(same, val=False)
    twinned = same.max(axis=1)
    left = np.ones(len(order), bool)
    kept: list[int] = []
    for i in order:
        if not left[i]:
            continue
        kept.append(int(i))
        if not twinned[i]:
            continue
        twins = left & same[i]
        scores[i] = max(scores[i], scores[twins].max(initial=0))
        left &= ~twins
    final = np.array(kept)
    share, weaker = within[np.ix_(final, final)], scores[final][:, None] <= scores[final][None, :]
    doubtful = scores[final][:, None] < DOUBT * scores[final][None, :]
    larger = areas[final][None, :] > 2 * areas[final][:, None]
    swallowed = larger & (((share > INSIDE) & weaker) | ((share > MOSTLY_INSIDE) & doubtful))
    every = Detections(boxes, scores, points, visibility)
    return best_first(every.take(final[~swallowed.any(axis=1)]), least=0.0)


class PassDetector:
    """A `Detector` made of a `Network` and the pass policy."""

    def __init__(
        self,
        network: Network,
        *,
        name: str,
        device: str,
        min_face_px: float,
        tile_px: int,
        nms_iou: float,
        sizes: SizeRange | None = None,
    ) -> None:
        self.name, self.device = name, device
        self._network, self._sizes = network, sizes or SizeRange()
        self._min_face_px, self._tile_px, self._nms_iou = min_face_px, tile_px, nms_iou

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """See `Detector.detect`. Pictures of one size are given to the network together, tile by tile."""
        results: list[Detections] = [Detections.empty()] * len(images)
        by_size: dict[tuple[int, int], list[int]] = {}
        for i, image in enumerate(images):
            by_size.setdefault((image.shape[0], image.shape[1]), []).append(i)
        for (height, width), members in by_size.items():
            looks: dict[int, list[Look]] = {i: [] for i in members}
            for one in plan_passes(
                width, height, min_face_px=self._min_face_px, tile_px=self._tile_px, sizes=self._sizes
            ):
                scaled = [resized(images[i], one) for i in members]
                for tile in one.tiles:
                    windows = [s[tile.y0 : tile.y1, tile.x0 : tile.x1] for s in scaled]
                    for i, found in zip(members, self._network.faces(windows), strict=True):
                        looks[i].append(look(found, one, tile, width=width, height=height, sizes=self._sizes))
            for i in members:
                results[i] = merge(looks[i], iou=self._nms_iou)
        return results
