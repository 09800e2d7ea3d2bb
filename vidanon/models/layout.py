"""Where the features of a face lie: keypoints made whole, and the thin plate that lays a canonical face out by them.

In: keypoints of upright crops, some unknown or astray, heads turned up to the profile. Out: where in the canonical face
each pixel of the crop lies, and how much of it is worth showing. Shape comments: B batch, S crop px, M control points.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vidanon.types import FACE_POINT_INDEX, FACE_POINTS, N_FACE_POINTS, ON_FACE, OPENINGS

_RIGHT_HALF = {
    "right_eye": (0.389, 0.393),
    "right_pupil": (0.389, 0.389),
    "right_lid_upper": (0.385, 0.378),
    "right_lid_lower": (0.391, 0.404),
    "mouth_right": (0.403, 0.627),
    "right_ear": (0.300, 0.449),
    "right_shoulder": (0.065, 1.004),
    "right_brow_outer": (0.286, 0.327),
    "right_brow_inner": (0.450, 0.324),
    "jaw_0": (0.260, 0.352),
    "jaw_1": (0.262, 0.508),
    "jaw_2": (0.306, 0.670),
    "jaw_3": (0.392, 0.757),
}
_MIDDLE = {"nose": 0.515, "lip_upper_inner": 0.628, "lip_lower_inner": 0.645, "jaw_4": 0.794}


def _canonical() -> Tensor:
    points = torch.full((N_FACE_POINTS, 2), torch.nan)
    for name, (x, y) in _RIGHT_HALF.items():
        other = f"jaw_{8 - int(name[4:])}" if name.startswith("jaw_") else name.replace("right", "left")
        points[FACE_POINT_INDEX[name]] = torch.tensor([x, y])
        points[FACE_POINT_INDEX[other]] = torch.tensor([1 - x, y])
    for name, y in _MIDDLE.items():
        points[FACE_POINT_INDEX[name]] = torch.tensor([0.5, y])
    return points


CANONICAL = _canonical()
"""[30, 2] the mean training face in 0..1 of its upright crop, made symmetric"""

_BROWS = [i for i, name in enumerate(FACE_POINTS) if "_brow_" in name]
_BROW_ENDS = [[FACE_POINT_INDEX[f"{side}_brow_{end}"] for end in ("outer", "inner")] for side in ("right", "left")]
_EYES = [FACE_POINT_INDEX[f"{side}_eye"] for side in ("right", "left")]
_UNDER_BROWS = 0.3
"""share of the way from there to the eye over which a brow reaches down"""
_NOSE, _NOSTRILS = FACE_POINT_INDEX["nose"], 0.25
"""how far below its tip a nose ends, of the way from the eyes down to that"""
_HAIRLINE = (0.0, -0.15)
"""from the brows to about the hairline, in crops"""
_FRAME = torch.tensor([[x, y] for x in (0.0, 0.5, 1.0) for y in (0.0, 0.5, 1.0) if (x, y) != (0.5, 0.5)])
"""the crop's border holds still"""
STRAY = 0.25
"""How far, in crops, a point may lie from where the others put it: further out it is taken for an error."""
SHUT = 0.15
"""Least share of their canonical way between two lids or lips: pinned to one place they would not hold the plate, and
a shut eye would stare."""
STIFFNESS = 2e-4
"""Smoothing of the thin plate: where points nearly meet (a closed eye, a far cheek in profile) they may not tear it."""
OPEN = (0.1, 0.4)
"""Share of its canonical way by which a point on the far side is out when it is hidden, and when it is wholly seen."""
SLACK = 1e4
"""How many times softer the plate is pinned to hidden points."""
RIM = 0.03
"""Over so much, in crops, the model fades towards the outline of the face."""
FLATTEST = 0.12
"""Least share of their canonical way between neighbours from the middle of a face outwards: in profile the far half
lies behind the near one, and a plate pinned to both would fold."""
FORESHORTENED = (2.5, 5.0)
"""Where the picture shows the canonical face so many times narrower, it begins to fade, and is gone."""
CELLS = 64
"""The warp is worked out for at most so many places along a side of the crop: it is smooth."""
FOLDED = (0.0, 0.15)
"""The same for area: what is turned inside out, or nearly, is not there."""


