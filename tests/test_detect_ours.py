"""Our own network: shapes, folding, independence of the batch; and the shipped weights on a face everybody may show."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from skimage.data import astronaut

from vidanon import geometry
from vidanon.detect.factory import build_detector
from vidanon.detect.ours import OurNetwork, vote
from vidanon.models.detector import DetectorConfig, DetectorNet, cells, decode
from vidanon.settings import DetectSettings
from vidanon.types import Detections, FloatArray, ImageArray

SMALL = DetectorConfig(stem=8, widths=(8, 16, 16, 16), depths=(1, 1, 1, 1), neck=16)
ASTRONAUT_BOX = (176.0, 62.0, 264.0, 178.0)
"""Eileen Collins' face in scikit-image's 512 px picture (NASA, public domain), hairline to chin, by eye."""


def random_network(seed: int = 0) -> DetectorNet:
    """A network with random weights and lived-in BatchNorm statistics that finds something everywhere."""
    torch.manual_seed(seed)
    network = DetectorNet(SMALL)
    with torch.no_grad():
        network.train()
        network(torch.randn(4, 3, 64, 64))
        network.head.score.weight.normal_(std=0.5)
        network.head.score.bias.fill_(0.0)
    return network.eval()


def noise(height: int, width: int, seed: int) -> ImageArray:
    """A picture of coloured clouds."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def shipped(**changes: float) -> object:
    return build_detector(DetectSettings(**changes), device="cpu")


def portrait(size: float, *, turn: float = 0.0, height: int = 720, width: int = 1280) -> tuple[ImageArray, FloatArray]:
    """The astronaut with a face `size` px high in the middle of a frame, turned by `turn` degrees, and her box."""
    x0, y0, x1, y1 = ASTRONAUT_BOX
    matrix = geometry.similarity(
        size / (y1 - y0), np.radians(turn), ((x0 + x1) / 2, (y0 + y1) / 2), (width / 2, height / 2)
    )
    image = astronaut()
    scale = size / (y1 - y0)
    if scale < 1:  # antialiased, as a camera would
        soft = max(0.5 / scale - 0.5, 0.01)
        image = cv2.GaussianBlur(image, (0, 0), soft)
    frame = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    half = size / (y1 - y0) / 2 * np.array([x1 - x0, y1 - y0])
    middle = np.array([width / 2, height / 2])
    return np.asarray(frame, np.uint8), np.concatenate([middle - half, middle + half]).astype(np.float32)


def test_every_cell_speaks_and_cells_lie_in_the_middle_of_their_squares() -> None:
    """A 96 x 64 picture has 8*12 + 4*6 + 2*3 cells, each with 15 numbers."""
    out = random_network()(torch.zeros(2, 3, 64, 96))
    where = cells(64, 96, SMALL.strides)
    assert out.shape == (2, 126, 15)
    assert where.shape == (126, 3)
    assert where[0].tolist() == [4, 4, 8]
    assert where[-1].tolist() == [80, 48, 32]


def test_decoding_is_what_the_docstring_says() -> None:
    """Zero output is a face four cells wide in the middle of its cell; offsets count in cells, sizes in logs."""
    raw = torch.zeros(1, 15)
    where = torch.tensor([[12.0, 20.0, 8.0]])
    _, boxes, points = decode(raw, where)
    assert boxes[0].tolist() == [-4.0, 4.0, 28.0, 36.0]
    assert (points[0] == torch.tensor([12.0, 20.0])).all()
    raw[0, 1], raw[0, 4], raw[0, 5] = 1.0, np.log(2.0), -1.0
    _, boxes, points = decode(raw, where)
    torch.testing.assert_close(boxes[0], torch.tensor([4.0, -12.0, 36.0, 52.0]))
    assert points[0, 0].tolist() == [4.0, 20.0]


def test_folding_the_norms_changes_nothing() -> None:
    """The network that ships into inference gives the numbers of the one that was trained."""
    picture = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        before = random_network()(picture)
        folded = random_network().fused()
        torch.testing.assert_close(folded(picture), before, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())


def test_a_size_that_is_no_multiple_of_32_is_refused_by_the_network_and_padded_by_the_runtime() -> None:
    """The border is where the runtime's padding ends."""
    with pytest.raises(ValueError, match="multiples of 32"):
        random_network()(torch.zeros(1, 3, 60, 64))
    runtime = OurNetwork(random_network().state_dict(), SMALL.to_dict(), device="cpu", least=0.3, nms_iou=0.4)
    found = runtime.faces([noise(61, 75, 1)])[0]
    assert len(found) > 0
    assert (found.boxes[:, :2] < (75, 61)).all()


