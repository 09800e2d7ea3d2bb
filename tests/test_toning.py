"""The tone of new skin: as what is around it, the neck below it and the light of the scene let expect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from card_painter import CardPainter, request

from vidanon.models.layout import CANONICAL
from vidanon.render.casting import AS_DRAWN, Look, look
from vidanon.render.generate import PaintRequest
from vidanon.render.toning import MOST, UNKNOWN, Light, Skin, gains, lights, neck, skins, steadied, usual_lightness
from vidanon.types import FloatArray

LATENT = np.zeros(6, np.float32)


def told(looks: Sequence[Look], *, painter: CardPainter | None = None) -> list[Skin]:
    """What the looks tell of skin."""
    return skins(painter or CardPainter(), looks, LATENT)  # type: ignore[arg-type]


def test_a_dark_face_among_light_skin_is_toned_and_a_failed_one_left() -> None:
    """The gains bring the painted colour towards the expected one, half of the way if so asked, and never far."""
    seen = [one for shade in (0.5, 0.6, 0.9) if (one := look(CardPainter(), request(shade))) is not None]  # type: ignore[arg-type]
    # the ring moves the card's colour towards what is around it: that is part of what is painted
    whole, half = (gains(told(seen[1:2]), amount) for amount in (1.0, 0.5))
    assert (whole > 1).all()
    assert ((whole > half) & (half > 1)).all()
    np.testing.assert_array_equal(gains(told(seen), 1.0), whole)
    np.testing.assert_array_equal(gains(told(seen, painter=CardPainter(fails=True)), 1.0), AS_DRAWN.tone)
    nowhere = [replace(seen[0], colour=np.full(3, np.nan, np.float32))]
    np.testing.assert_array_equal(gains(told(nowhere), 1.0), AS_DRAWN.tone)
    np.testing.assert_array_equal(gains(told([*nowhere, seen[1]]), 1.0), whole)
    far = [replace(seen[0], colour=np.array([0.9, 0.5, 0.05], np.float32))]
    assert (np.abs(np.log(gains(told(far), 1.0))) <= 0.62).all()  # nobody turns green


def necked(neck: tuple[float, float, float], *, clothes: tuple[float, float, float] = (0.1, 0.15, 0.4)) -> PaintRequest:
    """A crop whose face is hidden, with a neck of one colour below it and clothes beside that."""
    side = 64
    context = np.full((side, side, 3), (0.4, 0.42, 0.4), np.float32)
    context[44:] = clothes
    context[44:, 24:40] = neck
    hidden = np.zeros((side, side), np.bool_)
    hidden[12:50, 16:48] = True
    return PaintRequest(context, hidden, CANONICAL.numpy(), np.zeros(6, np.float32))


def seen_by(shown: PaintRequest, *, expected: Sequence[float] = (0.45, 0.45, 0.45)) -> Skin:
    """What a look tells where such skin is expected."""
    seen = Look(shown, np.array(expected, np.float32), np.zeros(6, np.float32))
    (one,) = told([seen], painter=CardPainter(resolution=64))
    return one


def test_a_neck_tells_the_hue_of_skin_and_clothes_do_not() -> None:
    """What is like the skin that is expected counts, as far as there is enough of it; unknown points tell nothing."""
    like = (0.7, 0.55, 0.45)
    one = seen_by(necked((0.5, 0.36, 0.3)), expected=like)
    assert len(one.beside) <= MOST
    found, share = neck(one)
    assert found is not None
    np.testing.assert_allclose(found, np.log([0.5, 0.36, 0.3]), atol=0.03)
    assert share > 0.5
    _, little = neck(seen_by(necked((0.2, 0.6, 0.2), clothes=(0.2, 0.6, 0.2)), expected=like))
    assert little < 0.1
    unknown = replace(necked((0.5, 0.36, 0.3)), points=np.full((30, 2), np.nan, np.float32))
    assert neck(replace(one, beside=one.beside[:0])) == (None, 0.0)
    assert (
        told([Look(unknown, np.array(like, np.float32), LATENT)], painter=CardPainter(resolution=64))[0].beside.size
        == 0
    )


def test_a_face_has_the_hue_of_its_neck_and_is_no_darker() -> None:
    """The gains redden a grey card over a red neck; a bright neck brightens, a dark one darkens nothing."""

    def toned(*colour: float) -> FloatArray:
        return gains([seen_by(necked((colour[0], colour[1], colour[2])))], 1.0)

    even, red = toned(0.45, 0.45, 0.45), toned(0.5, 0.44, 0.42)
    assert red[0] / red[1] > 1.03 * even[0] / even[1]
    bright, dark = toned(0.8, 0.8, 0.8), toned(0.2, 0.2, 0.2)
    assert bright.mean() > even.mean() + 0.05
    assert dark.mean() > even.mean() - 0.05


SKIN_TONES = ((0.8, 0.62, 0.54), (0.55, 0.4, 0.33), (0.35, 0.24, 0.19))
BLUE = np.array([0.85, 0.97, 1.2])
"""light in the shade"""


def people_in(light: Sequence[float]) -> list[list[Skin]]:
    """Three people of different skin in a light, and one whose neck is not to be seen."""
    necks = [seen_by(necked(tuple(np.multiply(skin, light) * 0.8)), expected=skin) for skin in SKIN_TONES]  # type: ignore[arg-type]
    hidden = seen_by(necked((0.1, 0.15, 0.4)), expected=(0.5, 0.45, 0.43))
    return [[one] for one in (*necks, replace(hidden, beside=hidden.beside[:0]))]


def test_others_necks_tell_in_which_light_somebody_is() -> None:
    """Who shows no neck is toned for the light of those around; no own neck counts twice, none of another shot."""
    people = people_in(BLUE)
    everybody = np.ones((4, 4), np.bool_)
    found = lights(people, everybody)
    want = np.log(BLUE) - np.log(BLUE).mean()
    for light in found:
        assert light.sure > 0.4
        np.testing.assert_allclose(light.hue, want, atol=0.06)
    lit, unlit = gains(people[3], 1.0, found[3]), gains(people[3], 1.0)
    assert lit[2] / lit[0] > 1.05 * unlit[2] / unlit[0]
    assert [light.sure for light in lights(people, np.eye(4, dtype=np.bool_))] == [0.0] * 4
    with_last = np.eye(4, dtype=np.bool_)
    with_last[2:, 2:] = True
    alone = lights(people, with_last)
    assert [light.sure > 0 for light in alone] == [False, False, False, True]
    assert lights([], np.zeros((0, 0), np.bool_)) == []


def test_portrait_light_changes_nothing() -> None:
    """Where necks have the hue that is expected of skin there is nothing to correct, however many of them there are."""
    people = people_in((1.0, 1.0, 1.0))
    for light in lights(people, np.ones((4, 4), np.bool_)):
        assert np.abs(light.hue).max() < 0.03


def test_a_light_is_followed_as_far_as_it_is_believed() -> None:
    """Half sure is between unknown and wholly sure."""
    (person,) = people_in(BLUE)[3:]
    hue = np.log(BLUE) - np.log(BLUE).mean()
    blue = [
        float(g[2] / g[0]) for g in (gains(person, 1.0, light) for light in (UNKNOWN, Light(hue, 0.5), Light(hue, 1.0)))
    ]
    assert blue == sorted(blue)
    assert blue[2] > 1.1 * blue[0]


def test_skin_without_a_neck_goes_towards_the_usual_and_in_the_dark_it_does_not() -> None:
    """Half the rest of the way where it is a little off, hardly where all of it is dark; a neck is believed instead."""

    def bare(light: float, *, beside: FloatArray | None = None) -> Skin:
        colour = np.full(3, light)
        none = np.zeros((0, 3), np.float32)
        return Skin(colour, colour, none if beside is None else beside, 0.01, usual=-0.6)

    def moved(skin: Skin) -> float:
        return float(np.log(gains([skin], 1.0)).mean())

    assert 0.1 < moved(bare(-0.9)) < 0.15
    assert -0.15 < moved(bare(-0.3)) < -0.1
    assert abs(moved(bare(-0.6))) < 0.01
    assert moved(bare(-2.0)) < 0.02
    assert moved(bare(-0.9, beside=np.full((300, 3), -0.9, np.float32))) < 0.02


def test_light_skin_is_ruddier_than_painted_and_dark_skin_as_painted() -> None:
    """A net's light skin is pale; where necks tell the light it is theirs."""
    none, grey = np.zeros((0, 3), np.float32), Light(np.zeros(3), 1.0)

    def redder(light: float, scene: Light = UNKNOWN) -> float:
        colour = np.full(3, light)
        r, _, b = gains([Skin(colour, colour, none, 0.01, usual=light)], 1.0, scene)
        return float(np.log(r / b))

    assert 0.12 < redder(-0.2) < 0.18
    assert 0 < redder(-0.6) < redder(-0.2)
    assert redder(-1.2) == 0
    assert redder(-0.2, grey) == 0


