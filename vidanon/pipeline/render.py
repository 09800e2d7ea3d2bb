"""Pass 2: a clip and its settled plan in, the anonymized copy out, or nothing at all.

Every face the plan knows and no person has asked to keep is covered; whatever stops the work leaves no file. What was
finished of it until then stays in a work folder, and the same request goes on there with the same result.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vidanon.errors import PlanError
from vidanon.geometry import area, within
from vidanon.media.pixels import paste, read_region
from vidanon.media.reader import Frame, Reader
from vidanon.media.sinks import FrameSink
from vidanon.media.writer import Writer
from vidanon.pipeline.cameras import Camera, cameras_of
from vidanon.pipeline.casting import Person, cast_all
from vidanon.pipeline.device import limit_threads, pick_device
from vidanon.pipeline.doubts import certainties
from vidanon.pipeline.events import Listener, Note, silent
from vidanon.pipeline.identity import work_identity
from vidanon.pipeline.meter import Meter, peak_memory_mib
from vidanon.pipeline.people import Somebody, all_of
from vidanon.pipeline.reports import FileReport
from vidanon.pipeline.stages import Ahead, Behind, grouped, surrounded
from vidanon.plan.store import Plan
from vidanon.render.casting import AS_DRAWN
from vidanon.render.compose import FaceRenderer
from vidanon.render.jobs import FaceJob, PaintedFace, RenderedFace
from vidanon.render.shape import builds
from vidanon.render.steady import Canvas
from vidanon.settings import RenderSettings, Settings
from vidanon.track.company import HEAD
from vidanon.types import Observation

_FALLBACK = "fallback"
"""of a tally: face-frames that the asked-for method could not paint; the other names are those of methods"""


@dataclass(frozen=True, slots=True)
class _Work:
    """A frame whose faces are painted, waiting for what is painted after it."""

    frame: Frame
    wanted: Sequence[Observation]
    """its faces to be covered"""
    faces: Sequence[PaintedFace]
    """those of them that are in the picture, in the order they are pasted"""

    def canvases(self) -> list[Canvas]:
        """What other frames need of it."""
        return [face.canvas for face in self.faces if face.canvas is not None]


@dataclass(frozen=True, slots=True)
class _Painted:
    """A frame on its way to the encoder."""

    frame: Frame
    faces: Sequence[RenderedFace]

    def tally(self) -> Counter[str]:
        found = Counter[str](face.method for face in self.faces)
        found[_FALLBACK] = sum(face.fallback for face in self.faces)
        return found


def render(
    source: Path, plan_path: Path, target: Path, *, settings: Settings, key: bytes, listen: Listener = silent
) -> FileReport:
    """Paints the plan's faces over the clip and writes `target`; of several cameras, each has its own plan.

    Raises PlanError if a plan is unfinished or does not fit the clip frame by frame, RenderError if a face cannot be
    covered, OutputError if the target cannot be written; then there is nothing at `target`.
    """
    begin = time.monotonic()
    limit_threads(settings.run.threads)
    device = pick_device(settings.run.device)
    cameras = cameras_of(source, plan_path, settings.output, listen=listen)
    with ExitStack() as stack:
        plans = [stack.enter_context(Plan.open(camera.plan)) for camera in cameras]
        for camera, plan in zip(cameras, plans, strict=True):
            plan.require_source(camera.mark())
            plan.require_settled()
        identity = work_identity(plans, settings=settings, key=key, device=device)
        infos = [camera.info for camera in cameras]
        writer = Writer(target, infos, settings=settings.output, identity=identity, secret=key)
        with writer:
            renderer = FaceRenderer(settings.render, key, device, threads=settings.run.threads)
            decoders = [
                _render_camera(camera, plan, sink, renderer, settings=settings, listen=listen)
                for camera, plan, sink in zip(cameras, plans, writer.sinks, strict=True)
            ]
        seconds = time.monotonic() - begin
        tally = sum((sink.tally for sink in writer.sinks), Counter[str]())
        fallbacks = tally.pop(_FALLBACK, 0)
        frames = sum(sink.frames for sink in writer.sinks)
        return FileReport(
            source=source,
            target=target,
            frames=frames,
            resumed_at=sum(sink.resumed_at for sink in writer.sinks),
            tracks=sum(len(plan.tracks()) for plan in plans),
            faces=sum(_faces(plan) for plan in plans),
            painted=dict(tally),
            fallbacks=fallbacks,
            seconds=seconds,
            fps=frames / max(seconds, 1e-9),
            device=device,
            decoder=decoders[0],
            encoder=f"{writer.report.encoder}, {writer.report.pix_fmt}",
            peak_memory_mib=peak_memory_mib(),
        )


def _faces(plan: Plan) -> int:
    """Face-frames that the plan asks to cover."""
    sql = "SELECT count(*) FROM observations JOIN tracks ON track = number WHERE action = 'anonymize'"
    return int(next(plan.query(sql))[0])


def _render_camera(
    camera: Camera, plan: Plan, sink: FrameSink, renderer: FaceRenderer, *, settings: Settings, listen: Listener
) -> str:
    """Paints one camera's frames into its sink; returns what decoded."""
    source, total, done = camera.info.path, plan.header.frames, sink.resumed_at
    if sink.complete:
        listen(Note(source, "all frames were painted by an earlier run; the file is put together"))
        return "none (all frames were there)"
    if done:
        listen(Note(source, f"the render goes on at frame {done}"))
    everybody = all_of(plan)
    covered = frozenset(number for number, who in everybody.items() if who.track.action == "anonymize")
    if settings.render.method == "gan":
        everybody = _measured(plan, everybody, settings.render)
        if renderer.casts:
            everybody = _cast(camera, plan, everybody, covered, renderer, settings=settings, listen=listen)
    people = {number: who for number, who in everybody.items() if number in covered}
    if settings.render.method == "gan":
        doubtful = ", ".join(str(number) for number, who in people.items() if who.method)
        if doubtful:
            instead = f"they get {settings.render.doubtful} instead of new faces"
            hint = "vidanon plan name makes people of them"
            listen(Note(source, f"tracks {doubtful} are hardly people: {instead}; {hint}"))
    meter = Meter("render", source, camera.info, listen, total=total, done=done)
    ahead = settings.run.batch_size
    # a face is blended with those of the frames before, so a render that goes on paints these again, and keeps none
    frames = start = max(0, done - renderer.reach_frames)
    with (
        Reader(source, start=start, stream=camera.info.stream, framerate=settings.output.framerate) as reader,
        closing(_planned(plan, people, start=start)) as planned,
        Behind[_Painted](lambda item: _paste(sink, item), depth=ahead) as encoding,
        Ahead(reader, depth=ahead) as decoded,
    ):
        batches = grouped(decoded, settings.run.batch_size)
        works = itertools.chain.from_iterable(
            _paint(renderer, batch, [_of_frame(camera.plan, planned, frame) for frame in batch], people)
            for batch in batches
        )
        for work, around in surrounded(works, _Work.canvases, reach=renderer.reach_frames):
            frames += 1
            if frames > done:
                encoding.put(_Painted(work.frame, renderer.finish_all(work.faces, around)))
                meter.step(frames, len(work.wanted))
        if next(planned, None) is not None:
            raise PlanError(
                f"{source}: the clip ends at frame {frames}, its plan has {total}",
                hint=f"delete {camera.plan} and scan again",
            )
        decoder = f"{reader.report.decoder}, {reader.report.threads} threads"
    sink.finish()
    meter.finish()
    return decoder


