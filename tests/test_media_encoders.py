"""Which encoder, profile and options a clip gets: the source's as far as they can be had, the user's where asked."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import make_clip

from vidanon.errors import OutputError
from vidanon.media.codec_options import parse_options
from vidanon.media.encoders import EncoderChoice, choose_encoder
from vidanon.media.probe import probe
from vidanon.media.traits import DNXHD_MEGABITS
from vidanon.settings import OutputSettings
from vidanon.types import CodecTraits


def chosen(
    codec: str,
    pix_fmt: str,
    container: str,
    *,
    size: tuple[int, int] = (320, 240),
    reorder: bool = True,
    traits: CodecTraits | None = None,
    **output: Any,
) -> EncoderChoice:
    """The choice for a 25p clip of this kind."""
    return choose_encoder(
        codec=codec,
        picture=av.VideoFrame(*size, pix_fmt),
        pix_fmt=pix_fmt,
        rate=Fraction(25),
        container=container,
        reorder=reorder,
        settings=OutputSettings(**output),
        traits=traits,
    )


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "container", "encoder", "stored"),
    [
        ("h264", "yuv420p", "mp4", "libx264", "yuv420p"),
        ("h264", "yuv422p10le", "mxf", "libx264", "yuv422p10le"),
        ("hevc", "yuv444p12le", "matroska", "libx265", "yuv444p12le"),
        ("prores", "yuv422p10le", "mov", "prores_ks", "yuv422p10le"),
        ("prores", "yuva444p12le", "mov", "prores_ks", "yuva444p10le"),
        ("prores", "yuv422p10le", "mxf", "prores_ks", "yuv422p10le"),
        ("mpeg2video", "yuv422p", "mxf", "mpeg2video", "yuv422p"),
        ("mpeg4", "yuv420p", "avi", "mpeg4", "yuv420p"),
        ("ffv1", "yuv422p10le", "avi", "ffv1", "yuv422p10le"),
        ("vp9", "yuv420p", "webm", "libvpx-vp9", "yuv420p"),
        ("vp9", "yuv420p10le", "webm", "libsvtav1", "yuv420p10le"),
        ("av1", "yuv420p10le", "mp4", "libsvtav1", "yuv420p10le"),
        ("av1", "yuv444p", "mp4", "libx264", "yuv444p"),
        ("h264", "yuv420p", "webm", "libvpx-vp9", "yuv420p"),
        ("hevc", "yuv420p10le", "mxf", "libx264", "yuv420p10le"),
        ("hevc", "yuv422p12le", "avi", "ffv1", "yuv422p12le"),
        ("gif", "rgb24", "mp4", "libx264", "yuv420p"),
        ("wmv3", "yuv420p", "matroska", "libx264", "yuv420p"),
        ("huffyuv", "yuv422p", "avi", "huffyuv", "yuv422p"),
        ("dnxhd", "yuv422p12le", "mov", "libx265", "yuv422p12le"),
        ("h264", "yuv420p12le", "mp4", "libx265", "yuv420p12le"),
    ],
)
def test_the_sources_codec_is_used_unless_it_would_lose_something(
    codec: str, pix_fmt: str, container: str, encoder: str, stored: str
) -> None:
    """Codec, depth and subsampling stay; where no encoder has all three, the codec gives way."""
    choice = chosen(codec, pix_fmt, container)
    assert (choice.encoder, choice.pix_fmt) == (encoder, stored)


@pytest.mark.parametrize("size", [(720, 576), (720, 480), (640, 480)])
def test_dv_is_written_in_its_own_sizes_only(size: tuple[int, int]) -> None:
    """A DV picture stays DV, anything else cannot be."""
    pix_fmt = "yuv411p" if size[1] == 480 else "yuv420p"
    choice = chosen("dvvideo", pix_fmt, "avi", size=size)
    assert choice.encoder == ("dvvideo" if size[0] == 720 else "mpeg4")


@pytest.mark.parametrize(
    ("encoder", "pix_fmt", "size", "options", "profile"),
    [
        ("prores_ks", "yuv422p10le", (160, 120), {"profile": "proxy"}, "Proxy"),
        ("prores_ks", "yuv422p10le", (160, 120), {"profile": "standard"}, "Standard"),
        ("prores_ks", "yuv444p10le", (160, 120), {"profile": "4444"}, "4444"),
        ("prores_ks", "yuv444p10le", (160, 120), {"profile": "4444xq"}, "XQ"),
        ("dnxhd", "yuv422p", (256, 120), {"profile": "dnxhr_lb"}, "DNXHR LB"),
        ("dnxhd", "yuv422p10le", (256, 120), {"profile": "dnxhr_hqx"}, "DNXHR HQX"),
        ("dnxhd", "yuv444p10le", (256, 120), {"profile": "dnxhr_444"}, "DNXHR 444"),
        ("dnxhd", "yuv422p", (1280, 720), {"b": "90M"}, "DNXHD"),
    ],
)
def test_an_editors_profile_is_followed(
    tmp_path: Path, *, encoder: str, pix_fmt: str, size: tuple[int, int], options: dict[str, str], profile: str
) -> None:
    """What was LT comes out as LT, and DNxHD at its rate."""
    clip = make_clip(tmp_path / "a.mov", codec=encoder, pix_fmt=pix_fmt, size=size, frames=4, options=options)
    info = probe(clip.path)
    assert (info.traits.profile, info.traits.intra) == (profile, True)
    choice = chosen(info.codec, info.pix_fmt, "mov", size=size, traits=info.traits)
    assert {name: choice.options.get(name) for name in options} == options
    with av.open(str(tmp_path / "b.mov"), "w") as out:
        stream = out.add_stream(choice.encoder, rate=30, options=choice.options)
        stream.width, stream.height, stream.pix_fmt = *size, choice.pix_fmt
        grey = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 99, np.uint8), format="rgb24")
        out.mux(stream.encode(grey.reformat(format=choice.pix_fmt)))
        out.mux(stream.encode(None))
    with av.open(str(tmp_path / "b.mov")) as container:
        assert container.streams.video[0].codec_context.profile == profile


@pytest.mark.parametrize("number", DNXHD_MEGABITS)
def test_every_dnxhd_compression_id_is_the_encoders(number: int) -> None:
    """The rate in the table makes the encoder write this very id."""
    wide, low = {1244, 1259}, {1250, 1251, 1252}
    width, height = (1440, 1080) if number in wide else (1280, 720) if number in low else (1920, 1080)
    width, height = (960, 720) if number == 1258 else (width, height)
    context: Any = av.CodecContext.create("dnxhd", "w")
    context.width, context.height, context.time_base = width, height, Fraction(1, 25)
    context.pix_fmt = "yuv422p10le" if number in (1235, 1241, 1250) else "yuv422p"
    if number in (1241, 1242, 1243, 1244):
        context.flags |= av.codec.context.Flags.interlaced_dct
    context.options = {"profile": "dnxhd", "b": f"{DNXHD_MEGABITS[number]}M"}
    grey = av.VideoFrame.from_ndarray(np.full((height, width, 3), 99, np.uint8), format="rgb24")
    packets = [*context.encode(grey.reformat(format=context.pix_fmt)), *context.encode(None)]
    assert int.from_bytes(bytes(packets[0])[40:44], "big") == number


def test_all_key_frames_stay_all_key_frames() -> None:
    """A clip made for editing is made for editing again."""
    assert chosen("h264", "yuv422p10le", "mov", traits=CodecTraits(intra=True)).options["g"] == "1"
    assert "g" not in chosen("h264", "yuv422p10le", "mov", traits=CodecTraits()).options


def test_h264_is_held_to_a_simpler_profile() -> None:
    """What an old box could play it can play again; lossless coding needs the highest one."""
    main = CodecTraits(profile="Main")
    assert chosen("h264", "yuv420p", "mp4", traits=main).options["profile"] == "main"
    assert "profile" not in chosen("h264", "yuv420p", "mp4", traits=main, crf=0.0).options
    assert "profile" not in chosen("h264", "yuv420p", "mp4", traits=CodecTraits(profile="High")).options


def test_pictures_of_a_sequence_do_not_choose_the_codec() -> None:
    """A clip of JPEGs is no Motion JPEG."""
    assert chosen("mjpeg", "yuvj420p", "mov", traits=CodecTraits(loose=True)).encoder == "libx264"


def test_options_are_read_as_ffmpeg_writes_them() -> None:
    """Colons part them unless a backslash stands before."""
    assert parse_options("") == {}
    assert parse_options("tune=film:g=12") == {"tune": "film", "g": "12"}
    assert parse_options(r"x264-params=a=1\:b=2:path=c\\d") == {"x264-params": "a=1:b=2", "path": r"c\d"}
    with pytest.raises(OutputError, match='"film" is not an option'):
        parse_options("tune=x:film")


def test_the_users_options_stand_over_ours() -> None:
    """A rate replaces the rate factor; lists of x264's and x265's own are added to ours."""
    assert chosen("h264", "yuv420p", "mp4", encoder_options="tune=film").options["tune"] == "film"
    assert chosen("h264", "yuv420p", "mp4", encoder_options="crf=3").options["crf"] == "3"
    rated = chosen("h264", "yuv420p", "mp4", encoder_options="b=5M")
    assert rated.options["b"] == "5M"
    assert "crf" not in rated.options
    assert chosen("mpeg2video", "yuv420p", "mpegts", encoder_options="b=5M").qscale is None
    joined = chosen("hevc", "yuv420p", "mp4", encoder_options=r"x265-params=aq-mode=2").options["x265-params"]
    assert joined == "log-level=error:aq-mode=2"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("nonsense=1", 'no option "nonsense"'),
        ("preset=wat", "refuses its options: .*preset=wat"),
        ("crf=many", "refuses its options"),
        (r"x264-params=foo=3", "foo"),
        ("color_trc=bt709", "colour must stay"),
        ("time_base=1/50", "time must stay"),
        ("a53cc=1", "captions must stay"),
        ("stats=/tmp/x", "passes must stay"),
        ("ac=2", 'no option "ac"'),
        ("bf=2", "cannot hold B frames"),
        (r"x264-params=bframes=2", "cannot hold B frames"),
    ],
)
def test_options_that_are_not_the_encoders_or_break_a_promise_are_refused(options: str, words: str) -> None:
    """With the option's name, before anything is written."""
    with pytest.raises(OutputError, match=words):
        chosen("h264", "yuv420p", "mpegts", reorder=False, encoder_options=options)


def test_an_encoder_that_cannot_hold_the_picture_is_refused() -> None:
    """No row is added to make it fit."""
    with pytest.raises(OutputError, match="321 x 241 px"):
        choose_encoder(
            codec="h264",
            picture=av.VideoFrame(321, 241, "yuv420p"),
            pix_fmt="yuv420p",
            rate=None,
            container="mov",
            reorder=True,
            settings=OutputSettings(codec="libsvtav1"),
        )
