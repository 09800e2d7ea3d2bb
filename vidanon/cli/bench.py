"""The verb that runs the main job over many clips, each in a process of its own, and tabulates what came out.

In come clips and folders; one line a clip goes to stdout as soon as it is done: what went in and came out, whether
times and sound are equal, what covered the faces, speed and peak memory, what the pixels elsewhere have lost.
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
from vidanon.settings import OutputSettings, Settings

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
    "PSNR dB",
)
TEMPORAL = (
    ("naked", "naked", "d"),
    ("coverage", "coverage", ".4f"),
    ("E_warp x", "e_warp_ratio", ".2f"),
    ("dlib p95", "step_p95", ".3f"),
    ("jitter px", "jitter", ".2f"),
    ("mouth", "mouth", ".3f"),
)
"""what --temporal adds: header, field of evaluate's Figures, format"""
EVERY = 5
"""the dlib distance is slow: of every so many pairs of frames, one is measured"""
IO_HEADERS = ("whole s", "decode s", "encode s", "share")
Row = dict[str, Any]


def bench(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Videos, pictures, or folders of either.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the copies.")],
    preset: o.Preset = None,
    method: o.MethodOption = None,
    device: o.Device = None,
    io: Annotated[
        bool, typer.Option("--io", help="Also time decoding and encoding alone, against the whole run.")
    ] = False,
    temporal: Annotated[
        bool, typer.Option("--temporal", help="Also measure how still the faces hold; wants the extra evaluate.")
    ] = False,
    as_json: o.JsonOption = False,
) -> None:
    """Run the main job over clips, one process each, and print what came out as a Markdown table.

    [bold]Examples[/bold]

    $ vidanon bench clips/ -o bench/
    $ vidanon bench clips/ -o bench/ --method blur --json > bench.json
    $ vidanon bench interview.mp4 -o bench/ --io

    Times and sound are compared packet by packet, pixels outside the faces by PSNR (luma). Exit code 1 says that a clip
    failed or differs. With --io, decoding and encoding are timed again by themselves, one after the other and without
    writing anything; their share is that of their sum in the whole run's wall clock, in which they overlap with the
    networks. --temporal adds what `vidanon evaluate temporal` finds over all faces.
    """
    from vidanon.pipeline.run import jobs

    settings, _ = o.settings_of(preset, {"render.method": method, "run.device": device}, None)
    flags = [f"--preset={preset}"] if preset else []
    flags += [f"--method={method}"] if method else []
    flags += [f"--device={device}"] if device else []
    rows: list[Row] = []
    more = tuple(header for header, _, _ in TEMPORAL) if temporal else ()
    headers = HEADERS + more + (IO_HEADERS if io else ())
    if not as_json:
        console.put("| " + " | ".join(headers) + " |")
        console.put("|" + "---|" * len(headers))
    for job in jobs(inputs, output):
        rows.append(measure(job.source, job.target, flags, settings))
        if temporal:
            rows[-1]["temporal"] = None if rows[-1]["exit"] else steadiness(job.source, job.target, settings)
        if io and not rows[-1]["exit"]:
            rows[-1] |= ends(job.source, job.target, rows[-1]["seconds"], settings.output)
        if not as_json:
            console.put("| " + " | ".join(cells(rows[-1], width=len(headers))) + " |")
    if as_json:
        console.put_json(rows)
    wrong = [str(row["clip"]) for row in rows if row["exit"] or not (row["pts_equal"] and row["audio_equal"])]
    if wrong:
        raise VidanonError(f"{len(wrong)} of {len(rows)} failed or differ: {', '.join(wrong)}")


