"""The cases of the fixture matrix: which defect, and what has to come of it where not everything stays equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matrix_clips as c
from clips import Tone

AAC, PCM = Tone(), Tone(codec="pcm_s16le")


@dataclass(frozen=True)
class Case:
    """One clip, and what has to come of it."""

    defect: str
    """in the table's words"""
    source: str
    """file name"""
    make: Callable[[Path], Path]
    """draws it"""
    target: str = ""
    """file name of the output; none: mirrored into a folder"""
    output: Mapping[str, Any] = field(default_factory=dict)
    """settings of [output]"""
    becomes: Mapping[str, object] = field(default_factory=dict)
    """facts that do not stay equal, with what they are in the output"""
    gone: tuple[bytes, ...] = ()
    """what the source has in it and the output must not"""
    exit_code: int = 0
    says: str = ""
    """a part of the message, where there is one"""
    psnr: float = 38.0
    """dB that what is not painted must reach"""
    cameras: int = 1
    """of the output"""


def _clip(**how: Any) -> Callable[[Path], Path]:
    return partial(c.clip, **how)


def _film(codec: str, pix_fmt: str, **how: Any) -> Callable[[Path], Path]:
    return partial(c.film, codec=codec, pix_fmt=pix_fmt, **how)


_FAST = {"preset": "ultrafast"}
_INTRA = {"g": "1", "crf": "8", "preset": "veryfast"}
_RUSHED = {"deadline": "realtime", "cpu-used": "8"}
_HDR10 = {"x265-params": f"log-level=error:pools=1:bframes=0:{c.HDR10}"}
_HDR10_AV1 = {"preset": "12", "crf": "12", "svtav1-params": c.HDR10_AV1}
_NAMES = (c.INFORMANT, b"52.52")
_HD, _UHD, _ODD = (1920, 1080), (3840, 2160), (161, 121)
_BT709, _HLG, _PQ = (1, 1, 1, 1), (9, 18, 9, 1), (9, 16, 9, 1)
_DEU, _FRA = Tone(language="deu"), Tone(880.0, language="fra")
_TS = {"time_base": Fraction(1, 90000), "pts": [180000 + 3000 * i for i in range(9)]}
_RGB = {"codec": "h264", "colour tags": (1, 13, 1, 1)}
_MPEG2 = {"codec": "mpeg2video", "pix_fmt": "yuv422p", "qscale": 2}

_two_cameras = _clip(frames=6, second_camera=True, tones=[AAC])
_uneven = [0, 512, 700, 2000, 2100, 5000, 5100, 7000]

