"""Pass 1: a clip in, a settled plan out. Nothing is painted.

A scan that was stopped goes on where its plan ends: all that is written of a frame follows from that frame and the
few before it, so the rest comes out as if nothing had happened.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from vidanon.detect.base import Detector, exact
from vidanon.detect.factory import build_detector
from vidanon.detect.landmarks import FaceLandmarker
from vidanon.errors import PlanError, VidanonError
from vidanon.media.reader import Frame, Reader
from vidanon.pipeline.cameras import Camera, cameras_of
from vidanon.pipeline.device import limit_threads, pick_device
from vidanon.pipeline.events import Listener, Note, StageDone, silent
from vidanon.pipeline.meter import Meter, peak_memory_mib
from vidanon.pipeline.reports import ScanReport
from vidanon.pipeline.stages import Ahead, grouped
from vidanon.plan.store import Plan
from vidanon.settings import Settings
from vidanon.track.carry import MEMORY, Carrier
from vidanon.track.flow import FlowMeter, Motion
from vidanon.track.pointflow import PointFlow
from vidanon.track.settle import settle_all
from vidanon.track.shots import FLASH, ChangeMeter
from vidanon.types import (
    FIVE_POINTS,
    N_FACE_POINTS,
    Detections,
    FloatArray,
    ScannedFace,
    ScannedFrame,
    VideoInfo,
)

FLOW_SIDE = 480
"""px of the longer side of the pictures that motion is measured on"""
NO_BOXES: FloatArray = np.zeros((0, 4), np.float32)
NO_POINTS: FloatArray = np.zeros((0, N_FACE_POINTS, 2), np.float32)
COMMIT_SECONDS = 5.0
"""how much work a killed scan loses at most"""


def plan_settings(settings: Settings) -> str:
    """The settings a scan depends on, as the plan keeps them; the start threshold only matters when linking."""
    detect = msgspec.to_builtins(settings.detect)
    del detect["threshold"]
    return msgspec.json.encode({"detect": detect}, order="sorted").decode()


def scan(source: Path, plan_path: Path, *, settings: Settings, listen: Listener = silent) -> ScanReport:
    """Scans and settles a clip into the plan at `plan_path`, or finishes the plan that is there.

    Of several cameras, each gets its own plan, and the report counts them together. Raises InputError for a clip that
    cannot be read, PlanError for a plan of another clip or of other detection settings, and what the detector raises.
    Whatever stops it, the frames scanned so far stay in the plan.
    """
    begin = time.monotonic()
    limit_threads(settings.run.threads)
    device = pick_device(settings.run.device)
    cameras = cameras_of(source, plan_path, settings.output, listen=listen)
    reports = [_scan_camera(camera, settings=settings, device=device, listen=listen) for camera in cameras]
    seconds = time.monotonic() - begin
    frames, resumed_at = (sum(getattr(r, name) for r in reports) for name in ("frames", "resumed_at"))
    return ScanReport(
        source=source,
        plan=plan_path,
        frames=frames,
        resumed_at=resumed_at,
        detections=sum(report.detections for report in reports),
        tracks=sum(report.tracks for report in reports),
        faces=sum(report.faces for report in reports),
        seconds=seconds,
        fps=(frames - resumed_at) / max(seconds, 1e-9),
        device=device,
        decoder=reports[0].decoder,
        peak_memory_mib=peak_memory_mib(),
    )


def _scan_camera(camera: Camera, *, settings: Settings, device: str, listen: Listener) -> ScanReport:
    begin = time.monotonic()
    source = camera.info.path
    with _open_plan(camera, settings) as plan:
        resumed_at = plan.header.frames
        if plan.header.state == "scanning":
            decoder = _scan_frames(plan, camera.info, settings=settings, device=device, listen=listen)
        else:
            decoder = "none (the plan was there)"
            listen(Note(source, f"{camera.plan} holds a finished scan of this clip; it is used again"))
        # linking is cheap and its settings may have changed; a person's edits are applied again
        _settle(source, plan, settings=settings, listen=listen)
        detections = next(plan.query("SELECT count(*) FROM faces"))[0]
        faces = next(plan.query("SELECT count(*) FROM observations"))[0]
        seconds = time.monotonic() - begin
        frames = plan.header.frames
        return ScanReport(
            source=source,
            plan=camera.plan,
            frames=frames,
            resumed_at=resumed_at,
            detections=detections,
            tracks=len(plan.tracks()),
            faces=faces,
            seconds=seconds,
            fps=(frames - resumed_at) / max(seconds, 1e-9),
            device=device,
            decoder=decoder,
            peak_memory_mib=peak_memory_mib(),
        )


def _open_plan(camera: Camera, settings: Settings) -> Plan:
    """The plan that is there, if it fits, or a new one."""
    path, info, mark = camera.plan, camera.info, camera.mark()
    wanted = plan_settings(settings)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        return Plan.create(
            path,
            source_name=info.path.name,
            fingerprint=mark,
            width=info.width,
            height=info.height,
            time_base=info.time_base,
            settings_json=wanted,
        )
    plan = Plan.open(path)
    try:
        plan.require_source(mark)
        _require_settings(plan, wanted)
    except BaseException:
        plan.close()
        raise
    return plan


def _require_settings(plan: Plan, wanted: str) -> None:
    if plan.header.settings_json != wanted:
        raise PlanError(
            f"{plan.path}: this plan was scanned with other detection settings",
            hint="delete it to scan again, or render from it as it is: vidanon render",
        )


def _scan_frames(plan: Plan, info: VideoInfo, *, settings: Settings, device: str, listen: Listener) -> str:
    """Appends all frames the plan lacks; returns what decoded."""
    source, ahead = info.path, settings.run.batch_size
    detector = build_detector(settings.detect, device=device, threads=settings.run.threads)
    landmarker = FaceLandmarker.shipped(device)
    done = plan.header.frames
    if done:
        listen(Note(source, f"the scan goes on at frame {done}"))
    meter = Meter("scan", source, info, listen, done=done)
    # the last frame's flow needs the frame after it, so each frame is written when the next one has been seen;
    # a resumed scan looks again at the frames before the first it lacks that say what has changed and what is carried
    start = max(0, done - max(FLASH + 2, MEMORY))
    carrier = Carrier(settings.detect.weak_threshold)
    known = {frame.index: frame for frame in plan.scanned(start)} if done else {}
    with (
        Reader(source, start=start, stream=info.stream, framerate=settings.output.framerate) as reader,
        Ahead(reader, depth=ahead) as decoded,
    ):
        frames = _scanned(grouped(decoded, ahead), detector, landmarker, carrier, known, threads=settings.run.threads)
        waiting: list[ScannedFrame] = []
        last_commit = time.monotonic()
        try:
            for frame in frames:
                if frame.index < done:
                    continue
                waiting.append(frame)
                meter.step(frame.index + 1, len(frame.faces))
                if time.monotonic() - last_commit > COMMIT_SECONDS:
                    plan.append(waiting)
                    waiting.clear()
                    plan.carry(carrier.take())
                    last_commit = time.monotonic()
        except BaseException:
            _keep(plan, waiting)
            raise
        plan.append(waiting)
        carrier.finish()
        plan.carry(carrier.take())
        decoder = f"{reader.report.decoder}, {reader.report.threads} threads"
    plan.finish_scan()
    meter.finish()
    return decoder


def _keep(plan: Plan, waiting: list[ScannedFrame]) -> None:
    """Saves what a stopped scan has; a plan that cannot be written must not hide why it stopped."""
    try:
        plan.append(waiting)
    except VidanonError:
        return


@dataclass(frozen=True, slots=True)
class _Seen:
    """A frame whose flow to the next one is not known yet."""

    frame: Frame
    found: Detections
    points: FloatArray
    confidence: FloatArray
    change: float
    change_skip: float

    def scanned(self, motion: Motion, moved: FloatArray) -> ScannedFrame:
        """With the flow that the next frame told, and how the points `moved` [N, 30, 2]."""
        faces = tuple(
            ScannedFace(
                self.found.boxes[i],
                float(self.found.scores[i]),
                self.points[i],
                self.confidence[i],
                flow,
                moved=moved[i],
            )
            for i, flow in enumerate(motion.faces)
        )
        return ScannedFrame(
            self.frame.index, self.frame.pts, faces, self.change, self.change_skip, motion.camera, motion.turn
        )


def _scanned(
    batches: Iterator[list[Frame]],
    detector: Detector,
    landmarker: FaceLandmarker,
    carrier: Carrier,
    known: Mapping[int, ScannedFrame],
    *,
    threads: int,
) -> Iterator[ScannedFrame]:
    """Frames as the plan has them, each given out once the next one has told its flow.

    What is `known` of a frame, by index, is not looked for again.
    """
    flow, point_flow = FlowMeter(FLOW_SIDE), PointFlow(threads)
    changes = ChangeMeter()
    seen: _Seen | None = None
    for frames in batches:
        pictures = [frame.rgb() for frame in frames]
        new = [picture for frame, picture in zip(frames, pictures, strict=True) if frame.index not in known]
        fresh = iter(detector.detect(new)) if new else iter(())
        for frame, picture in zip(frames, pictures, strict=True):
            if frame.index in known:
                found, points, confidence = _remembered(known[frame.index].faces)
            else:
                found = exact(next(fresh))
                points, confidence = landmarker.locate(picture, found)
            change, skip = changes.step(picture)
            motion = flow.step(picture, seen.found.boxes if seen else NO_BOXES)
            moved = point_flow.step(
                picture, seen.found.boxes if seen else NO_BOXES, seen.points if seen else NO_POINTS, motion.faces
            )
            carrier.step(frame.index, picture, found.boxes, found.scores, motion.faces)
            if seen is not None:
                yield seen.scanned(motion, moved)
            seen = _Seen(frame, found, points, confidence, change, skip)
    if seen is not None:
        unknown = np.full((len(seen.found), N_FACE_POINTS, 2), np.nan, np.float32)
        yield seen.scanned(Motion(((0.0, 0.0),) * len(seen.found), (0.0, 0.0)), unknown)


def _remembered(faces: Sequence[ScannedFace]) -> tuple[Detections, FloatArray, FloatArray]:
    """Detections, points and confidences of a frame that was scanned before."""
    if not faces:
        return Detections.empty(), np.zeros((0, N_FACE_POINTS, 2), np.float32), np.zeros((0, N_FACE_POINTS), np.float32)
    points = np.stack([face.points for face in faces])
    found = Detections(
        np.stack([face.box for face in faces]),
        np.array([face.score for face in faces], np.float32),
        points[:, : len(FIVE_POINTS)],
    )
    return found, points, np.stack([face.confidence for face in faces])


def _settle(source: Path, plan: Plan, *, settings: Settings, listen: Listener) -> None:
    begin = time.monotonic()
    header = plan.header
    items = settle_all(
        plan.scanned,
        width=header.width,
        height=header.height,
        time_base=header.time_base,
        settings=settings.track,
        detect=settings.detect,
    )
    plan.write_tracks(items)
    faces = next(plan.query("SELECT count(*) FROM observations"))[0]
    listen(StageDone("settle", source, header.frames, faces, time.monotonic() - begin))
