"""Sound, tags, subtitles and chapters on the whole way of a clip, from the settings to the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest
from clips import Tone, audio_packets, make_clip
from companions import complaints, heard, titled
from street import CardDetector, CardLandmarker

from vidanon.errors import OutputError
from vidanon.pipeline import run as run_stage
from vidanon.pipeline import scan as scan_stage
from vidanon.settings import OutputSettings, RenderSettings, RunSettings, Settings

SOLID = Settings(
    render=RenderSettings(method="solid"),
    output=OutputSettings(encoder_preset="ultrafast"),
    run=RunSettings(device="cpu", threads=1),
)


@pytest.fixture(autouse=True)
def cards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A detector that finds nothing in these clips, at once."""
    monkeypatch.setattr(scan_stage.FaceLandmarker, "shipped", lambda _: CardLandmarker())
    monkeypatch.setattr(scan_stage, "build_detector", lambda *_, **__: CardDetector())
    return iter(())


def anonymized(source: Path, target: Path, *, key: Path | None = None, **output: Any) -> Path:
    settings = msgspec.structs.replace(SOLID, output=msgspec.structs.replace(SOLID.output, **output))
    report = run_stage.anonymize([source], target, settings=settings, key_file=key)
    assert report.ok, report.failures
    assert not complaints(target)
    return target


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_language_and_timecode_pass_and_nothing_else_does(tmp_path: Path, suffix: str) -> None:
    """The broadcast preset's whitelist, in the file."""
    source = make_clip(
        tmp_path / f"a{suffix}",
        frames=12,
        tones=[Tone(language="deu")],
        metadata={"title": "Jane", "comment": "at home", "location": "+52.5163+013.3779/", "timecode": "10:11:12:05"},
    ).path
    out = anonymized(source, tmp_path / f"b{suffix}")
    with av.open(str(source)) as one, av.open(str(out)) as two:
        assert one.streams.video[0].metadata["timecode"] == "10:11:12:05"
        assert two.streams.video[0].metadata["timecode"] == "10:11:12:05"
        assert two.streams.audio[0].language == one.streams.audio[0].language
        assert not {"title", "comment", "location", "location-eng", "creation_time", "encoder"} & two.metadata.keys()
    assert not any(word in out.read_bytes() for word in (b"Jane", b"at home", b"+52.5163"))
    bare = anonymized(source, tmp_path / f"c{suffix}", keep_metadata="")
    with av.open(str(bare)) as three:
        assert "timecode" not in three.streams.video[0].metadata
        assert [stream.type for stream in three.streams] == ["video", "audio"]


def test_subtitles_and_chapters_pass_only_where_they_are_asked_for(tmp_path: Path) -> None:
    """With both asked for they are there, without not a word of them is."""
    source = titled(tmp_path / "a.mp4")
    both = anonymized(source, tmp_path / "b.mp4", subtitles="copy", chapters="copy")
    with av.open(str(both)) as container:
        assert len(container.streams.subtitles) == 1
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["Jane Roe", "Two"]
    none = anonymized(source, tmp_path / "c.mp4")
    assert b"Jane" not in none.read_bytes()


@pytest.mark.parametrize("voice", ["mute", "disguise"])
def test_a_changed_voice_begins_and_ends_with_the_original(tmp_path: Path, voice: str) -> None:
    """No packet of the original passes; start and length are its own."""
    source = make_clip(tmp_path / "a.mov", frames=20, tones=[Tone(180.0, codec="pcm_s16le")]).path
    out = anonymized(source, tmp_path / "b.mov", voice=voice)
    before, after = ({data for stream in audio_packets(path) for _, data in stream} for path in (source, out))
    assert not before & after
    assert heard(out)[0] == heard(source)[0]
    assert heard(out)[1].shape == heard(source)[1].shape
    assert bool(np.abs(heard(out)[1]).max() > 0.01) == (voice == "disguise")


def test_the_same_key_gives_the_same_voice_and_another_key_another(tmp_path: Path) -> None:
    """So a run that was stopped gives the sound of one that was not."""
    source = make_clip(tmp_path / "a.mov", frames=20, tones=[Tone(180.0, codec="pcm_s16le")]).path
    keys = [tmp_path / "one.key", tmp_path / "one.key", tmp_path / "two.key"]
    sounds = [
        heard(anonymized(source, tmp_path / f"{i}.mov", key=key, voice="disguise"))[1] for i, key in enumerate(keys)
    ]
    assert np.array_equal(sounds[0], sounds[1])
    assert not np.array_equal(sounds[0], sounds[2])


def test_what_the_container_cannot_hold_is_known_before_the_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is detected, and nothing is left behind."""
    source = titled(tmp_path / "a.mkv")
    monkeypatch.setattr(scan_stage, "build_detector", lambda *_, **__: pytest.fail("it was scanned"))
    settings = msgspec.structs.replace(SOLID, output=msgspec.structs.replace(SOLID.output, subtitles="copy"))
    report = run_stage.anonymize([source], tmp_path / "b.mp4", settings=settings)
    assert isinstance(report.failures[0][1], OutputError)
    assert "subtitle" in str(report.failures[0][1])
    assert not (tmp_path / "b.mp4").exists()
