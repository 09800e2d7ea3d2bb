"""The renderer: settled faces and their pixels in, patches that cover them out.

Fail closed: whatever goes wrong with a face, it comes back covered by the fallback and says so, or RenderError is
raised and there is no output. Blind: with methods gan and solid no pixel of any face's core or guard band has
influence on a patch. Painting depends on a job alone, not on the jobs it is painted with; finishing also on what was
painted of the same track in the `reach_frames` frames before and after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from vidanon.errors import RenderError
from vidanon.geometry import Array, apply
from vidanon.render.align import CROP_SCALE, FacePose, crop_matrix, face_pose, warp
from vidanon.render.area import window_of
from vidanon.render.blend import (
    add_grain,
    eased,
    grain_of,
    joined,
    match_colour,
    place,
    toned,
)
from vidanon.render.casting import Cast, Look, choose, look
from vidanon.render.cover import colour_around, cover
from vidanon.render.features import blinking, looking, speaking
from vidanon.render.head import head_alpha, with_head
from vidanon.render.identity import latent, seed, unnamed
from vidanon.render.jobs import Drawn, FaceJob, PaintedFace, Prepared, RenderedFace, Shown
from vidanon.render.mask import (
    GUARD_PX,
    core_mask,
    distance,
    face_mask,
    outline_px,
    painted_window,
    slices,
)
from vidanon.render.rim import continued, rimmed
from vidanon.render.shape import SHAPE_TRAITS, own_shape
from vidanon.render.skin import beside, skin_of
from vidanon.render.steady import Canvas, averaged, blended, held
from vidanon.render.texture import clearness
from vidanon.render.toning import gains, lights, skins, steadied, usual_lightness
from vidanon.settings import RenderSettings
from vidanon.threads import Threads
from vidanon.types import FloatArray, Method, Observation, Patch, Region

if TYPE_CHECKING:
    import torch

    from vidanon.render.generate import FacePainter

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

CLOSE = 0.7
"""Source px for each px of the crop from which on a face is finished at twice the generator's resolution."""
HALF_SEEN = 0.5
"""A pixel of the crop with less of its weight from visible source pixels is hidden."""


