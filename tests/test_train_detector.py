"""Training of the detector on drawn faces: scenes and labels agree, it learns, it resumes, it publishes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_faces import write_detector_data
from PIL import Image

from vidanon.detect.labelled import split
from vidanon.errors import InputError, UsageError
from vidanon.locations import weights_dir
from vidanon.models.detector import DetectorConfig, DetectorNet, cells, grown
from vidanon.train import pseudo
from vidanon.train.detector import DetectorTraining, begin, learning_rate, train
from vidanon.train.detector_loss import Targets, assign, collate, detector_loss
from vidanon.train.labelled import Labelled, read_pseudo, unknown_points
from vidanon.train.pseudo import PseudoOptions, agree
from vidanon.train.runs import load_checkpoint
from vidanon.train.scenes import Composer, composer, covered
from vidanon.types import Detections

SMALL = DetectorConfig(stem=8, widths=(8, 16, 16, 16), depths=(0, 1, 1, 1), neck=16)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen drawn portraits and six plain pictures."""
    return write_detector_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def options(data: Path, run: Path, **changes: object) -> DetectorTraining:
    base = DetectorTraining(
        data=data, run=run, steps=4, batch=4, image_px=128, warmup_steps=4, log_steps=1, config=SMALL
    )
    return dataclasses.replace(base, **changes)


def targets(boxes: list[list[float]], *, ignore: list[bool] | None = None) -> Targets:
    box = torch.tensor([boxes])
    shy = torch.tensor([ignore or [False] * len(boxes)])
    points, visible = torch.full((1, len(boxes), 5, 2), torch.nan), torch.full((1, len(boxes), 5), torch.nan)
    return Targets(box, points, visible, ~shy, shy)


def test_labels_lie_in_the_scene_and_keypoints_in_their_box(data: Path) -> None:
    """However a face was zoomed, turned, mirrored: all points in its box, and right is the subject's right."""
    scenes = composer(data, pseudo=None, seed=3)
    faces = 0
    for _ in range(60):
        scene = scenes.scene(160)
        assert scene.image.shape == (160, 160, 3)
        assert scene.image.dtype == np.uint8
        assert (scene.boxes >= 0).all()
        assert (scene.boxes <= 160).all()
        for box, points, ignore in zip(scene.boxes, scene.points, scene.ignore, strict=True):
            if ignore or np.isnan(points).any() or (box <= 0.5).any() or (box >= 159.5).any():
                continue
            faces += 1
            slack = 0.05 * (box[2:] - box[:2]).max()  # the box of a tilted face is its oval's
            assert (points > box[:2] - slack).all()
            assert (points < box[2:] + slack).all()
            across, down = points[1] - points[0], points[3:].mean(0) - points[:2].mean(0)
            assert across[0] * down[1] - across[1] * down[0] > 0, "a mirrored face has its names swapped"
            assert (points[4] - points[3]) @ across > 0
    assert faces > 50


def test_tiny_boxes_are_ignored_not_learned(data: Path) -> None:
    """A box under 6 px in the scene is neither a face to find nor background."""
    tiny = np.array([[100, 60, 104, 64]], np.float32)
    picture = Labelled(np.zeros((300, 300, 3), np.uint8), tiny, unknown_points(1), np.zeros(1, bool))
    scenes = Composer([], [picture], rng=np.random.default_rng(0))
    drawn = [scenes.scene(96) for _ in range(30)]
    for scene in drawn:
        small = (scene.boxes[:, 2:] - scene.boxes[:, :2]).max(axis=1, initial=0) < 6
        assert scene.ignore[small].all()


def test_every_fifth_picture_by_name_is_held_out(data: Path) -> None:
    """The split depends on nothing but the names, and the composer keeps to it."""
    kept, held = split([f"p{i}" for i in range(6)][::-1])
    assert held == ["p0", "p5"]
    assert kept == ["p1", "p2", "p3", "p4"]
    assert len({id(picture) for picture in composer(data, pseudo=None, seed=0).pictures}) == 4


