"""The appearance model: what makes a face somebody, apart from where its features are and how it is lit.

A linear model of shape-free faces (active appearance models, Cootes, Edwards & Taylor 2001,
https://doi.org/10.1109/34.927467). Every training face was warped until its keypoints lay on the canonical ones, its
tone and shading were taken off, and the rest split into what pose and expression explain and what they do not; the
principal axes of the latter are what a latent mixes. What axes cannot tell (lashes, wrinkles, pores: a mean of faces
has none) comes from patterns: faces of invented people, kept whole. A standard normal latent picks one and changes its
traits: a new person, the same one in every frame, and the keypoints say where that person's features go.

In: a latent and keypoints. Out: the features' light and dark in the crop, for the generator to clothe in skin, light
and surroundings. Shape comments: B batch, K latent, T texture px, S crop px.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidanon.models.layout import CANONICAL, eased, grid, laid_out, outline, room, settled
from vidanon.types import FACE_POINT_INDEX

LOW, HIGH = 0.14, 0.86
"""The texture's part of the canonical crop."""
N_FEATURES = 14
RAREST = 0.05
"""Share of the training faces, at each end of a trait, that nobody is made to look like."""
KNOTS = 33
FINER = 2
"""Px of a pattern for each px of the texture."""
STEP = 1 / 28
"""Of a pattern's 256 levels, in contrasts of a face."""
OFF = 0.3
"""How far, in standard deviations, traits are from those of the pattern."""
EYES = ((0.389, 0.391, 0.055, 0.022), (0.611, 0.391, 0.055, 0.022))
"""Where eyes are, the subject's right one first: middle and radii of ellipses, in 0..1 of the canonical crop. A
pattern's are open ..."""
SHUTTING = (0.05, 0.11)
"""... and give way to the axes' as lids shut, by their opening as `features` has it."""

HAIR = (0.015, 0.1)
"""How far inside the outline hair hangs over a face, and no more, in canonical crops; what there is of it is the
pattern's, not of who gets the face ..."""
BROW, TAIL = (0.335, 0.02, 0.05), (0.0, 0.04)
"""... but not at the height of the brows, and so far from it (wholly, not at all), nearer to the outline ..."""
CHEEK = (0.52, 0.62)
"""... and not below the eyes, from where on less and where not at all."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, wherever her keypoints are and whatever she does."""

    code: Tensor
    """[B, K] of the axes"""
    detail: Tensor
    """[B, 3, D, D] what the axes do not tell, D = T or FINER * T"""

    def __getitem__(self, rows: slice) -> Person:
        """Some of them."""
        return Person(self.code[rows], self.detail[rows])


def features(points: Tensor) -> Tensor:
    """[B, 14] of settled keypoints [B, 30, 2]: how the head is turned, and what the face is doing."""

    def at(name: str) -> Tensor:
        return points[:, FACE_POINT_INDEX[name]]

    def apart(one: str, other: str) -> Tensor:
        distance: Tensor = torch.linalg.vector_norm(at(one) - at(other), dim=-1)
        return distance

    eyes, mouth = (at("right_eye") + at("left_eye")) / 2, (at("mouth_right") + at("mouth_left")) / 2
    lips = (at("lip_upper_inner") + at("lip_lower_inner")) / 2
    brows = (at("right_brow_inner") + at("left_brow_inner")) / 2
    gaze = at("right_pupil") - at("right_eye") + at("left_pupil") - at("left_eye")
    length = (eyes - mouth).norm(dim=-1).clamp(min=0.05)
    yaw = (at("nose") - (eyes + mouth) / 2)[:, 0] / length
    cheeks = (at("nose") - (at("jaw_1") + at("jaw_7")) / 2)[:, 0] / length
    opening = apart("lip_upper_inner", "lip_lower_inner") / length
    values = [
        yaw,
        yaw.square(),
        cheeks,
        cheeks.square(),
        (at("nose") - eyes)[:, 1] / length,
        opening,
        opening.square(),
        apart("mouth_right", "mouth_left") / length,
        (mouth - lips)[:, 1] / length,
        apart("right_lid_upper", "right_lid_lower") / length,
        apart("left_lid_upper", "left_lid_lower") / length,
        (brows - eyes)[:, 1] / length,
        gaze[:, 0] / length,
        gaze[:, 1] / length,
    ]
    return torch.stack(values, 1)


