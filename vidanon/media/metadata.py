"""Which tags of a source may stand in the output: none but those asked for by name, and the timecode.

In: the tags of a container or a stream and the setting output.keep_metadata. Out: what the output gets. A name means
the tag itself, its variant in a language ("title-eng") and those of its family, with or without Apple's and Android's
prefix: "location" also means "com.apple.quicktime.location.ISO6709". Nothing is kept because it is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

EVERYTHING = "all"

_PREFIXES = ("com.apple.quicktime.", "com.android.")
_PLACES = re.compile(r"location|gps|geo|xyz|latitude|longitude|altitude|6709|coordinates|place|city|country|xmp")
_COORDINATES = re.compile(r"[+-]\d{1,3}\.\d+[+-]\d{1,3}\.\d+|^[+-]\d{1,7}[+-]\d{1,7}([+-]\d+)?/$")
"""ISO 6709, as phones write it into whatever tag they like"""
_XMP = ("<x:xmpmeta", "<?xpacket", "ns.adobe.com")
_OF_THE_FILE = re.compile(
    r"major_brand|minor_version|compatible_brands|encoder|duration|bps|number_of_(frames|bytes)|_statistics_.*|"
    r"handler_name|vendor_id|rotate|variant_bitrate|operational_pattern_ul|.*_?u(m)?id|company_name|product_.*|"
    r"toolkit_.*|application_platform"
)
"""What a muxer writes about the file it makes: not true of another one"""
_QUICKTIME = frozenset(
    [
        "title",
        "artist",
        "album_artist",
        "composer",
        "album",
        "date",
        "comment",
        "genre",
        "copyright",
        "description",
        "creation_time",
    ]
)
"""Tags that QuickTime and MP4 files have a place for"""
_TIMECODE = re.compile(r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d([:;.,])(\d{2,3})")
_TIMECODE_RATES = (24, 25, 30, 48, 50, 60, 100, 120)
_HOLDS_TIMECODE = ("mov", "mp4", "mxf", "mxf_opatom", "matroska")


def names_of(keep: str) -> frozenset[str]:
    """The names in a keep_metadata setting, in small letters."""
    return frozenset(name for part in keep.split(",") if (name := part.strip().lower()))


def container_tags(tags: Mapping[str, str], keep: str) -> dict[str, str]:
    """The container's tags that pass. The timecode is not among them: `timecode` finds and checks it."""
    return _passing(tags, names_of(keep))


def stream_tags(tags: Mapping[str, str], keep: str) -> dict[str, str]:
    """A stream's tags that pass, its language among them where that is kept; the timecode never is."""
    return _passing(tags, names_of(keep))


def timecode(
    container: InputContainer, stream: Stream, keep: str, *, form: str, rate: Fraction | None = None
) -> str | None:
    """The timecode of the first frame of `stream`, for the video stream's tag "timecode"; None where none passes.

    MOV notes it in a track of its own, MXF in the file, Matroska in either. Args: `form`, the output's container
    format; `rate`, frames a second it will be told. A timecode that cannot be counted on at that rate (drop frame
    without an NTSC rate, more frames than a second has, a rate of no timecode) is left out: it would stop the muxer,
    or readers would complain.
    """
    names = names_of(keep)
    if form not in _HOLDS_TIMECODE or not names & {"timecode", EVERYTHING}:
        return None
    sources: Iterable[Mapping[str, str]] = (
        stream.metadata,
        container.metadata,
        *(other.metadata for other in container.streams if other.type == "data"),
    )
    for tags in sources:
        for name, value in tags.items():
            if name.lower() == "timecode" and _holdable(value, rate):
                return value
    return None


def muxer_options(form: str, tags: Mapping[str, str]) -> dict[str, str]:
    """What the muxer must be told so that these container `tags` are written: QuickTime's own set is a small one."""
    return {"movflags": "use_metadata_tags"} if form in ("mov", "mp4") and not tags.keys() <= _QUICKTIME else {}


def _passing(tags: Mapping[str, str], names: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if name.lower() != "timecode" and _passes(name, value, names)}


def _passes(name: str, value: str, names: frozenset[str]) -> bool:
    full = name.lower()
    short = full
    for prefix in _PREFIXES:
        short = short.removeprefix(prefix)
    family = re.split(r"[.-]", short, maxsplit=1)[0]
    if names & {full, short, family}:
        return True
    if EVERYTHING not in names or _OF_THE_FILE.fullmatch(full):
        return False
    return not (_PLACES.search(full) or _COORDINATES.search(value) or any(mark in value for mark in _XMP))


def _holdable(code: str, rate: Fraction | None) -> bool:
    match = _TIMECODE.fullmatch(code)
    if match is None or rate is None or round(rate) not in _TIMECODE_RATES:
        return False
    drops_frames = match[2] != ":"
    return int(match[3]) < round(rate) and (not drops_frames or rate in (Fraction(30000, 1001), Fraction(60000, 1001)))
