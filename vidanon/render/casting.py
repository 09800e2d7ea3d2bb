"""Casting: which of several people nobody is suits what is around a person's face.

In: looks at a person, each a crop without its face and what the generator's encoder expects there, and candidate
latents. Out: which of them it is; with the tone of its skin (toning.py) it makes a `Cast`, one for all of a clip, so
that it holds still. Blind: it hangs on what the generator is shown.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from vidanon.types import FloatArray

if TYPE_CHECKING:
    from vidanon.render.generate import FacePainter, PaintRequest

LEAST_VISIBLE = 0.05
"""share of a crop that must be visible to expect anything of it"""


def _as_painted() -> FloatArray:
    return np.ones(3, np.float32)


@dataclass(frozen=True, slots=True)
class Cast:
    """What is decided about a person's new face once for a clip."""

    draw: int = 0
    """which of the latents that their identity may get"""
    tone: FloatArray = field(default_factory=_as_painted)
    """[3] gains of the painted face's R', G' and B'"""
    lightness: float | None = None
    """how light its skin is usually painted: mean natural logarithm of R', G' and B'; None = nobody knows"""


AS_DRAWN = Cast()
"""the first latent, and the tone it is painted with"""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at what is around a person's face."""

    request: PaintRequest
    """what the generator is shown, with any latent"""
    colour: FloatArray
    """[3] R'G'B' 0..1 that the skin is expected to have"""
    kind: FloatArray
    """[KIND] what kind of person is expected"""


def look(painter: FacePainter, request: PaintRequest) -> Look | None:
    """A look, None where there is too little to be seen, or the painter expects nothing of anybody."""
    if (~request.hidden).mean() < LEAST_VISIBLE:
        return None
    expected = painter.expected(request)
    return None if expected is None else Look(request, *expected)


def choose(painter: FacePainter, looks: Sequence[Look], latents: FloatArray, taken: Collection[int]) -> int:
    """Which of the latents [C, L] suits the looks best; one of another pattern than those `taken`, if there is any.

    Without looks it is the first of these.
    """
    scores = painter.suits(latents, np.mean([one.kind for one in looks], axis=0)) if looks else np.zeros(len(latents))
    order = np.argsort(-scores, kind="stable")
    free = [i for i in order if painter.pattern(latents[i]) not in taken]
    return int(free[0] if free else order[0])