class Appearance(nn.Module):
    """Zero until it is fitted (`train/appearance.py`) or loaded: then every latent looks like nobody in particular."""

    def __init__(self, latent_dim: int, px: int) -> None:
        super().__init__()
        self.px = px
        self.mean: Tensor
        self.axes: Tensor
        self.moods: Tensor
        self.usual: Tensor
        self.cover: Tensor
        self.traits: Tensor
        self.mix: Tensor
        self.register_buffer("mean", torch.zeros(3, px, px))
        self.register_buffer("axes", torch.zeros(latent_dim, 3 * px * px))
        """what one standard deviation of each latent coordinate changes"""
        self.register_buffer("moods", torch.zeros(N_FEATURES, 3 * px * px))
        """what one standard deviation of each feature changes"""
        self.register_buffer("usual", torch.stack([torch.zeros(N_FEATURES), torch.ones(N_FEATURES)]))
        """mean and standard deviation of the features"""
        self.register_buffer("cover", torch.zeros(1, px, px))
        """1 where the model knows faces, 0 beyond"""
        self.register_buffer(
            "traits", torch.special.ndtri(torch.linspace(RAREST, 1 - RAREST, KNOTS)).repeat(latent_dim, 1)
        )
        """quantiles, from RAREST to 1 - RAREST, of the traits that a code is a mixture of"""
        self.register_buffer("mix", torch.eye(latent_dim))
        """[traits, axes]"""
        self.pictures: Tensor
        self.ends: Tensor
        self.patterns: Tensor
        self.register_buffer("pictures", torch.zeros(0, dtype=torch.uint8))
        """what the axes do not tell of N patterns: WebP files of FINER * T px, one behind the other ..."""
        self.register_buffer("ends", torch.zeros(0, dtype=torch.int64))
        """... where each of them ends ..."""
        self.register_buffer("patterns", torch.zeros(0, latent_dim))
        """... and [N, K] their codes"""
        self._details: dict[int, Tensor] = {}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in ("pictures", "ends", "patterns"):  # as many as there are; older weights have none
            given = state_dict.setdefault(prefix + name, getattr(self, name)[:0])
            setattr(self, name, torch.empty_like(given, device=self.mean.device))
        self._details = {}
        super()._load_from_state_dict(state_dict, prefix, *args)

    def person(self, latent: Tensor) -> Person:
        """Whom a standard normal latent [B, K] stands for.

        Where there are patterns its first coordinate picks one, and all of them how the traits differ from that one's.
        """
        code = self.traits_of(latent)
        if not len(self.ends):
            return Person(code, code.new_zeros(len(code), 3, self.px, self.px))
        picked = self.picked(latent)
        return Person(self.patterns[picked] + OFF * code, torch.stack([self.detail(i) for i in picked.tolist()]))

    def picked(self, latent: Tensor) -> Tensor:
        """[B] which pattern a latent [B, K] picks, of one or more."""
        count = len(self.ends)
        which: Tensor = (torch.special.ndtr(latent[:, 0].float()) * count).long().clamp(0, count - 1)
        return which

    def detail(self, index: int) -> Tensor:
        """[3, D, D] what the axes do not tell of a pattern."""
        if index not in self._details:
            start = int(self.ends[index - 1]) if index else 0
            data = self.pictures[start : int(self.ends[index])].cpu().numpy()
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
            if picture is None or picture.shape != (FINER * self.px, FINER * self.px, 3):
                raise ValueError(f"pattern {index} of the appearance model is no picture of {FINER * self.px} px")
            levels = torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)
            self._details[index] = (levels - 128) * STEP
        return self._details[index].to(self.mean.device)

    def traits_of(self, latent: Tensor) -> Tensor:
        """The code [B, K] of somebody with the traits that a standard normal latent [B, K] picks.

        People differ by traits that most have a little of and few have much of: glasses are there or not, and half a
        pair looks like a ghost's. So a latent picks each trait from how the training faces have it, rarest left out.
        """
        at = torch.special.ndtr(latent.float()) * (KNOTS - 1)
        low = at.floor().clamp(0, KNOTS - 2)
        index = low.long().T
        one, two = self.traits.gather(1, index), self.traits.gather(1, index + 1)
        code: Tensor = torch.lerp(one, two, (at - low).T).T @ self.mix
        return code

    def texture(self, code: Tensor, features: Tensor) -> Tensor:
        """[B, 3, T, T] of codes [B, K] and features [B, 14]; the unit is the contrast of a face."""
        mood = ((features - self.usual[0]) / self.usual[1]).clamp(-3, 3)
        face: Tensor = self.mean + (code @ self.axes + mood @ self.moods).unflatten(1, (3, self.px, self.px))
        return face

    def seen(self, detail: Tensor, features: Tensor) -> Tensor:
        """[B, C, D, D] of a person's detail what is to be seen of it: no open eye where lids are shut."""
        shut = ((SHUTTING[1] - features[:, 9:11]) / (SHUTTING[1] - SHUTTING[0])).clamp(0, 1)
        px = detail.shape[-1]
        eyes = torch.stack([ellipse(eye, px, like=detail) for eye in EYES])
        seen: Tensor = detail * (1 - (shut[:, :, None, None] * eyes).sum(1, keepdim=True))
        return seen

    @torch.no_grad()
    def forward(self, points: Tensor, person: Person, size: int, *, hair: tuple[float, float] = HAIR) -> Tensor:
        """[B, 4, S, S]: the face's features in the crop, and how far the model covers each pixel.

        `points` [B, 30, 2] in 0..1 of the crop, NaN = unknown; as far inside the outline as `hair` may hang, in
        canonical crops (most of it, none any more), a person has no features but brows and cheeks.
        """
        points = settled(points.float())
        px = self.px if size * (HIGH - LOW) <= self.px else FINER * self.px
        doing = features(points)
        texture = scaled(self.texture(person.code.float(), doing), px)
        texture = (texture + self.seen(scaled(person.detail.float(), px), doing)) * bare(px, hair, like=texture)
        return self._placed(texture, points, size)

    def _placed(self, texture: Tensor, points: Tensor, size: int) -> Tensor:
        """[B, C + 1, S, S] of textures [B, C, D, D] and their cover, where settled keypoints [B, 30, 2] put them."""
        cover = scaled(self.cover[None], texture.shape[-1]).expand(len(points), -1, -1, -1)
        texture = torch.cat([texture * cover, cover], 1)
        field, open_ = laid_out(points, size)
        if size < self.px:
            texture = F.interpolate(texture, size=(size, size), mode="area")
        where = (field - LOW) / (HIGH - LOW) * 2 - 1
        return F.grid_sample(texture, where, padding_mode="zeros", align_corners=False) * open_


