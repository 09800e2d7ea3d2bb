"""Memory that does not suffice: smaller portions down to one, then an error or a cover; and none is held in vain."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from clips import make_clip
from test_detect_ours import SMALL, noise, random_network
from test_render_generate import CONFIG, request

import vidanon.render.generate as generate_module
from vidanon.detect.engines import TorchEngine
from vidanon.detect.landmarks import FaceLandmarker
from vidanon.detect.ours import OurNetwork
from vidanon.errors import DeviceError
from vidanon.media.reader import Reader
from vidanon.models.generator import Generator
from vidanon.models.landmarks import Landmarker, LandmarkerConfig
from vidanon.models.memory import Portions, is_out_of_memory
from vidanon.render.generate import FacePainter
from vidanon.types import Detections, ImageArray

CPU = torch.device("cpu")
NO_MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
)


def holding(limit: int, sizes: list[int], error: BaseException = NO_MEMORY[0]) -> Callable[[Sequence[int]], list[int]]:
    """A call that doubles its items and runs out of memory with more than `limit` of them; notes their number."""

    def call(items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        if len(items) > limit:
            raise error
        return [2 * item for item in items]

    return call


@pytest.mark.parametrize("error", NO_MEMORY)
def test_portions_shrink_for_good_until_they_fit(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """8, 4, 2 of twenty; what comes later begins with 2, and each step is said once."""
    portions, sizes = Portions("detector", CPU, 8), list[int]()
    with caplog.at_level(logging.WARNING, "vidanon"):
        assert portions.run(holding(3, sizes, error), range(20)) == [2 * i for i in range(20)]
        assert sizes == [8, 4, *[2] * 10]
        assert portions.run(holding(3, sizes, error), range(3)) == [0, 2, 4]
    assert sizes[-2:] == [2, 1]
    assert [record.message for record in caplog.records] == [
        "cpu ran out of memory in the detector with 8 pictures at a time; going on with 4",
        "cpu ran out of memory in the detector with 4 pictures at a time; going on with 2",
    ]


def test_one_that_does_not_fit_is_a_device_error() -> None:
    """It names the device and the network, and what to try."""
    sizes: list[int] = []
    with pytest.raises(DeviceError, match="cpu ran out of memory in the detector") as caught:
        Portions("detector", CPU, 4).run(holding(0, sizes), range(9))
    assert sizes == [4, 2, 1]
    assert "--device" in (caught.value.hint or "")


def test_costs_are_counted_against_the_budget() -> None:
    """Items of 30 px go three at a time into 100 px, those of 300 one by one."""
    portions = Portions("detector", CPU, 100)
    sizes: list[int] = []
    portions.run(holding(99, sizes), range(7), cost=30)
    portions.run(holding(99, sizes), range(2), cost=300)
    assert sizes == [3, 3, 1, 1, 1]


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    """They pass at once, and nothing is tried again."""
    sizes: list[int] = []
    error = RuntimeError("CUDA error: an illegal memory access was encountered")
    assert not is_out_of_memory(error)
    with pytest.raises(RuntimeError, match="illegal"):
        Portions("detector", CPU, 8).run(holding(0, sizes, error), range(8))
    assert sizes == [8]


class _Crowded(torch.nn.Module):
    """A network that runs out of memory with more than `limit` inputs a call."""

    def __init__(self, inner: torch.nn.Module, limit: int) -> None:
        super().__init__()
        self.inner, self.limit, self.config = inner, limit, inner.config
        self.sizes: list[int] = []

    def forward(self, *inputs: torch.Tensor) -> Any:
        self.sizes.append(len(inputs[0]))
        if len(inputs[0]) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.inner(*inputs)


def detector(limit: int, monkeypatch: pytest.MonkeyPatch) -> tuple[OurNetwork, _Crowded]:
    """Our network as it runs on a GPU with room for eight pictures in theory and `limit` in fact."""
    made = OurNetwork(random_network().state_dict(), SMALL.to_dict(), device="cpu", least=0.3, nms_iou=0.4)
    engine = TorchEngine(random_network(), CPU)
    crowded = _Crowded(engine._network, limit)
    monkeypatch.setattr(engine, "_network", crowded)
    monkeypatch.setattr(made, "_engine", engine)
    monkeypatch.setattr(made, "_portions", Portions("detector", CPU, 8 * 64 * 96))
    return made, crowded


def test_the_detector_goes_on_with_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every picture is looked at, and the same is found."""
    pictures = [noise(64, 96, seed) for seed in range(7)]
    roomy, _ = detector(8, monkeypatch)
    tight, network = detector(2, monkeypatch)
    for a, b in zip(roomy.faces(pictures), tight.faces(pictures), strict=True):
        assert len(a) > 0
        np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-3)
    assert network.sizes == [7, 4, 2, 2, 2, 1]


