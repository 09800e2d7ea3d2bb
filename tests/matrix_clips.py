"""The clips of the fixture matrix, each drawn in code and named by its defect.

Every frame shows a bar code of its number and one magenta card, which is the face. Nothing here uses vidanon.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from clips import Clip, Picture, Tone, draw, make_clip, make_corrupt, make_truncated
from PIL import Image
from street import CARD

MS = Fraction(1, 1000)
SMALL = (160, 120)
INFORMANT = b"Informant Meier"
"""what must never be found in an output"""
PLACE = "+52.5200+013.4050/"
HDR10 = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
_DISPLAY_AV1 = "G(0.265,0.690)B(0.150,0.060)R(0.680,0.320)WP(0.3127,0.3290)L(1000.0,0.0001)"
HDR10_AV1 = f"mastering-display={_DISPLAY_AV1}:content-light=1000,400"
os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 writes to stderr by itself; errors only
Box = tuple[int, int, int, int]


def card_box(number: int, width: int, height: int) -> Box:
    """Where the card is in frame `number`: x0, y0, x1, y1."""
    w, h = width // 5, height // 4
    x, y = round(width * (0.5 + 0.01 * (number % 20))), height // 3
    return x, y, x + w, y + h


def scene(number: int, width: int, height: int) -> Picture:
    """Frame `number` of `clips.draw` with a card in it."""
    picture = draw(number, width, height)
    x0, y0, x1, y1 = card_box(number, width, height)
    picture[y0:y1, x0:x1] = CARD
    return picture


def clip(path: Path, **how: Any) -> Path:
    """`clips.make_clip` of our scene; in Matroska with its own clock."""
    if path.suffix in (".mkv", ".webm") and "time_base" not in how:
        how["time_base"] = MS
        how.setdefault("pts", [round(1000 * i / 30) for i in range(how.get("frames", 12))])
    return make_clip(path, picture=scene, **how).path


def film(
    path: Path,
    codec: str,
    pix_fmt: str,
    *,
    size: tuple[int, int] = SMALL,
    rate: Fraction = Fraction(25),
    frames: int = 8,
    options: dict[str, str] | None = None,
    qscale: int | None = None,
    fields: str = "",
    tones: Sequence[Tone] = (),
    prepare: Callable[[Any], Callable[[int], None] | None] | None = None,
    tags: tuple[int, int, int, int] | None = None,
    timecode: str = "",
) -> Path:
    """A clip of constant rate in any codec.

    `fields` ("tff" or "bff") codes pictures as two fields, which show the moments before and after. `prepare` may add
    streams to the container; what it returns is called before each frame.
    """
    graph = _fields(size, pix_fmt, rate, fields) if fields else None
    with av.open(str(path), "w", container_options={"fflags": "+bitexact"}) as out:
        stream: Any = out.add_stream(codec, rate=rate, options=options or {})
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.time_base = context.time_base = 1 / rate
        if tags:
            context.color_primaries, context.color_trc, context.colorspace, context.color_range = tags
        if timecode:
            stream.metadata["timecode"] = timecode
        if qscale:
            context.flags |= Flags.qscale
            context.global_quality = 118 * qscale
        if fields:
            context.flags |= Flags.interlaced_dct | Flags.interlaced_me
            context.field_order = 2 if fields == "tff" else 3
        sounds = [(_voice(out, tone), tone) for tone in tones]
        before = prepare(out) if prepare else None
        for sound, tone in sounds:
            _speak(out, sound, tone, float(frames / rate))
        for number in range(frames):
            if before:
                before(number)
            picture = scene(number, *size)
            if fields:  # the disc below the card has moved on by the second field
                low = round(0.6 * size[1]) // 2 * 2 + 1
                picture[low::2] = scene(number + 1, *size)[low::2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format=pix_fmt, dst_colorspace={1: 1, 9: 9}.get(tags[2] if tags else 0, 5), interpolation="BICUBIC"
            )
            frame.pts, frame.time_base = number, 1 / rate
            if tags:
                frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range = tags
            if graph:
                graph.vpush(frame)
                frame = graph.vpull()
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def _fields(size: tuple[int, int], pix_fmt: str, rate: Fraction, fields: str) -> Any:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=size[0], height=size[1], format=av.VideoFormat(pix_fmt), time_base=1 / rate)
    graph.link_nodes(source, graph.add("setfield", f"mode={fields}"), graph.add("buffersink")).configure()
    return graph


def _voice(out: Any, tone: Tone) -> Any:
    stream = out.add_stream(tone.codec, rate=tone.rate)
    stream.layout = "mono"
    if tone.language:
        stream.metadata["language"] = tone.language
    return stream


def _speak(out: Any, stream: Any, tone: Tone, seconds: float) -> None:
    total, step = round(seconds * tone.rate), stream.codec_context.frame_size or 1920
    form = stream.codec_context.format.name
    for start in range(0, total, step):
        time = np.arange(start, min(start + step, total)) / tone.rate
        wave = 0.3 * np.sin(2 * np.pi * tone.hertz * time)
        kind = {"flt": np.float32, "s16": np.int16, "s32": np.int32}[form.removesuffix("p")]
        data = (wave if kind is np.float32 else np.rint(wave * np.iinfo(kind).max)).astype(kind)
        frame = av.AudioFrame.from_ndarray(data[None], format=form, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = tone.rate, start, Fraction(1, tone.rate)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def with_telemetry(path: Path) -> Path:
    """An action camera's: GPMF in a data track, place and a comment in the tags."""

    def prepare(out: Any) -> Callable[[int], None]:
        out.metadata.update({"location": PLACE, "comment": INFORMANT.decode(), "title": INFORMANT.decode()})
        data = out.add_data_stream("bin_data")
        data.codec_tag, data.time_base = "gpmd", MS

        def before(number: int) -> None:
            packet: Any = av.Packet(b"DEVC GPS5 52.5200 13.4050 " + INFORMANT)
            packet.stream, packet.time_base = data, MS
            packet.pts = packet.dts = 40 * number
            packet.duration = 40
            out.mux(packet)

        return before

    return film(path, "libx264", "yuv420p", tones=[Tone()], prepare=prepare, options={"preset": "ultrafast"})