def settled(points: Tensor) -> Tensor:
    """Keypoints [B, 30, 2] without gaps or strays: the unknown lie where the known ones' similarity puts them."""
    canonical = CANONICAL.to(points)
    known = torch.isfinite(points).all(-1)
    known[:, [i for i in range(N_FACE_POINTS) if i not in ON_FACE]] = False
    weight = known.to(points.dtype)[..., None]
    total = weight.sum(1).clamp(min=1)
    at = torch.where(known[..., None], points, canonical)
    middle, home = (weight * at).sum(1) / total, (weight * canonical).sum(1) / total
    a, c = (at - middle[:, None]) * weight, (canonical - home[:, None]) * weight
    # least-squares similarity as one complex number: rotation and zoom of the canonical face
    power = c.square().sum((1, 2))
    real = (a * c).sum((1, 2)) / power.clamp(min=1e-6)
    imaginary = (a[..., 1] * c[..., 0] - a[..., 0] * c[..., 1]).sum(1) / power.clamp(min=1e-6)
    few = power < 1e-3  # one point, or none: no telling how the face is turned
    real, imaginary = torch.where(few, 1.0, real), torch.where(few, 0.0, imaginary)
    middle = torch.where(known.any(1)[:, None], middle, canonical[ON_FACE].mean(0))
    home = torch.where(known.any(1)[:, None], home, canonical[ON_FACE].mean(0))
    away = canonical - home[:, None]
    turned = torch.stack(
        [
            real[:, None] * away[..., 0] - imaginary[:, None] * away[..., 1],
            imaginary[:, None] * away[..., 0] + real[:, None] * away[..., 1],
        ],
        -1,
    )
    expected = middle[:, None] + turned
    off = torch.where(known[..., None], at - expected, 0.0)
    length = off.norm(dim=-1, keepdim=True)
    whole: Tensor = expected + off * (STRAY / length.clamp(min=STRAY))
    return whole


def _rows(*names: str) -> list[int]:
    return [FACE_POINT_INDEX[name] for name in names]


_LENGTH = (_rows("right_eye", "left_eye"), _rows("mouth_right", "mouth_left"))


def parted(points: Tensor) -> Tensor:
    """Settled keypoints [B, 30, 2] of upright crops in which lids and lips that meet, or cross, are SHUT apart."""
    home = CANONICAL[:, 1].tolist()
    eyes, mouth = (points[:, rows].mean(1) for rows in _LENGTH)
    size = (mouth - eyes).norm(dim=-1) / (home[_LENGTH[1][0]] - home[_LENGTH[0][0]])
    y = points[..., 1].clone()
    for upper, lower in OPENINGS:
        least = SHUT * (home[lower] - home[upper]) * size
        lacking = (least - (y[:, lower] - y[:, upper])).clamp(min=0)
        y[:, upper] -= lacking / 2
        y[:, lower] += lacking / 2
    return torch.stack([points[..., 0], y], -1)


_MIDLINE = (_rows("right_brow_inner", "left_brow_inner"), _rows("nose"), _rows("lip_upper_inner", "lip_lower_inner"))
_CHIN = FACE_POINT_INDEX["jaw_4"]
_EYE = ("eye", "pupil", "lid_upper", "lid_lower")
_OUTWARDS = [
    (
        _rows(f"{side}_brow_inner"),
        _rows(*(f"{side}_{part}" for part in _EYE)),
        _rows(f"{side}_brow_outer"),
        _rows(f"jaw_{jaw[0]}"),
        _rows(f"mouth_{side}"),
        _rows(f"jaw_{jaw[1]}"),
        _rows(f"jaw_{jaw[2]}"),
        _rows(f"jaw_{jaw[3]}"),
        sign,
    )
    for side, jaw, sign in (("right", (0, 1, 2, 3), -1.0), ("left", (8, 7, 6, 5), 1.0))
]


