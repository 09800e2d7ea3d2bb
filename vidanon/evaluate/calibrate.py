"""The threshold for a wanted recall, measured on somebody's own labelled pictures, written down as a preset.

In: a folder with `boxes.json`, a `Detector` that drops next to nothing, the recall to reach. Out: a `Calibration` and
the preset's text.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidanon.detect.base import Detector
from vidanon.detect.labelled import read_labelled
from vidanon.detect.matching import Matches, match
from vidanon.errors import InputError, UsageError

WEAK_SHARE = 0.4
"""the threshold that continues a track, in parts of the one that starts it"""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured and chosen."""

    threshold: float
    """highest score at which the wanted recall is reached"""
    weak_threshold: float
    """for going on with a track"""
    wanted: float
    """recall asked for"""
    recall: float
    """recall reached, on these pictures"""
    false_positives: float
    """false alarms a picture at that threshold"""
    faces: int
    """labelled faces it was measured on, of at least `min_face_px`"""
    pictures: int
    """pictures"""
    interval: tuple[float, float]
    """95 % confidence interval of the recall (Wilson): how far so few faces can be trusted"""


def calibrate(
    folder: Path, detector: Detector, *, recall: float, min_face_px: float = 0.0, iou: float = 0.4
) -> Calibration:
    """Chooses the highest threshold at which `recall` of the labelled faces of at least `min_face_px` are found.

    Raises InputError for a folder without usable labels, UsageError for a recall that no threshold reaches.
    """
    if not 0 < recall <= 1:
        raise UsageError(f"a recall lies between 0 and 1, got {recall:g}", hint="ask for 0.95, say")
    images, labels = read_labelled(folder)
    matches = match([detector.detect([image])[0] for image in images], labels, iou=iou)
    return choose(matches, recall=recall, min_face_px=min_face_px, pictures=len(images))


def choose(matches: Matches, *, recall: float, min_face_px: float, pictures: int) -> Calibration:
    """`calibrate` on detections that have been matched with their labels already."""
    found_at = np.sort(matches.found_at[matches.sizes >= min_face_px])[::-1]
    if not len(found_at):
        raise InputError(
            f"no labelled face of {min_face_px:g} px or more", hint="give larger pictures, or a smaller --min-face"
        )
    needed = math.ceil(recall * len(found_at) - 1e-9)
    possible = int((found_at >= 0).sum())
    if possible < needed:
        raise UsageError(
            f"a recall of {recall:g} is out of reach: {possible} of {len(found_at)} faces are found at any threshold",
            hint=f"ask for at most {possible / len(found_at):.3f}, or lower --min-face: pictures are then enlarged",
        )
    # Rounded down, so that the preset's figure still lets the last of them in.
    threshold = math.floor(float(found_at[needed - 1]) * 1000) / 1000
    reached = int((found_at >= threshold).sum())
    wrong = int(((matches.hits == 0) & (matches.scores >= threshold)).sum())
    return Calibration(
        threshold=threshold,
        weak_threshold=round(threshold * WEAK_SHARE, 3),
        wanted=recall,
        recall=reached / len(found_at),
        false_positives=wrong / max(pictures, 1),
        faces=len(found_at),
        pictures=pictures,
        interval=wilson(reached, len(found_at)),
    )


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % confidence interval of a proportion (Wilson 1927)."""
    z = 1.959964
    share, spread = hits / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / of + spread / (4 * of)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def preset_text(base: str, chosen: Calibration, *, detector: str, min_face_px: float) -> str:
    """A preset: the text of preset `base` with the chosen detection settings in its [detect] section."""
    told = (
        f"# detect: calibrated for a recall of {chosen.wanted:g}: {chosen.recall:.3f} reached "
        f"(95 % interval {chosen.interval[0]:.3f} to {chosen.interval[1]:.3f})\n"
        f"# on {chosen.faces} faces of {min_face_px:g} px or more in {chosen.pictures} pictures, "
        f"with {chosen.false_positives:.2f} false alarms a picture.\n"
    )
    values: dict[str, object] = {
        "detector": detector,
        "threshold": chosen.threshold,
        "weak_threshold": chosen.weak_threshold,
        "min_face_px": min_face_px,
    }
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in values.items()]
    out: list[str] = []
    inside = placed = False
    for line in base.splitlines(keepends=True):
        key = line.split("=")[0].strip()
        if line.startswith("["):
            inside = line.strip() == "[detect]"
            out.append(line)
            if inside:
                out += lines
                placed = True
        elif not (inside and key in values):
            out.append(line)
    if not placed:
        out += ["\n[detect]\n", *lines]
    return told + "".join(out)