def test_a_detector_without_room_for_one_picture_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture is taken for one without faces."""
    tight, _ = detector(0, monkeypatch)
    with pytest.raises(DeviceError, match="ran out of memory"):
        tight.faces([noise(64, 96, 0)])


@pytest.mark.parametrize("spoiled", [0, 3])
def test_a_detector_that_gives_no_numbers_is_an_error(spoiled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN in the scores, or in the boxes of what is surely a face: never "no face"."""
    made = OurNetwork(random_network().state_dict(), SMALL.to_dict(), device="cpu", least=0.3, nms_iou=0.4)
    honest = made._engine

    def broken(pictures: Sequence[ImageArray]) -> torch.Tensor:
        raw = honest(pictures).clone()
        raw[0, 7, 0] = 9.0
        raw[0, 7, spoiled] = torch.nan
        return raw

    monkeypatch.setattr(made, "_engine", broken)
    with pytest.raises(DeviceError, match="no numbers"):
        made.faces([noise(64, 96, 0)])


def test_the_landmarker_goes_on_with_smaller_batches() -> None:
    """Five faces of one picture, in ones."""
    torch.manual_seed(0)
    network = Landmarker(LandmarkerConfig())
    boxes = np.array([[8 * i, 10, 8 * i + 30, 50] for i in range(5)], np.float32)
    found = Detections(boxes, np.full(5, 0.9, np.float32), np.full((5, 5, 2), np.nan, np.float32))
    picture = noise(64, 96, 0)
    roomy = FaceLandmarker(network, "cpu").locate(picture, found)
    crowded = _Crowded(network, 1)
    tight = FaceLandmarker(crowded, "cpu").locate(picture, found)
    assert crowded.sizes[-5:] == [1] * 5
    for a, b in zip(roomy, tight, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-2, equal_nan=True)


def painter(limit: int) -> tuple[FacePainter, _Crowded]:
    """The painter as on a GPU, in fixed batches of eight, with room for `limit`."""
    torch.manual_seed(0)
    crowded = _Crowded(Generator(CONFIG), limit)
    made = FacePainter(crowded, "cpu")
    made._portions = Portions("generator", CPU, generate_module.FIXED_BATCH)
    return made, crowded


def test_the_generator_goes_on_with_smaller_batches_padded_to_their_size() -> None:
    """Every face is painted; the blanks shrink with the batch."""
    requests = [request(i) for i in range(5)]
    wanted = painter(8)[0].paint(requests)
    tight, network = painter(2)
    got = tight.paint(requests)
    assert network.sizes == [8, 4, 2, 2, 2]
    for a, b in zip(wanted, got, strict=True):
        assert a is not None
        assert b is not None
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_faces_without_room_for_one_are_left_to_the_fallback() -> None:
    """None for each: the renderer covers it plainly."""
    assert painter(0)[0].paint([request(i) for i in range(3)]) == [None] * 3


def test_decoded_frames_are_freed_as_soon_as_nobody_holds_them(tmp_path: Path) -> None:
    """None waits for the cyclic collector, which does not know how large a picture is."""
    clip = make_clip(tmp_path / "turned.mp4", rotation=90, frames=9).path
    gc.collect()
    gc.disable()
    try:
        with Reader(clip) as reader:
            assert [frame.rotation for frame in reader] == [90] * 9
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [kind for kind in map(type, gc.garbage) if issubclass(kind, av.VideoFrame)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert len(left) <= 2  # what probing a clip looks at more closely
