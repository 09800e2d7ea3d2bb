"""Optical flow and shot cuts, measured on synthetic pictures."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from vidanon.track.flow import FlowMeter
from vidanon.track.shots import FLASH, ChangeMeter, cuts, mark_cuts, picture_change, thumbnail
from vidanon.types import ImageArray, ScannedFrame

THRESHOLD = 0.35


def room(seed: int, *, width: int = 480, height: int = 270, grey: bool = False) -> ImageArray:
    """A picture with large and small shapes of its own, in colours of its own unless grey."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3))
    for cells, strength in ((4, 90), (12, 40), (60, 25)):
        noise = rng.uniform(-1, 1, (cells, cells, 1 if grey else 3)) * np.ones(3)
        picture += strength * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture + 120, 0, 255).astype(np.uint8)


def moved(picture: ImageArray, dx: float, dy: float) -> ImageArray:
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REFLECT), np.uint8)


def changes(pictures: list[ImageArray]) -> tuple[list[float], list[float]]:
    meter = ChangeMeter()
    one, two = zip(*(meter.step(p) for p in pictures), strict=True)
    return list(one), list(two)


def scan(pictures: list[ImageArray]) -> list[ScannedFrame]:
    return [ScannedFrame(i, i, (), a, b, (0.0, 0.0)) for i, (a, b) in enumerate(zip(*changes(pictures), strict=True))]


def found(pictures: list[ImageArray]) -> list[int]:
    """Cuts found; the streaming way must agree with the one that sees everything at once."""
    at_once = cuts(*changes(pictures), THRESHOLD)
    assert [f.index for f, cut in mark_cuts(scan(pictures), THRESHOLD) if cut] == at_once
    return at_once


def test_a_cut_between_two_rooms_is_found() -> None:
    """The first frame of the new shot is named, and nothing else."""
    a, b = room(1), room(2)
    assert found([a] * 12 + [b] * 12) == [12]


def test_a_cut_between_two_grey_rooms_is_found() -> None:
    """Structure alone is enough."""
    assert found([room(3, grey=True)] * 12 + [room(4, grey=True)] * 12) == [12]


def test_a_cut_between_two_dark_rooms_is_found() -> None:
    """Night footage has cuts too, and grain is none of them."""
    rng = np.random.default_rng(0)
    dark = [(room(k) * 0.1).astype(np.uint8) for k in (5, 6)]
    grainy = [np.clip(dark[i >= 12] + rng.normal(0, 3, dark[0].shape), 0, 255).astype(np.uint8) for i in range(24)]
    assert found(grainy) == [12]


