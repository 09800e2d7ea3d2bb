"""The bench verb: one process a clip, one row a clip, and an exit code that tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clips import Tone, make_clip, make_text

from vidanon.cli import main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return int(left.value.code or 0)


def test_bench_tells_what_came_out_of_each_clip_and_what_failed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A good clip is measured and equal, a bad one has its exit code in the table, and the whole exits 1."""
    folder = tmp_path / "in"
    folder.mkdir()
    make_clip(folder / "good.mp4", frames=5, tones=[Tone()])
    make_text(folder / "text.mp4")
    assert run("bench", str(folder), "-o", str(tmp_path / "out"), "--method", "solid", "--json") == 1
    captured = capfd.readouterr()
    good, bad = json.loads(captured.out)
    assert (good["clip"], good["exit"], good["frames_in"], good["frames_out"]) == ("good.mp4", 0, 5, 5)
    assert good["pts_equal"]
    assert good["audio_equal"]
    assert good["fallbacks"] == 0
    assert (bad["clip"], bad["exit"]) == ("text.mp4", 3)
    assert "1 of 2 failed or differ: text.mp4" in captured.err