CASES: Mapping[str, Case] = MappingProxyType(
    {
        "vfr": Case("variable frame rate", "a.mp4", _clip(pts=_uneven, tones=[AAC])),
        "vfr_mkv": Case("variable frame rate, Matroska", "a.mkv", _clip(pts=[0, 33, 50, 400, 433, 1200], tones=[AAC])),
        "ntsc": Case(
            "29.97 frames a second", "a.mp4", _clip(pts=[1001 * i for i in range(9)], time_base=Fraction(1, 30000))
        ),
        "hundred_fps": Case(
            "100 frames a second", "a.mp4", _film("libx264", "yuv420p", rate=Fraction(100), frames=20, options=_FAST)
        ),
        "turned_90": Case(
            "rotated 90, begins late", "a.mp4", _clip(rotation=90, tones=[AAC], pts=[507 + 512 * i for i in range(8)])
        ),
        "turned_180": Case("rotated 180", "a.mov", _clip(rotation=180, frames=6)),
        "turned_270": Case("rotated 270", "a.mp4", _clip(rotation=270, frames=6)),
        "hdr10": Case(
            "10-bit BT.2020 PQ with HDR10 metadata",
            "a.mp4",
            _clip(codec="libx265", pix_fmt="yuv420p10le", tags=_PQ, frames=6, options=_HDR10),
        ),
        "hlg_mkv": Case(
            "10-bit 4:2:2 BT.2020 HLG", "a.mkv", _clip(codec="libx265", pix_fmt="yuv422p10le", tags=_HLG, frames=6)
        ),
        "twelve_bit": Case(
            "12-bit 4:4:4 H.265", "a.mkv", _clip(codec="libx265", pix_fmt="yuv444p12le", tags=_PQ, frames=4)
        ),
        "full_range": Case("full range", "a.mp4", _clip(pix_fmt="yuvj420p", tags=(1, 1, 1, 2), frames=6)),
        "anamorphic": Case("pixels that are not square", "a.mp4", _clip(aspect=Fraction(16, 11), frames=6)),
        "prores_lt": Case(
            "4:2:2 ProRes LT",
            "a.mov",
            _film("prores_ks", "yuv422p10le", options={"profile": "lt"}, tones=[PCM], tags=_BT709),
        ),
        "prores_xq": Case(
            "4:4:4 ProRes XQ with alpha",
            "a.mov",
            _film("prores_ks", "yuva444p10le", options={"profile": "4444xq"}, tags=_BT709),
        ),
        "timecode": Case(
            "timecode track",
            "a.mov",
            _film("prores_ks", "yuv422p10le", options={"profile": "standard"}, timecode="10:11:12:13"),
        ),
        "dnxhr_sq": Case(
            "DNxHR SQ in MXF",
            "a.mxf",
            _film("dnxhd", "yuv422p", size=(256, 144), options={"profile": "dnxhr_sq"}, tones=[PCM]),
        ),
        "dnxhd_36": Case("DNxHD 36", "a.mov", _film("dnxhd", "yuv422p", size=_HD, frames=2, options={"b": "36M"})),
        "dnxhd_1080i": Case(
            "DNxHD 185x, 10 bit, interlaced, MXF",
            "a.mxf",
            _film("dnxhd", "yuv422p10le", size=_HD, frames=2, options={"b": "185M"}, fields="tff", tones=[PCM]),
        ),
        "interlaced_mxf": Case(
            "interlaced 4:2:2 MPEG-2 MXF",
            "a.mxf",
            _film(**_MPEG2, fields="tff", tones=[PCM], tags=_BT709, timecode="10:11:12:13"),
        ),
        "bottom_field_first": Case(
            "interlaced, bottom field first",
            "a.mov",
            _film("prores_ks", "yuv422p10le", options={"profile": "hq"}, fields="bff"),
        ),
        "mpeg2_intra_mxf": Case(
            "4:2:2 intra MPEG-2 MXF", "a.mxf", _film(**_MPEG2, options={"g": "1"}, tones=[PCM, PCM])
        ),
        "avc_intra_mxf": Case(
            "10-bit 4:2:2 intra H.264 MXF", "a.mxf", _film("libx264", "yuv422p10le", options=_INTRA, tones=[PCM])
        ),
        "avi_mjpeg": Case("AVI, Motion JPEG", "a.avi", _film("mjpeg", "yuvj422p", qscale=2, tones=[PCM])),
        "avi_mpeg4": Case(
            "AVI, MPEG-4 and MP3", "a.avi", _film("mpeg4", "yuv420p", qscale=2, tones=[Tone(codec="libmp3lame")])
        ),
        "avi_h264": Case("AVI, H.264", "a.avi", _film("libx264", "yuv420p", options={"bf": "0", "preset": "veryfast"})),
        "transport_stream": Case("MPEG-TS that begins at 2 s", "a.ts", _clip(**_TS, tones=[Tone(codec="ac3")])),
        "av1": Case("AV1", "a.mp4", _film("libsvtav1", "yuv420p10le", frames=5, options={"preset": "12", "crf": "12"})),
        "hdr10_av1": Case(
            "AV1 with HDR10 metadata",
            "a.mp4",
            _film("libsvtav1", "yuv420p10le", frames=5, options=_HDR10_AV1, tags=_PQ),
        ),
        "odd_size": Case("odd size, 4:2:0", "a.webm", _clip(size=_ODD, codec="libvpx-vp9", frames=4, options=_RUSHED)),
        "odd_size_h264": Case("odd size, 4:4:4", "a.mp4", _clip(size=_ODD, pix_fmt="yuv444p", frames=6)),
        "rows_1088": Case(
            "1080 rows coded as 1088", "a.mp4", _film("libx264", "yuv420p", size=_HD, frames=2, options=_FAST)
        ),
        "uhd": Case("4K", "a.mp4", _film("libx264", "yuv420p", size=_UHD, frames=2, options=_FAST)),
        "no_audio": Case("no audio", "a.mp4", _clip(frames=8)),
        "audio_first": Case("audio first", "a.mp4", _clip(frames=8, tones=[AAC], tones_first=True)),
        "two_audio": Case("two audio tracks", "a.mp4", _clip(frames=8, tones=[_DEU, _FRA])),
        "late_audio": Case("audio that begins late", "a.mp4", _clip(frames=12, tones=[Tone(delay_seconds=0.31)])),
        "edit_list": Case(
            "B frames with an edit list",
            "a.mp4",
            _clip(frames=12, options={"bf": "3", "preset": "veryfast"}, tones=[AAC]),
        ),
        "two_cameras": Case("two video streams", "a.mp4", _two_cameras, exit_code=3, says="2 cameras"),
        "two_cameras_main": Case(
            "two video streams, the main one", "a.mp4", _two_cameras, output={"video_streams": "main"}
        ),
        "two_cameras_all": Case(
            "two video streams, all", "a.mp4", _two_cameras, output={"video_streams": "all"}, cameras=2
        ),
        "cover_art": Case("cover art", "a.mp4", _clip(frames=6, cover=True)),
        "telemetry": Case(
            "GPS and comment metadata, GPMF data track", "a.mp4", c.with_telemetry, gone=(*_NAMES, b"GPS5")
        ),
        "names": Case("subtitles, chapters, attachment, titles", "a.mkv", c.with_names, gone=_NAMES),
        "one_frame": Case("one frame", "a.mp4", _clip(frames=1)),
        "gif": Case("GIF", "a.gif", c.gif, becomes={**_RGB, "profile": "High", "pixel format": "yuv420p"}, psnr=30),
        "numbered": Case(
            "numbered pictures",
            "take.png",
            c.numbered,
            becomes={
                **_RGB,
                "profile": "High 4:4:4 Predictive",
                "pixel format": "yuv444p",
                "only key frames": False,
            },
        ),
        "vfr_to_avi": Case(
            "variable frame rate, AVI asked for",
            "a.mp4",
            _clip(pts=_uneven),
            target="out.avi",
            exit_code=4,
            says="pictures a second",
        ),
        "truncated": Case("truncated", "a.mp4", c.truncated, exit_code=3, says="cut off"),
        "corrupt": Case("corrupt packet in the middle", "a.mp4", c.corrupt, exit_code=3, says="frame "),
        "zero_length": Case("zero-length", "a.mp4", c.empty, exit_code=3, says="zero bytes"),
    }
)
