"""Turns frames done into `Progress` events: a few a second, with rate, speed factor and time to go."""

from __future__ import annotations

import resource
import sys
import time
from collections import deque
from pathlib import Path

from vidanon.pipeline.events import Listener, Progress, Stage, StageDone
from vidanon.types import VideoInfo

INTERVAL = 0.2
"""seconds between two events"""
WINDOW = 10.0
"""seconds over which "lately" is taken"""


class Meter:
    """Counts one stage of one clip; `done` frames are there from an earlier, interrupted run."""

    def __init__(
        self, stage: Stage, path: Path, info: VideoInfo, listen: Listener, *, total: int | None = None, done: int = 0
    ) -> None:
        self._stage: Stage = stage
        self._path = path
        self._listen = listen
        self._total = total if total is not None else info.frames_estimate
        self._rate = float(info.rate) if info.rate else None
        self._frame = self._first = done
        self._faces = 0
        self._start = self._last = time.monotonic()
        self._recent: deque[tuple[float, int]] = deque([(self._start, done)])

    def step(self, frame: int, faces: int) -> None:
        """`frame` frames are done, the last one with so many faces."""
        self._frame = frame
        self._faces += faces
        now = time.monotonic()
        if now - self._last < INTERVAL:
            return
        self._last = now
        self._recent.append((now, frame))
        while now - self._recent[0][0] > WINDOW and len(self._recent) > 2:
            self._recent.popleft()
        (then, before) = self._recent[0]
        fps = (frame - before) / max(now - then, 1e-9)
        total = max(self._total, frame) if self._total is not None else None
        eta = (total - frame) / fps if total is not None and fps > 0 else None
        speed = fps / self._rate if self._rate else None
        self._listen(Progress(self._stage, self._path, frame, total, fps, speed, eta, self._faces))

    def finish(self) -> None:
        """The stage is complete."""
        seconds = time.monotonic() - self._start
        self._listen(StageDone(self._stage, self._path, self._frame, self._faces, seconds))


def peak_memory_mib() -> float:
    """Largest resident size of this process so far, MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent held when it started us
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