def test_a_picture_gives_the_same_bits_alone_and_in_company() -> None:
    """Batch composition never changes a result on the CPU."""
    runtime = OurNetwork(random_network().state_dict(), SMALL.to_dict(), device="cpu", least=0.3, nms_iou=0.4)
    pictures = [noise(96, 128, seed) for seed in range(4)]
    together = runtime.faces(pictures)
    for picture, found in zip(pictures, together, strict=True):
        alone = runtime.faces([picture])[0]
        np.testing.assert_array_equal(alone.boxes, found.boxes)
        np.testing.assert_array_equal(alone.scores, found.scores)
        np.testing.assert_array_equal(alone.keypoints, found.keypoints)


def test_suppressed_neighbours_have_a_say_but_distant_ones_do_not() -> None:
    """The box is the score-weighted mean of those that overlap closely; the score is the best one's."""
    boxes = np.array([[0, 0, 100, 100], [4, 0, 104, 100], [30, 0, 130, 100], [300, 0, 400, 100]], np.float32)
    scores = np.array([0.8, 0.4, 0.3, 0.2], np.float32)
    found = vote(Detections(boxes, scores, np.zeros((4, 5, 2), np.float32)), iou=0.4)
    assert len(found) == 2
    np.testing.assert_allclose(found.boxes[0], [4 / 3, 0, 100 + 4 / 3, 100], atol=1e-3)
    np.testing.assert_array_equal(found.boxes[1], boxes[3])
    np.testing.assert_array_equal(found.scores, scores[[0, 3]])


@pytest.mark.parametrize("size", [16.0, 30.0, 80.0, 200.0, 450.0])
def test_the_shipped_detector_finds_a_face_of_any_size(size: float) -> None:
    """From 16 px to a closeup in 720p: one confident detection, in the right place, eyes the right way round."""
    frame, box = portrait(size)
    found = shipped().detect([frame])[0]
    assert len(found) >= 1
    assert found.scores[0] >= DetectSettings().threshold
    assert geometry.iou(found.boxes[0], box)[0, 0] > 0.5
    right_eye, left_eye, nose, mouth_right, mouth_left = found.keypoints[0]
    assert right_eye[0] < left_eye[0]
    assert (mouth_right[1] + mouth_left[1]) / 2 > nose[1] - 1 > (right_eye[1] + left_eye[1]) / 2 - 1


@pytest.mark.parametrize("turn", [-35.0, 35.0])
def test_the_shipped_detector_finds_a_tilted_face(turn: float) -> None:
    """A head on a shoulder is still a face."""
    frame, box = portrait(120.0, turn=turn)
    found = shipped().detect([frame])[0]
    assert found.scores[0] >= DetectSettings().threshold
    assert geometry.iou(found.boxes[0], box)[0, 0] > 0.4


def test_the_shipped_detector_sees_no_faces_in_faceless_textures() -> None:
    """Clouds, gradients and a checkerboard start no track."""
    board = np.asarray(np.kron(np.indices((9, 16)).sum(0) % 2, np.ones((40, 40))) * 255, np.uint8)
    ramp = np.tile(np.linspace(0, 255, 640).astype(np.uint8), (360, 1))
    pictures = [np.repeat(p[:, :, None], 3, axis=2) for p in (board, ramp)] + [noise(360, 640, 5)]
    for found in shipped().detect(pictures):
        assert not (found.scores >= DetectSettings().threshold).any()


def test_a_crowd_in_a_large_picture_is_not_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces kept grow with the picture: a stadium in one tile has more than a portrait."""
    runtime = OurNetwork(random_network().state_dict(), SMALL.to_dict(), device="cpu", least=0.5, nms_iou=0.4)
    raw = torch.full((1, len(cells(1024, 1024, SMALL.strides)), 15), -4.0)  # boxes too small to overlap
    raw[0, :1500, 0] = 3.0
    raw[0, :, 1:3] = 0.0
    monkeypatch.setattr(runtime, "_engine", lambda _: raw)
    assert len(runtime.faces([np.zeros((1024, 1024, 3), np.uint8)])[0]) == 1500