def test_every_face_has_a_cell_and_ignored_places_are_left_alone() -> None:
    """SimOTA gives each face at least one cell near it; cells over an ignored box are told so."""
    where = cells(128, 128, SMALL.strides)
    wanted = targets(
        [[10.0, 10.0, 18.0, 18.0], [20.0, 30.0, 110.0, 120.0], [90.0, 4.0, 110.0, 24.0]], ignore=[False, False, True]
    )
    count = len(where)
    answer = assign(torch.zeros(1, count), torch.rand(1, count, 4) * 0.1 + where[:, [0, 1, 0, 1]], where, wanted)[0]
    assert {0, 1} == set(answer[answer >= 0].tolist())
    assert (where[answer == 0, :2] - 14).abs().max() < 13, "a small face's cells are beside it"
    assert (answer[(where[:, :2] > 91).all(1) & (where[:, 0] < 109) & (where[:, 1] < 23)] == -2).all()
    inside = (where[:, 0] > 90) & (where[:, 0] < 110) & (where[:, 1] > 4) & (where[:, 1] < 24)
    assert inside.any()
    assert (answer[inside] == -2).all()


def test_a_scene_without_faces_still_teaches() -> None:
    """No labels: the loss is finite, has a gradient, and is all about the score."""
    network = DetectorNet(SMALL)
    empty = Labelled(
        np.zeros((64, 64, 3), np.uint8), np.zeros((0, 4), np.float32), unknown_points(0), np.zeros(0, bool)
    )
    pictures, wanted = collate([empty, empty])
    losses = detector_loss(network(pictures), cells(64, 64, SMALL.strides), wanted)
    losses["total"].backward()
    assert torch.isfinite(losses["total"])
    assert losses["box"] == 0
    assert losses["points"] == 0
    assert network.head.score.weight.grad is not None
    assert network.head.score.weight.grad.abs().sum() > 0


def test_unknown_keypoints_cost_nothing() -> None:
    """A box without keypoints trains box and score alone."""
    network = DetectorNet(SMALL)
    face = np.array([[10, 10, 50, 50]], np.float32)
    scene = Labelled(np.zeros((64, 64, 3), np.uint8), face, unknown_points(1), np.zeros(1, bool))
    losses = detector_loss(network(collate([scene])[0]), cells(64, 64, SMALL.strides), collate([scene])[1])
    assert losses["points"] == 0
    assert losses["box"] > 0


def test_the_loss_falls(data: Path, tmp_path: Path) -> None:
    """Forty steps on drawn scenes bring the score's loss well down."""
    train(options(data, tmp_path, calm=0.0, steps=40, rate=5e-3))
    lines = [json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines()]
    scores = [line["score"] for line in lines]
    assert len(scores) == 40
    assert np.median(scores[-10:]) < 0.7 * np.median(scores[:10])


def test_a_resumed_run_ends_as_an_unbroken_one(data: Path, tmp_path: Path) -> None:
    """Four steps, or two and two more: the same weights, averages and counts, to the bit."""
    train(options(data, tmp_path / "whole", steps=4, seed=7))
    half = options(data, tmp_path / "half", steps=4, seed=7)
    train(dataclasses.replace(half, stop_after=2))
    train(dataclasses.replace(half, run=tmp_path / "rest", resume=tmp_path / "half" / "latest.safetensors"))
    a, numbers_a = load_checkpoint(tmp_path / "whole" / "latest.safetensors")
    b, numbers_b = load_checkpoint(tmp_path / "rest" / "latest.safetensors")
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert (numbers_a["step"], numbers_a["images"]) == (numbers_b["step"], numbers_b["images"]) == (4, 16)


