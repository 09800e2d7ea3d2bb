"""The verb that tidies up: what killed runs have left beside their outputs.

In come folders; a table of what lies there goes to stdout, and what was removed is said on stderr.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidanon.cli import console
from vidanon.cli.summary import count

if TYPE_CHECKING:
    from vidanon.pipeline.leftovers import Leftover

WORDS = {"work": "unfinished work", "part": "old part", "plan": "plan", "key": "key"}


def clean(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="FOLDER", help="Where outputs are; below them too. Default: here.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove what is listed and not in use.")] = False,
    plans: Annotated[bool, typer.Option("--plans", help="Plans and keys too, also those of finished outputs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List what killed runs have left beside their outputs, and remove it.

    Unfinished work holds encoded frames, every one of them painted: the command that was killed goes on from there.
    What a running job uses is never removed. Plans and keys are personal data and are kept unless asked for: without
    its plan a clip has to be scanned again, without its key everybody gets a new face.

    [bold]Examples[/bold]

    $ vidanon clean
    $ vidanon clean covered/ --yes
    $ vidanon clean published/ --plans --yes
    """
    from vidanon.pipeline.leftovers import find, remove

    found = find(folders or [Path()], plans=plans)
    gone = {left.path for left in found if yes and not left.live and remove(left)}
    if as_json:
        console.put_json([{**dataclasses.asdict(left), "removed": left.path in gone} for left in found])
    elif found:
        rows = [_row(left, gone, time.time()) for left in found]
        console.put_table(["what", "size", "age", "frames", "of", "path", "state"], rows)
    console.say(_summary(found, gone, removing=yes))


def _row(left: Leftover, gone: set[Path], now: float) -> list[object]:
    state = "removed" if left.path in gone else "in use" if left.live else "left"
    size, age = size_in_words(left.size), age_in_words(now - left.modified)
    return [WORDS[left.kind], size, age, left.frames, left.source or "?", str(left.path), state]


def _summary(found: Sequence[Leftover], gone: set[Path], *, removing: bool) -> str:
    if not found:
        return "nothing is left over"
    free = [left for left in found if not left.live]
    size = size_in_words(sum(left.size for left in found if left.path in gone or not removing))
    if removing:
        left_alone = f"; {count(len(found) - len(gone), 'item')} in use" if len(gone) < len(found) else ""
        return f"removed {count(len(gone), 'item')}, {size}{left_alone}"
    return f"{count(len(found), 'item')}, {size}" + ("; --yes removes what is not in use" if free else "")


def size_in_words(size: int) -> str:
    """Bytes as people say them: 512 B, 3.4 MiB."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def age_in_words(seconds: float) -> str:
    """How long ago in the largest unit that fits: 5 min, 3 h, 12 d."""
    minutes = max(0, int(seconds)) // 60
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"
