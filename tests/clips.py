"""Clips drawn for the tests, each named by its defect, with everything about it known beforehand.

A frame shows a bar code of its own number and a disc that moves, so that frames can be told apart after lossy
coding (`number_in`). Nothing here uses vidanon: the clips are made by PyAV alone, so they can contradict it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]

_BITS = 8
FRAME_30 = 512
"""one frame at 30 frames a second in units of 1/15360 s, the time base of our clips"""
TIME_BASE = Fraction(1, 15360)


@dataclass(frozen=True)
class Tone:
    """One audio track: a sine."""

    hertz: float = 440.0
    codec: str = "aac"
    rate: int = 48000
    language: str | None = None
    delay_seconds: float = 0.0
    disposition: int | None = None


@dataclass(frozen=True)
class Clip:
    """A clip on disk and the truth about it."""

    path: Path
    pts: tuple[int, ...]
    """of every frame, in units of `time_base`"""
    time_base: Fraction
    width: int
    """upright"""
    height: int
    """upright"""
    rotation: int

    @property
    def seconds(self) -> list[Fraction]:
        """When each frame is shown."""
        return [pts * self.time_base for pts in self.pts]


def draw(number: int, width: int = 160, height: int = 120) -> Picture:
    """Frame `number`: a gradient, its number as a bar code at the top left, a moving disc, a red mark at the left."""
    yy, xx = np.mgrid[0:height, 0:width]
    picture = np.stack([60 + 100 * xx / width, 60 + 100 * yy / height, np.full(xx.shape, 110.0)], axis=-1)
    cell = min(width, height) // 12
    for bit in range(_BITS):
        picture[:cell, bit * cell : (bit + 1) * cell] = 230 if number >> bit & 1 else 25
    x, y = width * (0.3 + 0.4 * (number % 20) / 20), height * 0.6
    picture[(xx - x) ** 2 + (yy - y) ** 2 < (height / 8) ** 2] = (200, 150, 120)
    picture[height // 3 : height // 2, : width // 10] = (190, 40, 40)
    return np.rint(picture).astype(np.uint8)


def number_in(picture: Picture) -> int:
    """The number of the frame that `draw` drew, out of an upright RGB picture of any size."""
    height, width = picture.shape[:2]
    cell = min(width, height) / 12
    centres = [(int(cell / 2), int((bit + 0.5) * cell)) for bit in range(_BITS)]
    return sum(1 << bit for bit, (y, x) in enumerate(centres) if picture[y, x].mean() > 128)


def make_clip(
    path: Path,
    *,
    pts: Sequence[int] | None = None,
    frames: int = 12,
    time_base: Fraction = TIME_BASE,
    size: tuple[int, int] = (160, 120),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation: int = 0,
    tones: Sequence[Tone] = (),
    tones_first: bool = False,
    options: dict[str, str] | None = None,
    tags: tuple[int, int, int, int] | None = None,
    aspect: Fraction | None = None,
    cover: bool = False,
    second_camera: bool = False,
    metadata: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    picture: Callable[[int, int, int], Picture] = draw,
) -> Clip:
    """A clip whose frame i is `picture(i, width, height)`, shown at `pts[i]`.

    `size` is that of the stored picture; with a `rotation` of 90 or 270 the upright one is turned. `tags` are
    primaries, transfer, matrix and range. `cover` adds a picture stream, `second_camera` a second video stream
    (frames numbered from 200) before or behind the first, as streams lie in the file: tones first if asked.
    """
    pts = tuple(pts) if pts is not None else tuple(i * FRAME_30 for i in range(frames))
    width, height = size
    with av.open(str(path), "w", container_options=muxer or {}) as out:
        out.metadata.update(metadata or {})
        sounds: list[tuple[Any, Tone]] = []
        if tones_first:
            sounds = [(_sound(out, tone), tone) for tone in tones]
        video = _video(out, codec, size, pix_fmt, time_base, options=options)
        if tags is not None:
            context = video.codec_context
            context.color_primaries, context.color_trc, context.colorspace, context.color_range = tags
        if aspect is not None:
            video.codec_context.sample_aspect_ratio = aspect
        if rotation:
            video.set_display_rotation(rotation)
        if not tones_first:
            sounds = [(_sound(out, tone), tone) for tone in tones]
        second = _video(out, "libx264", size, "yuv420p", time_base) if second_camera else None
        art = out.add_stream("png", pix_fmt="rgb24", width=64, height=64) if cover else None
        if art is not None:
            art.disposition = av.stream.Disposition.attached_pic
        for stream, tone in sounds:
            _sing(out, stream, tone, float(pts[-1] * time_base) + 0.2)
        if art is not None:
            out.mux(art.encode(av.VideoFrame.from_ndarray(draw(99, 64, 64), format="rgb24")))
        for number, stamp in enumerate(pts):
            upright = picture(number, *(size if rotation in (0, 180) else (height, width)))
            _encode(out, video, np.rot90(upright, -rotation // 90), stamp, time_base)
            if second is not None:
                _encode(out, second, picture(200 + number, width, height), stamp, time_base)
        out.mux(video.encode(None))
        if second is not None:
            out.mux(second.encode(None))
    turned = rotation in (90, 270)
    return Clip(path, pts, time_base, height if turned else width, width if turned else height, rotation)


def _video(
    out: Any, codec: str, size: tuple[int, int], pix_fmt: str, time_base: Fraction, *, options: Any = None
) -> Any:
    stream = out.add_stream(codec, rate=30)
    stream.width, stream.height = size
    stream.pix_fmt = pix_fmt
    stream.codec_context.time_base = time_base
    stream.time_base = time_base
    defaults = {"preset": "ultrafast", "crf": "12", "bf": "2"} if codec == "libx264" else {}
    if codec == "libx265":
        defaults = {"preset": "ultrafast", "crf": "12", "x265-params": "log-level=error:pools=1:bframes=0"}
    stream.options = defaults | (options or {})
    return stream


def _encode(out: Any, stream: Any, picture: Picture, stamp: int, time_base: Fraction) -> None:
    context = stream.codec_context
    matrix = {1: 1, 9: 9}.get(context.colorspace, 5)
    full = 2 if context.color_range == 2 or "j" in context.pix_fmt else 1
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(
        format=context.pix_fmt, dst_colorspace=matrix, dst_color_range=full, interpolation="BICUBIC"
    )
    frame.pts, frame.time_base = stamp, time_base
    out.mux(stream.encode(frame))


def _sound(out: Any, tone: Tone) -> Any:
    stream = out.add_stream(tone.codec, rate=tone.rate)
    stream.layout = "mono"
    if tone.language:
        stream.metadata["language"] = tone.language
    if tone.disposition is not None:
        stream.disposition = tone.disposition
    return stream


def _sing(out: Any, stream: Any, tone: Tone, seconds: float) -> None:
    stream.codec_context.open(strict=False)
    step = stream.codec_context.frame_size or 1024
    total = int(seconds * tone.rate)
    late = round(tone.delay_seconds * tone.rate)
    form = stream.codec_context.format.name
    for start in range(0, total, step):
        time = np.arange(start, start + step) / tone.rate
        wave = 0.3 * np.sin(2 * np.pi * tone.hertz * time)
        samples = wave.astype(np.float32) if form.startswith("flt") else np.rint(wave * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format=form, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = tone.rate, start + late, Fraction(1, tone.rate)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def make_gif(path: Path, *, durations_ms: Sequence[int] = (50, 200, 100, 80), size: tuple[int, int] = (96, 64)) -> Clip:
    """A GIF whose frames last as long as they like (in hundredths of a second)."""
    pictures = [Image.fromarray(draw(i, *size)) for i in range(len(durations_ms))]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=list(durations_ms), loop=0)
    pts = tuple(int(v) for v in np.cumsum([0, *(d // 10 for d in durations_ms[:-1])]))
    return Clip(path, pts, Fraction(1, 100), *size, 0)


def make_truncated(path: Path, clip: Clip, *, keep: float = 0.6) -> Path:
    """The first part of a clip, as an interrupted copy leaves it."""
    data = clip.path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def make_corrupt(path: Path, clip: Clip, *, packet: int) -> Path:
    """A clip with noise over most of one video packet."""
    with av.open(str(clip.path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    position, size = packets[packet]
    data = bytearray(clip.path.read_bytes())
    damaged = slice(position + size // 8, position + size - size // 8)
    length = damaged.stop - damaged.start
    data[damaged] = np.random.default_rng(1).integers(0, 256, length).astype(np.uint8).tobytes()
    path.write_bytes(data)
    return path


def make_text(path: Path) -> Path:
    """Text that calls itself a video."""
    path.write_text("this is no video\n" * 50, encoding="utf-8")
    return path


def make_picture(path: Path, *, size: tuple[int, int] = (96, 64), orientation: int = 1, gps: bool = False) -> Path:
    """A JPEG, PNG or WebP of `draw(5)`; with an EXIF orientation the stored pixels are turned back accordingly."""
    upright = Image.fromarray(draw(5, *size))
    turn = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    method = turn[orientation]
    stored = upright if method is None else upright.transpose(method)
    exif = Image.Exif()
    exif[0x0112] = orientation
    if gps:
        exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 0.0)})
    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if path.suffix == ".jpg" else {}
    stored.save(path, exif=exif, icc_profile=SRGB_LIKE_PROFILE, **options)
    return path


def _profile() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


SRGB_LIKE_PROFILE = _profile()


def frame_times(path: Path) -> list[Fraction]:
    """When every frame of the first video stream is shown, as PyAV alone decodes it."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def audio_packets(path: Path) -> list[list[tuple[Fraction, bytes]]]:
    """(time, bytes) of every packet of every audio stream."""
    streams: dict[int, list[tuple[Fraction, bytes]]] = {}
    with av.open(str(path)) as container:
        streams = {s.index: [] for s in container.streams.audio}
        for packet in container.demux():
            if packet.size and packet.stream_index in streams:
                streams[packet.stream_index].append((packet.pts * packet.time_base, bytes(packet)))
    return list(streams.values())
