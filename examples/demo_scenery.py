"""The drawn scenery of the demo clip: a studio and a street, each a background and something in front of the people.

In comes a random generator, out go float pictures, 0..1 RGB.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 1280, 720

Floats = NDArray[np.float32]


def gradient(top: tuple[int, int, int], bottom: tuple[int, int, int], height: int, width: int) -> Floats:
    """[height, width, 3] 0..1, from one colour down to another."""
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    return np.repeat((np.asarray(top) * (1 - ramp) + np.asarray(bottom) * ramp) / 255, width, 1).astype(np.float32)


def studio(random: np.random.Generator) -> tuple[Floats, Floats]:
    """(background, [h, w, 4] desk in front): a wall with shelves, out of focus."""
    wall = gradient((70, 84, 104), (44, 50, 62), HEIGHT, WIDTH)
    for top in (70, 250, 430):
        x = 30.0
        while x < WIDTH - 60:
            width, height = random.integers(14, 40), random.integers(70, 130)
            if not 380 < x < 900:
                colour = random.uniform(0.15, 0.6, 3)
                cv2.rectangle(wall, (int(x), top + 140 - int(height)), (int(x + width), top + 140), colour.tolist(), -1)
            x += float(width) + random.integers(3, 26)
        for left, right in ((20, 390), (890, WIDTH - 20)):
            cv2.rectangle(wall, (left, top + 140), (right, top + 152), (0.20, 0.15, 0.12), -1)
    wall = np.asarray(cv2.GaussianBlur(wall, (0, 0), 16), np.float32)
    y, x_grid = np.mgrid[0:HEIGHT, 0:WIDTH]
    wall = wall * (0.75 + 0.5 * np.exp(-(((x_grid - 640) / 420) ** 2) - ((y - 260) / 330) ** 2))[..., None]
    desk = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    desk[600:, :, :3] = gradient((112, 84, 60), (66, 48, 36), HEIGHT - 600, WIDTH)
    desk[600:606, :, :3] = 0.62
    desk[600:, :, 3] = 1
    return wall.astype(np.float32), desk


def street(random: np.random.Generator) -> tuple[Floats, Floats]:
    """(background wider than the picture, [h, w, 4] wall in front): houses under a pale sky."""
    width = WIDTH + 160
    view = gradient((150, 182, 214), (216, 222, 224), HEIGHT, width)
    x = -20
    while x < width:
        house, height = int(random.integers(130, 240)), int(random.integers(330, 560))
        colour = random.uniform(0.42, 0.72) * np.array([1, random.uniform(0.86, 0.98), random.uniform(0.75, 0.95)])
        cv2.rectangle(view, (x, 600 - height), (x + house, 640), colour.tolist(), -1)
        for wy in range(600 - height + 24, 540, 62):
            for wx in range(x + 18, x + house - 34, 46):
                glass = random.uniform(0.18, 0.42)
                cv2.rectangle(view, (wx, wy), (wx + 24, wy + 38), (glass, glass * 1.05, glass * 1.2), -1)
        x += house + int(random.integers(0, 16))
    view[600:] = gradient((120, 120, 118), (92, 92, 92), HEIGHT - 600, width)
    view = np.asarray(cv2.GaussianBlur(view, (0, 0), 9), np.float32)
    wall = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    wall[560:, :, :3] = gradient((134, 120, 108), (104, 92, 84), HEIGHT - 560, WIDTH)
    for row, top in enumerate(range(560, HEIGHT, 32)):
        cv2.line(wall, (0, top), (WIDTH, top), (0.34, 0.31, 0.29, 1), 2)
        for left in range(-40 * (row % 2), WIDTH, 80):
            cv2.line(wall, (left, top), (left, top + 32), (0.34, 0.31, 0.29, 1), 2)
    wall[560:, :, 3] = 1
    return view, wall
