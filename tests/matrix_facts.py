"""What is to be known about a clip, as PyAV and the ffmpeg binary alone tell: vidanon's own code has no say here."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import imageio_ffmpeg
import numpy as np
from av.sidedata.sidedata import Type
from clips import Picture, number_in
from numpy.typing import NDArray
from street import cards_in

_HDR = (Type.MASTERING_DISPLAY_METADATA, Type.CONTENT_LIGHT_LEVEL)
_NO_PICTURE = 40
"""bytes"""
_NO_CAMERA = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The container at `path`, numbered pictures at 25 a second."""
    if "%" in path.name:
        first = min(int("".join(c for c in p.stem if c.isdigit())) for p in path.parent.glob(f"*{path.suffix}"))
        options = {"framerate": "25", "start_number": str(first)}
        container = av.open(str(path), format="image2", options=options)
    else:
        container = av.open(str(path))
    with container:
        yield container


def cameras(container: Any) -> list[Any]:
    """The video streams, cover art aside, the default one first."""
    streams = [s for s in container.streams.video if not s.disposition & _NO_CAMERA]
    return sorted(streams, key=lambda s: not s.disposition & av.stream.Disposition.default)


def facts(path: Path, camera: int = 0) -> dict[str, object]:
    """Everything that has to stay, by name."""
    with opened(path) as container:
        stream = cameras(container)[camera]
        context = stream.codec_context
        frames = list(container.decode(stream))
        first = frames[0]
        turn = first.side_data.get(Type.DISPLAYMATRIX)
        found: dict[str, object] = {
            "codec": context.codec.canonical_name,
            "profile": context.profile,
            "pixel format": first.format.name,
            "size": (first.width, first.height),
            "pixel shape": stream.sample_aspect_ratio or 1,
            "turn": bytes(turn) if turn else None,
            "colour tags": _colour(first, context),
            "HDR": [bytes(first.side_data[kind]) for kind in _HDR if kind in first.side_data],
            "interlaced": {f.interlaced_frame for f in frames},
            "frames": len(frames),
            "times": [f.pts * f.time_base for f in frames],
            # an MPEG-TS does not say how long a picture lasts
            "end": None
            if container.format.name == "mpegts"
            else (frames[-1].pts + frames[-1].duration) * frames[-1].time_base,
            "timecode": container.metadata.get("timecode") or stream.metadata.get("timecode"),
            "languages": [s.language for s in container.streams.audio],
            "frame numbers": [number_in(_upright(f)) for f in frames],
        }
    with opened(path) as container:
        stream = cameras(container)[camera]
        packets = [p for p in container.demux(stream) if p.size]
        found["only key frames"] = len(packets) > 2 and all(p.is_keyframe for p in packets)
    found["field order"] = _field_order(path) if found["interlaced"] == {True} else None
    found["sound"] = _sound(path)
    return found


def _colour(frame: Any, context: Any) -> tuple[int, ...]:
    """Primaries, transfer, matrix: the picture's, or the container's where it has none. Range: limited if not said."""
    names = ("color_primaries", "color_trc", "colorspace")
    tags = [int(getattr(frame, n)) if getattr(frame, n) not in (0, 2) else int(getattr(context, n)) for n in names]
    return (*tags, int(frame.color_range) or 1)


def _upright(frame: Any) -> Picture:
    rgb: Picture = frame.to_ndarray(format="rgb24")
    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return rgb
    a, b = np.frombuffer(bytes(matrix), np.int32)[:2]
    quarters = round(float(np.degrees(np.arctan2(b, a))) / 90)
    return np.ascontiguousarray(np.rot90(rgb, -quarters))


