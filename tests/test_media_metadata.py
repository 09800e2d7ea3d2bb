"""Tags: nothing passes that was not asked for by name."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import Tone, make_clip
from companions import complaints, remux
from hypothesis import given
from hypothesis import strategies as st

from vidanon.media.metadata import container_tags, muxer_options, names_of, stream_tags, timecode
from vidanon.media.sound import SoundCopier
from vidanon.settings import OutputSettings

DEFAULT = OutputSettings().keep_metadata
PHONE = {
    "major_brand": "qt  ",
    "minor_version": "0",
    "compatible_brands": "qt  ",
    "creation_time": "2024-05-05T10:00:00.000000Z",
    "com.apple.quicktime.location.ISO6709": "+52.5163+013.3779+034.000/",
    "com.apple.quicktime.location.accuracy.horizontal": "4.7",
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "iPhone",
    "com.apple.quicktime.creationdate": "2024-05-05T12:00:00+0200",
    "location": "+52.5163+013.3779/",
    "location-eng": "+52.5163+013.3779/",
    "xmp": "<x:xmpmeta/>",
    "title": "Visit to Jane",
    "title-deu": "Besuch bei Jane",
    "comment": "with Jane",
    "encoder": "Lavf",
    "timecode": "10:11:12:05",
}


def test_of_a_phones_tags_none_passes_unless_it_is_named() -> None:
    """Place, device, date, comment, title: the default keeps none of them."""
    assert container_tags(PHONE, DEFAULT) == {}


def test_a_language_passes_by_default_and_nothing_else_of_a_stream() -> None:
    """An editing desk needs to know which track is which."""
    tags = {"language": "deu", "title": "Jane", "handler_name": "Core Media Audio", "creation_time": "2024-05-05"}
    assert stream_tags(tags, DEFAULT) == {"language": "deu"}
    assert stream_tags(tags, "") == {}


def test_all_means_everything_but_places_and_what_is_only_true_of_the_old_file() -> None:
    """Tags of place have to be named, whoever says "all"."""
    kept = container_tags(PHONE, "all")
    assert sorted(kept) == [
        "com.apple.quicktime.creationdate",
        "com.apple.quicktime.make",
        "com.apple.quicktime.model",
        "comment",
        "creation_time",
        "title",
        "title-deu",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("comment", "+52.5163+013.3779/"),
        ("description", "shot at +52.51+013.37+034.000/ today"),
        ("note", "-3351+15112/"),
        ("GPSCoordinates", "52 N"),
        ("LOCATION", "Berlin"),
        ("city", "Berlin"),
        ("\u00a9xyz", "+52+013/"),
        ("anything", '<x:xmpmeta xmlns:x="adobe:ns:meta/">'),
        ("anything", "<?xpacket begin=''?>"),
    ],
)
def test_a_place_does_not_pass_with_all_whatever_its_tag_is_called(name: str, value: str) -> None:
    """Neither by its name nor by what stands in it."""
    assert container_tags({name: value}, "all") == {}
    assert container_tags({name: value}, name) == {name: value}


@pytest.mark.parametrize("value", ["2024-05-05T10:00:00+02:00", "take -1-2", "1+1", "10:11:12:05"])
def test_a_date_or_a_sum_is_not_taken_for_a_place(value: str) -> None:
    """Or "all" would lose what it promises."""
    assert container_tags({"comment": value}, "all") == {"comment": value}


def test_a_name_means_its_family() -> None:
    """Languages and makers' prefixes included, other tags not."""
    assert sorted(container_tags(PHONE, " Location ,title")) == [
        "com.apple.quicktime.location.ISO6709",
        "com.apple.quicktime.location.accuracy.horizontal",
        "location",
        "location-eng",
        "title",
        "title-deu",
    ]
    assert container_tags({"locations": "x", "subtitle": "y"}, "location,title") == {}


@given(
    st.dictionaries(st.text(max_size=12), st.text(max_size=12)),
    st.lists(st.sampled_from(["language", "title", "timecode"])),
)
def test_whatever_the_tags_only_the_named_families_pass(tags: dict[str, str], names: list[str]) -> None:
    """What nobody has heard of is not kept."""
    for kept in container_tags(tags, ",".join(names)):
        assert any(name in kept.lower() for name in names)
        assert kept.lower() != "timecode"


def test_names_are_read_without_regard_to_case_and_space() -> None:
    """Empty parts are none."""
    assert names_of(" Language, ,TIMECODE,") == {"language", "timecode"}
    assert names_of("") == frozenset()