def test_the_rate_warms_up_and_then_follows_a_cosine(tmp_path: Path) -> None:
    """Rising over the warm-up, half way down at half the budget, a hundredth at its end."""
    plan = options(tmp_path, tmp_path, rate=1.0)
    warm = [learning_rate(plan, step=k, progress=0) for k in range(5)]
    assert warm == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert learning_rate(plan, step=99, progress=0.5) == pytest.approx(0.505)
    assert learning_rate(plan, step=99, progress=1.0) == pytest.approx(0.01)


def test_resuming_with_another_shape_of_network_is_refused(data: Path, tmp_path: Path) -> None:
    """The user is told, not shown a stack of tensor sizes."""
    train(options(data, tmp_path, steps=1))
    other = dataclasses.replace(SMALL, neck=24)
    with pytest.raises(UsageError, match="another network"):
        train(options(data, tmp_path / "b", steps=2, config=other, resume=tmp_path / "latest.safetensors"))


def test_a_run_without_an_end_or_without_data_is_refused(data: Path, tmp_path: Path) -> None:
    """Budget and data are checked before anything is trained."""
    with pytest.raises(UsageError):
        train(options(data, tmp_path, steps=None))
    with pytest.raises(InputError):
        train(options(tmp_path / "nothing", tmp_path))


def test_a_grown_network_computes_what_the_small_one_did() -> None:
    """More blocks, a deeper head and visibility change no number until they are trained."""
    torch.manual_seed(0)
    small = DetectorNet(SMALL)
    with torch.no_grad():
        small.train()(torch.randn(4, 3, 64, 64))
    config = dataclasses.replace(SMALL, depths=(1, 2, 3, 2), towers=2, visibility=True)
    large = grown(config, small.state_dict())
    picture = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        before, after = small.eval()(picture), large.eval()(picture)
    torch.testing.assert_close(after[..., :15], before)
    assert after.shape[-1] == 20
    with pytest.raises(RuntimeError, match="do not fit"):
        grown(dataclasses.replace(SMALL, visibility=True), large.state_dict())
    with pytest.raises(UsageError, match="cannot begin"):
        begin(options(Path(), Path(), weights=weights_dir() / "landmarks.safetensors"))


def test_a_calm_scene_is_a_window_of_a_picture_with_its_faces(data: Path) -> None:
    """Nothing pasted, drawn or turned: what is in it is the picture's own, at about its own size."""
    scenes = composer(data, pseudo=None, seed=5)
    scenes.calm = 1.0
    faces = [scene for scene in (scenes.scene(160) for _ in range(40)) if len(scene.boxes)]
    assert len(faces) > 15
    for scene in faces:
        assert len(scene.boxes) == 1, "the pictures have one face each, and none is added"
        whole = (scene.boxes[0] > 0.5).all() and (scene.boxes[0] < 159.5).all()
        assert not whole or 0.8 * 40 <= scene.boxes[0][2] - scene.boxes[0][0] <= 2 * 40 + 1


def test_covered_keypoints_are_labelled_as_such(data: Path) -> None:
    """Of faces that something was drawn over, some points are said to be covered, and those only where it was drawn."""
    scenes = composer(data, pseudo=None, seed=5)
    told = np.concatenate([scenes.scene(160).visible for _ in range(60)])
    known = np.isfinite(told)
    assert known.any()
    assert not known.all(), "nobody knows it of a labelled picture"
    assert 0.02 < (told[known] == 0).mean() < 0.5
    before = np.zeros((20, 20, 3), np.uint8)
    after = before.copy()
    after[4:9, 4:9] = 200
    points = np.array([[6.0, 6.0], [15.0, 15.0]], np.float32)
    assert covered(before, after, points).tolist() == [True, False]


def vote(*rows: tuple[float, float, float, float, float]) -> Detections:
    array = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(array[:, :4], array[:, 4], unknown_points(len(array)))


