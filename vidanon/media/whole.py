"""Is a file all there? Containers write down how long their parts are; a cut-off copy breaks that promise.

In: a path. Out: how many promised bytes are missing. Only the outermost headers are read, so a 100 GB file costs
a few seeks; a GIF, which has no lengths, is walked through to its end mark. Formats that promise nothing (MPEG-TS,
raw streams) count as whole; the decoder judges them.

Sources: ISO/IEC 14496-12 (boxes), RFC 8794 (EBML), Microsoft's RIFF, SMPTE ST 377-1 (MXF), CompuServe's GIF89a.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_VITAL_BOXES = frozenset({b"ftyp", b"moov", b"moof", b"mdat"})
_MXF_PARTITION = b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01"
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def missing_bytes(path: Path) -> int:
    """Bytes that are missing at the end of the file, at least; 0 where nothing is.

    Raises OSError where the file cannot be read.
    """
    with path.open("rb") as stream:
        length = os.fstat(stream.fileno()).st_size
        head = stream.read(12)
        stream.seek(0)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"pnot"):
            return _missing_boxes(stream, length)
        if head[:4] == _EBML:
            return _missing_segment(stream, length)
        if head[:4] == b"GIF8":
            return int(not _gif_ends(stream))
        if head[:4] == b"RIFF":
            # A RIFF size of 0 or 0xFFFFFFFF is what a streaming writer leaves behind: no promise.
            promised = int.from_bytes(head[4:8], "little")
            return max(0, promised + 8 - length) if promised not in (0, 0xFFFFFFFF) else 0
        if head == _MXF_PARTITION[:12]:
            return _missing_footer(stream, length)
    return 0


def _missing_boxes(stream: BinaryIO, length: int) -> int:
    position = 0
    while position + 8 <= length:
        stream.seek(position)
        head = stream.read(16)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size == 0:
            return 0  # "to the end of the file"
        if size < 8:
            return 0  # padding or something that is no box: nothing is promised past here
        if position + size > length:
            return position + size - length if kind in _VITAL_BOXES else 0
        position += size
    return 0


def _missing_segment(stream: BinaryIO, length: int) -> int:
    stream.seek(4)
    header = _vint(stream)
    if header is None:
        return 0
    stream.seek(header, os.SEEK_CUR)
    if stream.read(4) != _SEGMENT:
        return 0
    size = _vint(stream)
    return max(0, stream.tell() + size - length) if size is not None else 0


def _missing_footer(stream: BinaryIO, length: int) -> int:
    """An MXF's first partition says where its last one begins; 0 is what a streaming writer leaves behind."""
    pack = stream.read(128)
    if not pack.startswith(_MXF_PARTITION):
        return 0
    # Key (16), a BER length, versions and grid (8), then the places of this, the previous and the footer partition.
    body = 17 + (pack[16] & 0x7F if pack[16] & 0x80 else 0)
    footer = int.from_bytes(pack[body + 24 : body + 32], "big")
    return max(0, footer + len(_MXF_PARTITION) - length) if footer else 0


def _vint(stream: BinaryIO) -> int | None:
    """An EBML size, or None for "unknown" (all ones) and for what is no size at all."""
    first = stream.read(1)
    if not first or first[0] == 0:
        return None
    width = 9 - first[0].bit_length()
    raw = (first[0] & (0xFF >> width)).to_bytes(1, "big") + stream.read(width - 1)
    value = int.from_bytes(raw, "big")
    return None if value == (1 << (7 * width)) - 1 else value


def _gif_ends(stream: BinaryIO) -> bool:
    """Whether a GIF's blocks lead to its end mark."""
    flags = stream.read(13)[10:11]
    stream.seek(_colour_table(flags), os.SEEK_CUR)
    while kind := stream.read(1):
        if kind == b"\x3b":
            return True
        if kind == b"\x21":
            stream.seek(1, os.SEEK_CUR)  # what kind of extension
        elif kind == b"\x2c":
            flags = stream.read(9)[8:9]
            stream.seek(_colour_table(flags) + 1, os.SEEK_CUR)  # and the LZW code size
        else:
            return True  # nothing a decoder would follow either: what comes now is not the picture's
        while (size := stream.read(1)) not in (b"", b"\0"):
            stream.seek(size[0], os.SEEK_CUR)
    return False


def _colour_table(flags: bytes) -> int:
    """Bytes of the colour table that a GIF's flags announce."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0