def coded(path: Path, code: str, *, rate: int = 25) -> Path:
    """A clip at `rate` with a timecode, as the container writes it by itself."""
    base = Fraction(1, 1000) if path.suffix == ".mkv" else Fraction(1, rate * 512)
    pts = [round(Fraction(i, rate) / base) for i in range(6)]
    plain = make_clip(
        path.with_stem("plain"), pts=pts, time_base=base, tones=[Tone(language="deu")], options={"bf": "0"}
    )

    def tags(_: object, out: av.container.OutputContainer) -> dict[str, str]:
        out.streams.video[0].metadata["timecode"] = code
        return {}

    remux(plain.path, path, lambda out: SoundCopier(plain.path, out, target=path), tags=tags, rate=Fraction(rate))
    return path


@pytest.mark.parametrize(("first", "second"), [(".mov", ".mov"), (".mp4", ".mp4"), (".mkv", ".mkv"), (".mov", ".mkv")])
def test_a_timecode_goes_from_container_to_container(tmp_path: Path, first: str, second: str) -> None:
    """As a track of its own in QuickTime, as a tag in Matroska."""
    source, target = coded(tmp_path / f"a{first}", "10:11:12:05"), tmp_path / f"b{second}"

    def tags(container: av.container.InputContainer, out: av.container.OutputContainer) -> dict[str, str]:
        stream = container.streams.video[0]
        code = timecode(container, stream, DEFAULT, form=out.format.name, rate=Fraction(25))
        assert code is not None
        out.streams.video[0].metadata["timecode"] = code
        return {}

    remux(source, target, lambda out: SoundCopier(source, out, target=target), tags=tags, rate=Fraction(25))
    with av.open(str(target)) as container:
        code = timecode(container, container.streams.video[0], "timecode", form="mov", rate=Fraction(25))
        assert code == "10:11:12:05"
        kinds = [stream.type for stream in container.streams]
    assert kinds == (["video", "audio"] if second == ".mkv" else ["video", "audio", "data"])
    assert not complaints(target)


@pytest.mark.parametrize(
    ("code", "rate", "passes"),
    [
        ("23:59:59:24", Fraction(25), True),
        ("10:11:12;05", Fraction(30000, 1001), True),
        ("10:11:12;05", Fraction(25), False),
        ("10:11:12:25", Fraction(25), False),
        ("24:00:00:00", Fraction(25), False),
        ("ten o'clock", Fraction(25), False),
        ("10:11:12:05", Fraction(17), False),
        ("10:11:12:05", None, False),
    ],
)
def test_a_timecode_that_would_stop_the_muxer_is_left_out(
    tmp_path: Path, code: str, rate: Fraction | None, *, passes: bool
) -> None:
    """Drop frame is for NTSC rates, and a second has only so many frames."""
    clip = make_clip(
        tmp_path / "a.mkv", frames=2, time_base=Fraction(1, 1000), pts=[0, 40], metadata={"timecode": code}
    )
    with av.open(str(clip.path)) as container:
        video = container.streams.video[0]
        assert timecode(container, video, "timecode", form="mov", rate=rate) == (code if passes else None)
        assert timecode(container, video, "language", form="mov", rate=rate) is None
        assert timecode(container, video, "timecode", form="webm", rate=rate) is None


def test_quicktime_is_asked_for_foreign_tags_only_where_there_are_any(tmp_path: Path) -> None:
    """A title has a place of its own; a maker's tag needs the muxer's consent, and then comes out again."""
    assert muxer_options("mov", {"title": "x", "comment": "y"}) == {}
    assert muxer_options("matroska", {"com.apple.quicktime.make": "Apple"}) == {}
    clip = make_clip(tmp_path / "a.mov", frames=3, metadata={"make": "Apple", "title": "x", "comment": "y"})
    out = tmp_path / "b.mov"

    def tags(_: object, output: av.container.OutputContainer) -> dict[str, str]:
        kept = {"com.apple.quicktime.make": "Apple", "title": "x"}
        output.metadata.update(kept)
        return muxer_options("mov", kept)

    remux(clip.path, out, lambda output: SoundCopier(clip.path, output, target=out), tags=tags)
    with av.open(str(out)) as container:
        said = {k: v for k, v in container.metadata.items() if "brand" not in k and k != "minor_version"}
    assert said == {"com.apple.quicktime.make": "Apple", "title": "x"}
