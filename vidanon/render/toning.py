"""The tone of new skin: as its surroundings, the neck below it and the light of the scene let expect.

In: looks at people (casting.py) and the latents they were given. Out: for each of them gains of R', G' and B', one for
all of a clip. What a portrait lets expect is a tone in the light of portraits; which light it is here, necks say: one's
own, and those of the others who are in the picture at that time. Blind: it hangs on what the generator is shown and
what it paints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidanon.geometry import Array
from vidanon.render.blend import away, eased, match_colour
from vidanon.render.casting import AS_DRAWN, Look
from vidanon.types import FACE_POINT_INDEX, FloatArray

if TYPE_CHECKING:
    from vidanon.render.generate import FacePainter, PaintRequest

HALFWAY = 0.5
"""How far skin follows how light it is expected to be at the most: of both guesses, the generator's and that of its
surroundings, the middle errs least by much (on 800 news photos, where faces are lit otherwise than necks); of both hues
the warmer one does, by little (100 news photos)."""
STRONGEST = 0.4
"""Natural logarithm of the largest and smallest gain; of a colour's gain beside that of the others half as much."""
NECK = (0.02, 0.16)
"""How far from the hidden area, in sides of the crop, a neck is looked for, from and to."""
SKIN = (0.6, 0.09, 0.13)
"""By how much (natural logarithms: how light, how red, how blue for that) skin differs from skin nearby."""
ENOUGH = 0.012
"""Share of a crop that must be skin beside the face for its hue to be followed half the way to wholly."""
USUALLY, DARK = 0.5, 0.6
"""How far skin without a neck goes the rest of the way to how light skin usually is, and by how much it may differ
(natural logarithms): on 240 portraits what is painted differs twice as much from the usual as what was there."""
PALE, RUDDY = (0.4, 0.7), np.array([0.09, -0.022, -0.068])
"""How light skin is painted (mean of R', G' and B') that is not too pale, and that lacks this hue altogether (natural
logarithms; 114 news photos)."""
NEIGHBOURS = 1.0
"""How surely the necks of others must be seen, in all, for the light that they tell to be half believed."""
UNSTEADY = 0.2
"""Half of so much lighter or darker (natural logarithm) than usual is what a turned head makes of it, of less most, of
more hardly anything: that is a change of light (23 tracks of 12 clips: 0.049 off the true changes where as painted it
is 0.057, where held still 0.052)."""
STEPS = 64
"""gains are multiples of this part of one: what networks differ in from machine to machine is less"""
DARKEST = 0.04
"""Colours are taken to be at least so light."""
MOST = 400
"""px beside a face that are remembered"""


@dataclass(frozen=True, slots=True)
class Skin:
    """What one look tells of somebody's skin; colours are natural logarithms of R', G' and B'."""

    painted: Array
    """[3] as the generator paints it"""
    expected: Array
    """[3] by what is around it, in the light of a portrait"""
    beside: FloatArray
    """[N, 3] of px where a neck may be"""
    share: float
    """part of the crop that each of these stands for"""
    usual: float
    """how light skin usually is: mean natural logarithm of R', G' and B'"""


@dataclass(frozen=True, slots=True)
class Light:
    """How the light of a scene differs from that of a portrait."""

    hue: Array = field(default_factory=lambda: np.zeros(3))
    """[3] what it adds to the logarithms of R', G' and B'; their mean is 0"""
    sure: float = 0.0
    """0..1 how far that is believed"""

    @property
    def believed(self) -> Array:
        """[3] `hue` as far as it is."""
        return self.sure * self.hue


UNKNOWN = Light()
"""nothing is known of it"""


def skins(painter: FacePainter, looks: Sequence[Look], latent: FloatArray) -> list[Skin]:
    """What looks at a person tell who gets a latent; those that cannot be painted, or show no skin, are left out."""
    found = []
    requests = [replace(one.request, latent=latent) for one in looks]
    for one, crop in zip(looks, painter.paint(requests), strict=True):
        if crop is None:
            continue
        shown = match_colour(crop, one.request.context, ~one.request.hidden)
        painted, expected = (_logs(c) for c in (painter.skin_colour(shown, one.request), one.colour))
        if np.isfinite([painted, expected]).all():  # a face that hides neither cheek nor nose has no colour
            found.append(Skin(painted, expected, *_below(one.request), painter.usual_lightness))
    return found


def lights(people: Sequence[Sequence[Skin]], together: NDArray[np.bool_]) -> list[Light]:
    """The light in which each of P people is, by the necks of the others who are `together` [P, P] with them."""
    found = [UNKNOWN] * len(people)
    with_others = together & ~np.eye(len(people), dtype=np.bool_)
    for _ in range(2):  # once it is known, necks are known by it
        told = [_told(person, light) for person, light in zip(people, found, strict=True)]
        weight = with_others @ np.array([sure for _, sure in told]).reshape(-1)
        total = with_others @ np.array([hue * sure for hue, sure in told]).reshape(-1, 3)
        found = [
            Light(hue / max(sure, 1e-9), float(sure / (sure + NEIGHBOURS)))
            for hue, sure in zip(total, weight, strict=True)
        ]
    return found


