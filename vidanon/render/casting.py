"""Casting: which of several people nobody is suits what is around a person's face, and how her skin is toned for it.

In: looks at a person, each a crop without its face and what the generator's encoder expects there, and candidate
latents. Out: a `Cast`, one for all of a clip, so that it holds still. Blind: it hangs on what the generator is shown.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vidanon.geometry import Array
from vidanon.render.blend import match_colour
from vidanon.types import FACE_POINT_INDEX, FloatArray

if TYPE_CHECKING:
    from vidanon.render.generate import FacePainter, PaintRequest

LEAST_VISIBLE = 0.05
"""share of a crop that must be visible to expect anything of it"""
HALFWAY = 0.5
"""How far skin follows what is expected at the most: of both guesses, the generator's and that of its surroundings, the
middle errs least by much (on 800 news photos, where faces are lit otherwise than necks)."""
STRONGEST = 0.4
"""Natural logarithm of the largest and smallest gain; of a colour's gain beside that of the others half as much."""
NECK = (0.02, 0.16)
"""How far from the hidden area, in sides of the crop, a neck is looked for, from and to."""
SKIN = (0.6, 0.09, 0.13)
"""By how much (natural logarithms: how light, how red, how blue for that) skin differs from skin nearby."""
ENOUGH = 0.012
"""Share of a crop that must be skin beside the face for its hue to be followed half the way to wholly."""
STEPS = 64
"""gains are multiples of this part of one: what networks differ in from machine to machine is less"""
DARKEST = 0.04
"""Colours are taken to be at least so light."""


def _as_painted() -> FloatArray:
    return np.ones(3, np.float32)


@dataclass(frozen=True, slots=True)
class Cast:
    """What is decided about a person's new face once for a clip."""

    draw: int = 0
    """which of the latents that their identity may get"""
    tone: FloatArray = field(default_factory=_as_painted)
    """[3] gains of the painted face's R', G' and B'"""


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


def tone(painter: FacePainter, looks: Sequence[Look], latent: FloatArray, amount: float) -> FloatArray:
    """Gains [3] that move the painted skin towards the tone that the looks let expect, half-way if `amount` is 1."""
    requests = [replace(one.request, latent=latent) for one in looks]
    found = []
    for one, crop in zip(looks, painter.paint(requests), strict=True):
        if crop is None:
            continue
        shown = match_colour(crop, one.request.context, ~one.request.hidden)
        have, want = (np.log(np.maximum(c, DARKEST)) for c in (painter.skin_colour(shown, one.request), one.colour))
        off = HALFWAY * (want - have)
        skin, share = beside(one.request, want)
        hue = off - off.mean()
        if skin is not None:
            hue = hue + share * (skin - skin.mean() - (have - have.mean()) - hue)
        light = off.mean()
        if skin is not None:  # a neck lies in the shade of the chin: no face is darker
            light = max(light, share * (skin.mean() - have.mean()))
        found.append(light + hue)
    found = [off for off in found if np.isfinite(off).all()]  # a face that hides neither cheek nor nose has no colour
    if not found:
        return _as_painted()
    off = np.median(found, axis=0)
    light = np.clip(off.mean(), -STRONGEST, STRONGEST)
    hue = np.clip(off - off.mean(), -STRONGEST / 2, STRONGEST / 2)
    return np.asarray(np.round(np.exp(amount * (light + hue)) * STEPS) / STEPS, np.float32)


def beside(request: PaintRequest, like: Array) -> tuple[Array | None, float]:
    """Logarithm [3] of the colour of the neck, and how surely it is seen, 0..1; `like` [3] is what skin is expected.

    Where hardly anything below the mouth is of the hue of such skin there is none.
    """
    side, hidden = len(request.context), request.hidden
    away = cv2.distanceTransform((~hidden).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5) / side
    rows = (np.arange(side) + 0.5)[:, None] / side
    columns = (np.arange(side) + 0.5)[None] / side
    right, left, mouth = (request.points[FACE_POINT_INDEX[name]] for name in ("jaw_2", "jaw_6", "lip_lower_inner"))
    near = (away > NECK[0]) & (away < NECK[1]) & (rows > mouth[1]) & (columns > right[0]) & (columns < left[0])
    if not near.any():
        return None, 0.0
    colours = np.log(np.maximum(request.context[near], DARKEST))
    weight = np.exp(-0.5 * np.square(_tone(colours - like) / SKIN).sum(1))
    if weight.sum() < 1:
        return None, 0.0
    share = weight.sum() / (ENOUGH * side * side)
    return weight @ colours / weight.sum(), float(share / (share + 1))


def _tone(colours: Array) -> Array:
    """[..., 3] how light, how red and how blue for that, of logarithms of colours [..., 3]; linear."""
    red, green, blue = np.moveaxis(colours, -1, 0)
    return np.stack([(red + green + blue) / 3, red - green, blue - green], -1)
