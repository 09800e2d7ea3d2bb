"""A temporal measurement as a picture: what trembles, and when.

In: `Measured`. Out: a PNG with one row of axes a measure, time from left to right, a line a clip. Needs matplotlib, of
the extra `vidanon[evaluate]`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from vidanon.errors import OutputError, UsageError
from vidanon.evaluate.report import Measured
from vidanon.evaluate.series import Series
from vidanon.evaluate.steadiness import even, high_pass

HINT = "pip install 'vidanon[evaluate]'"
COLOURS = ("#222222", "#d95f02", "#7570b3", "#1b9e77", "#e7298a", "#66a61e")
"""of the source, then of the outputs"""


def require(target: Path, *, overwrite: bool) -> None:
    """Raises what would keep a plot from being drawn, before an hour is spent measuring.

    That is UsageError without matplotlib, OutputError if the picture is there already.
    """
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists", hint="choose another name, or pass --overwrite")
    try:
        importlib.import_module("matplotlib")
    except ImportError as e:
        raise UsageError("a plot wants matplotlib, which is not installed", hint=HINT) from e


def plot(measured: Measured, target: Path, *, track: int | None = None, overwrite: bool = False) -> Path:
    """Draws one track (default: the longest) to `target`, a PNG.

    Raises UsageError if there is no such track or no matplotlib, OutputError if the picture is there or cannot be
    written.
    """
    require(target, overwrite=overwrite)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    track = measured.track(track)
    figure = Figure(figsize=(12, 10), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(4, 1, sharex=True)
    for i, (clip, series) in enumerate(zip(measured.report.clips, measured.series[track], strict=True)):
        _draw(axes, measured, series, {"color": COLOURS[i % len(COLOURS)], "linewidth": 1.0, "label": clip.name})
    axes[0].set_yscale("log")
    labels = (
        "warping error in the face\nroot mean square, of 255",
        "dlib distance\nto the frame before",
        "crop above 5 Hz\npx of the source",
        "mouth opening\nface sizes",
    )
    for axis, label in zip(axes, labels, strict=True):
        axis.set_ylabel(label)
        axis.grid(visible=True, alpha=0.3)
    axes[0].legend(loc="upper right", ncols=len(measured.report.clips), fontsize="small")
    axes[0].set_title(f"{measured.report.original}, track {track}")
    axes[-1].set_xlabel("seconds")
    try:
        figure.savefig(target, format="png", dpi=100, metadata={"Software": None})
    except OSError as e:
        raise OutputError(f"{target}: cannot be written: {e.strerror}", hint="choose another folder") from e
    return target


def _draw(axes: Any, measured: Measured, series: Series, style: dict[str, Any]) -> None:
    """The lines of one clip."""
    times = np.array(measured.times)[series.frames]
    axes[0].plot(times, 255 * np.sqrt(series.error), **style)
    # a dot each: where only every N-th pair was measured there is no line between them
    axes[1].plot(times, series.step, **style, marker=".")
    trembling = high_pass(series.crop_times, np.array(series.corners).mean(axis=1)) if series.corners else None
    if trembling is not None:
        axes[2].plot(even(series.crop_times), trembling[:, 0], **style)
    axes[3].plot(times, series.mouth, **style)
