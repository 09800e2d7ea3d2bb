"""Numbered pictures go the whole way into a video, by their pattern or by their folder."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import matrix_facts
import msgspec
import pytest
from clips import frame_times
from matrix import SETTINGS, card_networks
from matrix_clips import numbered

from vidanon.errors import InputError, OutputError
from vidanon.pipeline.run import anonymize, jobs
from vidanon.settings import Settings


def at(**output: object) -> Settings:
    return msgspec.structs.replace(SETTINGS, output=msgspec.structs.replace(SETTINGS.output, **output))


def test_a_pattern_becomes_a_clip_at_the_asked_rate(tmp_path: Path) -> None:
    """24 pictures a second, each painted, none lost."""
    with card_networks():
        report = anonymize([numbered(tmp_path / "a.png")], tmp_path / "out.mov", settings=at(framerate=23.976))
    assert report.ok
    assert frame_times(tmp_path / "out.mov") == [Fraction(1001 * i, 24000) for i in range(10)]
    assert matrix_facts.naked_pixels(tmp_path / "out.mov") == 0


def test_a_folder_of_them_is_a_clip_only_if_a_video_is_asked_for(tmp_path: Path) -> None:
    """Into a folder they go as single pictures, for panoramas are numbered too."""
    takes, out = tmp_path / "takes", tmp_path / "out"
    takes.mkdir()
    pattern = numbered(takes / "a.png")
    (job,) = jobs([takes], tmp_path / "out.mp4")
    assert (job.source, job.target) == (pattern, tmp_path / "out.mp4")
    assert len(jobs([takes], out)) == 10
    (job,) = jobs([pattern], out)
    assert job.target == out / "take.mp4"
    (takes / "other.png").write_bytes(b"")
    assert len(jobs([takes], tmp_path / "out.mp4")) == 11


def test_a_sequence_with_a_hole_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """With the name of the picture that is missing."""
    pattern = numbered(tmp_path / "a.png")
    (tmp_path / "take_0009.png").unlink()
    with pytest.raises(InputError, match=r"take_0009\.png: is missing"):
        anonymize([pattern], tmp_path / "out" / "out.mp4", settings=SETTINGS)
    assert not (tmp_path / "out").exists()


def test_options_the_encoder_does_not_have_stop_the_run_before_the_scan(tmp_path: Path) -> None:
    """Neither a plan nor an output is left."""
    pattern = numbered(tmp_path / "a.png")
    with card_networks():
        report = anonymize([pattern], tmp_path / "out" / "a.mp4", settings=at(encoder_options="nonsense=1"))
    ((_, error),) = report.failures
    assert isinstance(error, OutputError)
    assert 'no option "nonsense"' in error.message
    assert list((tmp_path / "out").iterdir()) == []
