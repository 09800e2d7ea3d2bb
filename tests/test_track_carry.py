"""A face that the detector misses is followed by its own pixels: as long as they are seen, and no longer."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidanon.plan import Plan
from vidanon.track.carry import MEMORY, REACH, Carrier
from vidanon.types import N_FACE_POINTS, Carried, FloatArray, ImageArray, ScannedFace, ScannedFrame

WIDTH, HEIGHT, SIDE = 320, 180, 40
NONE = np.zeros((0, 4), np.float32)


def texture(seed: int, width: int, height: int) -> ImageArray:
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 120.0)
    for cells, strength in ((5, 50), (14, 35), (40, 20)):
        noise = rng.uniform(-1, 1, (cells, cells, 1)) * np.ones(3)
        picture += strength * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


WALL, HEAD, POST = texture(1, WIDTH, HEIGHT), texture(2, SIDE, SIDE), texture(3, 70, HEIGHT)


def where(frame: int) -> tuple[int, int]:
    """Left and top of the head."""
    return 30 + 4 * frame, 60 + frame % 3


def picture(frame: int, *, post: int | None = None, wall: ImageArray = WALL, head: bool = True) -> ImageArray:
    """The head before a wall, and at `post` px something in front of both."""
    out = wall.copy()
    x, y = where(frame)
    if head:
        out[y : y + SIDE, x : x + SIDE] = HEAD
    if post is not None:
        out[:, max(0, post) : post + 70] = POST[:, max(0, -post) : min(70, WIDTH - post)]
    return out


def box(frame: int) -> FloatArray:
    x, y = where(frame)
    return np.array([[x, y, x + SIDE, y + SIDE]], np.float32)


def carried(pictures: list[ImageArray], seen: set[int], *, start: int = 0) -> dict[int, Carried]:
    """What a carrier says of the head's detections, given in the frames `seen`, by frame; the last word counts."""
    carrier = Carrier(0.2)
    told: dict[int, Carried] = {}
    for k in range(start, len(pictures)):
        found = box(k) if k in seen else NONE
        flows = [tuple(np.subtract(where(k), where(k - 1)).astype(float))] if k - 1 in seen and k > start else []
        carrier.step(k, pictures[k], found, np.full(len(found), 0.9, np.float32), flows)
        told.update({c.frame: c for c in carrier.take()})
    carrier.finish()
    told.update({c.frame: c for c in carrier.take()})
    return told


def test_a_missed_face_is_followed_to_its_next_detection() -> None:
    """Within two px, in every frame of the gap, and in the one where it is found again; nothing else is carried."""
    told = carried([picture(k) for k in range(25)], {*range(6), *range(15, 25)})
    last = told[5].ahead
    assert len(last) == 10
    for k, got in enumerate(last, 6):
        assert got == pytest.approx(box(k)[0], abs=2)
    assert {c.frame for c in told.values() if len(c.ahead)} == {5}


def test_a_face_found_late_is_followed_back_to_where_it_came_from() -> None:
    """Backwards, as far as there are pictures of it."""
    told = carried([picture(k) for k in range(20)], set(range(8, 20)))
    assert len(told[8].behind) == 8
    for k, got in zip(range(7, -1, -1), told[8].behind, strict=True):
        assert got == pytest.approx(box(k)[0], abs=2)


def test_who_steps_in_front_does_not_take_the_face_along() -> None:
    """A post that comes the other way covers the head from frame 10 on; the chain ends with it and stays in place."""
    pictures = [picture(k, post=where(10)[0] + SIDE + 6 * (10 - k) - 10) for k in range(25)]
    chain = carried(pictures, set(range(6)))[5].ahead
    assert 3 <= len(chain) <= 9
    for k, got in enumerate(chain, 6):
        assert got == pytest.approx(box(k)[0], abs=4)