def measure(source: Path, target: Path, flags: list[str], settings: Settings) -> Row:
    """Runs one clip in a fresh process, so that its peak memory is its own, and compares the copy with the source."""
    from vidanon.media.probe import is_still
    from vidanon.pipeline.compare import compare_outside
    from vidanon.plan.schema import PLAN_SUFFIX

    command = [sys.executable, "-m", "vidanon", "run", str(source), "-o", str(target), "--overwrite", "--json"]
    done = subprocess.run([*command, "--progress=none", *flags], check=False, capture_output=True, text=True)
    row: Row = {"clip": source.name, "exit": done.returncode, "pts_equal": False, "audio_equal": False}
    if done.returncode:
        console.say(done.stderr.strip())
        return row
    report = json.loads(done.stdout)["files"][0]
    row |= {k: report[k] for k in ("tracks", "faces", "painted", "fallbacks", "fps", "seconds", "peak_memory_mib")}
    row["psnr_db"] = None
    if is_still(source):
        return row | {"frames_in": 1, "frames_out": report["frames"], "pts_equal": True, "audio_equal": True}
    plan = target.with_name(target.name + PLAN_SUFFIX)
    found = compare_outside(source, target, plan, settings=settings.render)
    return row | {
        "frames_in": found.frames_in,
        "frames_out": found.frames_out,
        "pts_equal": found.pts_equal and found.frames_in == found.frames_out,
        "audio_equal": found.audio_packets_equal,
        "psnr_db": found.fidelity.psnr_db if found.fidelity else None,
    }


def steadiness(source: Path, target: Path, settings: Settings) -> Row | None:
    """The figures of `evaluate temporal` over all faces of a copy, None for a still."""
    import dataclasses

    from vidanon.detect.landmarks import FaceLandmarker
    from vidanon.evaluate.temporal import Output
    from vidanon.evaluate.temporal import measure as measure_temporal
    from vidanon.media.probe import is_still
    from vidanon.models.embeddings import FaceEmbedder
    from vidanon.pipeline.device import pick_device
    from vidanon.plan.schema import PLAN_SUFFIX
    from vidanon.render.align import CROP_SCALE

    if is_still(source):
        return None
    locator, plan = (
        FaceLandmarker.shipped(pick_device(settings.run.device)),
        target.with_name(target.name + PLAN_SUFFIX),
    )
    copy = Output(target.name, target)
    found = measure_temporal(
        source, [copy], plan, embedder=FaceEmbedder(scale=CROP_SCALE), locator=locator, every=EVERY
    )
    return dataclasses.asdict(found.report.clips[1].whole)


def ends(source: Path, target: Path, whole: float, settings: OutputSettings) -> Row:
    """What decoding and encoding a clip cost alone, and their share of the `whole` run's seconds."""
    from vidanon.media.cost import transcode_cost
    from vidanon.media.probe import is_still

    if is_still(source):
        return {}
    cost = transcode_cost(source, target, settings=settings)
    share = (cost.decode_seconds + cost.encode_seconds) / whole
    return {"decode_seconds": cost.decode_seconds, "encode_seconds": cost.encode_seconds, "share": share}


def cells(row: Row, *, width: int = len(HEADERS)) -> list[str]:
    """A row of the table, in the order of HEADERS, TEMPORAL and IO_HEADERS, `width` cells."""
    if row["exit"]:
        return [row["clip"], str(row["exit"]), *[""] * (width - 2)]
    gan = row["painted"].get("gan", 0)
    numbers = (row["tracks"], row["faces"], gan, sum(row["painted"].values()) - gan, row["fallbacks"])
    texts = [
        row["clip"],
        "0",
        str(row["frames_in"]),
        str(row["frames_out"]),
        "equal" if row["pts_equal"] else "DIFFER",
        "equal" if row["audio_equal"] else "DIFFER",
        *map(str, numbers),
        f"{row['fps']:.2f}",
        f"{row['peak_memory_mib']:.0f}",
        "" if row["psnr_db"] is None else f"{row['psnr_db']:.1f}",
    ]
    if "temporal" in row:
        figures = row["temporal"] or {}
        texts += ["" if figures.get(name) is None else format(figures[name], form) for _, name, form in TEMPORAL]
    if "share" in row:
        texts += [f"{row[k]:.2f}" for k in ("seconds", "decode_seconds", "encode_seconds")] + [f"{row['share']:.0%}"]
    return texts + [""] * (width - len(texts))
