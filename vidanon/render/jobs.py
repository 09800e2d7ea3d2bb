"""What is known of a face on its way from a plan to a patch, step by step.

A `FaceJob` is asked for; its geometry is worked out (`Prepared`), the generator is shown what may be seen (`Shown`), a
`PaintedFace` waits for its neighbours in time, and a `RenderedFace` is what to paste.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidanon.render.align import FacePose
from vidanon.render.casting import AS_DRAWN, Cast
from vidanon.render.mask import FaceMask
from vidanon.render.steady import Canvas
from vidanon.render.toning import Skin
from vidanon.types import FloatArray, Method, Observation, Patch, Region

if TYPE_CHECKING:
    from vidanon.render.generate import PaintRequest


@dataclass(frozen=True, slots=True)
class FaceJob:
    """One face of one frame, to be covered."""

    observation: Observation
    """the face"""
    identity: str
    """whose latent it gets: Track.identity"""
    rgb: FloatArray
    """[h, w, 3] R'G'B' 0..1, the pixels of `region`"""
    region: Region
    """what FaceRenderer.region gave for it, or more"""
    width: int
    """px of the whole upright picture"""
    height: int
    """px of the whole upright picture"""
    others: Sequence[Observation] = ()
    """the other faces of the frame that are to be covered"""
    fade: float = 0.0
    """0..1 how far the new face has dissolved into its surroundings, as it does where a track is only padded"""
    build: FloatArray | None = None
    """what is peculiar to the person's face over all of the clip (render/shape.py), None where nothing is known"""
    method: Method | None = None
    """what covers it; None: what the settings say"""
    cast: Cast = AS_DRAWN
    """what `FaceRenderer.cast` decided about the person"""


@dataclass(frozen=True, slots=True)
class RenderedFace:
    """A covered face."""

    patch: Patch
    """what to paste"""
    method: Method
    """how it was really covered"""
    fallback: bool
    """whether that is not what was asked for"""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Whose face somebody gets, and what is known of their skin."""

    number: int
    """which of their latents"""
    skins: Sequence[Skin]
    """one for each look that told something"""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job with its geometry worked out."""

    job: FaceJob
    """what is to be covered"""
    region: Region
    """the pixels it wants"""
    rgb: FloatArray
    """[h, w, 3] R'G'B' 0..1 of the region"""
    pose: FacePose
    """where the face is, and how it stands"""
    mask: FaceMask
    """of the region"""
    head: FloatArray | None
    """[h, w] 0..1 of the region, the head around the face; None where it stays"""


@dataclass(frozen=True, slots=True)
class Shown:
    """What of a job the generator is shown."""

    request: PaintRequest
    """keypoints, latent, and the crop without the face"""
    context: FloatArray
    """[S, S, 3] R'G'B' 0..1 of that crop"""
    visible: NDArray[np.bool_]
    """[S, S] what of it is seen"""


@dataclass(frozen=True, slots=True)
class PaintedFace:
    """A job on its way: painted, but not yet blended with what was painted around it."""

    prepared: Prepared
    shown: Shown | None
    canvas: Canvas | None
    """what the generator made of it; None where it is not wanted or failed"""
