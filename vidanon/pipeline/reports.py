"""What a scan, a render and a whole run report when they are done.

Plain frozen data: comes from `scan`, `render` and `anonymize`, goes to the front end, to `--json` and to the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vidanon.errors import VidanonError


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanReport:
    """One clip, scanned and settled; nothing is painted yet."""

    source: Path
    """the clip"""
    plan: Path
    """the plan file written beside it or where it was asked for"""
    frames: int
    """frames in the plan"""
    resumed_at: int
    """frame index the scan went on from; 0 for a fresh one"""
    detections: int
    """faces found, frame by frame, at or above the weak threshold"""
    tracks: int
    """people, shot by shot"""
    faces: int
    """face-frames in the settled plan: what a render has to cover"""
    seconds: float
    """wall clock"""
    fps: float
    """frames scanned a second, of those this call scanned"""
    device: str
    """device the detector really ran on"""
    decoder: str
    """what really decoded, with its threads"""
    peak_memory_mib: float
    """largest resident size of the process so far, MiB"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """One output file, complete and renamed to its final name."""

    source: Path
    """the clip"""
    target: Path
    """the anonymized copy"""
    frames: int
    """frames written (of several cameras: all together)"""
    resumed_at: int = 0
    """frames of them that an earlier, interrupted run had left; 0 for a fresh one"""
    tracks: int
    """people, shot by shot, that the plan knows (kept ones too)"""
    faces: int
    """face-frames the plan asked to cover"""
    painted: Mapping[str, int]
    """face-frames by the method that really covered them"""
    fallbacks: int
    """face-frames that the asked-for method could not paint and the fallback covered"""
    seconds: float
    """wall clock"""
    fps: float
    """frames a second over all stages"""
    device: str
    """device the networks really ran on"""
    decoder: str
    """what really decoded, with its threads"""
    encoder: str
    """what really encoded"""
    peak_memory_mib: float
    """largest resident size of the process so far, MiB"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A whole run: what came out, and what did not."""

    files: tuple[FileReport, ...]
    """finished outputs, in input order"""
    failures: tuple[tuple[Path, VidanonError], ...]
    """inputs that have no output, each with its reason"""

    @property
    def ok(self) -> bool:
        """True when every input has its output."""
        return not self.failures


def failure_document(path: Path, error: VidanonError) -> dict[str, object]:
    """A failure as JSON-ready data: source, error class, message, hint, exit code."""
    return {
        "source": str(path),
        "error": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }


def document(report: ScanReport | FileReport | RunReport) -> dict[str, object]:
    """A report as JSON-ready data (paths as text), the shape `--json` prints."""
    if isinstance(report, RunReport):
        return {
            "files": [document(item) for item in report.files],
            "failures": [failure_document(path, error) for path, error in report.failures],
        }
    built: dict[str, object] = msgspec.to_builtins(report, enc_hook=str)
    return built
