"""What runs the detector's network: ONNX Runtime says what torch says, whatever the threads; strangers are refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from test_detect_ours import SMALL, noise, random_network
from torch import nn

from vidanon.detect.engines import CpuEngine, Engine, TorchEngine, padded, planes
from vidanon.detect.ours import WEIGHTS, decoded
from vidanon.models.detector import CONFIGS, DetectorConfig, DetectorNet, Size, cells, decode
from vidanon.models.onnx_graph import to_onnx
from vidanon.models.runtime import CpuNetwork
from vidanon.models.weights import load_weights
from vidanon.types import ImageArray

CPU = torch.device("cpu")


def shipped_network(size: Size = "strong") -> DetectorNet:
    state, config = load_weights(WEIGHTS[size])
    network = DetectorNet(DetectorConfig.from_dict(config))
    network.load_state_dict(state)
    return network


def both(network: DetectorNet, pictures: Sequence[ImageArray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Raw cells from torch and from ONNX Runtime."""
    engines: tuple[Engine, ...] = (TorchEngine(network, CPU), CpuEngine(network, threads=1))
    first, second = (engine(pictures) for engine in engines)
    return first, second


@pytest.mark.parametrize("size", ["strong", "fast"])
@pytest.mark.parametrize(("height", "width"), [(96, 128), (61, 75), (32, 320), (1, 1)])
def test_both_engines_see_the_same(height: int, width: int, size: Size) -> None:
    """The shipped weights, on pictures that fit and that must be padded, to a thousandth of a cell."""
    torch_says, onnx_says = both(shipped_network(size), [noise(height, width, seed) for seed in range(3)])
    where = cells(padded(height), padded(width), (8, 16, 32))
    assert torch_says.shape == onnx_says.shape == (3, len(where), CONFIGS[size].numbers)
    torch.testing.assert_close(onnx_says, torch_says, atol=1e-3, rtol=1e-4)


def test_any_weights_and_widths_run() -> None:
    """The graph is made from the network that was loaded: another shape, random weights, norms not folded."""
    network = random_network(3)
    picture = noise(64, 96, 0)
    with torch.inference_mode():
        unfolded = random_network(3)(torch.from_numpy(planes(picture)))
    torch_says, onnx_says = both(network, [picture])
    torch.testing.assert_close(onnx_says, torch_says, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(onnx_says, unfolded, atol=1e-3, rtol=1e-3)


def test_threads_and_company_do_not_change_a_bit() -> None:
    """One thread or three, alone or after another picture of another size: the same bits."""
    one, three = (CpuEngine(random_network(), threads=n) for n in (1, 3))
    pictures = [noise(160, 224, seed) for seed in range(2)]
    together = three(pictures)
    three([noise(64, 64, 9)])
    for picture, raw in zip(pictures, together, strict=True):
        assert torch.equal(one([picture])[0], raw)
        assert torch.equal(three([picture])[0], raw)


def test_pixels_become_what_the_network_was_trained_on() -> None:
    """v / 127.5 - 1, one plane a channel, black where the picture ends."""
    picture = noise(33, 40, 1)
    values = planes(picture)
    assert values.shape == (1, 3, 64, 64)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values[0, :, :33, :40], picture.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)
    assert (values[0, :, 33:] == -1).all()
    assert (values[0, :, :, 40:] == -1).all()


def test_a_picture_seen_through_a_window_is_the_picture() -> None:
    """Tiles are windows of a larger array, not contiguous in memory."""
    large = noise(96, 128, 2)
    window = large[8:72, 16:112]
    np.testing.assert_array_equal(planes(window), planes(window.copy()))


def test_the_decoding_of_the_runtime_is_that_of_the_training() -> None:
    """The same boxes, points and scores, extreme cells included."""
    where = cells(64, 96, SMALL.strides)
    raw = torch.randn(len(where), 15, generator=torch.Generator().manual_seed(0)) * 3
    raw[0, :5] = torch.tensor([200.0, 0.0, 0.0, 90.0, -90.0])
    raw[1, 0] = -200.0
    logits, boxes, points = decode(raw, where)
    found = decoded(raw.numpy(), where.numpy(), raw[:, 0].numpy())
    np.testing.assert_allclose(found.boxes, boxes.numpy(), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(found.keypoints, points.numpy(), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(found.scores, logits.sigmoid().numpy(), atol=1e-6)


class _Squared(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.square(x)


class _Enlarged(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(x, scale_factor=2.0, mode="bicubic")


class _Turned(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(0, 2)


class _Cornered(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


class _Pooled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(x, 2, stride=1)


class _Doubled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


class _Picked(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x)[0]


@pytest.mark.parametrize(
    "stranger",
    [
        _Squared(),
        _Enlarged(),
        _Cornered(),
        _Pooled(),
        _Doubled(),
        _Picked(),
        _Turned(),
        nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")),
    ],
)
def test_an_operation_that_is_not_known_is_refused_and_never_left_out(stranger: nn.Module) -> None:
    """A network with something new in it fails when it is loaded, by the name of what is new."""
    with pytest.raises(NotImplementedError, match=r"square|interpolate|pool|mul|getitem|transpose|_0"):
        to_onnx(stranger.eval())


def test_a_picture_without_memory_is_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime has no class for it; `Portions` must know. Other errors stay what they are."""
    network = CpuNetwork(random_network().fused(), threads=1)

    class Full:
        text = "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 9"

        def run(self, *_: object) -> None:
            raise RuntimeError(self.text)

    full = Full()
    monkeypatch.setattr(network, "_session", full)
    picture = planes(noise(32, 32, 0))
    with pytest.raises(MemoryError, match="requested buffer"):
        network(picture)
    full.text = "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions"
    with pytest.raises(RuntimeError, match="invalid dimensions"):
        network(picture)
