"""What the tests of sound, subtitles and tags share: a remuxer, a decoder and an independent reader.

The remuxer copies the pictures as they are and lets a companion of the muxer (a copier, a voice changer) do its work
beside them, as the muxer does.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
from clips import Tone, make_clip
from numpy.typing import NDArray

from vidanon.media.encoders import CONTAINERS

Sound = NDArray[np.float32]

SUBTITLES = ("Jane Roe speaks", "of Springfield")

FORMS = {**CONTAINERS, ".avi": "avi", ".mxf": "mxf", ".mpg": "vob"}


def remux(
    source: Path,
    target: Path,
    companion: Callable[[Any], Any],
    *,
    tags: Callable[[Any, Any], Mapping[str, str]] | None = None,
    rate: Fraction | None = None,
) -> None:
    """The pictures of `source` into `target`, with what `companion(output)` adds to them.

    `tags(input, output)` may set tags and gives more options for the muxer; `rate` is what a timecode counts by.
    """
    form = FORMS[target.suffix]
    with av.open(str(source)) as container, av.open(str(target), "w", format=form) as out:
        video = container.streams.video[0]
        copy = out.add_stream_from_template(video)
        if rate is not None:
            copy.codec_context.framerate = rate
        options = {"fflags": "+bitexact"} | dict(tags(container, out) if tags is not None else {})
        beside = companion(out)
        if form in ("mp4", "mov"):
            scale = math.lcm(1000, *(start.denominator for start in beside.starts if start > 0))
            options["movie_timescale"] = str(scale)
        elif form == "mpegts":
            options["mpegts_copyts"] = "1"
        else:
            options["avoid_negative_ts"] = "disabled"
        out.container_options.update(options)
        out.start_encoding()
        for packet in container.demux(video):
            if packet.size:
                beside.advance((packet.pts if packet.dts is None else packet.dts) * packet.time_base)
                packet.stream = copy
                out.mux(packet)
        beside.advance(None)
        beside.close()


def complaints(path: Path) -> str:
    """What the ffmpeg binary has to say about a file when it reads all of it."""
    streams = ["-map", "0:v", "-map", "0:a?", "-map", "0:s?", "-map", "0:d?", "-c:s", "copy", "-c:d", "copy"]
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "warning",
        "-xerror",
        "-i",
        str(path),
        *streams,
        "-f",
        "null",
        "-",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr if done.stderr or not done.returncode else f"exit code {done.returncode}"


def heard(path: Path, track: int = 0) -> tuple[Fraction, Sound]:
    """When an audio stream's first sample is heard, seconds, and all its samples [channels, n]."""
    pieces: list[Sound] = []
    start: Fraction | None = None
    with av.open(str(path)) as container:
        stream = container.streams.audio[track]
        names = {1: "mono", 2: "stereo", 6: "5.1"}
        resampler = av.AudioResampler(format="fltp", layout=names[stream.codec_context.layout.nb_channels])
        for frame in container.decode(stream):
            start = frame.pts * frame.time_base if start is None else start
            pieces += [piece.to_ndarray() for piece in resampler.resample(frame)]
    assert start is not None
    return start, np.concatenate(pieces, axis=1)


def add_sound(
    video: Path,
    target: Path,
    tracks: list[Sound],
    *,
    codec: str,
    rate: int = 48000,
    late_seconds: Fraction = Fraction(0),
    languages: tuple[str, ...] = (),
) -> Path:
    """The pictures of `video` with `tracks` ([channels, n] each) as its sound, all beginning `late_seconds` late."""
    layouts = {1: "mono", 2: "stereo", 6: "5.1"}

    class Singer:
        starts: tuple[Fraction, ...] = (late_seconds,)

        def __init__(self, out: Any) -> None:
            self.out = out
            self.streams = []
            for number, samples in enumerate(tracks):
                stream = out.add_stream(codec, rate=rate)
                stream.layout = layouts[len(samples)]
                stream.time_base = Fraction(1, rate)
                if number < len(languages):
                    stream.metadata["language"] = languages[number]
                stream.codec_context.open()
                self.streams.append(stream)

        def advance(self, until: Fraction | None) -> None:
            if until is not None:
                return
            step = self.streams[0].codec_context.frame_size or 1024
            first = round(late_seconds * rate)
            for begin in range(0, max(samples.shape[1] for samples in tracks), step):
                for stream, samples in zip(self.streams, tracks, strict=True):
                    piece = samples[:, begin : begin + step]
                    if piece.shape[1]:
                        packed = np.ascontiguousarray(piece.T, np.float32).reshape(1, -1)
                        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layouts[len(samples)])
                        frame.sample_rate, frame.pts, frame.time_base = rate, first + begin, Fraction(1, rate)
                        self.out.mux(stream.encode(frame))
            for stream in self.streams:
                self.out.mux(stream.encode(None))

        def close(self) -> None:
            """Nothing is open."""

    remux(video, target, Singer)
    return target


def titled(path: Path, lines: Sequence[str] = SUBTITLES, *, codec: str | None = None) -> Path:
    """A clip with an English subtitle stream and two chapters, put together by the ffmpeg binary."""
    base = Fraction(1, 1000) if path.suffix == ".mkv" else Fraction(1, 15360)
    pts = [round(Fraction(i, 30) / base) for i in range(30)]
    plain = make_clip(path.with_stem("plain"), pts=pts, time_base=base, tones=[Tone()], options={"bf": "0"})
    words, marks = path.with_suffix(".srt"), path.with_suffix(".txt")
    cues = [f"{i}\n00:00:00,{i}00 --> 00:00:00,{i}90\n{line}\n\n" for i, line in enumerate(lines, start=1)]
    words.write_text("".join(cues), encoding="utf-8")
    marks.write_text(
        ";FFMETADATA1\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=Jane Roe\nnote=at home\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1000\ntitle=Two\n",
        encoding="utf-8",
    )
    kind = codec or ("subrip" if path.suffix == ".mkv" else "mov_text")
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-i",
        str(plain.path),
        "-i",
        str(words),
        "-i",
        str(marks),
    ]
    command += ["-map", "0", "-map", "1", "-map_chapters", "2", "-c", "copy", "-c:s", kind]
    command += ["-metadata:s:s:0", "language=eng", "-metadata:s:s:0", "title=Jane's words", str(path)]
    subprocess.run(command, check=True)
    return path
