"""Jobs for FFmpeg's own command line: contact sheets and lossless joins.

In: images or clips. Out: a file. The binary is imageio-ffmpeg's, the command is built with ffmpeg-python, nothing
passes through a shell.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg
from PIL import Image, ImageDraw, ImageFont

from vidanon.errors import OutputError, UsageError
from vidanon.media.encoders import CONTAINERS
from vidanon.media.work import WorkFolder
from vidanon.types import ImageArray

_GAP = 4
_LABEL_PX = 18
_PAPER = "0x202020"


def contact_sheet(
    images: Sequence[ImageArray],
    target: Path,
    *,
    columns: int,
    cell_width: int,
    labels: Sequence[str] | None = None,
    overwrite: bool = False,
) -> None:
    """A PNG with the images in rows of `columns`, each fitted into a cell of `cell_width` px with its label below.

    Cells have the shape of the first image; others are fitted in and centred. Raises UsageError for no images or
    labels that do not match, OutputError where the sheet cannot be written.
    """
    if not images or columns < 1 or cell_width < 2:
        raise UsageError("a contact sheet wants at least one image, one column and a cell of 2 px")
    if labels is not None and len(labels) != len(images):
        raise UsageError(f"a contact sheet of {len(images)} images got {len(labels)} labels")
    height, width = images[0].shape[:2]
    cell_height = max(2, round(cell_width * height / width))
    step_y = cell_height + (_LABEL_PX if labels is not None else 0)
    columns = min(columns, len(images))
    with WorkFolder(target, source=None, overwrite=overwrite) as work:
        sheet = work.file("sheet.png")
        # The folder is readable by its owner alone: these may be faces.
        with tempfile.TemporaryDirectory(prefix="vidanon-") as folder:
            cells = []
            for i, image in enumerate(images):
                path = Path(folder, f"{i:06}.png")
                Image.fromarray(image).save(path, compress_level=1)
                cell = (
                    ffmpeg.input(str(path))
                    .filter("scale", cell_width, cell_height, force_original_aspect_ratio="decrease", flags="area")
                    .filter("setsar", "1")
                    .filter(
                        "pad", cell_width + _GAP, step_y + _GAP, f"({cell_width}-iw)/2", f"({cell_height}-ih)/2", _PAPER
                    )
                )
                if labels is not None:
                    strip = Path(folder, f"{i:06}-label.png")
                    _label(labels[i], cell_width).save(strip, compress_level=1)
                    cell = ffmpeg.overlay(cell, ffmpeg.input(str(strip)), x=0, y=cell_height)
                cells.append(cell.filter("format", "rgb24"))
            output = _tiled(cells, columns, cell_width + _GAP, step_y + _GAP).output(
                str(sheet), vframes=1, format="image2", vcodec="png", update=1, pix_fmt="rgb24"
            )
            _run(output, target)
        work.commit(sheet)


def concat(segments: Sequence[Path], target: Path, *, overwrite: bool = False) -> None:
    """Join clips of one codec, size and time base end to end without encoding anything.

    Raises UsageError for no segments, OutputError where FFmpeg cannot join them.
    """
    if not segments:
        raise UsageError("there is nothing to join")
    missing = next((segment for segment in segments if not segment.is_file()), None)
    if missing is not None:
        raise UsageError(f"{missing}: no such file")
    with WorkFolder(target, source=segments[0], overwrite=overwrite) as work:
        path = work.file(f"joined{target.suffix}")
        with tempfile.TemporaryDirectory(prefix="vidanon-") as folder:
            listing = Path(folder, "segments.txt")
            listing.write_text("".join(f"file '{_quoted(segment)}'\n" for segment in segments), encoding="utf-8")
            joined = ffmpeg.input(str(listing), format="concat", safe=0)
            output = joined.output(
                str(path),
                c="copy",
                map="0",
                map_metadata=-1,
                fflags="+bitexact",
                # Without these two the encoder's priming at the start of the sound would move everything.
                copyts=None,
                avoid_negative_ts="disabled",
                format=_muxer(target),
            )
            _run(output, target)
        work.commit(path)


def _tiled(cells: list[Any], columns: int, width: int, height: int) -> Any:
    if len(cells) == 1:
        return cells[0]
    layout = "|".join(f"{i % columns * width}_{i // columns * height}" for i in range(len(cells)))
    return ffmpeg.filter(cells, "xstack", inputs=len(cells), layout=layout, fill=_PAPER)


def _run(stream: Any, target: Path) -> None:
    command = stream.global_args("-hide_banner", "-loglevel", "error", "-nostdin").overwrite_output()
    done = subprocess.run(command.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe()), capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise OutputError(f"{target}: FFmpeg failed: {lines[-1]}")


def _label(text: str, width: int) -> Image.Image:
    strip = Image.new("RGB", (width, _LABEL_PX), "#202020")
    ImageDraw.Draw(strip).text((2, 2), text, fill="#e0e0e0", font=ImageFont.load_default(12))
    return strip


def _muxer(target: Path) -> str:
    try:
        return CONTAINERS[target.suffix.lower()]
    except KeyError:
        raise OutputError(f'{target}: cannot write "{target.suffix}" files') from None


def _quoted(path: Path) -> str:
    # The concat demuxer's quoting: close the quote, escape one, open it again.
    return str(path.resolve()).replace("'", "'\\''")
