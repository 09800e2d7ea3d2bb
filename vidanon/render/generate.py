"""The network's side of painting: crops in, crops with a new face out, the same bits whatever they are grouped with.

In: `PaintRequest`s. Out: one crop each, or None for a face the network failed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vidanon.errors import WeightsError
from vidanon.models.generator import Generator, GeneratorConfig
from vidanon.models.memory import Portions
from vidanon.models.painting import CpuPainter
from vidanon.models.surroundings import skin_colour
from vidanon.models.weights import load_weights
from vidanon.threads import Threads
from vidanon.types import N_FACE_POINTS, FloatArray

NO_HAIR = (0.05, 0.13)
"""How far inside a face's outline features are taken for hair, in canonical crops: more than where the net is asked."""
FIXED_BATCH = 8
"""Faces in one call on a GPU, where kernels are chosen by shape; fewer are padded with blanks.

On a CPU it is 1: a matrix product's rows may be summed in another order by their place in the batch, padding costs
whole faces, and a larger batch is hardly quicker.
"""


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch's own work on one CPU thread: for a single crop more are slower, many times so on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, slots=True)
class PaintRequest:
    """What the network is shown of one face."""

    context: FloatArray
    """[S, S, 3] R'G'B' 0..1 of the upright crop; hidden pixels are ignored"""
    hidden: NDArray[np.bool_]
    """[S, S] where the face was"""
    points: FloatArray
    """[30, 2] in the order of FACE_POINTS, in 0..1 of the crop, NaN = unknown"""
    latent: FloatArray
    """[latent_dim]"""


