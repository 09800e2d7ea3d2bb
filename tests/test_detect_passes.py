"""Tiles and passes put together again: one face, one detection, in px of the picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from vidanon import geometry
from vidanon.detect.base import best_first, suppress
from vidanon.detect.passes import Look, PassDetector, merge
from vidanon.types import Detections, FloatArray, ImageArray


class SquareNetwork:
    """Takes bright blobs for faces, but only those of 10 to 250 px: a network with a limited range."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, int]] = []

    def faces(self, images: Sequence[ImageArray]) -> list[Detections]:
        """Boxes of the blobs, one score."""
        self.seen.append((len(images), *images[0].shape[:2]))
        return [self._one(image) for image in images]

    @staticmethod
    def _one(image: ImageArray) -> Detections:
        _, _, stats, _ = cv2.connectedComponentsWithStats((image[:, :, 0] > 127).astype(np.uint8))
        boxes = [(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:] if 10 <= max(w, h) <= 250]
        array = np.array(boxes, np.float32).reshape(-1, 4)
        points = np.repeat((array[:, None, :2] + array[:, None, 2:]) / 2, 5, axis=1)
        return Detections(array, np.full(len(array), 0.9, np.float32), points)


def picture(height: int, width: int, boxes: Sequence[tuple[int, int, int, int]]) -> ImageArray:
    image = np.zeros((height, width, 3), np.uint8)
    for x0, y0, x1, y1 in boxes:
        image[y0:y1, x0:x1] = 255
    return image


def detector(*, tile_px: int = 2048, min_face_px: float = 12) -> PassDetector:
    return PassDetector(
        SquareNetwork(), name="squares", device="cpu", min_face_px=min_face_px, tile_px=tile_px, nms_iou=0.4
    )


def look(boxes: list[list[float]], scores: list[float], *, comfort: float = 1.0, cut: bool = False) -> Look:
    n = len(boxes)
    found = Detections(np.array(boxes, np.float32), np.array(scores, np.float32), np.zeros((n, 5, 2), np.float32))
    return Look(found, np.full(n, comfort, np.float32), np.full(n, cut))


def covered(found: Detections, boxes: Sequence[tuple[int, int, int, int]], *, iou: float) -> bool:
    overlap = geometry.iou(np.array(boxes, np.float32), found.boxes)
    return len(found) == len(boxes) and bool((overlap.max(axis=1) >= iou).all())


def test_faces_across_tile_edges_are_found_once_and_whole() -> None:
    """Wherever a face lies among the tiles, there is exactly one detection and it is not cut."""
    boxes = [(300 + 97 * i, 40 + 131 * i, 360 + 97 * i, 110 + 131 * i) for i in range(8)]
    found = detector(tile_px=512).detect([picture(1200, 1300, boxes)])[0]
    assert covered(found, boxes, iou=0.9)


def test_small_and_huge_faces_of_one_picture_are_both_found() -> None:
    """A 12 px face and a 600 px closeup in 1080p, which no single scale of the network can see."""
    boxes = [(100, 100, 112, 112), (900, 300, 1500, 900)]
    found = detector().detect([picture(1080, 1920, boxes)])[0]
    assert covered(found, boxes, iou=0.9)


def test_keypoints_travel_with_their_boxes() -> None:
    """After scaling and tiling the points still lie at the middle of the blob."""
    found = detector(tile_px=512).detect([picture(900, 900, [(600, 610, 700, 730)])])[0]
    np.testing.assert_allclose(found.keypoints[0], np.tile([650, 670], (5, 1)), atol=3)


def test_what_is_found_does_not_depend_on_the_batch() -> None:
    """Pictures of several sizes in any order give what each gives alone."""
    images = [picture(300, 400, [(20, 30, 60, 80)]), picture(700, 640, [(200, 300, 500, 640)]), picture(300, 400, [])]
    alone = [detector().detect([image])[0] for image in images]
    together = detector().detect(images[::-1])[::-1]
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a.boxes, b.boxes)
        np.testing.assert_array_equal(a.scores, b.scores)


def test_no_pictures_give_no_detections() -> None:
    """An empty batch is an empty answer."""
    assert detector().detect([]) == []


def test_a_cut_box_gives_way_to_a_whole_one_even_with_a_higher_score() -> None:
    """Half a face at a tile's edge is not a second face."""
    found = merge([look([[0, 0, 50, 100]], [0.95], cut=True), look([[0, 0, 100, 100]], [0.6])], iou=0.4)
    np.testing.assert_array_equal(found.boxes, [[0, 0, 100, 100]])


def test_a_cut_box_that_nothing_else_saw_is_kept() -> None:
    """Fail closed: better half a face than none."""
    found = merge([look([[0, 0, 50, 100]], [0.7], cut=True), look([[300, 0, 400, 100]], [0.6])], iou=0.4)
    assert len(found) == 2


def test_the_comfortable_pass_gives_the_box_and_the_surest_the_score() -> None:
    """A closeup's box comes from the coarse pass even where the fine one was surer of it."""
    found = merge([look([[0, 0, 90, 110]], [0.9], comfort=0.3), look([[0, 0, 100, 100]], [0.7], comfort=1.0)], iou=0.4)
    np.testing.assert_array_equal(found.boxes, [[0, 0, 100, 100]])
    assert found.scores[0] == pytest.approx(0.9)


def test_a_part_of_a_face_is_not_a_face_but_only_if_the_whole_is_surer() -> None:
    """A small box inside a large one goes when the large one will be covered anyway, else it stays."""
    inner, outer = [40.0, 40.0, 60.0, 60.0], [0.0, 0.0, 100.0, 100.0]
    assert len(merge([look([inner, outer], [0.5, 0.8])], iou=0.4)) == 1
    assert len(merge([look([inner, outer], [0.8, 0.5])], iou=0.4)) == 2


def test_a_doubtful_chin_that_juts_out_of_a_sure_face_is_dropped_but_a_sure_child_before_it_is_not() -> None:
    """Two thirds inside is enough to drop a much weaker box; one nearly as sure as the large one stays."""
    large, chin = [0.0, 0.0, 100.0, 100.0], [30.0, 74.0, 70.0, 114.0]
    assert len(merge([look([large, chin], [0.9, 0.4])], iou=0.4)) == 1
    assert len(merge([look([large, chin], [0.9, 0.8])], iou=0.4)) == 2


def test_two_faces_side_by_side_stay_two() -> None:
    """Overlap under the limit is no reason to merge."""
    found = merge([look([[0, 0, 100, 100], [60, 0, 160, 100]], [0.9, 0.8])], iou=0.4)
    assert len(found) == 2


def test_suppression_keeps_the_best_of_each_heap_and_drops_empty_boxes() -> None:
    """Plain NMS of the plug-ins: order of scores, one box per heap, nothing without area, nothing too faint."""
    boxes: FloatArray = np.array(
        [[0, 0, 10, 10], [1, 0, 11, 10], [50, 0, 60, 10], [5, 5, 5, 9], [80, 0, 90, 9]], np.float32
    )
    scores: FloatArray = np.array([0.6, 0.9, 0.5, 0.99, 0.05], np.float32)
    found = suppress(best_first(Detections(boxes, scores, np.zeros((5, 5, 2), np.float32)), least=0.2), iou=0.4)
    np.testing.assert_array_equal(found.scores, np.array([0.9, 0.5], np.float32))
