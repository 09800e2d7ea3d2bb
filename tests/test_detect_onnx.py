"""Plug-in detectors: what each family's outputs mean, how strangers are turned away, which detector is built."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from vidanon import geometry
from vidanon.detect.factory import build_detector
from vidanon.detect.families import CENTERFACE, SCRFD, ULTRALIGHT, YUNET, recognize
from vidanon.detect.onnx import OnnxNetwork
from vidanon.errors import DeviceError, UsageError, WeightsError
from vidanon.settings import DetectSettings

SHARED = Path(os.environ.get("VIDANON_SHARED", Path(__file__).resolve().parents[2] / "shared" / "data"))
YUNET_FILE = SHARED / "teachers" / "yunet-n-dynamic.onnx"


def field(number: int, value: bytes | int | str) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    data = value.encode() if isinstance(value, str) else value
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def identity_model() -> bytes:
    """A valid ONNX model that does nothing: output "y" is input "x", both [1, 3]. It is no face detector."""
    shape = field(1, field(1, 1)) + field(1, field(1, 3))
    kind = field(1, field(1, 1) + field(2, shape))

    def value(name: str) -> bytes:
        return field(1, name) + field(2, kind)

    node = field(1, "x") + field(2, "y") + field(4, "Identity")
    graph = field(1, node) + field(2, "g") + field(11, value("x")) + field(12, value("y"))
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))


def zeros(stride: int, last: int, height: int, width: int) -> np.ndarray:
    return np.zeros((1, (height // stride) * (width // stride), last), np.float32)


def test_each_family_is_known_by_its_outputs_and_strangers_are_not() -> None:
    """Names and shapes decide; a classifier's single output is nobody's."""
    yunet = [
        (f"{k}_{s}", ["b", "n", c]) for k, c in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)) for s in (8, 16, 32)
    ]
    scrfd = [(str(i), ["n", c]) for i, c in enumerate([1, 1, 1, 4, 4, 4, 10, 10, 10])]
    centre = [(str(i), ["b", c, "h", "w"]) for i, c in enumerate([1, 2, 2, 10])]
    light = [("scores", [1, 4420, 2]), ("boxes", [1, 4420, 4])]
    assert [recognize(o) for o in (yunet, scrfd, scrfd[:6], centre, light)] == [
        YUNET,
        SCRFD,
        SCRFD,
        CENTERFACE,
        ULTRALIGHT,
    ]
    assert recognize([("logits", [1, 1000])]) is None
    assert recognize([]) is None


def test_yunet_counts_from_its_cell_in_strides() -> None:
    """Cell (3, 2) at stride 16: centre, exponential size, points, and the geometric mean of both scores."""
    outputs = {}
    for s in (8, 16, 32):
        outputs |= {f"{k}_{s}": zeros(s, c, 64, 96) for k, c in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))}
    cell = 2 * 6 + 3
    outputs["cls_16"][0, cell], outputs["obj_16"][0, cell] = 0.81, 0.64
    outputs["bbox_16"][0, cell] = (0.5, 0.25, np.log(2), np.log(3))
    outputs["kps_16"][0, cell] = np.arange(10)
    found = YUNET.decode(outputs, 64, 96)
    best = int(found.scores.argmax())
    assert found.scores[best] == pytest.approx(0.72)
    np.testing.assert_allclose(found.boxes[best], [56 - 16, 36 - 24, 56 + 16, 36 + 24])
    np.testing.assert_allclose(found.keypoints[best][0], [48, 48])
    np.testing.assert_allclose(found.keypoints[best][4], [(3 + 8) * 16, (2 + 9) * 16])


@pytest.mark.parametrize("points", [True, False])
def test_scrfd_has_two_anchors_a_cell_and_distances_to_the_sides(points: bool) -> None:  # noqa: FBT001 - a parameter
    """The second anchor of cell (1, 1) at stride 32, with and without keypoint outputs, in any order of outputs."""
    outputs = {}
    for s in (8, 16, 32):
        n = 2 * (64 // s) * (64 // s)
        for kind, c in (("bbox", 4), ("score", 1), *((("kps", 10),) if points else ())):
            outputs[f"{kind}{s}"] = np.zeros((n, c), np.float32)
    outputs["score32"][7], outputs["bbox32"][7] = 0.9, (0.5, 0.5, 1, 0.75)
    found = SCRFD.decode(dict(reversed(outputs.items())), 64, 64)
    best = int(found.scores.argmax())
    np.testing.assert_allclose(found.boxes[best], [16, 16, 64, 56])
    assert np.isfinite(found.keypoints[best]).all() == points


def test_centerface_has_heat_size_offset_and_marks_inside_the_box() -> None:
    """The cell (5, 3) of the stride-4 map; marks come as (y, x) in parts of the box."""
    heat, size, offset, marks = (np.zeros((1, c, 16, 16), np.float32) for c in (1, 2, 2, 10))
    heat[0, 0, 3, 5] = 0.8
    size[0, :, 3, 5] = (np.log(6), np.log(4))
    marks[0, :2, 3, 5] = (0.25, 0.5)
    found = CENTERFACE.decode({"537": heat, "538": size, "539": offset, "540": marks}, 64, 64)
    np.testing.assert_allclose(found.boxes, [[22 - 8, 14 - 12, 22 + 8, 14 + 12]], rtol=1e-6)
    np.testing.assert_allclose(found.keypoints[0, 0], [14 + 8, 2 + 6], rtol=1e-6)


def test_ultralight_boxes_are_parts_of_the_picture() -> None:
    """Relative corners times the input's size; no keypoints."""
    outputs = {"scores": np.array([[[0.1, 0.9]]], np.float32), "boxes": np.array([[[0.1, 0.2, 0.5, 0.6]]], np.float32)}
    found = ULTRALIGHT.decode(outputs, 480, 640)
    np.testing.assert_allclose(found.boxes, [[64, 96, 320, 288]], rtol=1e-6)
    assert np.isnan(found.keypoints).all()