def test_cuts_close_together_are_all_found() -> None:
    """A trailer that cuts every third frame is cut every third frame."""
    pictures = [room(10 + i // 3) for i in range(15)]
    assert found(pictures) == [3, 6, 9, 12]


@pytest.mark.parametrize("strength", [(1.5, 60), (1.0, 200), (0.0, 255)])
def test_a_flash_is_no_cut(strength: tuple[float, float]) -> None:
    """Up to a wholly white frame: what is there before and after is one shot."""
    a = room(1)
    flash = np.clip(a * strength[0] + strength[1], 0, 255).astype(np.uint8)
    assert found([a] * 10 + [flash] + [a] * 10) == []


@pytest.mark.parametrize("frames", [2, 3, FLASH])
def test_a_flash_of_several_frames_is_no_cut(frames: int) -> None:
    """Lightning, a row of photographers: what comes back within a third of a second has never ended."""
    a = room(1)
    assert found([a] * 12 + [np.full_like(a, 255)] * frames + [a] * 12) == []
    strobe = [np.full_like(a, 255) if i % 3 == 0 and 10 < i < 40 else a for i in range(60)]
    assert found(strobe) == []


def test_a_cut_beside_a_flash_is_found() -> None:
    """A flash that is over says nothing about the cut before or after it."""
    a, b = room(1), room(2)
    white = np.full_like(a, 255)
    assert found([a] * 12 + [b] * 4 + [white] * 2 + [b] * 12) == [12]
    assert found([a] * 12 + [white] * 2 + [a] * 4 + [b] * 12) == [18]


def test_a_meter_fed_late_says_the_same() -> None:
    """A scan resumed a few frames back measures what the undisturbed one measured."""
    pictures = [room(1)] * 9 + [room(2)] * 5 + [np.full_like(room(1), 255)] * 2 + [room(2)] * 12
    whole = changes(pictures)
    for done in range(FLASH + 2, len(pictures)):
        part = changes(pictures[done - FLASH - 2 :])
        assert (whole[0][done:], whole[1][done:]) == (part[0][FLASH + 2 :], part[1][FLASH + 2 :])


def test_motion_and_exposure_are_no_cuts() -> None:
    """A pan, a shaken camera, a lamp switched on and an aperture that opens."""
    a = room(7, width=960)
    pan = [np.ascontiguousarray(a[:, 20 * i : 20 * i + 480]) for i in range(20)]
    assert found(pan) == []
    shaken = [moved(room(7), 15 * np.sin(2 * i), 10 * np.cos(3 * i)) for i in range(20)]
    assert found(shaken) == []
    brighter = [np.clip(room(7) * (0.5 + 0.05 * i), 0, 255).astype(np.uint8) for i in range(20)]
    assert found(brighter) == []
    lamp = [np.clip(room(7) * (0.5 if i < 10 else 1.2), 0, 255).astype(np.uint8) for i in range(20)]
    assert found(lamp) == []


def test_a_change_that_may_not_last_is_no_cut() -> None:
    """In the last frame nobody knows, so the tracks go on: a false cut would leave a hole."""
    assert found([room(1)] * 10 + [room(2)]) == []


def test_change_is_0_for_the_same_picture_and_symmetric() -> None:
    """Also for pictures without any structure, and small or narrow ones."""
    a, b = thumbnail(room(1)), thumbnail(room(2))
    assert picture_change(a, a) == pytest.approx(0, abs=1e-9)
    assert picture_change(a, b) == pytest.approx(picture_change(b, a))
    black, white = np.zeros((20, 300, 3), np.uint8), np.full((20, 300, 3), 255, np.uint8)
    assert picture_change(thumbnail(black), thumbnail(black)) == pytest.approx(0, abs=1e-9)
    assert 0 <= picture_change(thumbnail(black), thumbnail(white)) <= 1


def test_marking_cuts_holds_only_a_few_frames() -> None:
    """Every frame comes out once, in order, a few frames after it went in."""
    read = -1

    def frames() -> Iterator[ScannedFrame]:
        nonlocal read
        for f in scan([room(1)] * 12 + [room(2)] * 12):
            read = f.index
            yield f

    order = []
    for frame, _ in mark_cuts(frames(), THRESHOLD):
        order.append(frame.index)
        assert read - frame.index <= FLASH
    assert order == list(range(24))


def test_flow_is_that_of_the_picture_in_px_of_the_source() -> None:
    """A picture moved by (6, -4) at half the source's size moved by (12, -8)."""
    meter = FlowMeter()
    nothing = meter.step(room(1), np.zeros((0, 4), np.float32))
    assert (nothing.faces, nothing.camera) == ((), (0.0, 0.0))
    box = np.array([[400, 200, 520, 330]], np.float32)
    got = meter.step(moved(room(1), 6, -4), box, scale=2.0)
    assert got.camera == pytest.approx((12, -8), abs=0.5)
    assert got.faces[0] == pytest.approx((12, -8), abs=0.5)


def test_a_face_that_moves_before_a_still_wall_has_a_flow_of_its_own() -> None:
    """The box's motion is not the camera's."""
    wall, head = room(1), room(2, width=80, height=80)
    pictures = []
    for x in (200, 207):
        picture = wall.copy()
        picture[100:180, x : x + 80] = head
        pictures.append(picture)
    meter = FlowMeter()
    meter.step(pictures[0], np.zeros((0, 4), np.float32))
    got = meter.step(pictures[1], np.array([[200, 100, 280, 180]], np.float32))
    assert got.faces[0] == pytest.approx((7, 0), abs=0.7)
    assert got.camera == pytest.approx((0, 0), abs=0.1)


def test_a_resumed_meter_gives_identical_numbers() -> None:
    """Flow depends on two pictures alone, not on what was measured before."""
    pictures = [moved(room(1), 3 * i, 2 * i) for i in range(6)]
    box = np.array([[100, 50, 200, 150], [-60, -60, -10, -10], [470, 260, 500, 300]], np.float32)
    through, resumed = FlowMeter(), FlowMeter()
    whole = [through.step(p, box) for p in pictures]
    resumed.step(pictures[2], box)
    assert [resumed.step(p, box) for p in pictures[3:]] == whole[3:]


def test_flow_survives_tiny_pictures_and_a_change_of_size() -> None:
    """No crash where DIS has nothing to work with; nothing moves there."""
    meter = FlowMeter()
    box = np.array([[0, 0, 4, 4]], np.float32)
    for size in ((8, 8), (8, 8), (64, 8), (64, 64), (64, 64), (32, 64)):
        got = meter.step(np.zeros((*size, 3), np.uint8), box)
        assert got.faces == ((0.0, 0.0),)
        assert got.camera == (0.0, 0.0)


@pytest.mark.parametrize(("zoom", "roll"), [(1.03, 0.0), (0.97, 0.0), (1.0, 0.02), (1.02, -0.015)])
def test_a_camera_that_zooms_or_rolls_is_told_from_one_that_pans(zoom: float, roll: float) -> None:
    """Zoom to 0.3 %, roll to 0.003 rad, and the corner to a px; people in front do not count."""
    a = room(1)
    matrix = cv2.getRotationMatrix2D((240, 135), -np.degrees(roll), zoom)
    b = np.asarray(cv2.warpAffine(a, matrix, (480, 270), borderMode=cv2.BORDER_REFLECT), np.uint8)
    meter = FlowMeter()
    meter.step(a, np.zeros((0, 4), np.float32))
    got = meter.step(b, np.array([[200, 90, 280, 180]], np.float32))
    turn = complex(*got.turn)
    assert abs(turn) == pytest.approx(zoom, abs=0.003)
    assert np.angle(turn) == pytest.approx(roll, abs=0.003)
    assert got.camera == pytest.approx(tuple(matrix @ [0.0, 0.0, 1.0]), abs=1.0)


def test_a_camera_that_only_pans_neither_zooms_nor_rolls() -> None:
    """Noise of the flow is no zoom, or a long clip would drift away."""
    meter = FlowMeter()
    for k in range(6):
        got = meter.step(moved(room(1), 3 * k, 2 * k), np.zeros((0, 4), np.float32))
        assert got.turn == (1.0, 0.0)
