"""Noise over one packet stops the reading in every format that can tell: no damaged or missing frame passes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from clips import Clip, make_corrupt
from matrix_clips import film

from vidanon.errors import InputError
from vidanon.media.reader import Reader


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "how"),
    [
        ("a.mxf", "mpeg2video", "yuv422p", {"qscale": 2}),
        ("a.mxf", "mpeg2video", "yuv422p", {"qscale": 2, "options": {"g": "1"}}),
        ("a.mxf", "libx264", "yuv422p10le", {"options": {"bf": "0"}}),
        ("a.mxf", "prores_ks", "yuv422p10le", {}),
        ("a.mov", "dnxhd", "yuv422p", {"size": (256, 144), "options": {"profile": "dnxhr_sq"}}),
        ("a.mkv", "libx265", "yuv420p10le", {"options": {"x265-params": "log-level=error"}}),
        ("a.mp4", "libsvtav1", "yuv420p", {"options": {"preset": "12"}}),
        ("a.avi", "mpeg4", "yuv420p", {"qscale": 2}),
        ("a.avi", "mjpeg", "yuvj422p", {"qscale": 2}),
        ("a.avi", "utvideo", "yuv420p", {}),
        ("a.avi", "ffv1", "yuv420p", {"options": {"level": "3", "slicecrc": "1"}}),
        ("a.flv", "flv", "yuv420p", {"qscale": 2}),
        ("a.ts", "mpeg2video", "yuv420p", {"qscale": 2}),
    ],
)
def test_a_damaged_packet_is_never_shown(
    tmp_path: Path, *, name: str, codec: str, pix_fmt: str, how: dict[str, Any]
) -> None:
    """What was read before the damage is whole; the error says where it is."""
    good = film(tmp_path / name, codec, pix_fmt, **how)
    bad = make_corrupt(tmp_path / f"bad_{name}", Clip(good, (), Fraction(1), 0, 0, 0), packet=4)
    with Reader(good) as reader:
        assert len(list(reader)) == 8
    seen = []
    with Reader(bad) as reader, pytest.raises(InputError, match=r"frame \d") as caught:
        seen.extend(frame.index for frame in reader)
    assert str(bad) in caught.value.message
    assert seen == list(range(len(seen)))
    assert len(seen) <= 5
