"""The detector's measures against figures worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidanon.detect.matching import match
from vidanon.errors import InputError
from vidanon.evaluate.detector import average_precision, evaluate, threshold_at
from vidanon.types import Detections, FloatArray, ImageArray


def found(*rows: tuple[float, float, float, float, float]) -> Detections:
    """Detections of rows (x0, y0, x1, y1, score)."""
    array = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(array[:, :4], array[:, 4], np.full((len(array), 5, 2), np.nan, np.float32))


LABELS: list[FloatArray] = [np.array([[0, 0, 10, 10], [50, 50, 80, 80]], np.float32), np.zeros((0, 4), np.float32)]
FOUND = [found((0, 0, 10, 10, 0.9), (0, 0, 10, 9, 0.8), (50, 50, 80, 78, 0.6)), found((5, 5, 20, 20, 0.7))]


class Canned:
    """A detector that knows its answers by the picture's width."""

    name, device = "canned", "cpu"

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """The canned answers."""
        return [FOUND[0] if image.shape[1] == 100 else FOUND[1] for image in images]


def test_a_label_is_claimed_once_and_by_the_best() -> None:
    """The second look at the same face is a false positive, as PASCAL VOC counts."""
    matches = match(FOUND, LABELS, iou=0.4)
    np.testing.assert_array_equal(matches.hits, [1, 0, 1, 0])
    np.testing.assert_allclose(matches.found_at, [0.9, 0.6], atol=1e-6)


def test_average_precision_is_the_area_under_the_monotone_curve() -> None:
    """Hits at ranks 1 and 4 of two faces: 0.5 * 1 + 0.5 * 2/4."""
    assert average_precision(match(FOUND, LABELS, iou=0.4)) == pytest.approx(0.75)


def test_a_perfect_detector_has_average_precision_one_and_a_blind_one_zero() -> None:
    """The ends of the scale."""
    perfect = [found((0, 0, 10, 10, 0.9), (50, 50, 80, 80, 0.3)), found()]
    assert average_precision(match(perfect, LABELS, iou=0.4)) == pytest.approx(1.0)
    assert average_precision(match([found(), found()], LABELS, iou=0.4)) == 0


def test_the_threshold_lets_exactly_the_allowed_false_positives_pass() -> None:
    """Two pictures at 0.5 allow one false positive, the one at 0.8; the one at 0.7 must stay out."""
    matches = match(FOUND, LABELS, iou=0.4)
    threshold = threshold_at(matches, pictures=2, false_positives=0.5)
    assert 0.7 < threshold < 0.70001
    assert threshold_at(matches, pictures=2, false_positives=1.0) == 0


def test_a_folder_is_measured_as_a_whole(tmp_path: Path) -> None:
    """From pictures on disk to AP, recall at half a false positive a picture, and recall by size."""
    for name, width in (("a", 100), ("b.png", 60)):
        Image.new("RGB", (width, 90)).save(tmp_path / (name if "." in name else f"{name}.jpg"))
    listed = {"a": {"boxes": LABELS[0].tolist()}, "b.png": {"boxes": []}}
    (tmp_path / "boxes.json").write_text(json.dumps(listed))
    (report,) = evaluate(tmp_path, [Canned()])
    assert (report.pictures, report.faces, report.detector) == (2, 2, "canned")
    assert report.ap == pytest.approx(0.75)
    assert report.recall == pytest.approx(0.5)
    assert report.recall_by_size[0] == (0.0, 12.0, 1.0, 1)
    assert report.recall_by_size[2] == (24.0, 48.0, 0.0, 1)
    costs = {score: (recall, wrong) for score, recall, wrong in report.by_score}
    assert (costs[0.5], costs[0.65], costs[0.8]) == ((1.0, 1.0), (0.5, 1.0), (0.5, 0.5))


@pytest.mark.parametrize("content", [None, "[]", "{", '{"a": {"boxes": [[1, 2]]}}', '{"missing": {"boxes": []}}'])
def test_a_folder_without_proper_labels_is_refused_in_one_line(tmp_path: Path, content: str | None) -> None:
    """Missing, damaged or misshapen listings and missing pictures are the user's to mend."""
    if content is not None:
        (tmp_path / "boxes.json").write_text(content)
    with pytest.raises(InputError):
        evaluate(tmp_path, [Canned()])