class FaceRenderer:
    """Covers faces by the settings' method; keeps nothing between calls but latents."""

    def __init__(
        self,
        settings: RenderSettings,
        key: bytes,
        device: torch.device | str = "cpu",
        painter: FacePainter | None = None,
        *,
        threads: int = 0,
    ) -> None:
        """`painter` default: the weights that ship, loaded only if the method is gan (may raise WeightsError).

        `threads` finish the faces of a frame, 0 = one per core.
        """
        self.settings = settings
        self._key = key
        self._latents: dict[tuple[str, int], FloatArray] = {}
        self._threads = Threads(threads)
        self._painter = painter
        if painter is None and settings.method == "gan":
            from vidanon.render.generate import FacePainter

            self._painter = FacePainter.shipped(device)

    @property
    def reach_frames(self) -> int:
        """How many frames before and after one have influence on it: who begins in the middle paints these first."""
        return self.settings.blend_frames if self.settings.method == "gan" else 0

    def region(self, observation: Observation, width: int, height: int) -> Region | None:
        """The pixels of a width x height picture that rendering the face wants; None if it is not in the picture.

        Raises RenderError if the face has no place: its box is no number.
        """
        try:
            pose = face_pose(observation.box, observation.points)
        except ValueError as e:
            raise _unplaced(observation, e) from e
        return window_of(pose, width=width, height=height, settings=self.settings)

    def render(self, jobs: Sequence[FaceJob]) -> list[RenderedFace]:
        """A patch for each job, in order, each by itself: for stills. Raises RenderError as `finish`."""
        return [self.finish(face) for face in self.paint(jobs)]

    @property
    def casts(self) -> bool:
        """Whether `draw` and `cast` have anything to decide."""
        wanted = self.settings.method == "gan" and (self.settings.candidates > 1 or self.settings.tone > 0)
        return wanted and self._painter is not None and self._painter.expects

    def look(self, job: FaceJob) -> Look | None:
        """What is around a face, for `draw`; None where nothing can be told, which is no fault."""
        if self._painter is None:
            return None
        shown = _attempt(self._show, self._guarded(job))
        return None if shown is None else _attempt(look, self._painter, shown.request)

    def draw(self, identity: str, looks: Sequence[Look], taken: set[int]) -> Drawn:
        """Whose face suits a person best, by looks at them; the pattern of that face becomes `taken`.

        Of `candidates` latents the best, of another pattern than those taken where it can be; whoever has a name has
        the first, for it is theirs in every clip.
        """
        s, painter = self.settings, self._painter
        if painter is None:
            return Drawn(0, ())
        draw = 0
        if unnamed(identity):
            latents = np.stack([self._latent(identity, painter.latent_dim, draw) for draw in range(s.candidates)])
            draw = _attempt(choose, painter, looks, latents, taken) or 0
        z = self._latent(identity, painter.latent_dim, draw)
        pattern = painter.pattern(z)
        if pattern is not None:
            taken.add(pattern)
        return Drawn(draw, tuple(_attempt(skins, painter, looks, z) or ()) if looks and s.tone > 0 else ())

    def cast(self, drawn: Sequence[Drawn], together: NDArray[np.bool_] | None = None) -> list[Cast]:
        """What is decided about people who were drawn, and their skin, by those who are `together` [P, P] (all)."""
        if together is None:
            together = np.ones((len(drawn), len(drawn)), np.bool_)
        light = lights([one.skins for one in drawn], together)
        return [
            Cast(one.number, gains(one.skins, self.settings.tone, here), usual_lightness(one.skins))
            for one, here in zip(drawn, light, strict=True)
        ]

    def paint(self, jobs: Sequence[FaceJob]) -> list[PaintedFace]:
        """What the generator makes of each job, in order. Raises RenderError if one has no place."""
        prepared = [self._guarded(job) for job in jobs]
        shown = [_attempt(self._show, p) if self._method(p) == "gan" else None for p in prepared]
        if not any(s is not None for s in shown):
            return [PaintedFace(p, None, None) for p in prepared]
        assert self._painter is not None
        try:
            crops = self._painter.paint([s.request for s in shown if s is not None])
        except Exception:  # noqa: BLE001 - no face may stay: the fallback covers all of them
            crops = [None] * sum(s is not None for s in shown)
        made = iter(crops)
        faces = []
        for p, s in zip(prepared, shown, strict=True):
            crop = next(made) if s is not None else None
            canvas = _attempt(self._matched, p, s, crop) if s is not None and crop is not None else None
            faces.append(PaintedFace(p, s, canvas))
        return faces

    def finish_all(self, faces: Sequence[PaintedFace], around: Sequence[Canvas] = ()) -> list[RenderedFace]:
        """`finish` for the faces of a frame, side by side."""
        return self._threads.map(lambda face: self.finish(face, around), faces)

    def finish(self, face: PaintedFace, around: Sequence[Canvas] = ()) -> RenderedFace:
        """The patch of a painted face, blended with what was painted `around` it, up to `reach_frames` away.

        Raises RenderError if it cannot be covered in any way.
        """
        patch = _attempt(self._finish, face, around)
        return self._cover(face.prepared) if patch is None else RenderedFace(patch, "gan", fallback=False)

    def _guarded(self, job: FaceJob) -> Prepared:
        try:
            return self._prepare(job)
        except Exception as e:
            raise _unplaced(job.observation, e) from e

    def _prepare(self, job: FaceJob) -> Prepared:
        o, s = job.observation, self.settings
        if job.rgb.shape != (job.region.height, job.region.width, 3):
            raise ValueError(f"pixels {job.rgb.shape} do not fit a region of {job.region.height} x {job.region.width}")
        pose = face_pose(o.box, o.points)
        wanted = self.region(o, job.width, job.height) or Region(
            job.region.x0, job.region.y0, job.region.x0 + 1, job.region.y0 + 1
        )
        r = job.region
        if wanted.x0 < r.x0 or wanted.y0 < r.y0 or wanted.x1 > r.x1 or wanted.y1 > r.y1:
            raise ValueError(f"the face wants the pixels {wanted}, the job has {r}")
        outlines = [outline for other in job.others if (outline := self._near(other, wanted)) is not None]
        mask = face_mask(pose, o.points, wanted, margin=s.mask_margin, feather=s.feather, others=outlines)
        return Prepared(job, wanted, job.rgb[slices(wanted, r)], pose, mask, self._head(job, pose, wanted, outlines))

    def _head(self, job: FaceJob, pose: FacePose, region: Region, others: Sequence[Array]) -> FloatArray | None:
        """How much of each pixel of a region is to be covered as head; nothing of other faces."""
        if self.settings.region == "face" or job.fade >= 1:
            return None
        head = np.float32(1 - job.fade) * head_alpha(
            pose, job.observation.points, region, margin=self.settings.mask_margin
        )
        for outline in others:
            head[distance(core_mask(outline, region)) <= GUARD_PX] = 0
        return head

    def _near(self, other: Observation, region: Region) -> Array | None:
        """The outline of another face, None if it is nowhere near."""
        pose, margin = face_pose(other.box, other.points), self.settings.mask_margin
        reach = pose.size * math.sqrt(2) * max(1.0, 0.5 + margin) + 8
        if not (region.x0 - reach < pose.cx < region.x1 + reach and region.y0 - reach < pose.cy < region.y1 + reach):
            return None
        return outline_px(pose, other.points, margin=margin)

    def _show(self, p: Prepared) -> Shown:
        from vidanon.render.generate import PaintRequest

        assert self._painter is not None
        s, side = self.settings, self._painter.resolution
        matrix = crop_matrix(p.pose, side)
        colour, weight = warp(p.rgb, matrix, side, valid=~p.mask.hidden, origin=(p.region.x0, p.region.y0))
        visible = weight >= HALF_SEEN
        points = (apply(matrix, p.job.observation.points) / side).astype(np.float32)
        z = self._latent(p.job.identity, self._painter.latent_dim, p.job.cast.draw)
        traits = self._latent(f"{p.job.identity}\0shape", SHAPE_TRAITS)
        points = own_shape(points, traits, p.job.build, amount=s.shape_change)
        return Shown(PaintRequest(colour, ~visible, points, z), colour, visible)

    def _matched(self, p: Prepared, shown: Shown, crop: FloatArray) -> Canvas:
        """What the generator made, in the colours of the scene."""
        surroundings = None if shown.visible.any() else colour_around(p.rgb, p.mask.hidden)
        fitted = match_colour(crop, shown.context, shown.visible, surroundings=surroundings)
        tone, usual = p.job.cast.tone, p.job.cast.lightness
        if usual is not None and self._painter is not None:
            tone = tone * np.float32(steadied(self._painter.skin_colour(fitted, shown.request), usual))
        fitted = toned(fitted, shown.visible, tone)
        near = beside(fitted, shown.context, shown.visible, shown.request.points)
        return Canvas(p.job.observation.track, p.job.observation.frame, fitted, shown.request.points, near)

    def _finish(self, face: PaintedFace, around: Sequence[Canvas]) -> Patch | None:
        p, shown = face.prepared, face.shown
        if face.canvas is None or shown is None:
            return None
        o = p.job.observation
        crop = blended(face.canvas, around, reach=self.reach_frames)
        window = painted_window(p.mask.alpha, p.region)
        enlarged = CROP_SCALE * p.pose.size / len(crop)
        # where nothing else is seen there is nothing to dissolve into
        there = 1.0 if p.mask.hidden.all() else 1 - float(eased(p.job.fade))
        points = blinking(held(face.canvas, around, reach=self.reach_frames))
        whole = joined(crop, shown.context, shown.visible)
        amount = self.settings.detail
        side = len(crop) * (2 if enlarged > CLOSE else 1)
        person = self._features(shown, points, side) if amount > 0 else None
        skin, clear = None, clearness(shown.context, shown.visible)
        if person is not None:
            near = averaged(face.canvas, around, reach=self.reach_frames)
            skin = skin_of(crop, person, near, visible=shown.visible, points=points, clear=clear)
        fitted = whole if skin is None else skin.over(whole, amount)
        for drawn in (speaking, looking):  # pupils and open mouths are the last that haze takes
            fitted = drawn(fitted, points, self.settings.lively, clear=math.sqrt(clear))
        rgb = place(fitted, p.pose, window)
        if enlarged >= 1:  # a shrunken crop is as crisp as the picture, an enlarged one is not
            number = f"grain {o.frame} {o.track}"
            rgb = add_grain(rgb, grain_of(p.rgb, p.mask.hidden), seed=int.from_bytes(seed(self._key, number)[:16]))
        part = slices(window, p.region)
        seen = np.full(rgb.shape[:2], there, np.float32)
        if skin is not None:
            seen *= 1 - np.float32(amount) * (1 - skin.seen(p.pose, window))
        if there < 1 or skin is not None or p.head is not None:
            pixels, depths = continued(p.rgb, p.mask.hidden)
        if there < 1 or skin is not None:
            rgb = rimmed(rgb, seen, pixels[part], depths[part], size=p.pose.size)
        patch = Patch(window, rgb, p.mask.alpha[part].copy())
        if p.head is not None:
            patch = with_head(patch, seen, p.head, pixels, p.region)
        return patch if np.isfinite(patch.rgb).all() else None

    def _features(self, shown: Shown, points: FloatArray, side: int) -> FloatArray | None:
        return None if self._painter is None else self._painter.features(replace(shown.request, points=points), side)

    def _cover(self, p: Prepared) -> RenderedFace:
        method = self._method(p)
        fallback = method == "gan"
        if fallback:
            method = self.settings.fallback
        mask = p.mask if p.head is None else replace(p.mask, alpha=np.maximum(p.mask.alpha, p.head))
        try:
            patch = cover(method, p.rgb, mask, p.region, mosaic_cells=self.settings.mosaic_cells)
        except Exception as e:
            raise RenderError(
                f"{_where(p.job.observation)}: the face could not be covered by {method}: {e}",
                hint="try --method solid",
            ) from e
        return RenderedFace(patch, method, fallback)

    def _method(self, p: Prepared) -> Method:
        return p.job.method or self.settings.method

    def _latent(self, identity: str, dim: int, draw: int = 0) -> FloatArray:
        if (identity, draw) not in self._latents:
            made = latent(self._key, identity, dim, truncation=self.settings.truncation, draw=draw)
            self._latents[identity, draw] = made
        return self._latents[identity, draw]


def _attempt(step: Callable[[Unpack[Ts]], T | None], *args: *Ts) -> T | None:
    try:
        return step(*args)
    except Exception:  # noqa: BLE001 - whatever went wrong, no face may stay: the fallback covers it
        return None


def _unplaced(observation: Observation, error: Exception) -> RenderError:
    return RenderError(f"{_where(observation)}: the face cannot be placed: {error}", hint="correct or remove its box")


def _where(observation: Observation) -> str:
    return f"frame {observation.frame}, track {observation.track}"