def with_names(path: Path) -> Path:
    """Matroska with everything that can name people: subtitles, chapters, an attachment, titles."""
    text = path.with_suffix(".srt")
    text.write_text(f"1\n00:00:00,000 --> 00:00:00,200\n{INFORMANT.decode()}\n", encoding="utf-8")
    with av.open(str(text)) as words:

        def prepare(out: Any) -> None:
            out.metadata.update({"title": INFORMANT.decode(), "comment": PLACE})
            out.add_attachment("list.txt", "text/plain", INFORMANT)
            whole = {"id": 1, "start": 0, "end": 300, "time_base": MS, "metadata": {"title": INFORMANT.decode()}}
            out.set_chapters([whole])
            stream = out.add_stream_from_template(words.streams.subtitles[0])
            for packet in words.demux():
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)

        made = film(path, "libx264", "yuv420p", tones=[Tone()], prepare=prepare, options={"preset": "ultrafast"})
    text.unlink()
    return made


def truncated(path: Path) -> Path:
    """What an interrupted copy leaves."""
    return make_truncated(path, _made(path.with_name("whole.mp4")))


def corrupt(path: Path) -> Path:
    """Noise over one packet in the middle."""
    return make_corrupt(path, _made(path.with_name("good.mp4")), packet=6)


def _made(path: Path) -> Clip:
    return make_clip(path, picture=scene)


def empty(path: Path) -> Path:
    """Zero bytes."""
    path.touch()
    return path


def gif(path: Path) -> Path:
    """An animation whose frames last as long as they like."""
    pictures = [Image.fromarray(scene(i, *SMALL)) for i in range(6)]
    lasting = [50, 200, 100, 80, 40, 70]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=lasting, loop=0)
    return path


def numbered(path: Path) -> Path:
    """Ten PNG pictures, `take_0007.png` and on; returns their pattern."""
    for number in range(10):
        Image.fromarray(scene(number, *SMALL)).save(path.with_name(f"take_{number + 7:04d}.png"))
    return path.with_name("take_%04d.png")
