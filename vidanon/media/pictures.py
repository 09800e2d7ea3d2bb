"""Decoded pictures made ready for an encoder: samples only, in its pixel format, with honest tags.

In: a decoded or painted picture. Out: a fresh one that shares no memory with the decoder and carries no captions,
telemetry, picture types or other side data.
"""

from __future__ import annotations

import enum
from fractions import Fraction
from typing import NamedTuple

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from vidanon.media.encoders import EncoderChoice
from vidanon.media.formats import (
    FULL,
    LIMITED,
    UNSPECIFIED,
    copy_planes,
    is_full_range,
    layout_of,
    matrix_code,
    samples,
    swscale_matrix,
)

_BT709 = 1
_SRGB_TRANSFER = 13


class FieldOrder(enum.IntEnum):
    """AVFieldOrder, as far as it matters."""

    PROGRESSIVE = 1
    TOP_FIRST = 2
    BOTTOM_FIRST = 3

    @classmethod
    def of(cls, picture: av.VideoFrame) -> FieldOrder:
        """The order in which a decoded picture's fields are shown.

        Containers and codecs disagree on how to write it down, so FFmpeg is asked to take the picture apart: the
        field that comes out first is the one shown first.
        """
        if not picture.interlaced_frame:
            return cls.PROGRESSIVE
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=picture.width, height=picture.height, format=picture.format, time_base=Fraction(1, 1000)
        )
        graph.link_nodes(source, graph.add("separatefields"), graph.add("buffersink")).configure()
        graph.vpush(picture.reformat(format=picture.format.name))
        graph.vpush(None)
        first = _luma(graph.vpull())
        rows = _luma(picture)
        return cls.TOP_FIRST if np.array_equal(first, rows[: 2 * len(first) : 2]) else cls.BOTTOM_FIRST


class ColourTags(NamedTuple):
    """H.273 code points as FFmpeg numbers them."""

    primaries: int
    """AVColorPrimaries"""
    transfer: int
    """AVColorTransferCharacteristic"""
    matrix: int
    """AVColorSpace"""
    span: int
    """AVColorRange"""

    @classmethod
    def of(cls, picture: av.VideoFrame, context: av.VideoCodecContext, pix_fmt: str) -> ColourTags:
        """As decoded where tagged there, else as the container says; RGB stored as YCbCr becomes sRGB in BT.709."""

        def pick(decoded: int, stored: int, *empty: int) -> int:
            return int(decoded if decoded not in empty else stored)

        primaries = pick(picture.color_primaries, context.color_primaries, 0, UNSPECIFIED)
        transfer = pick(picture.color_trc, context.color_trc, 0, UNSPECIFIED)
        if _is_rgb(picture.format.name) and not _is_rgb(pix_fmt):
            return cls(
                _BT709 if primaries in (0, UNSPECIFIED) else primaries,
                _SRGB_TRANSFER if transfer in (0, UNSPECIFIED) else transfer,
                _BT709,
                LIMITED,
            )
        matrix = pick(picture.colorspace, context.colorspace, UNSPECIFIED)
        return cls(primaries, transfer, matrix, pick(picture.color_range, context.color_range, 0))


class PicturePreparer:
    """Callable: picture in, encoder's picture out. `like` is a picture of the clip."""

    def __init__(self, choice: EncoderChoice, like: av.VideoFrame, tags: ColourTags, order: FieldOrder) -> None:
        self._choice = choice
        self._tags = tags
        # A fresh picture is progressive; only a filter can mark its fields.
        self._graph = _field_graph(choice, like, order) if choice.interlaced else None

    def __call__(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The samples of `picture` in the encoder's format."""
        name, wanted = picture.format.name, self._choice.pix_fmt
        if name.replace("yuvj", "yuv") == wanted.replace("yuvj", "yuv"):
            ready = copy_planes(picture, name=wanted)
        else:
            ready = copy_planes(_converted(picture, wanted), name=wanted)
        ready.color_primaries, ready.color_trc, ready.colorspace, ready.color_range = self._tags
        if self._graph is not None:
            self._graph.vpush(ready)
            return self._graph.vpull()
        return ready


def _converted(picture: av.VideoFrame, wanted: str) -> av.VideoFrame:
    from_rgb, to_rgb = _is_rgb(picture.format.name), _is_rgb(wanted)
    code = matrix_code(picture)
    matrix = swscale_matrix(code) if code is not None else _BT709
    span = FULL if is_full_range(picture) else LIMITED
    return picture.reformat(
        format=wanted,
        src_colorspace=None if from_rgb else matrix,
        dst_colorspace=None if to_rgb else _BT709 if from_rgb else matrix,
        src_color_range=span,
        dst_color_range=FULL if to_rgb else LIMITED if from_rgb else span,
        interpolation="BICUBIC",
    )


def _is_rgb(pix_fmt: str) -> bool:
    layout = layout_of(pix_fmt)
    return layout is not None and layout.kind == "rgb"


def _field_graph(choice: EncoderChoice, like: av.VideoFrame, order: FieldOrder) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=like.width, height=like.height, format=av.VideoFormat(choice.pix_fmt), time_base=1 / choice.rate
    )
    mark = graph.add("setfield", "mode=bff" if order is FieldOrder.BOTTOM_FIRST else "mode=tff")
    graph.link_nodes(source, mark, graph.add("buffersink")).configure()
    return graph


def _luma(picture: av.VideoFrame) -> NDArray[np.unsignedinteger]:
    layout = layout_of(picture.format.name)
    if layout is None:
        raise ValueError(f"no layout for {picture.format.name}")
    return samples(picture, layout.components[0], layout)
