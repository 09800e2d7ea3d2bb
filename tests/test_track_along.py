"""Carried past a track's ends: on along its way, and never back with who steps in front."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vidanon.track.along import past
from vidanon.track.live import RawPoint
from vidanon.types import N_FACE_POINTS, FloatArray, ScannedFace, Source

SIZE = 40.0


def box(x: float, y: float = 100.0) -> FloatArray:
    return np.array([x, y, x + SIZE, y + SIZE], np.float32)


def walk(speed: float, *, frames: int = 20, source: Source = "detected") -> list[RawPoint]:
    """Detections of a face that goes so many px a frame to the right."""
    unknown = np.full((N_FACE_POINTS, 2), np.nan, np.float32)
    nothing = np.zeros(N_FACE_POINTS, np.float32)

    def seen(frame: int) -> ScannedFace:
        return ScannedFace(box(300 + speed * frame), 0.9, unknown, nothing, (speed, 0.0))

    return [RawPoint(frame, frame, seen(frame), source) for frame in range(frames)]


def chain(start: FloatArray, dx: float, dy: float = 0.0, *, frames: int = 10) -> FloatArray:
    return np.array([start + np.array([dx, dy, dx, dy], np.float32) * k for k in range(1, frames + 1)], np.float32)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    ("speed", "goes", "believed"),
    [
        (-4.0, (-4.0, 0.0), True),  # on
        (-4.0, (-1.0, 3.0), True),  # round a corner
        (-4.0, (0.2, 0.0), True),  # stops
        (0.0, (5.0, 0.0), True),  # who stood begins to walk
        (-4.0, (4.0, 0.0), False),  # back, as who comes towards them walks
        (4.0, (-3.0, 1.0), False),
    ],
)
def test_who_walks_is_not_carried_back(
    *, speed: float, goes: tuple[float, float], believed: bool, backwards: bool
) -> None:
    """Neither past the last detection nor before the first: there time runs the other way, and so does the chain."""
    points = walk(speed)
    at = 0 if backwards else -1
    sign = -1 if backwards else 1
    found = chain(points[at].face.box, sign * goes[0], sign * goes[1])
    points[at] = replace(points[at], face=replace(points[at].face, **{"behind" if backwards else "ahead": found}))
    boxes = past(points[at], points, backwards=backwards)
    np.testing.assert_array_equal(boxes, found if believed else found[:0])


def test_an_end_that_is_half_another_face_does_not_hide_where_the_track_came_from() -> None:
    """The last three boxes have gone along with who steps in front; what counts is farther in."""
    points = walk(-4.0)
    for k in (1, 2, 3):
        turned = box(300 - 4.0 * 16 + 4.0 * (4 - k))
        points[-k] = replace(points[-k], face=replace(points[-k].face, box=turned), source="weak")
    points[-1] = replace(points[-1], face=replace(points[-1].face, ahead=chain(points[-1].face.box, 4.0)))
    assert len(past(points[-1], points, backwards=False)) == 0


def test_what_was_seen_once_or_without_a_chain_is_not_carried() -> None:
    """No confident detection is too few to believe in; a track of two says nothing of its way, and is carried."""
    weak = walk(-4.0, source="weak")
    weak[-1] = replace(weak[-1], face=replace(weak[-1].face, ahead=chain(weak[-1].face.box, -4.0)))
    assert len(past(weak[-1], weak, backwards=False)) == 0
    short = walk(-4.0, frames=2)
    assert len(past(short[-1], short, backwards=False)) == 0
    short[-1] = replace(short[-1], face=replace(short[-1].face, ahead=chain(short[-1].face.box, 4.0)))
    assert len(past(short[-1], short, backwards=False)) == 10
