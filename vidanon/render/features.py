"""What a face does at its liveliest: eyes that look and a mouth that speaks, drawn where the keypoints have them.

In: a painted crop and its keypoints. Out: the crop with irises and pupils in the opening of the lids, and what is to be
seen between parted lips. A net that has seen few thousand portraits paints both in a mean of all of them: grey eyes,
pale teeth in a mouth that never opens. Blind: keypoints and the painted skin are all there is to go by.

Lengths are in face lengths: from the middle between the eyes to the middle of the mouth.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from vidanon.geometry import Array
from vidanon.render.blend import eased
from vidanon.types import FACE_POINT_INDEX, LUMA, OPENINGS, FloatArray

IRIS, PUPIL = 0.088, 0.42
"""Radius of an iris (11.7 mm across where pupils are 62 mm apart), and of its pupil in radii of the iris."""
EYE = 0.21
"""Half the width of the opening of the lids."""
APART = 0.94
"""From pupil to pupil, of a face that looks straight ahead."""
DARK = (0.42, 0.16)
"""How light iris and pupil are at most, for the skin beside them."""
GLINT = (0.34, 0.3, 0.17, 0.5)
"""Where light is reflected (to the picture's left and up), how wide (sigma), in radii; and how much, of the skin."""
WHITE = ((0.9, 0.89, 0.88), 0.5)
"""R', G', B' of an eye's white, for the skin's luma and tinted as much as the light is, and how much of it there is."""
TINT = 0.5
"""Power of the skin's own hue that the light's is: skin is half of why it is red."""
LASHES = (0.02, 0.5)
"""Width (sigma) of the line that lashes draw along the upper lid, and how much of the light they take."""
SHUT = (0.035, 0.065)
"""How far lids are apart of an eye that is shut (a landmarker never says nothing), and that is open."""
LOWERED = (0.09, 2.2)
"""How far lids are apart from which on they are lowered, and how much quicker they meet than a landmarker says."""
HALF_HIDDEN = (0.1, 0.4)
"""Share of its usual way from the nose at which a turned head hides an eye, and at which it is there in full."""

INNER = (0.6, 0.9)
"""How far lips part towards the corners of the mouth: barely open, and wide open or smiling."""
PARTED = (0.015, 0.045)
"""How far lips must be apart to show something, and to show it in full."""
CAVITY = (0.45, 0.26, 0.25)
"""R', G', B' of a mouth's inside, for the skin's luma."""
TEETH = (0.98, 1.01, 0.97)
"""The same of teeth, tinted as much as the light is."""
TOOTH = (0.115, 0.14)
"""How wide one is, and how much of the light is missing between two."""
TONGUE = (0.62, 0.33, 0.32)
"""The same of a tongue."""
SMILE = (0.85, 1.1)
"""Width of a mouth that says something, and of one that smiles."""
BITE = (0.68, 0.94)
"""How much of the opening the upper teeth fill: speaking, smiling."""
LONGEST = 0.17
"""No teeth are longer."""
WIDE = (0.2, 0.4)
"""How far lips must be apart for the tongue to show, and to show in full."""

LEGIBLE_PX = 4
"""Shortest face that is drawn in, px of the crop."""
SOFT = 0.04
"""Width of every edge; never under a px of the crop."""


def blinking(points: FloatArray) -> FloatArray:
    """Keypoints [30, 2] in 0..1 of the crop whose lids meet where they nearly do: a landmarker shies away from that."""
    length, out = _length(points), points.copy()
    apart = {pair: points[pair[1]] - points[pair[0]] for pair in OPENINGS[1:]}
    known = [float(np.hypot(*gap)) / length for gap in apart.values() if np.isfinite(gap).all()] if length > 0 else []
    opening = float(np.mean(known)) if known else math.nan  # of both: winks are rare, and lids hard to tell
    if not 0 < opening < LOWERED[0]:
        return points
    less = 1 - max(LOWERED[0] - LOWERED[1] * (LOWERED[0] - opening), 0.0) / opening
    for (upper, lower), gap in apart.items():
        out[lower] -= np.float32(less / 2) * gap
        out[upper] += np.float32(less / 2) * gap
    return out


def looking(painted: FloatArray, points: FloatArray, amount: float = 1.0, *, clear: float = 1.0) -> FloatArray:
    """The crop [S, S, 3] with eyes that look where its pupils are.

    `points` [30, 2] in 0..1 of the crop, NaN = unknown: what they do not tell is left as it was painted. `amount` 0..1;
    in haze dark and light are `clear`, 0..1, times as far from the skin (texture.py).
    """
    length = _length(points)
    if amount <= 0 or not _legible(painted, length):
        return painted
    drawn = painted.copy()
    for side in ("right", "left"):
        _eye(drawn, points, side, length=length, amount=amount, clear=clear)
    return drawn


def speaking(painted: FloatArray, points: FloatArray, amount: float = 1.0, *, clear: float = 1.0) -> FloatArray:
    """The crop [S, S, 3] with a mouth that is as open as its lips are apart; the rest as `looking`."""
    length = _length(points)
    if amount <= 0 or not _legible(painted, length):
        return painted
    drawn = painted.copy()
    _mouth(drawn, points, length, amount, clear)
    return drawn


def _legible(painted: FloatArray, length: float) -> bool:
    return math.isfinite(length) and length * len(painted) >= LEGIBLE_PX


def _at(points: FloatArray, *names: str) -> Array:
    """Mean [2] of keypoints."""
    middle: Array = np.mean([points[FACE_POINT_INDEX[name]] for name in names], axis=0, dtype=np.float64)
    return middle


def _length(points: FloatArray) -> float:
    return float(np.hypot(*(_at(points, "mouth_right", "mouth_left") - _at(points, "right_eye", "left_eye"))))


def _eye(drawn: FloatArray, points: FloatArray, side: str, *, length: float, amount: float, clear: float) -> None:
    names = (f"{side}_pupil", f"{side}_lid_upper", f"{side}_lid_lower", f"{side}_eye")
    pupil, upper, lower, eye = (_at(points, name) for name in names)
    middle = (_at(points, "right_brow_inner", "left_brow_inner") + _at(points, "nose")) / 2
    if not np.isfinite([pupil, upper, lower, eye, middle]).all():
        return
    out = (eye - middle)[0] * (-1 if side == "right" else 1)
    amount *= float(eased(out / (APART / 2 * length), *HALF_HIDDEN))
    apart = float(np.hypot(*(_at(points, "left_eye") - _at(points, "right_eye"))))
    narrow = min(max(apart / (APART * length), 0.35), 1.0)
    cheek = _skin(drawn, points, side, length)
    if amount <= 0 or cheek is None:
        return
    skin, tint = _light(cheek)
    radius, soft = IRIS * length, max(SOFT * length, 1 / len(drawn))
    window, x, y = _window(drawn, eye, (EYE + 0.1) * length)
    if not x.size or not y.size:
        return
    across = np.square((x - eye[0]) / (EYE * length * narrow))
    low, high = (eye[1] + (lid[1] - eye[1]) * (1 - across) for lid in (upper, lower))
    between = _inside(y - low, soft) * _inside(high - y, soft) * eased((lower[1] - upper[1]) / length, *SHUT)
    away = np.hypot((x - pupil[0]) / narrow, y - pupil[1])
    patch = drawn[window]
    inner = between * np.clip(1 - across, 0, 1)
    white = np.asarray(WHITE[0], np.float32) * tint * np.float32(skin)
    patch += (np.float32(amount * clear * WHITE[1]) * inner)[..., None] * (white - patch)
    for reach, dark in zip((radius, PUPIL * radius), DARK, strict=True):
        weight = np.float32(amount) * between * _inside(reach - away, soft)
        luma = np.maximum(patch @ LUMA, 1e-3)
        patch *= (1 + weight * (np.minimum((1 - clear * (1 - dark)) * skin / luma, 1) - 1))[..., None]
    gx, gy, wide, light = GLINT
    off = np.hypot((x - pupil[0]) / narrow + gx * radius, y - pupil[1] + gy * radius) / max(wide * radius, soft / 2)
    glint = np.float32(amount * clear * light * skin) * between * np.exp(-0.5 * off * off)
    patch += glint[..., None]
    line = np.exp(-0.5 * np.square((y - low) / max(LASHES[0] * length, soft / 2))) * eased(across, 1.15, 0.5)
    patch *= (1 - np.float32(amount * clear * LASHES[1]) * line)[..., None]
    np.clip(patch, 0, 1, out=patch)


def _mouth(drawn: FloatArray, points: FloatArray, length: float, amount: float, clear: float) -> None:
    one, other = _at(points, "mouth_right"), _at(points, "mouth_left")
    upper, lower = _at(points, "lip_upper_inner"), _at(points, "lip_lower_inner")
    width = float(np.hypot(*(other - one)))
    cheeks = [cheek for side in ("right", "left") if (cheek := _skin(drawn, points, side, length)) is not None]
    if not np.isfinite([one, other, upper, lower]).all() or width < 0.2 * length or not cheeks:
        return
    along = (other - one) / width
    down = np.array([-along[1], along[0]])
    middle = (one + other) / 2
    top, bottom = float((upper - middle) @ down), float((lower - middle) @ down)
    # the lips part between the corners, wherever a turned head has put their middle
    centre = float(((upper + lower) / 2 - middle) @ along)
    opening = (bottom - top) / length
    amount *= float(eased(opening, *PARTED))
    if amount <= 0:
        return
    soft = max(SOFT * length, 1 / len(drawn))
    window, x, y = _window(drawn, (upper + lower) / 2, 0.6 * width + abs(bottom - top))
    if not x.size or not y.size:
        return
    u = (x - middle[0]) * along[0] + (y - middle[1]) * along[1]
    v = (x - middle[0]) * down[0] + (y - middle[1]) * down[1]
    smile = float(eased(width / length, *SMILE))
    spread = INNER[0] + (INNER[1] - INNER[0]) * max(smile, float(eased(opening, PARTED[1], WIDE[1])))
    half = np.where(u > centre, width / 2 * spread - centre, width / 2 * spread + centre)
    arch = 1 - np.square(np.minimum(np.abs(u - centre) / np.maximum(half, 1e-6), 1))
    low, high = top * arch, bottom * arch
    inside = _inside(v - low, soft) * _inside(high - v, soft) * eased(arch, 0.0, 0.3)
    cheek = np.mean(cheeks, axis=0)
    skin, tint = _light(cheek)
    bite = min((BITE[0] + smile * (BITE[1] - BITE[0])) * opening, LONGEST) * length
    shade = eased(v - low, -soft, 0.5 * bite)  # of the upper lip
    teeth = _inside(low + bite * np.sqrt(arch) - v, soft) * (0.35 + 0.6 * arch) * (0.6 + 0.4 * shade)
    # the narrower, the further round the jaw; a line a px wide or less is seen for what it takes of the light
    place = np.abs(np.abs((u - centre) / (TOOTH[0] * length)) ** 1.15 % 1 - 0.5)
    teeth = teeth * (1 - np.float32(TOOTH[1]) * eased(place, 0.5 - soft / TOOTH[0] / length / 2, 0.5))
    tongue = eased((v - low) / np.maximum(high - low, 1e-6), 0.5, 0.9) * eased(opening, *WIDE) * arch
    colour = np.asarray(CAVITY, np.float32) * np.float32(skin)
    colour = colour + (tongue[..., None] * 0.8) * (np.asarray(TONGUE, np.float32) * np.float32(skin) - colour)
    colour = colour + teeth[..., None] * (np.asarray(TEETH, np.float32) * tint * np.float32(skin) - colour)
    colour = cheek + np.float32(clear) * (colour - cheek)
    patch = drawn[window]
    patch += (np.float32(amount) * inside)[..., None] * (colour - patch)
    np.clip(patch, 0, 1, out=patch)


def _window(drawn: FloatArray, middle: Array, reach: float) -> tuple[tuple[slice, slice], FloatArray, FloatArray]:
    """The part of a crop within `reach` of a point, and x [1, w] and y [h, 1] of its pixels' centres in 0..1."""
    side = len(drawn)
    (x0, y0), (x1, y1) = (np.clip(np.round((middle + d) * side), 0, side).astype(int) for d in (-reach, reach))
    line = (np.arange(side, dtype=np.float32) + 0.5) / np.float32(side)
    return (slice(y0, y1), slice(x0, x1)), line[None, x0:x1], line[y0:y1, None]


def _skin(drawn: FloatArray, points: FloatArray, side: str, length: float) -> FloatArray | None:
    """Median R'G'B' [3] of a cheek; None where it is not known, or outside of the crop."""
    cheek = _at(points, f"{side}_eye", f"mouth_{side}")
    if not np.isfinite(cheek).all():
        return None
    window, _, _ = _window(drawn, cheek, 0.15 * length)
    patch = drawn[window]
    return np.asarray(np.median(patch, axis=(0, 1)), np.float32) if patch.size else None


def _light(skin: FloatArray) -> tuple[float, FloatArray]:
    """(luma, hue [3] of the light on it, of luma 1) of a skin's colour [3]."""
    luma = float(skin @ LUMA)
    hue = np.power(np.maximum(skin / max(luma, 1e-3), 0.1), np.float32(TINT))
    return luma, np.asarray(hue / (hue @ LUMA), np.float32)


def _inside(distance: ArrayLike, soft: float) -> FloatArray:
    """From 0 to 1 where a distance inside an edge goes from -`soft` / 2 to `soft` / 2."""
    return eased(distance, -soft / 2, soft / 2)
