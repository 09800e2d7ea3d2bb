"""Reports in words: the lines a person reads when an input or a run is done.

In come the reports of `vidanon.pipeline.reports`, out go plain lines.
"""

from __future__ import annotations

from vidanon.pipeline.reports import FileReport, RunReport, ScanReport


def clock(seconds: float) -> str:
    """Seconds as people say them: 4.2 s, 3:05, 1:02:03."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: 1 face, 3 faces."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def describe(report: FileReport | ScanReport) -> list[str]:
    """What was done to one input."""
    if isinstance(report, ScanReport):
        return _describe_scan(report)
    lines = [f"{report.source} -> {report.target}"]
    size = f"{count(report.frames, 'frame')}, {count(report.tracks, 'track')}"
    if not report.faces:
        lines.append(f"  {size}, no face to cover")
    else:
        by_method = ", ".join(f"{number} {method}" for method, number in report.painted.items() if number)
        lines.append(f"  {size}, {count(report.faces, 'face')} covered: {by_method}")
        rest = report.faces - sum(report.painted.values())
        if rest > 0 and not report.resumed_at:
            lines.append(f"  {rest} of them beyond the picture's edge, or behind a face that is covered")
    if report.fallbacks:
        lines.append(f"  {count(report.fallbacks, 'face')} could not be painted as asked and got the fallback")
    lines.append(f"  {report.device}, {report.decoder}, {report.encoder}: {_cost(report)}")
    return lines


def _cost(report: FileReport | ScanReport) -> str:
    return f"{report.fps:.1f} fps, {clock(report.seconds)}, peak {report.peak_memory_mib:.0f} MiB"


def _describe_scan(report: ScanReport) -> list[str]:
    size = f"{count(report.frames, 'frame')}, {count(report.tracks, 'track')}"
    resumed = f" (went on from frame {report.resumed_at})" if report.resumed_at else ""
    return [
        f"{report.source} -> {report.plan}{resumed}",
        f"  {size}, {count(report.faces, 'face')} to cover ({count(report.detections, 'detection')})",
        f"  {report.device}, {report.decoder}: {_cost(report)}",
    ]


def total(report: RunReport) -> str:
    """One line for a run of several inputs."""
    frames = sum(item.frames for item in report.files)
    faces = sum(item.faces for item in report.files)
    seconds = sum(item.seconds for item in report.files)
    line = f"{count(len(report.files), 'file')} done, {count(frames, 'frame')}, {count(faces, 'face')} covered"
    line += f" in {clock(seconds)}"
    return f"{line}; {count(len(report.failures), 'file')} failed" if report.failures else line