def gains(person: Sequence[Skin], amount: float, light: Light = UNKNOWN) -> FloatArray:
    """[3] what moves painted skin towards the tone that is expected of it, half-way if `amount` is 1."""
    if not person:
        return AS_DRAWN.tone
    found = []
    for one in person:
        painted = _hue(one.painted)
        told = _hue(one.expected) + light.believed
        # both guesses are too cold rather than too warm; where the light is known one of them is no guess any more
        hue = light.sure * told + (1 - light.sure) * _warmer(told, painted) - painted
        lighter = HALFWAY * (one.expected - one.painted).mean()
        hue = hue + (1 - light.sure) * RUDDY * eased(math.exp(one.painted.mean() + lighter), *PALE)
        skin, share = neck(one, light)
        # a guess is twice as far from the usual as the truth, unless it is dark: then it is the light that is unusual
        away_by = one.usual - one.painted.mean() - lighter
        lighter += USUALLY * (1 - share) * away_by * math.exp(-((away_by / DARK) ** 2))
        if skin is not None:  # a neck lies in the shade of the chin: no face is darker
            hue = hue + share * (_hue(skin) - painted - hue)
            lighter = max(lighter, share * (skin.mean() - one.painted.mean()))
        found.append(lighter + hue)
    off = np.median(found, axis=0)
    lighter = np.clip(off.mean(), -STRONGEST, STRONGEST)
    hue = np.clip(_hue(off), -STRONGEST / 2, STRONGEST / 2)
    return np.asarray(np.round(np.exp(amount * (lighter + hue)) * STEPS) / STEPS, np.float32)


def usual_lightness(person: Sequence[Skin]) -> float | None:
    """How light somebody's skin is usually painted, for `steadied`; None if that was never seen."""
    return float(np.median([one.painted.mean() for one in person])) if person else None


def steadied(colour: FloatArray, usual: float) -> float:
    """The gain that brings skin painted in a `colour` [3] nearer to how light it usually is: a clip has one light."""
    if not np.isfinite(colour).all():
        return 1.0
    off = float(_logs(colour).mean()) - usual
    return math.exp(-off / (1 + (off / UNSTEADY) ** 2))


def neck(one: Skin, light: Light = UNKNOWN) -> tuple[Array | None, float]:
    """Logarithm [3] of the colour of the neck in a `light`, and how surely it is seen, 0..1.

    Where hardly anything below the mouth is of the hue of the skin that is expected there is none.
    """
    like = one.expected + light.believed
    weight = np.exp(-0.5 * np.square(_tone(one.beside - like) / SKIN).sum(1))
    share = float(weight.sum()) * one.share / ENOUGH
    if share <= 0:
        return None, 0.0
    return weight @ one.beside / weight.sum(), share / (share + 1)


def _told(person: Sequence[Skin], light: Light) -> tuple[Array, float]:
    """What a person's neck, as it is seen in a `light`, tells of the light, and how surely."""
    seen = [(skin, share, one) for one in person for skin, share in [neck(one, light)] if skin is not None]
    if not seen:
        return np.zeros(3), 0.0
    weights = np.array([share for _, share, _ in seen])
    hues = np.array([_hue(skin) - _hue(one.expected) for skin, _, one in seen])
    return weights @ hues / weights.sum(), float(weights.sum() / len(person))


def _below(request: PaintRequest) -> tuple[FloatArray, float]:
    """Logarithms [N, 3] of colours below the mouth, between the sides of the jaw; which part of a crop each is."""
    side, hidden = len(request.context), request.hidden
    off = away(~hidden) / side
    rows = (np.arange(side) + 0.5)[:, None] / side
    columns = (np.arange(side) + 0.5)[None] / side
    right, left, mouth = (request.points[FACE_POINT_INDEX[name]] for name in ("jaw_2", "jaw_6", "lip_lower_inner"))
    near = (off > NECK[0]) & (off < NECK[1]) & (rows > mouth[1]) & (columns > right[0]) & (columns < left[0])
    colours = request.context[near]
    every = -(-len(colours) // MOST) or 1
    return np.asarray(_logs(colours[::every]), np.float32), every / (side * side)


def _logs(colours: ArrayLike) -> Array:
    return np.asarray(np.log(np.maximum(colours, DARKEST)), np.float64)


def _hue(colour: Array) -> Array:
    """[3] a logarithm of a colour [3] without how light it is."""
    return np.asarray(colour - colour.mean(), np.float64)


def _warmer(one: Array, other: Array) -> Array:
    """[3] of two hues the redder and less blue one, as a hue."""
    (_, red, blue), (_, more, less) = _tone(one), _tone(other)
    return _hue(np.array([max(red, more), 0.0, min(blue, less)]))


def _tone(colours: Array) -> Array:
    """[..., 3] how light, how red and how blue for that, of logarithms of colours [..., 3]; linear."""
    red, green, blue = np.moveaxis(colours, -1, 0)
    return np.stack([(red + green + blue) / 3, red - green, blue - green], -1)
