"""Recall grids: what a cell does to a portrait, what counts as a hit, and a detector whose blindness is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vidanon.errors import InputError
from vidanon.evaluate.grids import (
    FACE_SHARE,
    Cell,
    canvas_of,
    evaluate_grids,
    has_face_below,
    is_hit,
    plan_cells,
    read_portraits,
)
from vidanon.types import Detections, ImageArray


def portrait(side: int = 250) -> ImageArray:
    """Grey, with a white "face" of FACE_SHARE in the middle whose upper half is red."""
    image = np.full((side, side, 3), 90, np.uint8)
    half = round(FACE_SHARE * side / 2)
    middle = side // 2
    image[middle - half : middle + half, middle - half : middle + half] = 255
    image[middle - half : middle, middle - half : middle + half, 1:] = 0
    return image


class BoxDetector:
    """Finds what is white or red, from `least` px on."""

    name, device = "boxes", "cpu"

    def __init__(self, least: float) -> None:
        self.least = least

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """As `Detector.detect`."""
        return [self._one(image) for image in images]

    def _one(self, image: ImageArray) -> Detections:
        rows, columns = np.nonzero(cv2.blur(image, (3, 3))[..., 0] > 180)
        if not len(rows) or np.ptp(columns) + 1 < self.least:
            return Detections.empty()
        box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
        return Detections(box, np.ones(1, np.float32), np.full((1, 5, 2), np.nan, np.float32))


@pytest.mark.parametrize("size", [12.0, 100.0, 400.0])
def test_a_cell_has_its_face_in_the_middle_at_its_size(size: float) -> None:
    """Large faces get a larger canvas, small ones the standard one."""
    canvas = canvas_of(portrait(), Cell(size), clockwise=True, seed=0)
    rows, columns = np.nonzero(canvas[..., 0] > 180)
    middle = canvas.shape[0] / 2
    assert np.ptp(columns) + 1 == pytest.approx(size, abs=2.5)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == (pytest.approx(middle, abs=1), pytest.approx(middle, abs=1))


def test_a_tilt_turns_one_way_or_the_other() -> None:
    """At 90 degrees the red forehead lies left or right of the middle."""
    sides = []
    for clockwise in (True, False):
        canvas = canvas_of(portrait(), Cell(100.0, tilt=90.0), clockwise=clockwise, seed=0)
        red = (canvas[..., 0] > 180) & (canvas[..., 1] < 80)
        sides.append(np.nonzero(red)[1].mean() > canvas.shape[1] / 2)
    assert sides == [True, False]


def test_blur_and_noise_are_what_the_cell_says() -> None:
    """Noise has its standard deviation, blur widens the face's edges sideways alone."""
    plain = canvas_of(portrait(), Cell(100.0), clockwise=True, seed=0)
    noisy = canvas_of(portrait(), Cell(100.0, noise=10.0), clockwise=True, seed=0)
    corner = (slice(0, 60), slice(0, 60))
    assert np.std(noisy[corner].astype(float) - plain[corner]) == pytest.approx(10, rel=0.1)
    blurred = canvas_of(portrait(), Cell(100.0, blur=0.2), clockwise=True, seed=0).astype(float)
    middle = plain.shape[0] // 2
    assert (
        np.abs(np.diff(blurred[middle + 20, :, 0])).max()
        < 0.2 * np.abs(np.diff(plain[middle + 20, :, 0].astype(float))).max()
    )
    assert np.abs(np.diff(blurred[:, middle, 0], axis=0)).max() > 50


def test_a_hit_is_near_alike_and_sure() -> None:
    """Off centre, half as large, or below the threshold is none."""

    def one(x: float, side: float, score: float) -> Detections:
        box = np.array([[x - side / 2, 50 - side / 2, x + side / 2, 50 + side / 2]], np.float32)
        return Detections(box, np.array([score], np.float32), np.full((1, 5, 2), np.nan, np.float32))

    def hit(found: Detections) -> bool:
        return is_hit(found, centre=(50, 50), face_px=20, threshold=0.5)

    assert hit(one(50, 20, 0.6))
    assert not hit(one(60, 20, 0.6))
    assert not hit(one(50, 9, 0.6))
    assert not hit(one(50, 20, 0.4))
    assert not hit(Detections.empty())


class Credulous(BoxDetector):
    """Takes what is a face's height below every second face for one as well."""

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """As `Detector.detect`."""
        return [self._with_chest(image, self._one(image)) for image in images]

    def _with_chest(self, image: ImageArray, found: Detections) -> Detections:
        if image.shape[0] % 20 or not len(found.boxes):
            return found
        size = found.boxes[0, 3] - found.boxes[0, 1]
        twice = np.tile(found.boxes, (2, 1)) + np.array([[0, 0, 0, 0], [0, size, 0, size]], np.float32)
        return Detections(twice, np.array([1, 0.6], np.float32), np.full((2, 5, 2), np.nan, np.float32))


def test_faces_on_chests_are_counted(tmp_path: Path) -> None:
    """In half of these portraits, from the score they have; what is beside the body or further down is another's."""
    for i in range(4):
        Image.fromarray(portrait(240 + 10 * i)).save(tmp_path / f"{i}.png")
    assert evaluate_grids(tmp_path, Credulous(20), threshold=0.5, count=1).chests == 0.5
    assert evaluate_grids(tmp_path, Credulous(20), threshold=0.7, count=1).chests == 0
    boxes = np.array([[90, 45, 110, 65], [40, 80, 60, 100], [40, 30, 60, 50]], np.float32)
    for box in boxes:
        one = Detections(box[None], np.ones(1, np.float32), np.full((1, 5, 2), np.nan, np.float32))
        assert not has_face_below(one, centre=(50, 40), face_px=20, threshold=0.5)


def test_the_grid_shows_where_a_detector_is_blind(tmp_path: Path) -> None:
    """One that sees nothing under 40 px has nil below and one above, whatever the tilt."""
    for i in range(3):
        Image.fromarray(portrait(240 + 10 * i)).save(tmp_path / f"{i}.png")
    report = evaluate_grids(tmp_path, BoxDetector(40), threshold=0.5, count=2)
    assert report.pictures == 2
    assert report.main_faces == 1.0
    assert report.recall(Cell(24.0, tilt=0.0)) == 0
    assert report.recall(Cell(100.0, tilt=90.0)) == 1
    assert {cell for cell, _ in report.cells} == set(plan_cells())


def test_a_folder_without_portraits_is_refused(tmp_path: Path) -> None:
    """Empty, or with a damaged picture."""
    with pytest.raises(InputError):
        read_portraits(tmp_path, None)
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError):
        read_portraits(tmp_path, None)
