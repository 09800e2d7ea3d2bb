"""Families of public ONNX face detectors: how each wants its input and what its outputs mean.

A family is recognized by the names and shapes of a model's outputs; nothing is guessed from file names. Every
`decode` returns unfiltered `Detections` in px of the network's input.

    YuNet        cls_8 ... kps_32    https://github.com/ShiqiYu/libfacedetection.train
    SCRFD        6 or 9 outputs [N, 1], [N, 4], [N, 10]   https://arxiv.org/abs/2105.04714
    CenterFace   4 maps at stride 4   https://arxiv.org/abs/1911.03599
    Ultra-Light  scores [1, N, 2], boxes [1, N, 4]   https://github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidanon.types import Detections, FloatArray, ImageArray

Outputs = Mapping[str, FloatArray]
FamilyName = Literal["YuNet", "SCRFD", "CenterFace", "Ultra-Light"]


@dataclass(frozen=True, slots=True)
class Family:
    """How one kind of network is fed."""

    name: FamilyName
    """as its authors call it"""
    bgr: bool
    """channel order of its input"""
    mean: float
    """subtracted from 0..255"""
    scale: float
    """what the difference is divided by"""
    multiple: int
    """both sides of the input must be multiples of this"""

    def prepare(self, image: ImageArray) -> FloatArray:
        """uint8 RGB [H, W, 3] -> float32 [1, 3, H, W]."""
        pixels = image[:, :, ::-1] if self.bgr else image
        return np.ascontiguousarray(((pixels.astype(np.float32) - self.mean) / self.scale).transpose(2, 0, 1)[None])

    def decode(self, outputs: Outputs, height: int, width: int) -> Detections:
        """The outputs for an input of `height` x `width` px as detections, unsorted and unfiltered."""
        return DECODERS[self.name](outputs, height, width)


YUNET = Family("YuNet", bgr=True, mean=0.0, scale=1.0, multiple=32)
SCRFD = Family("SCRFD", bgr=False, mean=127.5, scale=128.0, multiple=32)
CENTERFACE = Family("CenterFace", bgr=False, mean=0.0, scale=1.0, multiple=32)
ULTRALIGHT = Family("Ultra-Light", bgr=False, mean=127.0, scale=128.0, multiple=8)


def recognize(outputs: Sequence[tuple[str, Sequence[Any]]]) -> Family | None:
    """The family of a model whose outputs have these names and shapes (unknown sizes are strings or None)."""
    names = {name for name, _ in outputs}
    last = [shape[-1] if shape else None for _, shape in outputs]
    if {f"{kind}_{s}" for kind in ("cls", "obj", "bbox", "kps") for s in (8, 16, 32)} <= names:
        return YUNET
    if len(outputs) == 2 and names == {"scores", "boxes"} and sorted(map(str, last)) == ["2", "4"]:
        return ULTRALIGHT
    maps = len(outputs) == 4 and all(len(shape) == 4 for _, shape in outputs)
    if maps and sorted(str(shape[1]) for _, shape in outputs) == ["1", "10", "2", "2"]:
        return CENTERFACE
    if len(outputs) in (6, 9) and sorted(map(str, last)) == sorted(["1", "4", "10"][: len(outputs) // 3] * 3):
        return SCRFD
    return None


def grid(height: int, width: int, stride: int) -> FloatArray:
    """Top left corners [h*w, 2] (x, y) of the cells, in cells, row by row."""
    y, x = np.mgrid[0 : height // stride, 0 : width // stride]
    return np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32)


def _yunet(outputs: Outputs, height: int, width: int) -> Detections:
    parts = []
    for s in (8, 16, 32):
        corner = grid(height, width, s)
        cls, obj, box, kps = (outputs[f"{kind}_{s}"][0] for kind in ("cls", "obj", "bbox", "kps"))
        score = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
        centre, half = (corner + box[:, :2]) * s, np.exp(box[:, 2:]) * s / 2
        points = (kps.reshape(-1, 5, 2) + corner[:, None]) * s
        parts.append((np.hstack([centre - half, centre + half]), score, points))
    return _stacked(parts)


def _scrfd(outputs: Outputs, height: int, width: int) -> Detections:
    values = [v.reshape(-1, v.shape[-1]) for v in outputs.values()]
    # Larger maps come first, whatever order the exporter chose.
    by_kind = {k: sorted((v for v in values if v.shape[1] == k), key=len, reverse=True) for k in (1, 4, 10)}
    parts = []
    for i, s in enumerate((8, 16, 32)):
        corner = grid(height, width, s)
        score, reach = by_kind[1][i][:, 0], by_kind[4][i] * s
        anchors = len(score) // len(corner)
        centre = np.repeat(corner * s, anchors, axis=0)
        boxes = np.hstack([centre - reach[:, :2], centre + reach[:, 2:]])
        if by_kind[10]:
            points = by_kind[10][i].reshape(-1, 5, 2) * s + centre[:, None]
        else:
            points = np.full((len(score), 5, 2), np.nan, np.float32)
        parts.append((boxes, score, points))
    return _stacked(parts)


def _centerface(outputs: Outputs, _height: int, _width: int) -> Detections:
    maps = list(outputs.values())
    heat = next(m for m in maps if m.shape[1] == 1)[0, 0]
    marks = next(m for m in maps if m.shape[1] == 10)[0]
    # The two-channel maps come in the order scale, offset.
    size, offset = (m[0] for m in maps if m.shape[1] == 2)
    rows, columns = np.nonzero(heat > 0.02)
    h, w = (np.exp(size[k, rows, columns]) * 4 for k in (0, 1))
    y = (rows + offset[0, rows, columns] + 0.5) * 4
    x = (columns + offset[1, rows, columns] + 0.5) * 4
    boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
    pairs = marks[:, rows, columns].T.reshape(-1, 5, 2)
    # Its marks are (y, x) in parts of the box.
    points = boxes[:, None, :2] + pairs[:, :, ::-1] * np.stack([w, h], axis=1)[:, None]
    return _stacked([(boxes, heat[rows, columns], points)])


def _ultralight(outputs: Outputs, height: int, width: int) -> Detections:
    boxes = outputs["boxes"][0] * np.array([width, height, width, height], np.float32)
    points = np.full((len(boxes), 5, 2), np.nan, np.float32)
    return _stacked([(boxes, outputs["scores"][0][:, 1], points)])


def _stacked(parts: Sequence[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]) -> Detections:
    boxes, scores, points = (np.concatenate(p).astype(np.float32) for p in zip(*parts, strict=True))
    return Detections(boxes, scores, points)


DECODERS = {"YuNet": _yunet, "SCRFD": _scrfd, "CenterFace": _centerface, "Ultra-Light": _ultralight}
