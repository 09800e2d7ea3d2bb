"""The fixture matrix: one clip per defect goes the whole way, and everything that must stay or go is looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from matrix import run_case
from matrix_cases import CASES


@pytest.mark.parametrize("name", CASES)
def test_of_every_defect_what_must_stay_stays_and_what_must_go_is_gone(tmp_path: Path, name: str) -> None:
    """Times, size, turn, format, colour, sound; faces, packets, places and names; the exit code; ffmpeg's silence."""
    assert run_case(CASES[name], tmp_path).problems == []


def test_the_matrix_sees_what_it_is_there_to_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A face that is not painted, another codec, lost sound, a leaked place and a leaked name are each told."""
    for name in ("naked", "told"):
        (tmp_path / name).mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("vidanon.pipeline.render.paste", lambda frame, _: frame)
        assert any("card show" in problem for problem in run_case(CASES["no_audio"], tmp_path / "naked").problems)
    told = replace(
        CASES["telemetry"],
        target="out.mkv",
        output={"codec": "ffv1", "audio": "drop", "keep_metadata": "all,location,comment"},
    )
    problems = "\n".join(run_case(told, tmp_path / "told").problems)
    for word in ("codec: h264 became ffv1", "profile", "sound", "b'52.52'", "Informant"):
        assert word in problems
