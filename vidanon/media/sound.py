"""The sound of a clip, copied packet for packet: `SoundCopier`. Another voice is `voice.VoiceChanger`'s business."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vidanon.media.copying import PacketCopier

if TYPE_CHECKING:
    from av.container import OutputContainer


class SoundCopier(PacketCopier):
    """Copies all audio streams of `source` into `output`, with the tags that `keep` (output.keep_metadata) names.

    Raises InputError, and OutputError where the container cannot hold a codec.
    """

    def __init__(self, source: Path, output: OutputContainer, *, target: Path, keep: str = "language") -> None:
        super().__init__(source, output, kind="audio", target=target, keep=keep)
