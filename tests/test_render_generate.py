"""The painter with the real generator's architecture, small and untrained."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

import vidanon.render.generate as generate_module
from vidanon.errors import WeightsError
from vidanon.models.generator import Generator, GeneratorConfig
from vidanon.render.compose import FaceRenderer
from vidanon.render.generate import FacePainter, PaintRequest
from vidanon.render.jobs import FaceJob
from vidanon.settings import RenderSettings
from vidanon.types import Observation

CONFIG = GeneratorConfig(resolution=16, latent_dim=8, appearance_px=16, width=128, max_channels=16)


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """A small generator's state in the place of the weights that ship; tests may spoil it."""
    torch.manual_seed(0)
    state = Generator(CONFIG).state_dict()
    monkeypatch.setattr(generate_module, "load_weights", lambda _name: (state, CONFIG.to_dict()))
    return state


def request(seed: int) -> PaintRequest:
    """Noise around a hidden middle, half of the points unknown."""
    rng = np.random.default_rng(seed)
    hidden = np.zeros((16, 16), np.bool_)
    hidden[4:12, 4:12] = True
    points = rng.random((30, 2), dtype=np.float32)
    points[::2] = np.nan
    latent = rng.standard_normal(8).astype(np.float32)
    return PaintRequest(rng.random((16, 16, 3), dtype=np.float32), hidden, points, latent)


def test_the_real_generator_paints_the_same_bits_in_any_company(weights: dict[str, torch.Tensor]) -> None:
    """Nine requests, forwards, backwards and one by one, give the same crops, none of them blank."""
    painter = FacePainter.shipped("cpu")
    requests = [request(i) for i in range(9)]
    together = painter.paint(requests)
    backwards = painter.paint(requests[::-1])[::-1]
    alone = [painter.paint([r])[0] for r in requests]
    for a, b, c in zip(together, backwards, alone, strict=True):
        assert a is not None
        assert a.shape == (16, 16, 3)
        assert a.dtype == np.float32
        assert np.ptp(a) > 0.01
        assert np.array_equal(a, b)
        assert np.array_equal(a, c)


def test_what_lies_in_hidden_pixels_of_a_request_is_ignored(weights: dict[str, torch.Tensor]) -> None:
    """Even NaN there gives the same bits."""
    painter, one = FacePainter.shipped("cpu"), request(0)
    context = np.where(one.hidden[..., None], np.float32(np.nan), one.context)
    two = PaintRequest(context, one.hidden, one.points, one.latent)
    a, b = painter.paint([one, two])
    assert a is not None
    assert b is not None
    assert np.array_equal(a, b)


def test_weights_that_do_not_fit_are_refused(weights: dict[str, torch.Tensor]) -> None:
    """A missing tensor raises WeightsError before any frame is read."""
    weights.pop("bottom.weight")
    with pytest.raises(WeightsError, match="do not fit"):
        FaceRenderer(RenderSettings(), bytes(32), "cpu")


def test_methods_without_a_network_load_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """With blur, mosaic and solid no weights are asked for; with gan they are."""

    def missing(name: str) -> None:
        raise WeightsError("no weights")

    monkeypatch.setattr(generate_module, "load_weights", missing)
    for method in ("blur", "mosaic", "solid"):
        FaceRenderer(RenderSettings(method=method), bytes(32), "cpu")
    with pytest.raises(WeightsError, match="no weights"):
        FaceRenderer(RenderSettings(), bytes(32), "cpu")


def test_a_face_is_painted_with_the_shipped_weights(weights: dict[str, torch.Tensor]) -> None:
    """From constructor to patch: method gan, no fallback."""
    renderer = FaceRenderer(RenderSettings(), bytes(32), "cpu")
    o = Observation(0, 1, np.array([60, 60, 100, 110], np.float32), np.full((30, 2), np.nan, np.float32), 1, "detected")
    region = renderer.region(o, 160, 160)
    assert region is not None
    rgb = np.random.default_rng(0).random((region.height, region.width, 3), dtype=np.float32)
    got = renderer.render([FaceJob(o, "a", rgb, region, 160, 160)])[0]
    assert (got.method, got.fallback) == ("gan", False)


def test_features_come_from_keypoints_and_latent_alone(weights: dict[str, torch.Tensor]) -> None:
    """The same bits whatever is around the face; another person has others; without patterns there are none."""
    painter = FacePainter.shipped("cpu")
    one = request(0)
    assert painter.features(one, 32) is None
    picture = np.random.default_rng(0).integers(90, 166, (32, 32, 3), np.uint8)
    files = [cv2.imencode(".webp", each)[1].ravel() for each in (picture, picture[::-1])]
    weights["appearance.pictures"] = torch.from_numpy(np.concatenate(files))
    weights["appearance.ends"] = torch.tensor([len(files[0]), len(files[0]) + len(files[1])])
    weights["appearance.patterns"] = torch.zeros(2, 8)
    weights["appearance.cover"] = torch.ones(1, 16, 16)
    painter = FacePainter.shipped("cpu")
    drawn = painter.features(one, 32)
    assert drawn is not None
    assert drawn.shape == (32, 32, 4)
    assert np.ptp(drawn[..., 0]) > 0.01
    elsewhere = PaintRequest(one.context * 0, ~one.hidden, one.points, one.latent)
    assert np.array_equal(drawn, painter.features(elsewhere, 32))
    other = painter.features(PaintRequest(one.context, one.hidden, one.points, -one.latent), 32)
    assert other is not None
    assert not np.array_equal(drawn, other)
