"""The appearance model: what makes a face somebody, apart from where its features are and how it is lit.

A linear model of shape-free faces (active appearance models, Cootes, Edwards & Taylor 2001,
https://doi.org/10.1109/34.927467). Every training face was warped until its keypoints lay on the canonical ones, its
tone and shading were taken off, and the rest split into what pose and expression explain and what they do not; the
principal axes of the latter are what a latent mixes. A standard normal latent is therefore a new person, the same
one in every frame, and the keypoints say where that person's features go.

In: a latent and keypoints. Out: the features' light and dark in the crop, for the generator to clothe in skin, light
and surroundings. Shape comments: B batch, K latent, T texture px, S crop px.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidanon.models.layout import laid_out, settled
from vidanon.types import FACE_POINT_INDEX

LOW, HIGH = 0.14, 0.86
"""The texture's part of the canonical crop."""
N_FEATURES = 14
RAREST = 0.05
"""Share of the training faces, at each end of a trait, that nobody is made to look like."""
KNOTS = 33


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

    def person(self, latent: Tensor) -> Tensor:
        """The code [B, K] of the person a standard normal latent [B, K] stands for.

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

    @torch.no_grad()
    def forward(self, points: Tensor, code: Tensor, size: int) -> Tensor:
        """[B, 4, S, S]: the face's features in the crop, and how far the model covers each pixel.

        `points` [B, 30, 2] in 0..1 of the crop, NaN = unknown; `code` [B, K].
        """
        points = settled(points.float())
        texture = self.texture(code.float(), features(points))
        texture = torch.cat([texture * self.cover, self.cover.expand(len(points), -1, -1, -1)], 1)
        field, shown = laid_out(points, size)
        if size < self.px:
            texture = F.interpolate(texture, size=(size, size), mode="area")
        where = (field - LOW) / (HIGH - LOW) * 2 - 1
        return F.grid_sample(texture, where, padding_mode="zeros", align_corners=False) * shown
