"""Clips that many tests read and none changes, drawn once a session."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import Clip, Tone, make_clip


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for clips that live as long as the session."""
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def vfr_clip(clip_folder: Path) -> Clip:
    """Ten frames at uneven times, with B frames and two audio tracks."""
    pts = [0, 512, 700, 2000, 2100, 5000, 5100, 5200, 5300, 7000]
    return make_clip(clip_folder / "vfr.mp4", pts=pts, tones=[Tone(), Tone(880.0, language="deu")])


@pytest.fixture(scope="session")
def phone_clip(clip_folder: Path) -> Clip:
    """Twelve frames stored lying down and shown upright, with sound, beginning 33 ms late."""
    pts = [507 + 512 * i for i in range(12)]
    return make_clip(
        clip_folder / "phone.mp4", pts=pts, rotation=90, tones=[Tone()], metadata={"title": "secret place"}
    )
