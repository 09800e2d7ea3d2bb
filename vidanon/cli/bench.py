"""The verb that runs the main job over many clips, each in a process of its own, and tabulates what came out.

In come clips and folders; one line a clip goes to stdout as soon as it is done: what went in and came out, whether
times and sound are equal, what covered the faces, speed and peak memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vidanon.cli import console
from vidanon.cli import options as o
from vidanon.errors import VidanonError

HEADERS = (
    "clip",
    "exit",
    "frames in",
    "out",
    "pts",
    "audio",
    "tracks",
    "faces",
    "gan",
    "other",
    "fallback",
    "fps",
    "MiB",
)
Row = dict[str, Any]


def bench(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Videos, pictures, or folders of either.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the copies.")],
    preset: o.Preset = None,
    method: o.MethodOption = None,
    device: o.Device = None,
    as_json: o.JsonOption = False,
) -> None:
    """Run the main job over clips, one process each, and print what came out as a Markdown table.

    [bold]Examples[/bold]

    $ vidanon bench clips/ -o bench/
    $ vidanon bench clips/ -o bench/ --method blur --json > bench.json

    Times and sound are compared packet by packet. Exit code 1 says that a clip failed or differs.
    """
    from vidanon.pipeline.run import jobs

    flags = [f"--preset={preset}"] if preset else []
    flags += [f"--method={method}"] if method else []
    flags += [f"--device={device}"] if device else []
    rows: list[Row] = []
    if not as_json:
        console.put("| " + " | ".join(HEADERS) + " |")
        console.put("|" + "---|" * len(HEADERS))
    for job in jobs(inputs, output):
        rows.append(measure(job.source, job.target, flags))
        if not as_json:
            console.put("| " + " | ".join(cells(rows[-1])) + " |")
    if as_json:
        console.put_json(rows)
    wrong = [str(row["clip"]) for row in rows if row["exit"] or not (row["pts_equal"] and row["audio_equal"])]
    if wrong:
        raise VidanonError(f"{len(wrong)} of {len(rows)} failed or differ: {', '.join(wrong)}")


def measure(source: Path, target: Path, flags: list[str]) -> Row:
    """Runs one clip in a fresh process, so that its peak memory is its own, and compares the copy with the source."""
    from vidanon.media.compare import compare
    from vidanon.media.probe import is_still

    command = [sys.executable, "-m", "vidanon", "run", str(source), "-o", str(target), "--overwrite", "--json"]
    done = subprocess.run([*command, "--progress=none", *flags], check=False, capture_output=True, text=True)
    row: Row = {"clip": source.name, "exit": done.returncode, "pts_equal": False, "audio_equal": False}
    if done.returncode:
        console.say(done.stderr.strip())
        return row
    report = json.loads(done.stdout)["files"][0]
    row |= {k: report[k] for k in ("tracks", "faces", "painted", "fallbacks", "fps", "peak_memory_mib")}
    if is_still(source):
        return row | {"frames_in": 1, "frames_out": report["frames"], "pts_equal": True, "audio_equal": True}
    found = compare(source, target)
    return row | {
        "frames_in": found.frames_in,
        "frames_out": found.frames_out,
        "pts_equal": found.pts_equal and found.frames_in == found.frames_out,
        "audio_equal": found.audio_packets_equal,
    }


def cells(row: Row) -> list[str]:
    """A row of the table, in the order of HEADERS."""
    if row["exit"]:
        return [row["clip"], str(row["exit"]), *[""] * (len(HEADERS) - 2)]
    gan = row["painted"].get("gan", 0)
    numbers = (row["tracks"], row["faces"], gan, sum(row["painted"].values()) - gan, row["fallbacks"])
    return [
        row["clip"],
        "0",
        str(row["frames_in"]),
        str(row["frames_out"]),
        "equal" if row["pts_equal"] else "DIFFER",
        "equal" if row["audio_equal"] else "DIFFER",
        *map(str, numbers),
        f"{row['fps']:.2f}",
        f"{row['peak_memory_mib']:.0f}",
    ]
