"""A tiny labelled set of cartoon faces, in the layout of train/faces.py, for tests that train."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE = 256


def ibug(cx: float, cy: float, size: float, *, mouth: float, lids: float) -> np.ndarray:
    """[70, 2] a frontal face: jaw, brows, nose, eyes, mouth, pupils; mouth and lids are their opening in sizes."""
    t = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.42 * np.cos(t), 0.05 + 0.45 * np.sin(t)], 1)
    brows = [(x, -0.2) for x in (-0.33, -0.27, -0.2, -0.14, -0.08, 0.08, 0.14, 0.2, 0.27, 0.33)]
    nose = [(0, y) for y in (-0.1, -0.03, 0.02, 0.07)] + [(x, 0.11) for x in (-0.08, -0.04, 0, 0.04, 0.08)]

    def eye(x: float) -> list[tuple[float, float]]:
        h = lids / 2
        corners = ((-0.08, 0.0), (-0.03, -h), (0.03, -h), (0.08, 0.0), (0.03, h), (-0.03, h))
        return [(x + dx, -0.1 + dy) for dx, dy in corners]

    outer = [(0.16 * np.cos(a), 0.26 + (0.05 + mouth / 2) * np.sin(a)) for a in np.linspace(np.pi, 3 * np.pi, 13)[:12]]
    inner = [(0.1 * np.cos(a), 0.26 + mouth / 2 * np.sin(a)) for a in np.linspace(np.pi, 3 * np.pi, 9)[:8]]
    points = [*jaw.tolist(), *brows, *nose, *eye(-0.19), *eye(0.19), *outer, *inner, (-0.19, -0.1), (0.19, -0.1)]
    return np.array(points) * size + (cx, cy)


def write_faces(folder: Path, *, train: int = 12, val: int = 4, seed: int = 0) -> Path:
    """A face set of so many drawn faces; returns its folder."""
    random = np.random.default_rng(seed)
    count = train + val
    kp = np.zeros((count, 70, 2), np.float16)
    pose = np.ones((count, 4, 3), np.float16)
    box = np.zeros((count, 4), np.float16)
    z = np.zeros((count, 70), np.float16)
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "images-0.zip", "w") as archive:
        for i in range(count):
            size = random.uniform(110, 140)
            cx, cy = random.uniform(118, 138, 2)
            points = ibug(cx, cy, size, mouth=random.uniform(0, 0.12), lids=random.uniform(0.01, 0.08))
            skin = tuple(int(v) for v in random.integers(90, 230, 3))
            picture = Image.new("RGB", (SIDE, SIDE), tuple(int(v) for v in random.integers(20, 235, 3)))
            draw = ImageDraw.Draw(picture)
            draw.ellipse([cx - 0.5 * size, cy - 0.65 * size, cx + 0.5 * size, cy + 0.58 * size], fill=skin)
            for eye in (slice(36, 42), slice(42, 48)):
                draw.polygon([tuple(p) for p in points[eye].tolist()], fill=(240, 240, 240), outline=(20, 20, 20))
            draw.polygon([tuple(p) for p in points[48:60].tolist()], fill=(150, 40, 40))
            draw.polygon([tuple(p) for p in points[60:68].tolist()], fill=(30, 5, 5))
            buffer = BytesIO()
            picture.save(buffer, "WEBP", quality=95)
            archive.writestr(f"{i:05d}.webp", buffer.getvalue())
            kp[i] = points
            off = (points - (cx, cy)) / (0.5 * size, 0.65 * size)
            depth = -0.4 * size * np.sqrt(np.clip(1 - (off**2).sum(1), 0, None))
            depth[27:36] -= 0.08 * size
            z[i] = depth / SIDE
            pose[i, :, :2] = np.array([[-0.5, -0.08], [0.5, -0.08], [-1, 0.9], [1, 0.9]]) * size + (cx, cy)
            box[i] = (cx - 0.45 * size, cy - 0.5 * size, cx + 0.45 * size, cy + 0.5 * size)
    split = np.array(["val"] * val + ["train"] * train)
    source = np.array(["t2i", "voteview"] * (count // 2) + ["t2i"] * (count % 2))
    np.savez(folder / "labels.npz", kp=kp, z=z, pose=pose, box=box, split=split, source=source)
    return folder


def write_detector_data(folder: Path) -> Path:
    """What a detector is trained on: a dozen portraits, and six plain pictures with a labelled square each."""
    write_faces(folder / "faces")
    (folder / "crowd-dev").mkdir()
    listed = {}
    for i in range(6):
        grey = np.full((200, 300, 3), 40 * i, np.uint8)
        grey[60:100, 100:140] = (200, 120, 60)
        Image.fromarray(grey).save(folder / "crowd-dev" / f"p{i}.jpg")
        listed[f"p{i}"] = {"size": [300, 200], "boxes": [[100, 60, 140, 100]]}
    (folder / "crowd-dev" / "boxes.json").write_text(json.dumps(listed))
    return folder
