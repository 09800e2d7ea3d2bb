"""Picture grids of a run: rows of crops as one PNG."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


def save_grid(rows: Iterable[Tensor], path: Path, *, least_px: int = 96) -> None:
    """Writes rows [N, 3, S, S] in [-1, 1] as a PNG, each picture at least `least_px` on a side."""
    lines = []
    for row in rows:
        factor = max(1, -(-least_px // row.shape[-1]))
        big = F.interpolate(row.float().cpu(), scale_factor=float(factor), mode="nearest")
        lines.append(torch.cat(list(big), 2))
    picture = ((torch.cat(lines, 1).clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(picture).save(path)
