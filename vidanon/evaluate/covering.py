"""A photo's faces covered in several ways, by the renderer that covers those of clips; and the test of its blindness.

In: a `Still` and `FaceRenderer`s. Out: covered frames; or whether anything of what was made, or of what the generator
was shown, depends on the pixels it must not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from vidanon.evaluate.photos import Still
from vidanon.media.frames import Frame
from vidanon.media.pixels import paste, read_region
from vidanon.render.align import face_pose
from vidanon.render.area import window_of
from vidanon.render.casting import AS_DRAWN, Cast
from vidanon.render.compose import FaceRenderer
from vidanon.render.identity import person
from vidanon.render.jobs import Drawn, FaceJob, RenderedFace
from vidanon.render.mask import face_mask, outline_px
from vidanon.render.shape import builds
from vidanon.settings import RenderSettings
from vidanon.types import FloatArray, Method, Observation, Patch

if TYPE_CHECKING:
    from vidanon.render.generate import FacePainter, PaintRequest

MOSAIC_CELLS = 8
"""what others compare with is a mosaic of 8 x 8"""


def renderer(settings: RenderSettings, method: Method, key: bytes, painter: FacePainter | None) -> FaceRenderer:
    """A renderer of one method, everything else as in the settings."""
    own = msgspec.structs.replace(settings, method=method, mosaic_cells=MOSAIC_CELLS)
    return FaceRenderer(own, key, "cpu", painter)


@dataclass(frozen=True, slots=True)
class Covered:
    """A photo after painting."""

    faces: tuple[RenderedFace | None, ...]
    """of each face of the photo, None where it has left the picture"""
    frame: Frame
    """the picture"""
    casts: tuple[Cast, ...]
    """of each face"""

    @property
    def fallbacks(self) -> int:
        """Faces that the asked-for method failed on."""
        return sum(face is not None and face.fallback for face in self.faces)


def cover(still: Still, renderer: FaceRenderer, *, name: str, frame: Frame | None = None) -> Covered:
    """The photo with all its faces covered; `name` is the file's, of which the latents are made.

    `frame` default: the photo as it is.
    """
    frame = frame or still.frame
    faces: list[RenderedFace | None] = [None] * len(still.faces)
    casts = [AS_DRAWN] * len(still.faces)
    jobs = {i: job for i in range(len(still.faces)) if (job := _job(still, i, renderer, name, frame)) is not None}
    taken: set[int] = set()
    if renderer.casts:
        order = sorted(jobs, key=lambda i: still.faces[i].track)  # as `pipeline.casting` does
        for i, found in zip(order, renderer.cast([_drawn(jobs[i], renderer, taken) for i in order]), strict=True):
            casts[i], jobs[i] = found, replace(jobs[i], cast=found)
    for i, face in zip(jobs, renderer.render(list(jobs.values())), strict=True):
        faces[i] = face
    return Covered(tuple(faces), _painted(frame, faces), tuple(casts))


def _drawn(job: FaceJob, renderer: FaceRenderer, taken: set[int]) -> Drawn:
    look = renderer.look(job)
    return renderer.draw(job.identity, [] if look is None else [look], taken)


def cover_subject(
    still: Still, before: Covered, renderer: FaceRenderer, *, name: str, face: Observation, who: Cast | None = None
) -> Frame:
    """The photo as covered before, but for its subject, which is painted again as `face`; `who` default: cast anew."""
    moved = replace(still, faces=tuple(face if i == still.subject else f for i, f in enumerate(still.faces)))
    job = _job(moved, still.subject, renderer, name, still.frame)
    if job is not None:
        if who is None and renderer.casts:
            (who,) = renderer.cast([_drawn(job, renderer, set())])
        job = replace(job, cast=who or AS_DRAWN)
    faces = list(before.faces)
    faces[still.subject] = renderer.render([job])[0] if job is not None else None
    return _painted(still.frame, faces)


def _job(still: Still, index: int, renderer: FaceRenderer, name: str, frame: Frame) -> FaceJob | None:
    face = still.faces[index]
    region = renderer.region(face, frame.width, frame.height)
    if region is None:
        return None
    others = [other for i, other in enumerate(still.faces) if i != index]
    who = person(f"track-{face.track}", name)
    build = builds([(who, still.faces[index])]).get(who)
    return FaceJob(face, who, read_region(frame, region), region, frame.width, frame.height, others, build=build)


def _painted(frame: Frame, faces: Sequence[RenderedFace | None]) -> Frame:
    return paste(frame, [face.patch for face in faces if face is not None])


class _Shown:
    """A painter that remembers what it was shown."""

    def __init__(self, painter: FacePainter) -> None:
        self._painter = painter
        self.requests: list[PaintRequest] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._painter, name)

    def paint(self, requests: Sequence[PaintRequest]) -> list[FloatArray | None]:
        """As `FacePainter.paint`."""
        self.requests += requests
        return self._painter.paint(requests)


def scrambled(still: Still, settings: RenderSettings, *, seed: int) -> Frame:
    """The photo with noise in every pixel that the renderer calls hidden: faces and their guard bands."""
    rng = np.random.default_rng(seed)
    patches = []
    for face in still.faces:
        pose = face_pose(face.box, face.points)
        region = window_of(pose, width=still.frame.width, height=still.frame.height, settings=settings)
        if region is None:
            continue
        outlines = [
            outline_px(face_pose(o.box, o.points), o.points, margin=settings.mask_margin)
            for o in still.faces
            if o is not face
        ]
        mask = face_mask(
            pose, face.points, region, margin=settings.mask_margin, feather=settings.feather, others=outlines
        )
        noise = rng.random((region.height, region.width, 3), np.float32)
        patches.append(Patch(region, noise, mask.hidden.astype(np.float32)))
    return paste(still.frame, patches)


def looks_under_mask(
    still: Still,
    method: Method,
    settings: RenderSettings,
    *,
    key: bytes,
    painter: FacePainter | None,
    name: str,
    seed: int,
) -> bool:
    """Whether anything changes, by a single bit, when the pixels under the masks do.

    Compared are the patches and, where a generator painted, all it was shown: surroundings, mask, keypoints, latent.
    """
    results = []
    for frame in (still.frame, scrambled(still, settings, seed=seed)):
        shown = _Shown(painter) if painter is not None and method == "gan" else None
        made = cover(still, renderer(settings, method, key, cast("FacePainter | None", shown)), name=name, frame=frame)
        arrays = [a for face in made.faces if face is not None for a in (face.patch.rgb, face.patch.alpha)]
        requests = shown.requests if shown is not None else []
        arrays += [np.asarray(getattr(request, field.name)) for request in requests for field in fields(request)]
        results.append([array.tobytes() for array in arrays])
    return results[0] != results[1]
