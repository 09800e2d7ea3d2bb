"""The generator on a CPU: ONNX Runtime paints what torch paints, whatever the threads and whatever came before."""

from __future__ import annotations

import torch
from test_models_gan import TINY, inputs

from vidanon.models.generator import Generator, GeneratorConfig
from vidanon.models.painting import CpuPainter
from vidanon.models.weights import load_weights
from vidanon.render.generate import FacePainter

SIDE = TINY.resolution


def tiny(seed: int = 0) -> Generator:
    """Random weights; biases and the appearance model's buffers too, which begin as zeros."""
    torch.manual_seed(seed)
    made = Generator(TINY).eval().requires_grad_(requires_grad=False)
    for name, values in (*made.named_parameters(), *made.named_buffers()):
        if name.endswith("bias") or name in ("appearance.mean", "appearance.axes"):
            values.copy_(0.3 * torch.randn(values.shape))
    made.appearance.cover.fill_(0.7)
    return made


def alone(batch: tuple[torch.Tensor, ...], i: int) -> tuple[torch.Tensor, ...]:
    return tuple(each[i : i + 1] for each in batch)


def test_both_paint_the_same() -> None:
    """To a ten-thousandth of the range, with all, some and none of the keypoints known."""
    generator = tiny()
    batch = inputs(3, SIDE)
    batch[2][1, 3:] = torch.nan
    batch[2][2] = torch.nan
    painter = CpuPainter(generator, threads=1)
    for i in range(3):
        crop = alone(batch, i)
        with torch.inference_mode():
            expected = generator(*crop)
        assert expected.abs().max() > 0.3
        torch.testing.assert_close(painter(*crop), expected, atol=1e-4, rtol=0)


def test_what_ships_paints_the_same() -> None:
    """The weights that ship, at their size."""
    state, config = load_weights("generator")
    generator = Generator(GeneratorConfig.from_dict(config))
    generator.load_state_dict(state)
    generator.eval().requires_grad_(requires_grad=False)
    context, hidden, points, _ = inputs(1, generator.config.resolution)
    latent = torch.randn(1, generator.config.latent_dim, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = generator(context, hidden, points, latent)
    torch.testing.assert_close(CpuPainter(generator)(context, hidden, points, latent), expected, atol=1e-4, rtol=0)


def test_threads_and_what_came_before_do_not_change_a_bit() -> None:
    """The same crop gives the same bits from one thread and from three, at first and after others."""
    batch = inputs(4, SIDE)
    one, three = (CpuPainter(tiny(), threads=n) for n in (1, 3))
    first = [three(*alone(batch, i)) for i in range(4)]
    for i in (2, 0, 3, 1):
        assert torch.equal(one(*alone(batch, i)), first[i])
        assert torch.equal(three(*alone(batch, i)), first[i])


def test_other_weights_are_another_painter() -> None:
    """Nothing is remembered beyond a painter."""
    crop = alone(inputs(1, SIDE), 0)
    assert (CpuPainter(tiny(1))(*crop) - CpuPainter(tiny(2))(*crop)).abs().max() > 0.05


def test_the_renderer_takes_it_on_a_cpu() -> None:
    """And leaves any other network as it is."""
    assert isinstance(FacePainter(tiny(), "cpu")._generator, CpuPainter)
    stranger = torch.nn.Identity()
    stranger.config = TINY  # type: ignore[assignment]
    assert FacePainter(stranger, "cpu")._generator is stranger