def bare(px: int, hair: tuple[float, float] = HAIR, *, like: Tensor) -> Tensor:
    """[px, px] of a texture, 1 where a face is skin, brow or beard, 0 towards its outline where hair may hang."""
    at = grid(px, low=LOW, high=HIGH, like=like)
    inside, y = room(outline(CANONICAL.to(like)[None]), at)[0], at[:, 1]
    brow = (1 - eased((y - BROW[0]).abs(), *BROW[1:])) * eased(inside, *TAIL)
    share = torch.stack([eased(inside, *hair), brow, eased(y, *CHEEK)])
    kept: Tensor = share.amax(0).unflatten(0, (px, px))
    return kept


def ellipse(place: tuple[float, float, float, float], px: int, *, like: Tensor) -> Tensor:
    """[px, px] of a texture, 1 in the middle of an ellipse (x, y, radii; 0..1 of the canonical crop), 0 far off."""
    at = grid(px, low=LOW, high=HIGH, like=like)
    off = ((at - at.new_tensor(place[:2])) / at.new_tensor(place[2:])).square().sum(1)
    within: Tensor = torch.exp(-off.square()).unflatten(0, (px, px))
    return within


def scaled(texture: Tensor, px: int) -> Tensor:
    """[B, C, px, px] of textures [B, C, D, D], D a multiple or a part of it."""
    side = texture.shape[-1]
    if side > px:
        return F.avg_pool2d(texture, side // px)
    return texture if side == px else F.interpolate(texture, size=(px, px), mode="bilinear", align_corners=False)
