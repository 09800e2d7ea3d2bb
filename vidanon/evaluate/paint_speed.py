"""How quickly a generator paints.

In: a painter. Out: faces a second, the face made up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from vidanon.evaluate.generator_report import Speed
from vidanon.types import N_FACE_POINTS

if TYPE_CHECKING:
    from vidanon.render.generate import FacePainter

BATCH = 8
"""faces painted at a time"""


def paint_speed(painter: FacePainter, *, calls: int = 4, clock: Callable[[], float] = time.perf_counter) -> Speed:
    """Times `calls` calls with BATCH faces each, after one that does not count; the quickest is told."""
    import torch

    from vidanon.render.generate import PaintRequest

    side = painter.resolution
    hidden = np.zeros((side, side), np.bool_)
    hidden[side // 5 : -side // 5, side // 5 : -side // 5] = True
    context = np.full((side, side, 3), 0.5, np.float32)
    points = np.full((N_FACE_POINTS, 2), 0.5, np.float32)
    latent = np.zeros(painter.latent_dim, np.float32)
    requests = [PaintRequest(context, hidden, points, latent)] * BATCH
    painter.paint(requests)
    seconds = []
    for _ in range(calls):
        begin = clock()
        painter.paint(requests)
        seconds.append(clock() - begin)
    return Speed(side, str(painter.device), torch.get_num_threads(), BATCH / max(min(seconds), 1e-9))
