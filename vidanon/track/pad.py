"""Extending a track past its first and last detection, along its motion.

A detector finds a face a moment late and loses it a moment early; these frames are covered on suspicion. In come the
settled boxes and the times to extend to, out come boxes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidanon.geometry import centre_size, from_centre_size

Array = NDArray[np.float64]

SPEED_SECONDS = 0.3
"""how much of a track's end tells its speed"""
SPEED_FRAMES = 4
"""fewer boxes than this tell jitter rather than speed; optical flow is asked instead"""
DAMPING_SECONDS = 1.0
"""time after which the motion has slowed to a third"""
MAX_GROWTH = 0.25
"""how much the log size may change while extending"""


def extend(
    times: Array, boxes: Array, ahead: Array, *, flow: tuple[float, float], width: int, height: int
) -> list[Array]:
    """Boxes [4] at `ahead` [M] seconds past the last of `boxes` [N, 4] at `times` [N]; fewer where the face leaves.

    `ahead` is measured away from the track. To extend backwards, hand over both reversed and `times` negated. `flow` is
    the speed in px a second to take where the boxes tell none. It ends with the first box wholly outside the picture.
    """
    speed, growth = _speed(times, boxes, flow)
    (last,) = centre_size(boxes[-1:])
    out = []
    for seconds in ahead:
        travelled = DAMPING_SECONDS * (1 - np.exp(-seconds / DAMPING_SECONDS))
        centre = last[:2] + speed * travelled
        size = last[2:] * np.exp(np.clip(growth * travelled, -MAX_GROWTH, MAX_GROWTH))
        box = from_centre_size(np.concatenate([centre, size]))
        if box[0] >= width or box[1] >= height or box[2] <= 0 or box[3] <= 0:
            break
        out.append(box)
    return out


def _speed(times: Array, boxes: Array, flow: tuple[float, float]) -> tuple[Array, float]:
    """Velocity in px a second, and growth of the log size a second, at the end of a path."""
    recent = times >= times[-1] - SPEED_SECONDS
    t = times[recent] - times[recent].mean()
    if len(t) < SPEED_FRAMES:
        return np.array(flow), 0.0
    c = centre_size(boxes[recent])
    values = np.column_stack([c[:, :2], np.log(np.maximum(c[:, 2] * c[:, 3], 1e-6)) / 2])
    slope = t @ values / (t @ t)
    return slope[:2], float(slope[2])