def test_a_missing_a_damaged_and_a_foreign_model_are_told_apart(tmp_path: Path) -> None:
    """Each with the file's name and what to do."""
    (tmp_path / "text.onnx").write_text("not a model")
    (tmp_path / "identity.onnx").write_bytes(identity_model())
    with pytest.raises(WeightsError, match=r"no detector at .*none\.onnx"):
        OnnxNetwork(tmp_path / "none.onnx", least=0.2, nms_iou=0.4)
    with pytest.raises(WeightsError, match="not an ONNX model"):
        OnnxNetwork(tmp_path / "text.onnx", least=0.2, nms_iou=0.4)
    with pytest.raises(UsageError, match=r"no face detector vidanon knows; its outputs are y \[1, 3\]"):
        OnnxNetwork(tmp_path / "identity.onnx", least=0.2, nms_iou=0.4)


def test_an_unknown_detector_and_a_missing_extra_come_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user learns which names there are and what to install."""
    with pytest.raises(UsageError, match="no detector 'yolo'"):
        build_detector(DetectSettings(detector="yolo"), device="cpu")
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    with pytest.raises(UsageError) as missing:
        build_detector(DetectSettings(detector="mtcnn"), device="cpu")
    assert missing.value.hint == "pip install 'vidanon[mtcnn]'"


def test_a_graphics_card_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs quietly on another device than the one asked for."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="cuda:0"):
        build_detector(DetectSettings(), device="cuda:0")


def test_mtcnn_is_asked_for_the_smallest_face_and_its_answer_is_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for facenet-pytorch: sizes go in, detections come out best first, and "nothing" is nothing."""
    asked: dict[str, object] = {}
    points = np.arange(20).reshape(2, 5, 2)

    class Mtcnn:
        def __init__(self, **options: object) -> None:
            asked.update(options)

        def detect(self, image: np.ndarray, *, landmarks: bool) -> tuple[object, object, object]:
            assert landmarks
            if image.max() == 0:
                return None, [None], None
            return np.array([[0, 0, 9, 9], [5, 5, 30, 30]]), np.array([0.5, 0.9]), points

    monkeypatch.setitem(sys.modules, "facenet_pytorch", types.SimpleNamespace(MTCNN=Mtcnn))
    detector = build_detector(DetectSettings(detector="mtcnn", min_face_px=17), device="cpu")
    faces, nothing = detector.detect([np.ones((40, 40, 3), np.uint8), np.zeros((40, 40, 3), np.uint8)])
    assert asked["min_face_size"] == 17
    np.testing.assert_allclose(faces.scores, [0.9, 0.5])
    np.testing.assert_array_equal(faces.keypoints[0], points[1])
    assert len(nothing) == 0


@pytest.mark.skipif(not YUNET_FILE.exists(), reason="the shared data are not here")
def test_a_real_yunet_finds_the_astronaut_through_the_same_passes() -> None:
    """A public model plugs in by its path and its box lies where ours would."""
    detector = build_detector(DetectSettings(detector=str(YUNET_FILE), min_face_px=30), device="cpu", threads=1)
    found = detector.detect([astronaut()])[0]
    assert detector.name == "YuNet (yunet-n-dynamic.onnx)"
    assert geometry.iou(found.boxes[0], (176.0, 62.0, 264.0, 178.0))[0, 0] > 0.5
