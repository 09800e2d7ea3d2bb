"""Which pixels of a frame painting its faces may change, and what lies next to them.

In: observations and the settings they are painted with. Out: one mask of the whole picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.render.align import FacePose, face_pose, region_of
from vidanon.render.head import REACH, head_alpha
from vidanon.render.mask import GUARD_PX, face_mask
from vidanon.settings import RenderSettings
from vidanon.types import Observation, Region


def window_of(pose: FacePose, *, width: int, height: int, settings: RenderSettings) -> Region | None:
    """The window of a width x height picture that a face wants, with its head where that goes too; None if empty."""
    reach = REACH if settings.region == "head" else 0.0
    return region_of(
        pose, width=width, height=height, feather=settings.feather, margin=settings.mask_margin, reach=reach
    )


def painted_area(
    observations: Sequence[Observation], *, width: int, height: int, settings: RenderSettings
) -> NDArray[np.bool_]:
    """[height, width] the masks of the faces with their soft edges, and GUARD_PX around them."""
    area = np.zeros((height, width), np.uint8)
    for item in observations:
        pose = face_pose(item.box, item.points)
        region = window_of(pose, width=width, height=height, settings=settings)
        if region is None:
            continue
        mask = face_mask(pose, item.points, region, margin=settings.mask_margin, feather=settings.feather)
        painted = mask.alpha > 0
        if settings.region == "head":
            painted |= head_alpha(pose, item.points, region, margin=settings.mask_margin) > 0
        area[region.y0 : region.y1, region.x0 : region.x1] |= painted
    return cv2.dilate(area, np.ones((2 * GUARD_PX + 1,) * 2, np.uint8)).astype(np.bool_)