def test_skin_is_as_light_as_it_usually_is_until_the_light_changes() -> None:
    """Half a turned head's shade is hardly seen, a shadow somebody walks into is; what has no colour is left."""

    def left(off: float) -> float:
        return off + math.log(steadied(np.full(3, 0.5 * math.exp(off), np.float32), math.log(0.5)))

    assert abs(left(0.05)) < 0.005
    assert left(0.2) == pytest.approx(0.1, abs=1e-3)
    assert left(-0.2) == pytest.approx(-0.1, abs=1e-3)
    assert left(-0.8) < -0.7
    assert steadied(np.full(3, np.nan, np.float32), -0.7) == 1
    assert usual_lightness([]) is None
    people = people_in((1.0, 1.0, 1.0))
    assert usual_lightness(people[0]) == pytest.approx(np.median([one.painted.mean() for one in people[0]]))


def test_of_two_guesses_at_a_hue_the_warmer_is_taken_until_the_light_is_known() -> None:
    """Painted redder than expected stays; in a light that necks tell, skin is as they say, colder if need be."""
    warm, cold = np.array([-0.8, -1.1, -1.3]), np.array([-0.9, -1.0, -1.1])
    none = np.zeros((0, 3), np.float32)
    for painted, expected in ((warm, cold), (cold, warm)):
        one = Skin(painted, expected, none, 0.01, usual=float(painted.mean()))
        toned = painted + np.log(gains([one], 1.0))
        np.testing.assert_allclose(toned - toned.mean(), warm - warm.mean(), atol=0.03)
    known = Light(np.zeros(3), 1.0)
    toned = warm + np.log(gains([Skin(warm, cold, none, 0.01, usual=float(warm.mean()))], 1.0, known))
    np.testing.assert_allclose(toned - toned.mean(), cold - cold.mean(), atol=0.03)