def _sound(path: Path) -> list[object]:
    """Of every audio stream: the time and hash of each packet; of PCM, which is cut at will, start and hash of all."""
    with opened(path) as container:
        if not container.streams.audio:
            return []
        streams: dict[int, list[tuple[Fraction, bytes]]] = {s.index: [] for s in container.streams.audio}
        pcm = {s.index: s.codec_context.name.startswith("pcm_") for s in container.streams.audio}
        for packet in container.demux():
            if packet.size and packet.stream_index in streams:
                streams[packet.stream_index].append((packet.pts * packet.time_base, bytes(packet)))
    return [
        (packets[0][0], _hash(b"".join(data for _, data in packets)))
        if pcm[index]
        else [(time, _hash(data)) for time, data in packets]
        for index, packets in streams.items()
    ]


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _field_order(path: Path) -> str:
    """FFmpeg's own word for the field shown first."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path), "-vf", "showinfo", "-f", "null", "-"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return "top" if " i:T" in shown else "bottom"


def untrue_duration(path: Path, camera: int = 0) -> str:
    """How long the container says the pictures last, if that is not from the first one to the end of the last."""
    with opened(path) as container:
        stream = cameras(container)[camera]
        frames = list(container.decode(stream))
        lasts = (frames[-1].pts + frames[-1].duration - frames[0].pts) * stream.time_base
        said = stream.duration * stream.time_base if stream.duration else lasts
        return "" if said == lasts else f"lasts {lasts} s, says {said} s"


def others(path: Path) -> set[str]:
    """What a container holds besides its first camera and sound, in words."""
    with opened(path) as container:
        found = {f"{s.type} stream" for s in container.streams if s.type not in ("video", "audio")}
        found |= {"cover art" for s in container.streams.video if s.disposition & _NO_CAMERA}
        found |= {"second camera"} if len(cameras(container)) > 1 else set()
        found |= {"chapters"} if container.chapters() else set()
        return found


def video_packets(path: Path) -> set[str]:
    """Hashes of all packets of all video streams; those too small to hold a picture may well be alike."""
    with opened(path) as container:
        return {_hash(bytes(p)) for p in container.demux(container.streams.video) if p.size > _NO_PICTURE}


def pictures(path: Path, camera: int = 0) -> Iterator[Picture]:
    """Upright RGB, frame by frame."""
    with opened(path) as container:
        for frame in container.decode(cameras(container)[camera]):
            yield _upright(frame)


def near_card(picture: Picture) -> NDArray[np.bool_]:
    """[h, w] where a card is or something painted over it may be."""
    height, width = picture.shape[:2]
    reach = 2 * max(width // 5, height // 4)
    card = cv2.morphologyEx(cards_in(picture).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    near: NDArray[np.bool_] = cv2.dilate(card, np.ones((reach, reach), np.uint8)).astype(bool)
    return near


def psnr_outside(source: Path, output: Path, camera: int = 0) -> float:
    """dB of R'G'B' at 8 bits, over all pixels of all frames far from a card."""
    total = count = 0.0
    for before, after in zip(pictures(source, camera), pictures(output, camera), strict=True):
        error = (before.astype(np.float32) - after)[~near_card(before)]
        total, count = total + float(np.square(error).sum(dtype=np.float64)), count + error.size
    return 99.0 if total == 0 else min(99.0, 10 * float(np.log10(255**2 * count / total)))


def naked_pixels(path: Path, camera: int = 0) -> int:
    """Pixels of the frame that shows most of a card; specks that are none of it do not count."""
    kernel = np.ones((3, 3), np.uint8)
    return max(
        int(cv2.morphologyEx(cards_in(picture).astype(np.uint8), cv2.MORPH_OPEN, kernel).sum())
        for picture in pictures(path, camera)
    )


def complaints(path: Path) -> str:
    """What the ffmpeg binary has to say about playing all of a file at its own times, with warnings as errors.

    That an AVI does not say where the channels of PCM belong is no fault of the file.
    """
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "warning", "-xerror", "-i", str(path)]
    streams = ["-map", "0:v", "-map", "0:a?"]
    play = ["-fps_mode", "passthrough", "-enc_time_base", "demux", "-f", "null", "-"]
    done = subprocess.run([*command, *streams, *play], capture_output=True, text=True, check=False)
    words = [line for line in done.stderr.strip().splitlines() if "Guessed Channel Layout" not in line]
    return "\n".join(words) or ("" if done.returncode == 0 else f"exit code {done.returncode}")