def test_nothing_is_carried_across_a_cut_or_onto_a_bare_wall() -> None:
    """Another room, or the same one without the head: there are no such pixels."""
    other = texture(9, WIDTH, HEIGHT)
    cut = [picture(k) if k < 6 else picture(k, wall=other, head=False) for k in range(12)]
    gone = [picture(k, head=k < 6) for k in range(12)]
    for pictures in (cut, gone):
        assert not any(len(c.ahead) for c in carried(pictures, set(range(6))).values())


def test_nothing_is_carried_for_longer_than_the_reach() -> None:
    """A head that nobody finds any more stands still for ever; the chain does not."""
    still = [picture(0)] * (REACH + 12)
    carrier = Carrier(0.2)
    for k, rgb in enumerate(still):
        found = box(0) if k < 3 else NONE
        carrier.step(k, rgb, found, np.full(len(found), 0.9, np.float32), [(0.0, 0.0)] * (1 if 0 < k < 4 else 0))
    assert [(c.frame, len(c.ahead)) for c in carrier.take()] == [(2, REACH)]


def test_weak_detections_that_nothing_sure_led_to_are_not_followed() -> None:
    """A shadow in the trees would otherwise be carried through the clip."""
    carrier = Carrier(0.2)
    for k in range(10):
        found = box(k) if k < 3 else NONE
        flows = [(4.0, 0.0)] * (1 if 0 < k < 4 else 0)
        carrier.step(k, picture(k), found, np.full(len(found), 0.25, np.float32), flows)
    carrier.finish()
    assert carrier.take() == []


def test_a_carrier_fed_late_says_the_same() -> None:
    """A scan that was killed goes on with what the undisturbed one would have written."""
    rng = np.random.default_rng(0)
    slow = [picture(0 if k < 60 else (k - 60) // 4) for k in range(MEMORY + 60)]
    seen = {k for k in range(len(slow)) if rng.random() < 0.4}

    def told(start: int) -> dict[tuple[int, int], list[list[float]]]:
        carrier, rows = Carrier(0.2), {}
        for k in range(start, len(slow)):
            at = 0 if k < 60 else (k - 60) // 4
            before = 0 if k < 61 else (k - 61) // 4
            found = box(at) if k in seen else NONE
            flow = tuple(np.subtract(where(at), where(before)).astype(float))
            flows = [flow] if k - 1 in seen and k > start else []
            carrier.step(k, slow[k], found, np.full(len(found), 0.9, np.float32), flows)
        carrier.finish()
        for c in carrier.take():
            rows[c.frame, c.place] = [*c.ahead.tolist(), *c.behind.tolist()]
        return rows

    whole, late = told(0), told(30)
    begin = 30 + MEMORY
    assert {k: v for k, v in whole.items() if k[0] >= begin} == {k: v for k, v in late.items() if k[0] >= begin}
    assert any(key[0] >= begin for key in whole)


def test_a_plan_gives_back_what_was_carried(tmp_path: Path) -> None:
    """Told with the frame or long after it, and the later word counts."""
    points, trust = np.full((N_FACE_POINTS, 2), np.nan, np.float32), np.zeros(N_FACE_POINTS, np.float32)
    faces = tuple(ScannedFace(box(k)[0], 0.9, points, trust, (0.0, 0.0)) for k in range(2))
    with Plan.create(
        tmp_path / "clip.plan",
        source_name="clip.mp4",
        fingerprint="f00d",
        width=WIDTH,
        height=HEIGHT,
        time_base=Fraction(1, 25),
        settings_json="{}",
    ) as plan:
        plan.append([ScannedFrame(k, k, faces, 0.0, 0.0, (1.0, 2.0), (1.01, 0.02)) for k in range(3)])
        plan.carry([Carried(1, 1, box(4), NONE)])
        plan.carry([Carried(1, 1, np.vstack([box(4), box(5)]), box(3))])
        plan.finish_scan()
        read = list(plan.scanned())
    assert [frame.turn for frame in read] == [(1.01, 0.02)] * 3
    assert read[1].faces[1].ahead.tolist() == [*box(4).tolist(), *box(5).tolist()]
    assert read[1].faces[1].behind.tolist() == box(3).tolist()
    assert sum(len(face.ahead) for frame in read for face in frame.faces) == 2
