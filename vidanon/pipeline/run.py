"""The main job: inputs in, anonymized copies out, trees mirrored; each file scanned, settled and rendered in turn."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vidanon.errors import InputError, OutputError, UsageError, VidanonError
from vidanon.media.formats import MEDIA_SUFFIXES, WRITABLE_SUFFIXES
from vidanon.media.sequences import is_sequence, sequence_files, sequence_in, sequence_name
from vidanon.media.writer import check_output, output_suffix
from vidanon.models.weights import load_weights
from vidanon.pipeline.cameras import cameras_of
from vidanon.pipeline.events import Failed, Finished, Listener, Note, Started, silent
from vidanon.pipeline.render import render
from vidanon.pipeline.reports import FileReport, RunReport
from vidanon.pipeline.scan import scan
from vidanon.plan.schema import KEY_SUFFIX, PLAN_SUFFIX
from vidanon.render.identity import load_or_create_key
from vidanon.settings import Settings


@dataclass(frozen=True, slots=True)
class Job:
    """One input and where its output goes."""

    source: Path
    """the clip or picture"""
    target: Path
    """the output file"""


def jobs(inputs: Sequence[Path], output: Path) -> list[Job]:
    """What is to be done, in a fixed order.

    `output` is a file if there is one input file and `output` has the suffix of a medium, else a folder in which the
    trees of the input folders are mirrored. Numbered pictures (`take_%04d.png`) are one clip; so is a folder of nothing
    else if `output` is a video. Raises InputError for an input that is not there or a folder without media, UsageError
    if two inputs would have one output or an output is an input.
    """
    if not inputs:
        raise UsageError("no input", hint="name videos, pictures or folders")
    for path in inputs:
        if is_sequence(path):
            sequence_files(path)
        elif not path.exists():
            raise InputError(f"{path}: no such file or folder", hint="check the path")
    if len(inputs) == 1 and inputs[0].is_dir() and output.suffix.lower() in WRITABLE_SUFFIXES and not output.is_dir():
        inputs = [sequence_in(inputs[0]) or inputs[0]]
    as_file = len(inputs) == 1 and not inputs[0].is_dir() and not output.is_dir()
    if as_file and output.suffix.lower() in MEDIA_SUFFIXES:
        return [Job(inputs[0], output)]
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file, and several outputs want a folder", hint="name a folder with -o")
    if as_file and output.suffix:
        raise UsageError(
            f"{output}: {output.suffix} is not a suffix vidanon writes",
            hint="give one such as .mp4, .mkv, .mov, .jpg or .png, or name a folder",
        )
    found = [Job(source, output / mirrored) for path in inputs for source, mirrored in _mirrored(path, output)]
    _refuse_collisions(found)
    return found


def _mirrored(path: Path, output: Path) -> Iterator[tuple[Path, Path]]:
    """(input, output relative to the output folder) of an input file or of the media below an input folder."""
    if not path.is_dir():
        yield path, _renamed(Path(path.name))
        return
    inside = output.resolve()
    media = sorted(
        p
        for p in path.rglob("*")
        if p.suffix.lower() in MEDIA_SUFFIXES and p.is_file() and not p.resolve().is_relative_to(inside)
    )
    if not media:
        raise InputError(f"{path}: no video or picture in this folder", hint="check the path")
    for source in media:
        yield source, _renamed(source.relative_to(path))


def _renamed(path: Path) -> Path:
    if is_sequence(path):
        return Path(f"{sequence_name(path)}.mp4")
    return path.with_suffix(output_suffix(path))


def _refuse_collisions(found: Sequence[Job]) -> None:
    sources = {os.path.realpath(job.source) for job in found}
    taken: dict[str, Path] = {}
    for job in found:
        place = os.path.realpath(job.target)
        if place in sources:
            raise UsageError(f"{job.target} is one of the inputs", hint="choose another output folder")
        if place in taken:
            raise UsageError(
                f"{taken[place]} and {job.source} would both be written to {job.target}",
                hint="run them apart, with different output folders",
            )
        taken[place] = job.source


def anonymize(
    inputs: Sequence[Path],
    output: Path,
    *,
    settings: Settings,
    key_file: Path | None = None,
    plan: Path | None = None,
    listen: Listener | None = None,
) -> RunReport:
    """Anonymizes every input. One that fails, whatever the reason, does not stop the others; it has no output and is
    listed in the report.

    The plan of a file lies beside its output (`plan` names another place, for one input), the key beside the plan with
    mode 0600 (`key_file` names one to share). A finished plan of the same clip is used again. Raises UsageError and
    InputError for a request that makes no sense as a whole, WeightsError without a generator; nothing has been written
    then.
    """
    listen = listen or silent
    todo = jobs(inputs, output)
    if plan is not None and len(todo) > 1:
        raise UsageError(f"--plan names one plan, and there are {len(todo)} inputs", hint="leave it out")
    if settings.render.method == "gan":
        load_weights("generator")  # the end of an hour's scan is too late to miss them
    shared = load_or_create_key(key_file) if key_file is not None else None
    files: list[FileReport] = []
    failures: list[tuple[Path, VidanonError]] = []
    for number, job in enumerate(todo, 1):
        listen(Started(job.source, job.target, number, len(todo)))
        try:
            report = _one(job, settings=settings, shared=shared, plan=plan, listen=listen)
        except BrokenPipeError:  # who listens has gone away
            raise
        except Exception as e:  # noqa: BLE001 - a fault of ours in one file is no reason to leave the others undone
            error = e if isinstance(e, VidanonError) else _unforeseen(job.source, e)
            failures.append((job.source, error))
            listen(Failed(job.source, error))
        else:
            files.append(report)
            listen(Finished(job.source, report))
    return RunReport(files=tuple(files), failures=tuple(failures))


def _unforeseen(source: Path, error: Exception) -> VidanonError:
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    made = VidanonError(f"{source}: {what}", hint="a fault of vidanon or of its device: VIDANON_DEBUG=1 shows where")
    made.__cause__ = error
    return made


def _one(job: Job, *, settings: Settings, shared: bytes | None, plan: Path | None, listen: Listener) -> FileReport:
    """Scan, settle and render of one file, one report over all."""
    begin = time.monotonic()
    _make_folder(job.target.parent)
    plan_path = plan or job.target.with_name(job.target.name + PLAN_SUFFIX)
    infos = [camera.info for camera in cameras_of(job.source, plan_path, settings.output)]
    check_output(job.target, infos, settings=settings.output)  # what is wrong is known before an hour of scanning
    key_path = plan_path.with_name(plan_path.name + KEY_SUFFIX)
    if shared is None and key_path.exists():
        shared = load_or_create_key(key_path)  # one that cannot be used is known before the scan
    scanned = scan(job.source, plan_path, settings=settings, listen=listen)
    if scanned.faces == 0:
        listen(Note(job.source, "no face was found; the copy is written unpainted"))
    key = shared or load_or_create_key(key_path)
    report = render(job.source, plan_path, job.target, settings=settings, key=key, listen=listen)
    seconds = time.monotonic() - begin
    return replace(report, seconds=seconds, fps=report.frames / max(seconds, 1e-9))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(f"{folder}: cannot be made: {e.strerror}", hint="choose another output folder") from e
