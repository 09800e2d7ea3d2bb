"""Publishing a detector: the averaged network, scores made certainties, the account in the manifest."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_faces import write_detector_data
from test_train_detector import SMALL, options

from vidanon.detect.factory import build_detector
from vidanon.detect.ours import calibrated
from vidanon.errors import InputError, WeightsError
from vidanon.locations import weights_dir
from vidanon.models.detector import FACE_CELLS, DetectorConfig, DetectorNet
from vidanon.models.weights import load_weights, read_manifest, read_weights
from vidanon.settings import DetectSettings
from vidanon.train.detector import train
from vidanon.train.detector_publishing import DetectorPublishing, fit_calibration, publish_detector
from vidanon.train.labelled import Labelled, unknown_points
from vidanon.train.runs import load_checkpoint
from vidanon.types import Detections


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen drawn portraits and six plain pictures."""
    return write_detector_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_what_is_published_is_the_averaged_network(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weight file, loaded as the runtime loads it, is the checkpoint's average; the manifest says what was told."""
    network = train(options(data, tmp_path, steps=2))
    folder, told = tmp_path / "weights", tmp_path / "record.json"
    told.write_text('{"licence": "none"}')
    monkeypatch.setattr("vidanon.train.detector_publishing.fit_calibration", lambda *_: (2.0, -1.0, 0.5, 0.25))
    job = DetectorPublishing(tmp_path / "latest.safetensors", data / "crowd-dev", folder, size="fast", record=told)
    assert publish_detector(job) == folder / "detector-fast.safetensors"
    state, config = load_weights("detector-fast", folder=folder)
    assert DetectorConfig.from_dict(config) == dataclasses.replace(SMALL, calibration=(2.0, -1.0, 0.5, 0.25))
    shipped = DetectorNet(SMALL)
    shipped.load_state_dict(state)
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(picture), shipped.eval()(picture))
    record = read_manifest(folder)["detector-fast"]
    assert (record["steps"], record["images"], record["licence"]) == (2, 8, "none")
    again = dataclasses.replace(job, checkpoint=folder / "detector-fast.safetensors", folder=tmp_path / "again")
    state_again, config_again = read_weights(publish_detector(again))
    assert config_again == config, "weights can be calibrated anew"
    assert all(torch.equal(value, state[name]) for name, value in state_again.items())
    with pytest.raises(InputError, match="is no checkpoint"):
        load_checkpoint(folder / "detector-fast.safetensors")
    told.write_text("[]")
    with pytest.raises(InputError, match="record"):
        publish_detector(job)


class OverconfidentNetwork:
    """Finds the labelled square, and always a place of 10 px beside it, as sure of the one as of the other."""

    def faces(self, images: list[np.ndarray]) -> list[Detections]:
        """See `Network.faces`."""
        scale = images[0].shape[1] / 300
        boxes = np.array([[100 * scale, 60 * scale, 140 * scale, 100 * scale], [5, 5, 15, 15]], np.float32)
        return [Detections(boxes, np.full(2, 0.9, np.float32), unknown_points(2))]


def test_a_calibrated_score_is_a_share_of_hits_at_every_size() -> None:
    """Large finds are always right, small ones never, at one raw score: after calibration the scores say so."""
    square = np.array([[100, 60, 140, 100]], np.float32)
    picture = Labelled(np.full((200, 300, 3), 200, np.uint8), square, unknown_points(1), np.zeros(1, bool))
    calibration = fit_calibration(OverconfidentNetwork(), [picture] * 20)  # type: ignore[arg-type]

    def certainty(side: float) -> float:
        # one cell at stride 8: a zero log-size is FACE_CELLS wide
        size = np.log(side / (8 * FACE_CELLS))
        raw = np.array([[np.log(0.9 / 0.1), size, size]], np.float32)
        return float(1 / (1 + np.exp(-calibrated(raw, np.array([8], np.float32), calibration)[0])))

    assert certainty(40) > 0.75
    assert certainty(10) < 0.25


def test_weights_of_something_else_are_no_detector() -> None:
    """A landmarker named as a detector is the user's to mend, in one line."""
    other = str(weights_dir() / "landmarks.safetensors")
    with pytest.raises(WeightsError, match="do not fit"):
        build_detector(DetectSettings(detector=other), device="cpu")
