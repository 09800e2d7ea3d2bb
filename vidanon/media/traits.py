"""How a clip is coded, so that its copy can be coded alike: `traits_of`.

In: an open container whose first picture has been decoded. Out: `CodecTraits`, from the codec's own words and from
the packets that come next.

Sources: SMPTE ST 2019-1 (DNxHD: header, compression ids and their rates).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import av.error

from vidanon.types import CodecTraits

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_LOOKED_AT = 12
"""packets"""
_ENOUGH = 3
"""key frames in a row that are taken for a rule"""
_COMPRESSION_ID = slice(40, 44)
DNXHD_MEGABITS = {
    1235: 185,
    1237: 120,
    1238: 185,
    1241: 185,
    1242: 120,
    1243: 185,
    1244: 120,
    1250: 90,
    1251: 90,
    1252: 75,
    1253: 36,
    1258: 60,
    1259: 84,
}
"""a nominal rate of each compression id, 10^6 bits a second: with size, depth and fields it names the id to FFmpeg"""


def traits_of(container: InputContainer, stream: VideoStream, *, loose: bool = False) -> CodecTraits:
    """The traits of `stream`; what cannot be told is left open. `loose`: the pictures are files of their own."""
    context = stream.codec_context
    if loose:
        return CodecTraits(loose=True)
    keys = seen = 0
    megabits = None
    try:
        for packet in container.demux(stream):
            if packet.size == 0 or seen == _LOOKED_AT:
                break
            seen += 1
            keys += packet.is_keyframe
            if seen == 1 and context.codec.canonical_name == "dnxhd":
                megabits = DNXHD_MEGABITS.get(int.from_bytes(bytes(packet)[_COMPRESSION_ID], "big"))
    except av.error.FFmpegError:
        # Damage further on is for the reader to report, with the place.
        pass
    return CodecTraits(profile=context.profile, intra=seen == keys >= _ENOUGH, megabits=megabits)
