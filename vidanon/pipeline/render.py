"""Pass 2: a clip and its settled plan in, the anonymized copy out, or nothing at all.

Every face the plan knows and no person has asked to keep is covered; whatever stops the work leaves no file.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from vidanon.errors import PlanError
from vidanon.geometry import area
from vidanon.media.pixels import paste, read_region
from vidanon.media.probe import fingerprint
from vidanon.media.reader import Frame, Reader
from vidanon.media.writer import Writer
from vidanon.pipeline.device import limit_threads, pick_device
from vidanon.pipeline.events import Listener, silent
from vidanon.pipeline.meter import Meter, peak_memory_mib
from vidanon.pipeline.reports import FileReport
from vidanon.plan.store import Plan
from vidanon.render.compose import FaceJob, FaceRenderer, RenderedFace
from vidanon.settings import Settings
from vidanon.types import Observation


def render(
    source: Path, plan_path: Path, target: Path, *, settings: Settings, key: bytes, listen: Listener = silent
) -> FileReport:
    """Paints the plan's faces over the clip and writes `target`.

    Raises PlanError if the plan is unfinished or does not fit the clip frame by frame, RenderError if a face cannot be
    covered, OutputError if the target cannot be written; then there is nothing at `target`.
    """
    begin = time.monotonic()
    limit_threads(settings.run.threads)
    device = pick_device(settings.run.device)
    painted: Counter[str] = Counter()
    fallbacks = faces = frames = 0
    with Plan.open(plan_path) as plan:
        plan.require_source(fingerprint(source))
        plan.require_settled()
        tracks = {track.number: track for track in plan.tracks()}
        identities = {n: t.identity for n, t in tracks.items() if t.action == "anonymize"}
        with (
            Reader(source) as reader,
            Writer(target, reader.info, settings=settings.output) as writer,
            closing(_planned(plan, identities)) as planned,
        ):
            renderer = FaceRenderer(settings.render, key, device)
            meter = Meter("render", source, reader.info, listen, total=plan.header.frames)
            for batch in reader.batches(settings.run.batch_size):
                wanted = [_of_frame(plan_path, planned, frame) for frame in batch]
                results = _paint(renderer, batch, wanted, identities)
                for frame, observations, rendered in zip(batch, wanted, results, strict=True):
                    writer.write(paste(frame, [face.patch for face in rendered]))
                    painted.update(face.method for face in rendered)
                    fallbacks += sum(face.fallback for face in rendered)
                    faces += len(observations)
                    frames += 1
                    meter.step(frames, len(observations))
            if next(planned, None) is not None:
                raise PlanError(
                    f"{source}: the clip ends at frame {frames}, its plan has {plan.header.frames}",
                    hint=f"delete {plan_path} and scan again",
                )
            decoder = f"{reader.report.decoder}, {reader.report.threads} threads"
        meter.finish()
        seconds = time.monotonic() - begin
        return FileReport(
            source=source,
            target=target,
            frames=frames,
            tracks=len(tracks),
            faces=faces,
            painted=dict(painted),
            fallbacks=fallbacks,
            seconds=seconds,
            fps=frames / max(seconds, 1e-9),
            device=device,
            decoder=decoder,
            encoder=f"{writer.report.encoder}, {writer.report.pix_fmt}",
            peak_memory_mib=peak_memory_mib(),
        )


def _planned(plan: Plan, identities: dict[int, str]) -> Generator[tuple[int, int, list[Observation]]]:
    """(index, pts, faces to cover) of every frame of the plan, in order."""
    with closing(plan.observations()) as groups, closing(plan.frame_times()) as times:
        group = next(groups, None)
        for index, pts in times:
            found: list[Observation] = []
            if group is not None and group[0] == index:
                # the largest is painted last: it is nearest, or the whole face of which another is a part
                found = sorted((item for item in group[1] if item.track in identities), key=lambda item: area(item.box))
                group = next(groups, None)
            yield index, pts, found


def _of_frame(
    plan_path: Path, planned: Iterator[tuple[int, int, list[Observation]]], frame: Frame
) -> list[Observation]:
    """The plan's faces of a decoded frame. Raises PlanError if the plan speaks of another frame."""
    index, pts, found = next(planned, (-1, -1, []))
    if (index, pts) != (frame.index, frame.pts):
        raise PlanError(
            f"{plan_path}: frame {frame.index}, pts {frame.pts}, of the clip is the plan's frame {index}, pts {pts}",
            hint="delete the plan and scan again",
        )
    return found


def _paint(
    renderer: FaceRenderer, batch: Sequence[Frame], wanted: Sequence[Sequence[Observation]], identities: dict[int, str]
) -> list[list[RenderedFace]]:
    """Rendered faces of each frame; all frames' faces go to the generator together."""
    jobs: list[FaceJob] = []
    owners: list[int] = []
    for i, (frame, observations) in enumerate(zip(batch, wanted, strict=True)):
        for item in observations:
            region = renderer.region(item, frame.width, frame.height)
            if region is None:
                continue  # a padded or extrapolated face that has left the picture: there is nothing to cover
            others = [other for other in observations if other is not item]
            rgb = read_region(frame, region)
            jobs.append(FaceJob(item, identities[item.track], rgb, region, frame.width, frame.height, others))
            owners.append(i)
    results: list[list[RenderedFace]] = [[] for _ in batch]
    for i, face in zip(owners, renderer.render(jobs), strict=True):
        results[i].append(face)
    return results