def _measured(plan: Plan, people: Mapping[int, Somebody], settings: RenderSettings) -> dict[int, Somebody]:
    """The people with how their faces are built, and who of them is doubtful, over all of the plan.

    So it is the same wherever a render goes on.
    """
    sure, instead = certainties(plan), None if settings.doubtful == "gan" else settings.doubtful
    with closing(plan.observations()) as groups:
        own = builds((people[o.track].identity, o) for _, faces in groups for o in faces if o.track in people)
    return {
        number: replace(who, build=own.get(who.identity), method=instead if sure[number] < settings.doubt else None)
        for number, who in people.items()
    }


def _cast(
    camera: Camera,
    plan: Plan,
    everybody: Mapping[int, Somebody],
    covered: frozenset[int],
    renderer: FaceRenderer,
    *,
    settings: Settings,
    listen: Listener,
) -> dict[int, Somebody]:
    """Everybody with their new faces; who stays visible has one too, so that it changes nobody's to keep them so."""
    wanted = {number: Person(who.identity, who.build) for number, who in everybody.items() if who.method is None}
    framerate = settings.output.framerate
    found = cast_all(camera, plan, wanted, renderer, covered=covered, framerate=framerate, listen=listen)
    return {number: replace(who, cast=found.get(who.identity, AS_DRAWN)) for number, who in everybody.items()}


def _paste(sink: FrameSink, item: _Painted) -> None:
    sink.write(paste(item.frame, [face.patch for face in item.faces]), item.tally())


def _planned(
    plan: Plan, people: Mapping[int, Somebody], *, start: int
) -> Generator[tuple[int, int, list[Observation]]]:
    """(index, pts, faces to cover) of the plan's frames from `start` on, in order."""
    with closing(plan.planned(start)) as frames:
        for index, pts, items in frames:
            # the largest is painted last: it is nearest, or the whole face of which another is a part
            yield index, pts, sorted((item for item in items if item.track in people), key=lambda item: area(item.box))


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
    renderer: FaceRenderer,
    batch: Sequence[Frame],
    wanted: Sequence[Sequence[Observation]],
    people: Mapping[int, Somebody],
) -> list[_Work]:
    """The painted faces of each frame; all frames' faces go to the generator together."""
    jobs: list[FaceJob] = []
    owners: list[int] = []
    for i, (frame, observations) in enumerate(zip(batch, wanted, strict=True)):
        # What is behind somebody, or hardly is anybody, is painted first, so that it covers nobody's new face.
        for item in sorted(observations, key=lambda o: o.source != "hidden" and people[o.track].method is None):
            region = renderer.region(item, frame.width, frame.height)
            if region is None:
                continue  # a padded or extrapolated face that has left the picture: there is nothing to cover
            others = [other for other in observations if other is not item]
            if item.source == "hidden" and _is_behind(item, others):
                continue
            rgb = read_region(frame, region)
            who = people[item.track]
            size = (frame.width, frame.height)
            fade = who.fade(item.frame, item.source)
            jobs.append(FaceJob(item, who.identity, rgb, region, *size, others, fade, who.build, who.method, who.cast))
            owners.append(i)
    faces: list[list[PaintedFace]] = [[] for _ in batch]
    for i, face in zip(owners, renderer.paint(jobs), strict=True):
        faces[i].append(face)
    return [_Work(*item) for item in zip(batch, wanted, faces, strict=True)]


def _is_behind(hidden: Observation, others: Sequence[Observation]) -> bool:
    """Whether a face that was seen is where a hidden one is thought to be: only that one is painted."""
    seen = [other.box for other in others if other.source in {"detected", "weak", "edited"}]
    return bool(seen) and float(within(hidden.box, np.array(seen)).max()) >= HEAD
