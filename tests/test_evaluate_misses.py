"""A second opinion on a plan: what another detector sees and the plan does not cover."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.street import CardDetector, CardLandmarker, Walker, make_street
from vidanon.evaluate.misses import MARK, SCALES, find_misses, second_opinion, uncovered
from vidanon.pipeline import scan as scan_room
from vidanon.plan.store import Plan
from vidanon.settings import Settings
from vidanon.types import Detections, ImageArray


class CardTeacher:
    """A `Network` that sees cards."""

    def faces(self, images: Sequence[ImageArray]) -> list[Detections]:
        """As `Network.faces`."""
        return CardDetector().detect(images)


class Blind:
    """A `Network` that sees nothing."""

    def faces(self, images: Sequence[ImageArray]) -> list[Detections]:
        """As `Network.faces`."""
        return [Detections.empty() for _ in images]


def test_a_face_is_covered_by_one_box_not_by_two_halves() -> None:
    """A box that covers half of a face does not hide it."""
    faces = Detections(
        np.array([[0, 0, 20, 20], [100, 0, 120, 20]], np.float32),
        np.ones(2, np.float32),
        np.zeros((2, 5, 2), np.float32),
    )
    assert uncovered(faces, np.array([[0, 0, 10, 20], [99, 0, 121, 20]], np.float32)) == [0]
    assert uncovered(faces, np.zeros((0, 4), np.float32)) == [0, 1]


def test_teachers_look_at_several_scales_and_small_faces_do_not_count() -> None:
    """A face of 20 px is seen once, though three scales see it; it is none where 24 px are asked for."""
    image = np.zeros((120, 160, 3), np.uint8)
    image[40:60, 50:70] = (230, 20, 230)
    opinion = second_opinion(image, [CardTeacher()], least=0.5, min_px=16)
    assert len(opinion.found) == 1
    np.testing.assert_allclose(opinion.found.boxes[0], [50, 40, 70, 60], atol=2)
    assert opinion.looks.tolist() == [len(SCALES)]
    assert len(second_opinion(image, [CardTeacher(), Blind()], least=0.5, min_px=24).found) == 0


def test_looks_that_agree_are_counted() -> None:
    """Of two teachers at three scales, one sees nothing: three looks, so four are not to be had."""
    image = np.zeros((120, 160, 3), np.uint8)
    image[40:60, 50:70] = (230, 20, 230)
    teachers = [CardTeacher(), Blind()]
    assert second_opinion(image, teachers, least=0.5, min_px=16).looks.tolist() == [len(SCALES)]
    assert len(second_opinion(image, teachers, least=0.5, min_px=16, looks=len(SCALES) + 1).found) == 0


def test_what_the_plan_leaves_bare_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person kept on request is bare in every frame she is in; the other is covered."""
    walkers = [Walker(0, 19, lambda i: (20 + i, 30, 50 + i, 70)), Walker(5, 14, lambda _: (130, 40, 160, 80))]
    clip = make_street(tmp_path / "street.mkv", walkers, frames=20)
    monkeypatch.setattr(scan_room, "build_detector", lambda *_, **__: CardDetector())
    monkeypatch.setattr(scan_room.FaceLandmarker, "shipped", lambda *_: CardLandmarker())
    plan_path = tmp_path / "street.vidanon"
    scan_room.scan(clip, plan_path, settings=Settings())
    report, crops = find_misses(clip, plan_path, [CardTeacher()])
    assert (report.frames, report.faces, report.misses) == (20, 30, ())
    with Plan.open(plan_path) as plan:
        _, people = next(group for group in plan.observations(10, 11))
        standing = next(person.track for person in people if person.box[0] > 110)
        plan.set_action(standing, "keep")
    report, crops = find_misses(clip, plan_path, [CardTeacher()])
    assert {miss.frame for miss in report.misses} == set(range(5, 15))
    assert len(crops) == len(report.misses) == 10
    assert all(miss.scanned > 0.5 for miss in report.misses), "the scan saw her, the plan does not cover her"
    assert all((np.abs(crop.astype(int) - MARK).sum(axis=2) < 30).any() for crop in crops), "the box is drawn"
    assert report.frames_with_misses == pytest.approx(0.5)
    assert len(find_misses(clip, plan_path, [CardTeacher()], every=2)[0].misses) == 5