def unfolded(points: Tensor) -> tuple[Tensor, Tensor]:
    """Settled keypoints [B, 30, 2] in which no half of the face lies behind the other, and how far each is hidden.

    From the middle of the face outwards (brow, eye, temple; mouth corner, cheek; chin, jaw) each point is at least
    FLATTEST of its canonical way further out than the one before it. Hidden [B, 30] is 0 where a point lies open and
    1 where the turn of the head has taken it behind its neighbour.
    """
    x, hidden = points[..., 0].clone(), torch.zeros_like(points[..., 0])
    canonical = CANONICAL[:, 0].tolist()
    brows, nose, lips = (x[:, rows].mean(1) for rows in _MIDLINE)
    eyes = (brows + nose) / 2
    for inner, eye, outer, temple, corner, cheek, jaw, low, sign in _OUTWARDS:

        def out(rows: list[int], start: Tensor, home: float, sign: float = sign) -> Tensor:
            way = abs(canonical[rows[0]] - home)
            open_ = (x[:, rows].mean(1) - start) * sign / way
            hidden[:, rows] = eased(-open_, -OPEN[1], -OPEN[0])[:, None]
            x[:, rows] += ((FLATTEST - open_).clamp(min=0) * way * sign)[:, None]  # together: what an eye does stays
            moved: Tensor = x[:, rows].mean(1)
            return moved

        out(inner, brows, 0.5)
        eyeball = out(eye, eyes, 0.5)
        out(outer, eyeball, canonical[eye[0]])
        out(temple, eyeball, canonical[eye[0]])
        mouth = out(corner, lips, 0.5)
        out(cheek, mouth, canonical[corner[0]])
        out(jaw, mouth, canonical[corner[0]])
        out(low, x[:, _CHIN], 0.5)
    return torch.stack([x, points[..., 1]], -1), hidden


