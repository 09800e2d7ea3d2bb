"""The fixture matrix: every defect a clip may have, what must stay equal, what must be gone, and the exit code.

`run_case` takes one clip the whole way of `vidanon run` (with stand-ins for the networks) and lists what is wrong with
the outcome. `python -m tests.matrix` prints the table of the README.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent))  # for `python -m tests.matrix`; pytest does the same

import matrix_facts as f
import msgspec
from matrix_cases import CASES, Case
from street import CardDetector, CardLandmarker

from vidanon.errors import VidanonError
from vidanon.pipeline import scan as scan_stage
from vidanon.pipeline.run import anonymize
from vidanon.settings import OutputSettings, RenderSettings, RunSettings, Settings

SETTINGS = Settings(
    render=RenderSettings(method="solid"),
    output=OutputSettings(encoder_preset="veryfast"),
    run=RunSettings(device="cpu", threads=1),
)


@dataclass
class Outcome:
    """What became of a case."""

    exit_code: int = 0
    message: str = ""
    output: Path | None = None
    equal: list[str] = field(default_factory=list)
    """facts that are the source's"""
    changed: dict[str, object] = field(default_factory=dict)
    """facts that are not, and may"""
    gone: list[str] = field(default_factory=list)
    psnr: float | None = None
    """dB outside the masks, over the worst camera"""
    problems: list[str] = field(default_factory=list)
    """what is wrong; nothing where the case passes"""


@contextmanager
def card_networks() -> Iterator[None]:
    """Stand-ins that find cards instead of faces."""
    with (
        mock.patch.object(scan_stage.FaceLandmarker, "shipped", return_value=CardLandmarker()),
        mock.patch.object(scan_stage, "build_detector", side_effect=lambda *_, **__: CardDetector()),
    ):
        yield


def run_case(case: Case, folder: Path) -> Outcome:
    """Draws the clip in `folder`, anonymizes it, and looks at what came out."""
    (folder / "in").mkdir()
    source = case.make(folder / "in" / case.source)
    target = folder / "out" / case.target
    settings = msgspec.structs.replace(SETTINGS, output=msgspec.structs.replace(SETTINGS.output, **case.output))
    result = Outcome()
    (folder / "out").mkdir()
    try:
        with card_networks():
            report = anonymize([source], target, settings=settings)
    except VidanonError as error:
        result.exit_code, result.message = error.exit_code, str(error)
    else:
        if report.failures:
            error = report.failures[0][1]
            result.exit_code, result.message = error.exit_code, str(error)
    found = sorted(p for p in (folder / "out").iterdir() if ".vidanon" not in p.name)
    if result.exit_code != case.exit_code:
        result.problems.append(f"exit code {result.exit_code}, not {case.exit_code}: {result.message}")
    elif result.exit_code:
        result.problems += [f"left behind: {p.name}" for p in found]
        result.problems += _leftovers(folder / "out")
        if case.says not in result.message or "\n" in result.message:
            result.problems.append(f"says: {result.message}")
    elif len(found) != 1:
        result.problems.append(f"in the folder: {[p.name for p in found]}")
    else:
        result.output = found[0]
        result.problems += _leftovers(folder / "out")
        _look(case, source, found[0], result)
    return result


def _leftovers(folder: Path) -> list[str]:
    return [f"left behind: {p.name}" for p in folder.iterdir() if p.name.endswith(("-work", ".part"))]


def _look(case: Case, source: Path, output: Path, result: Outcome) -> None:
    mirrored = not case.target and "%" not in source.name and source.suffix != ".gif"
    if mirrored and output.name != source.name:
        result.problems.append(f"{output.name} is not the source's name")
    levels = [_compare(case, source, output, camera, result) for camera in range(case.cameras)]
    result.psnr = min(levels)
    if result.psnr < case.psnr:
        result.problems.append(f"{result.psnr:.1f} dB outside the masks")
    allowed = {"second camera"} if case.cameras > 1 else set()
    allowed |= {"data stream"} if f.facts(output)["timecode"] else set()
    result.problems += [f"passed on: {what}" for what in f.others(output) - allowed]
    result.gone = sorted(f.others(source) - f.others(output))
    if f.video_packets(source) & f.video_packets(output):
        result.problems.append("a video packet of the source is in the output")
    for text in case.gone:
        if text not in source.read_bytes():
            result.problems.append(f"the source does not hold {text!r}")
        if text in output.read_bytes():
            result.problems.append(f"the output holds {text!r}")
        result.gone.append(f'"{text.decode()}"')
    if words := f.complaints(output):
        result.problems.append(f"ffmpeg says: {words}")


def _compare(case: Case, source: Path, output: Path, camera: int, result: Outcome) -> float:
    """One camera's facts and faces; returns the dB outside the masks."""
    before, after = f.facts(source, camera), f.facts(output, camera)
    for name, value in before.items():
        if name in case.becomes and after[name] == case.becomes[name]:
            result.changed[name] = after[name]
        elif after[name] == value:
            result.equal.append(name)
        else:
            result.problems.append(f"camera {camera}: {name}: {value} became {after[name]}")
    if wrong := f.untrue_duration(output, camera):
        result.problems.append(wrong)
    if not f.naked_pixels(source, camera):
        result.problems.append("no card was drawn")
    if naked := f.naked_pixels(output, camera):
        result.problems.append(f"camera {camera}: {naked} px of the card show")
    return f.psnr_outside(source, output, camera)


def table(cases: Mapping[str, Case] = CASES) -> Iterator[str]:
    """The lines of a Markdown table, one case after the other. AssertionError where one has a problem."""
    yield "| clip | output | as in the source | gone | outside the masks | exit code |"
    yield "|---|---|---|---|---|---|"
    for case in cases.values():
        with tempfile.TemporaryDirectory() as folder:
            result = run_case(case, Path(folder))
            assert not result.problems, (case.defect, result.problems)
            codec = f.facts(result.output)["codec"] if result.output else ""
            name = f"{result.output.suffix}, {codec}" if result.output else f"none: {_short(result.message, folder)}"
        alike = f"all but {', '.join(result.changed)}" if result.changed else "all" if result.equal else ""
        level = f"{result.psnr:.1f} dB" if result.psnr is not None else ""
        yield f"| {' | '.join((case.defect, name, alike, ', '.join(result.gone), level))} | {result.exit_code} |"


def _short(message: str, folder: str) -> str:
    return message.replace(f"{folder}/in/", "").replace(f"{folder}/out/", "").split(" (")[0]


if __name__ == "__main__":
    for line in table():
        print(line, flush=True)  # noqa: T201 - the table is what it is run for
