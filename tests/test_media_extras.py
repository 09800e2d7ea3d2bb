"""Subtitles and chapters: only where asked for, as they were, and never a place."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import make_clip
from companions import FORMS, SUBTITLES, complaints, remux, titled

from vidanon.errors import OutputError
from vidanon.media.extras import ExtrasCopier
from vidanon.settings import OutputSettings

ALL = OutputSettings(subtitles="copy", chapters="copy")


def copied(source: Path, target: Path, settings: OutputSettings) -> Path:
    form = FORMS[target.suffix]
    remux(source, target, lambda out: ExtrasCopier(source, out, target=target, form=form, settings=settings))
    return target


def subtitle_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        if not container.streams.subtitles:
            return []
        packets = container.demux(container.streams.subtitles[0])
        return [(p.pts * p.time_base, bytes(p)) for p in packets if p.size and p.pts is not None]


def chapters(path: Path) -> list[tuple[Fraction, Fraction, dict[str, str]]]:
    with av.open(str(path)) as container:
        return [
            (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"])
            for c in container.chapters()
            if c["time_base"] is not None
        ]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_subtitles_and_chapters_pass_as_they_are_where_both_are_asked_for(tmp_path: Path, suffix: str) -> None:
    """The same packets at the same times, the language, the marks with their titles; no other tag of theirs."""
    source = titled(tmp_path / f"a{suffix}")
    out = copied(source, tmp_path / f"b{suffix}", ALL)
    assert len(subtitle_packets(source)) >= 2
    assert subtitle_packets(out) == subtitle_packets(source)
    assert [(a, b) for a, b, _ in chapters(out)] == [(0, Fraction(2, 5)), (Fraction(2, 5), 1)]
    assert [tags for _, _, tags in chapters(out)] == [{"title": "Jane Roe"}, {"title": "Two"}]
    with av.open(str(out)) as container:
        tags = container.streams.subtitles[0].metadata
        assert tags["language"] == "eng"
        assert "Jane" not in "".join(tags.values())
    assert not complaints(out)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_neither_passes_unless_it_is_asked_for(tmp_path: Path, suffix: str) -> None:
    """The default: not a word of them is in the file."""
    source = titled(tmp_path / f"a{suffix}")
    out = copied(source, tmp_path / f"b{suffix}", OutputSettings())
    with av.open(str(out)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert container.chapters() == []
    assert b"Jane" in source.read_bytes()
    assert b"Jane" not in out.read_bytes()


def test_each_can_be_asked_for_alone(tmp_path: Path) -> None:
    """Chapters without subtitles and subtitles without chapters."""
    source = titled(tmp_path / "a.mkv")
    marks = copied(source, tmp_path / "marks.mkv", OutputSettings(chapters="copy"))
    words = copied(source, tmp_path / "words.mkv", OutputSettings(subtitles="copy"))
    assert (len(chapters(marks)), subtitle_packets(marks)) == (2, [])
    assert (chapters(words), len(subtitle_packets(words))) == ([], 2)


@pytest.mark.parametrize(
    "line",
    [
        "[latitude: 52.516300] [longitude: 13.377900]",
        "F/2.8, GPS (13.3779, 52.5163, 19), D 3.10m",
        "N52.51630 E13.37790 12 km/h",
    ],
)
def test_a_drones_position_never_passes_as_a_subtitle(tmp_path: Path, line: str) -> None:
    """Telemetry stays telemetry, also where a camera writes it into a subtitle stream."""
    source = titled(tmp_path / "a.mkv", [line, SUBTITLES[1]])
    out = copied(source, tmp_path / "b.mkv", ALL)
    assert [text for _, text in subtitle_packets(out)] == [SUBTITLES[1].encode()]


def test_a_container_that_cannot_hold_them_refuses_with_a_way_out(tmp_path: Path) -> None:
    """Nothing that was asked for gets lost without a word."""
    source = titled(tmp_path / "a.mkv")
    with pytest.raises(OutputError, match=r"cannot hold the subtitle's codec.*subtitles to \"drop\""):
        copied(source, tmp_path / "b.mp4", OutputSettings(subtitles="copy"))
    with pytest.raises(OutputError, match=r"cannot hold chapters.*chapters to \"drop\""):
        copied(source, tmp_path / "b.ts", OutputSettings(chapters="copy"))


def test_asking_for_what_is_not_there_is_no_mistake(tmp_path: Path) -> None:
    """A preset that copies both does for clips that have neither, in any container."""
    clip = make_clip(tmp_path / "a.mp4", frames=3)
    out = copied(clip.path, tmp_path / "b.ts", ALL)
    with av.open(str(out)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
