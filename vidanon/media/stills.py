"""Pictures as one-frame clips: reading (EXIF turn applied) and writing through Pillow.

In: a JPEG, PNG or WebP. Out: an upright rgb24 or rgba `av.VideoFrame`, or a file without any metadata but the
colour profile.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vidanon.errors import InputError
from vidanon.types import VideoInfo

STILL_TIME_BASE = Fraction(1, 1)
_QUARTER_TURNS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height"""
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
_OPTIONS: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {"compress_level": 4},
    "WEBP": {"lossless": True, "quality": 60, "exact": True},
}


def probe_still(path: Path) -> VideoInfo:
    """`probe` for a picture; raises InputError."""
    with _opened(path) as image:
        width, height = image.size
        if image.getexif().get(0x0112, 1) in _QUARTER_TURNS:
            width, height = height, width
        name = (image.format or "").lower()
        return VideoInfo(
            path=path,
            container=name,
            codec=name,
            width=width,
            height=height,
            rotation=0,
            pix_fmt="rgba" if _has_alpha(image) else "rgb24",
            time_base=STILL_TIME_BASE,
            rate=None,
            frames_estimate=1,
            duration_seconds=None,
            audio=(),
            other_streams=(),
        )


def read_still(path: Path) -> av.VideoFrame:
    """The picture, upright, as rgb24 or (with transparency) rgba, pts 0. Raises InputError."""
    with _opened(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ("I;16", "I;16L", "I;16B", "I"):
            # Pillow clips 16-bit grey instead of scaling it.
            deep = np.asarray(upright, np.int64)
            upright = Image.fromarray((np.clip(deep, 0, 65535) // 257).astype(np.uint8))
        mode = "RGBA" if _has_alpha(upright) else "RGB"
        pixels = np.ascontiguousarray(np.asarray(upright.convert(mode)))
    picture = av.VideoFrame.from_ndarray(pixels, format="rgba" if mode == "RGBA" else "rgb24")
    picture.pts, picture.time_base = 0, STILL_TIME_BASE
    return picture


def write_still(picture: av.VideoFrame, stream: BinaryIO, *, suffix: str, source: Path | None) -> None:
    """Encode an rgb24 or rgba picture into `stream` in the format of `suffix`; the colour profile of `source` is kept.

    JPEG is written at quality 95 with full chroma, PNG and WebP lossless. Raises OSError.
    """
    pixels = picture.to_ndarray()
    image = Image.fromarray(pixels)
    kind = _FORMATS[suffix.lower()]
    options: dict[str, Any] = dict(_OPTIONS[kind])
    if kind == "JPEG" and image.mode == "RGBA":
        image = image.convert("RGB")
    profile = _profile(source) if source is not None else None
    if profile is not None:
        options["icc_profile"] = profile
    image.save(stream, kind, **options)


def _profile(source: Path) -> bytes | None:
    with _opened(source) as image:
        profile = image.info.get("icc_profile")
        # A profile of grey or CMYK samples does not describe the RGB that is written.
        return profile if isinstance(profile, bytes) and image.mode in ("RGB", "RGBA", "P") else None


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            # Street-view panoramas are larger than Pillow's first alarm; the second one stays armed.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                    raise InputError(f"{path}: is an animation", hint="convert it to .gif or .mp4 first")
                yield image
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: is not a JPEG, PNG or WebP picture") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: has too many pixels", hint="split it into tiles") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: is damaged: {error}") from error
