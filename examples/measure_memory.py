"""Measures whether a run's memory grows with the length of the clip: draws clips, runs the main job, prints a table.

    python examples/measure_memory.py [--frames 300,1200,6000] [--size 1920x1080] [--folder FOLDER] [-- OPTION...]

Each clip shows a drawn street along which NASA's portrait of Eileen Collins (scikit-image) walks to and fro, with a
tone as sound. Each is anonymized by `vidanon run` in a process of its own, with the OPTIONs behind `--`; the peak is
that process's largest resident size, as its report says. Clips and outputs go to FOLDER, by default a temporary one.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from demo_scenery import HEIGHT, street
from make_demo_clip import Person, cut_out, placed
from skimage import data

RATE = 25
SOUND_RATE = 48_000


def draw(path: Path, *, frames: int, width: int, height: int) -> None:
    """Draws a clip of so many frames: a person walks about half as fast as the street is wide in ten seconds."""
    portrait = data.astronaut()  # type: ignore[no-untyped-call]
    person = Person(np.asarray(portrait / 255, np.float32), cut_out(portrait))
    view = street(np.random.default_rng(7))[0]
    view = np.asarray(cv2.resize(view, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    zoom = height / HEIGHT
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "21", "preset": "superfast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = container.add_stream("aac", rate=SOUND_RATE, layout="mono", bit_rate=64_000)
        for index in range(frames):
            canvas = view.copy()
            phase = 2 * math.pi * index / (20 * RATE)
            x = width * (0.5 + 0.35 * math.sin(phase))
            placed(canvas, person, x=x, y=0.45 * height, scale=1.2 * zoom, roll=4 * math.sin(9 * phase))
            frame = av.VideoFrame.from_ndarray(cv2.convertScaleAbs(canvas, alpha=255).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(video.encode(frame))
            start = index * SOUND_RATE // RATE
            wave = 0.2 * np.sin(np.arange(start, start + SOUND_RATE // RATE, dtype=np.float32) / 20)
            sound = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
            container.mux(audio.encode(sound))
        for stream in (video, audio):
            container.mux(stream.encode(None))


def measure(folder: Path, *, frames: int, width: int, height: int, options: Sequence[str]) -> list[str]:
    """One row of the table: frames, faces covered, seconds, frames a second, peak in MiB."""
    clip, target = folder / f"{frames}.mp4", folder / f"{frames}-safe.mp4"
    if not clip.exists():
        draw(clip, frames=frames, width=width, height=height)
    target.with_name(f"{target.name}.vidanon").unlink(missing_ok=True)  # a plan that is there would spare the scan
    command = [sys.executable, "-m", "vidanon", "run", str(clip), "-o", str(target), "--overwrite", "--json"]
    done = subprocess.run([*command, "--progress=none", *options], check=True, stdout=subprocess.PIPE, text=True)
    report = json.loads(done.stdout)["files"][0]
    assert report["frames"] == frames
    numbers = (frames, report["faces"], round(report["seconds"]), round(report["fps"], 1))
    return [*map(str, numbers), str(round(report["peak_memory_mib"]))]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measures peak memory over the length of a clip.")
    parser.add_argument("--frames", default="300,1200,6000", help="lengths, with commas between them")
    parser.add_argument("--size", default="1920x1080", help="of the picture, px")
    parser.add_argument("--folder", type=Path, help="where clips and outputs stay")
    parser.add_argument("options", nargs="*", help="options of `vidanon run`, behind --")
    asked = parser.parse_args()
    width, height = map(int, asked.size.split("x"))
    print("| frames | faces | seconds | fps | peak MiB |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for frames in map(int, asked.frames.split(",")):
            row = measure(folder, frames=frames, width=width, height=height, options=asked.options)
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
