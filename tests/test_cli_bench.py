"""The bench verb: one process a clip, one row a clip, and an exit code that tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clips import Tone, make_clip, make_text

from vidanon.cli import main
from vidanon.media import cost
from vidanon.settings import OutputSettings


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
    assert 30 < good["psnr_db"] < 100
    assert (bad["clip"], bad["exit"]) == ("text.mp4", 3)
    assert "1 of 2 failed or differ: text.mp4" in captured.err


def test_bench_times_decoding_and_encoding_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With --io a row has four cells more; nothing else is written than a run writes."""
    clip = make_clip(tmp_path / "in.mp4", frames=5).path
    out = tmp_path / "out"
    assert run("bench", str(clip), "-o", str(out), "--method", "solid", "--io") == 0
    head, _, row = (line.strip("| ").split(" | ") for line in capfd.readouterr().out.splitlines())
    assert head[-5:] == ["PSNR dB", "whole s", "decode s", "encode s", "share"]
    cells = dict(zip(head, row, strict=True))
    whole, decode, encode = (float(cells[name]) for name in ("whole s", "decode s", "encode s"))
    assert whole > 0
    assert int(cells["share"].rstrip("%")) == pytest.approx(100 * (decode + encode) / whole, abs=0.6 + 1 / whole)
    assert sorted(path.name for path in out.iterdir()) == ["in.mp4", "in.mp4.vidanon", "in.mp4.vidanon.key"]


def test_bench_measures_how_still_faces_hold(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With --temporal a row has the figures of `evaluate temporal`, blank where no face is."""
    pytest.importorskip("dlib")
    clip = make_clip(tmp_path / "in.mp4", frames=5).path
    assert run("bench", str(clip), "-o", str(tmp_path / "out"), "--method", "solid", "--temporal") == 0
    head, _, row = ([cell.strip() for cell in line.split("|")][1:-1] for line in capfd.readouterr().out.splitlines())
    assert head[-6:] == ["naked", "coverage", "E_warp x", "dlib p95", "jitter px", "mouth"]
    assert row[-6:] == ["0", "", "", "", "", ""]


def test_the_cost_of_both_ends_counts_every_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the border of segments, and for a clip that ends with one."""
    monkeypatch.setattr(cost, "SEGMENT_FRAMES", 4)
    for frames in (4, 6):
        clip = make_clip(tmp_path / f"{frames}.mp4", frames=frames).path
        found = cost.transcode_cost(clip, tmp_path / "out.mp4", settings=OutputSettings())
        assert found.frames == frames
        assert found.decode_seconds > 0
        assert found.encode_seconds > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["4.mp4", "6.mp4"]
