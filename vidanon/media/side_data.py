"""What a decoder says beside a picture: turn, mastering display, light levels.

In: a decoded picture and a kind. Out: the bytes, or None. PyAV names the kinds of side data, and stops at the first
one that is newer than its list (EXIF of a JPEG, the view of a stereo clip); here such a kind has no name and is
passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import av
from av.sidedata.sidedata import Type

if TYPE_CHECKING:
    from av.sidedata.sidedata import SideDataContainer


def side_data(picture: av.VideoFrame, kind: Type) -> bytes | None:
    """The side data of `kind` that came with `picture`."""
    try:
        return bytes(cast("SideDataContainer", picture.side_data)[kind])
    except KeyError:
        return None


def _unnamed(cls: type[Type], value: object) -> Type:
    kind: Any = object.__new__(cls)
    kind._value_, kind._name_ = value, f"UNNAMED_{value}"
    return cast("Type", kind)


Type._missing_ = classmethod(_unnamed)  # type: ignore[assignment]
