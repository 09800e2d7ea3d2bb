"""How the camera stands: the way from where things are to where they are in the picture.

In come the motions of the background from frame to frame, out come similarities (shift, zoom, roll) between a frame's
picture and the world, which is the picture of the clip's first frame. Who stands still in the world has no velocity,
whatever the camera does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class View:
    """picture = turn * world + shift, as complex numbers x + iy, px."""

    turn: complex = 1.0
    """zoom and roll"""
    shift: complex = 0.0
    """px of the picture"""

    def after(self, camera: tuple[float, float], turn: tuple[float, float]) -> View:
        """The next frame's view, the background having moved as a `ScannedFrame` says."""
        more = complex(*turn)
        return View(more * self.turn, more * self.shift + complex(*camera))

    @property
    def scale(self) -> float:
        """px of the picture per px of the world."""
        return abs(self.turn)

    def world(self, points: ArrayLike) -> Array:
        """Places [..., 2] in the world of places in the picture."""
        return _pairs((_complex(points) - self.shift) / self.turn)

    def picture(self, points: ArrayLike) -> Array:
        """Places [..., 2] in the picture of places in the world."""
        return _pairs(_complex(points) * self.turn + self.shift)

    def seen(self, vectors: ArrayLike) -> Array:
        """Vectors [..., 2] of the world as they are in the picture."""
        return _pairs(_complex(vectors) * self.turn)

    def unseen(self, vectors: ArrayLike) -> Array:
        """Vectors [..., 2] of the picture as they are in the world."""
        return _pairs(_complex(vectors) / self.turn)


def drift(points: ArrayLike, camera: tuple[float, float], turn: tuple[float, float]) -> Array:
    """How far, px [..., 2], places of the world at `points` [..., 2] px of the picture move to the next frame."""
    z = _complex(points)
    return _pairs(z * complex(*turn) + complex(*camera) - z)


def _complex(points: ArrayLike) -> NDArray[np.complex128]:
    p = np.asarray(points, np.float64)
    return np.asarray(p[..., 0] + 1j * p[..., 1], np.complex128)


def _pairs(z: NDArray[np.complex128]) -> Array:
    return np.stack([np.real(z), np.imag(z)], axis=-1)