class FacePainter:
    """A generator on a device, ready to paint."""

    def __init__(self, generator: nn.Module, device: torch.device | str) -> None:
        self.device = torch.device(device)
        ready = generator.to(self.device).eval().requires_grad_(requires_grad=False)
        config = ready.config
        self._generator: Callable[..., Tensor] = ready
        self._threads = Threads(torch.get_num_threads() if self.device.type == "cpu" else 1)
        if self.device.type == "cpu" and isinstance(ready, Generator):
            self._generator = CpuPainter(
                ready, threads=1
            )  # two faces at once take half the time, one on two threads not
        self._net = ready if isinstance(ready, Generator) else None
        self._patterned = self._net.appearance if self._net is not None and len(self._net.appearance.ends) else None
        self.resolution: int = int(config.resolution)  # type: ignore[union-attr,arg-type]
        self.latent_dim: int = int(config.latent_dim)  # type: ignore[union-attr,arg-type]
        self._portions = Portions("generator", self.device, 1 if self.device.type == "cpu" else FIXED_BATCH)

    @classmethod
    def shipped(cls, device: torch.device | str) -> FacePainter:
        """The painter with the weights that ship. Raises WeightsError if they are missing or damaged."""
        state, config = load_weights("generator")
        try:
            generator = Generator(GeneratorConfig.from_dict(config))
            generator.load_state_dict(state)
        except (RuntimeError, TypeError, KeyError) as e:
            raise WeightsError(f"the generator's weights do not fit it: {e}", hint="reinstall vidanon") from e
        return cls(generator, device)

    def paint(self, requests: Sequence[PaintRequest]) -> list[FloatArray | None]:
        """A crop [S, S, 3] R'G'B' 0..1 for each request, None where the network raised or gave no number.

        Each result depends on its own request alone, bit for bit, as long as the device's memory suffices; where it
        does not, calls get smaller, down to one face, and a face that is too much by itself is None.
        """
        if self._portions.size() == 1:
            with one_thread():
                return self._threads.map(self._alone, requests)
        try:
            return self._portions.run(self._call, requests)
        except Exception:  # noqa: BLE001 - whatever went wrong, no face may stay: the caller covers it
            return [self._alone(request) for request in requests]

    def features(self, request: PaintRequest, side: int) -> FloatArray | None:
        """[side, side, 4] of the person of a request, where its keypoints put them, `side` the resolution or twice it.

        R', G' and B' in contrasts of a face, without light, and how far they cover each pixel, 0..1; None where the
        network's people are no more than it paints of them.
        """
        if self._patterned is None:
            return None
        with torch.inference_mode(), one_thread():
            who = self._patterned.person(self._tensor(request.latent[None]))
            made = self._patterned(self._tensor(request.points[None]), who, side, hair=NO_HAIR)[0]
            return np.asarray(made.permute(1, 2, 0).float().cpu().numpy(), np.float32)

    @property
    def expects(self) -> bool:
        """Whether the network expects anything of a face by its surroundings."""
        return self._net is not None and self._net.surroundings.known

    def expected(self, request: PaintRequest) -> tuple[FloatArray, FloatArray] | None:
        """(skin colour [3] R'G'B' 0..1, kind [KIND]) that the surroundings let expect; None where `expects` nothing."""
        if self._net is None or not self.expects:
            return None
        hidden = request.hidden[None, None]
        shown = (_seen(request.context[None], hidden), hidden, request.points[None])
        with torch.inference_mode(), one_thread():
            told = self._net.expected(*(self._tensor(a) for a in shown))
            return told.colour[0].float().cpu().numpy(), told.kind[0].float().cpu().numpy()

    @property
    def usual_lightness(self) -> float:
        """Mean natural logarithm of R', G' and B' of the skin of the faces the network was fitted to."""
        return 0.0 if self._net is None else float(self._net.surroundings.tone[0])

    def suits(self, latents: FloatArray, kind: FloatArray) -> FloatArray:
        """[C] how well the people of latents [C, L] suit an expected kind [KIND]: higher is better."""
        if self._net is None or self._patterned is None:
            return np.zeros(len(latents), np.float32)
        with torch.inference_mode():
            patterns = self._patterned.picked(self._tensor(latents))
            return np.asarray(self._net.surroundings.suits(patterns, self._tensor(kind)).cpu().numpy(), np.float32)

    def pattern(self, latent: FloatArray) -> int | None:
        """Which pattern the person of a latent [L] begins with; None where there are none."""
        if self._patterned is None:
            return None
        return int(self._patterned.picked(self._tensor(latent[None]))[0])

    def skin_colour(self, crop: FloatArray, request: PaintRequest) -> FloatArray:
        """[3] R'G'B' of the skin of a crop [S, S, 3] that was painted as requested."""
        image, hidden = (self._tensor(a)[None] for a in (crop.transpose(2, 0, 1), request.hidden[None]))
        with torch.inference_mode():
            return np.asarray(
                skin_colour(image, self._tensor(request.points[None]), hidden)[0].cpu().numpy(), np.float32
            )

    def _alone(self, request: PaintRequest) -> FloatArray | None:
        try:
            return self._portions.run(self._call, [request])[0]
        except Exception:  # noqa: BLE001 - as above
            return None

    def _call(self, group: Sequence[PaintRequest]) -> list[FloatArray | None]:
        side, blanks = self.resolution, self._portions.size() - len(group)
        hidden = np.stack([r.hidden for r in group] + [np.ones((side, side), np.bool_)] * blanks)[:, None]
        context = np.stack([r.context for r in group] + [np.zeros((side, side, 3), np.float32)] * blanks)
        context = _seen(context, hidden)
        unknown = np.full((N_FACE_POINTS, 2), np.nan, np.float32)
        points = np.stack([r.points for r in group] + [unknown] * blanks)
        latents = np.stack([r.latent for r in group] + [np.zeros(self.latent_dim, np.float32)] * blanks)
        flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with torch.inference_mode(), flags:
            out = self._generator(*(self._tensor(a) for a in (context, hidden, points, latents)))
            crops = out.float().permute(0, 2, 3, 1).cpu().numpy()
        if crops.shape != context.transpose(0, 2, 3, 1).shape:
            raise ValueError(f"the generator gave {crops.shape}")
        return [
            np.clip(crop * np.float32(0.5) + np.float32(0.5), 0, 1) if np.isfinite(crop).all() else None
            for crop in crops[: len(group)]
        ]

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self.device)


def _seen(context: FloatArray, hidden: NDArray[np.bool_]) -> FloatArray:
    """[B, 3, S, S] in [-1, 1], 0 where `hidden` [B, 1, S, S], of R'G'B' 0..1 [B, S, S, 3]."""
    return np.where(hidden, np.float32(0), context.transpose(0, 3, 1, 2) * 2 - 1)