def test_teachers_agreeing_make_a_face_and_one_alone_a_region_to_ignore() -> None:
    """Both sure: a face. One very sure: a face. One doubtful, or only the second one: ignored."""
    first = vote((0, 0, 10, 10, 0.7), (50, 0, 60, 10, 0.9), (100, 0, 110, 10, 0.5))
    second = vote((1, 0, 11, 10, 0.8), (200, 0, 210, 10, 0.9))
    boxes, points, ignore = agree([first, second], PseudoOptions())
    np.testing.assert_array_equal(boxes[:, 0], [0, 50, 100, 200])
    np.testing.assert_array_equal(ignore, [False, False, True, True])
    assert points.shape == (4, 5, 2)


def test_what_is_doubted_about_a_close_up_is_background() -> None:
    """Its chest and the halves of it, but neither a doubted face in a crowd nor one far away from it."""
    far, other = (900, 0, 1050, 150, 0.4), (300, 700, 320, 720, 0.4)
    chest, half, ear = (110, 330, 260, 480, 0.5), (100, 160, 200, 260, 0.5), (310, 220, 330, 250, 0.5)
    closeup = (100, 100, 300, 300, 0.9)
    boxes, _, ignore = agree([vote(closeup, chest, half, ear, far, other), vote(closeup)], PseudoOptions())
    np.testing.assert_array_equal(boxes, np.array([closeup, far, other], np.float32)[:, :4])
    assert ignore.tolist() == [False, True, True]
    small = [(10, 10, 40, 40, 0.9), (10, 45, 40, 75, 0.4)]
    assert agree([vote(*small), vote(small[0])], PseudoOptions())[2].tolist() == [False, True], "a crowd stands in rows"


def test_pseudo_labels_come_back_as_they_were_written(tmp_path: Path) -> None:
    """The file keeps boxes, points, flags and, JPEG apart, pictures."""
    image = np.full((40, 60, 3), 90, np.uint8)
    packed = np.frombuffer(_jpeg(image), np.uint8)
    boxes = np.array([[1, 2, 30, 35]], np.float32)
    np.savez(
        tmp_path / "p.npz", count=1, jpeg_0=packed, boxes_0=boxes, points_0=unknown_points(1), ignore_0=np.array([True])
    )
    (back,) = read_pseudo(tmp_path / "p.npz")
    np.testing.assert_array_equal(back.boxes, boxes)
    assert back.ignore.tolist() == [True]
    assert abs(int(back.image[5, 5, 0]) - 90) < 4


class Blobs:
    """Stands for an ONNX teacher: one sure face where the picture is red."""

    def __init__(self, path: Path, **_: object) -> None:
        self.shift = 1.0 if path.name == "second.onnx" else 0.0

    def faces(self, images: list[np.ndarray]) -> list[Detections]:
        """The bounding box of what is red."""
        found = []
        for image in images:
            y, x = np.nonzero(image[:, :, 0].astype(int) - image[:, :, 1] > 60)
            rows = [(x.min() + self.shift, y.min(), x.max() + 1, y.max() + 1, 0.9)] if len(x) else []
            found.append(vote(*rows))
        return found


def test_a_folder_of_clips_becomes_pseudo_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every still and clip is looked at by both teachers; what they agree on comes back from the file."""
    monkeypatch.setattr(pseudo, "OnnxNetwork", Blobs)
    for name, red in (("a.png", True), ("b.jpg", False)):
        image = np.full((120, 160, 3), 80, np.uint8)
        if red:
            image[40:80, 60:100] = (220, 40, 40)
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no clip")
    options = pseudo.PseudoLabelling(
        clips=tmp_path, teacher=Path("first.onnx"), second=Path("second.onnx"), target=tmp_path / "out" / "labels.npz"
    )
    with_face, without = read_pseudo(pseudo.label(options))
    np.testing.assert_allclose(with_face.boxes, [[60, 40, 100, 80]], atol=2)
    assert with_face.ignore.tolist() == [False]
    assert len(without.boxes) == 0
    with pytest.raises(InputError, match="no clips"):
        pseudo.label(dataclasses.replace(options, clips=tmp_path / "out"))


def _jpeg(image: np.ndarray) -> bytes:
    import io

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=95)
    return stream.getvalue()