def eased(value: Tensor, low: float, high: float) -> Tensor:
    """From 0 to 1 as `value` goes from `low` to `high`, without a corner at either end."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    smooth: Tensor = t * t * (3 - 2 * t)
    return smooth


def outline(points: Tensor) -> Tensor:
    """[B, M, 2] what the convex outline of faces holds: settled facial keypoints [B, 30, 2] and the hairline."""
    return controls(points)[:, : -len(_FRAME)]


def room(pins: Tensor, at: Tensor) -> Tensor:
    """[B, N] how far points `at` [N, 2] lie inside the convex hull of `pins` [B, M, 2]; negative outside."""
    turn = torch.arange(32, device=pins.device, dtype=pins.dtype) * (2 * torch.pi / 32)
    towards = torch.stack([turn.cos(), turn.sin()])  # 2, 32
    inside: Tensor = ((pins @ towards).amax(1)[:, None] - at @ towards).amin(2)
    return inside


def kept(field: Tensor) -> Tensor:
    """[B, 1, C, C] how much of the canonical face is worth showing where `field` [B, S, S, 2] (0..1) takes the picture.

    1 where it lies open, 0 where the field folds or squeezes a lot of it into little. Told in C = 16 cells or fewer:
    lids and lips may close.
    """
    cells = F.avg_pool2d(field.permute(0, 3, 1, 2), max(1, field.shape[1] // 16)).permute(0, 2, 3, 1)
    size = cells.shape[1]
    dx = torch.gradient(cells, dim=2)[0] * size
    dy = torch.gradient(cells, dim=1)[0] * size
    area = dx[..., 0] * dy[..., 1] - dx[..., 1] * dy[..., 0]
    power = dx.square().sum(-1) + dy.square().sum(-1)
    squeezed = ((power + (power.square() - 4 * area.square()).clamp(min=0).sqrt()) / 2).sqrt()
    open_ = eased(area, *FOLDED) * eased(-squeezed, -FORESHORTENED[1], -FORESHORTENED[0])
    return open_[:, None]


def controls(points: Tensor) -> Tensor:
    """[B, M, 2] what the warp is pinned to: settled facial keypoints [B, 30, 2], what follows from them, the border.

    That is the hairline, the middles of the brows, and where a nose ends: where a lid goes no brow follows, and no
    nostrils where a lip does.
    """
    hairline = points[:, _BROWS] + torch.tensor(_HAIRLINE, device=points.device)
    brows = points[:, _BROW_ENDS].mean(2)
    under = torch.lerp(brows, points[:, _EYES], _UNDER_BROWS)
    nose = points[:, [_NOSE]]
    down = (nose - points[:, _EYES].mean(1, keepdim=True)) * torch.tensor([0.0, _NOSTRILS], device=points.device)
    border = _FRAME.to(points).expand(len(points), -1, -1)
    return torch.cat([points[:, ON_FACE], hairline, brows, under, nose + down, border], 1)


def _hidden_controls(hidden: Tensor) -> Tensor:
    """[B, M] how far each of `controls` is hidden, by how far keypoints [B, 30] are; the border never is."""
    brows = hidden[:, _BROW_ENDS].mean(2)
    border = hidden.new_zeros(len(hidden), len(_FRAME))
    return torch.cat([hidden[:, ON_FACE], hidden[:, _BROWS], brows, brows, hidden[:, [_NOSE]], border], 1)


def _bend(squared: Tensor) -> Tensor:
    return squared * torch.log(squared + 1e-9)


def warp_field(pins: Tensor, goals: Tensor, at: Tensor, slack: Tensor | None = None) -> Tensor:
    """[B, N, 2] where the thin-plate spline that takes `pins` [B, M, 2] to `goals` [B, M, 2] takes `at` [N, 2].

    `slack` [B, M] is how many times softer than others a pin holds, default 1. Bookstein 1989, https://doi.org/10.1109/34.24792.
    """
    b, m, _ = pins.shape
    eye = torch.eye(m, device=pins.device, dtype=pins.dtype)
    flat = torch.cat([torch.ones_like(pins[..., :1]), pins], -1)
    give = STIFFNESS * eye if slack is None else STIFFNESS * torch.diag_embed(slack)
    top = torch.cat([_bend((pins[:, :, None] - pins[:, None]).square().sum(-1)) + give, flat], 2)
    bottom = torch.cat([flat.transpose(1, 2), flat.new_zeros(b, 3, 3)], 2)
    right = torch.cat([goals, goals.new_zeros(b, 3, 2)], 1)
    weights = torch.linalg.solve(torch.cat([top, bottom], 1), right)
    squared = (at[None, :, None] - pins[:, None]).square().sum(-1)
    plane = torch.cat([torch.ones_like(at[:, :1]), at], -1)
    landed: Tensor = _bend(squared) @ weights[:, :m] + plane @ weights[:, m:]
    return landed


def grid(size: int, *, low: float = 0.0, high: float = 1.0, like: Tensor) -> Tensor:
    """[size * size, 2] pixel centres from `low` to `high`, row by row."""
    line = low + (high - low) * (torch.arange(size, device=like.device, dtype=like.dtype) + 0.5) / size
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


def laid_out(points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Where settled keypoints [B, 30, 2] take the pixels of a crop of `size` px.

    Returns ([B, S, S, 2] in 0..1 of the canonical crop, [B, 1, S, S] how much of it is to be shown).
    """
    coarse = min(max(size // 2, 8), CELLS)
    open_, hidden = unfolded(parted(points))
    pins = controls(open_)
    goals = controls(CANONICAL.to(points)[None]).expand_as(pins)
    slack = SLACK ** _hidden_controls(hidden)
    at = grid(coarse, like=points)
    field = warp_field(pins, goals, at, slack).unflatten(1, (coarse, coarse))

    def whole(x: Tensor) -> Tensor:
        return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)

    inside = eased(room(pins[:, : -len(_FRAME)], at), 0.0, RIM).unflatten(1, (1, coarse, coarse))
    return whole(field.permute(0, 3, 1, 2)).permute(0, 2, 3, 1), whole(kept(field)) * whole(inside)
