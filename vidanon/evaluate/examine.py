"""One photo, covered in every way and looked at by everybody: what of it is needed for the figures, and no pixel.

In: a `Photo`, `Tools`, and the `Equipment` they were built from. Out: a `Seen`. Recognition vectors stay in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from vidanon.detect.base import Detector
from vidanon.errors import WeightsError
from vidanon.evaluate import groups
from vidanon.evaluate.covering import cover, cover_subject, looks_under_mask, renderer
from vidanon.evaluate.crops import Crop, Place, cut
from vidanon.evaluate.photos import FaceFinder, Photo, Still
from vidanon.evaluate.speech import Locator, Openings, seen_openings
from vidanon.geometry import centre_size, from_centre_size, iou
from vidanon.media.frames import Frame
from vidanon.models.embeddings import Embedder
from vidanon.settings import Settings
from vidanon.types import FloatArray, ImageArray, Method, Observation

if TYPE_CHECKING:
    from vidanon.render.generate import FacePainter

NONE = "none"
COLUMNS: tuple[str, ...] = (NONE, "gan", "blur", "mosaic", "solid")
"""the photo as it is, then the methods that cover it"""
METHODS: tuple[Method, ...] = ("gan", "blur", "mosaic", "solid")
JITTER = 0.04
"""the second crop lies up to this far off, in face sizes, on either axis, and is up to this much larger or smaller"""
ON_FACE = 0.3
"""overlap from which a judge's detection is a covered face: detectors draw their boxes differently"""
BLIND_EVERY = 8
"""every so manieth photo is painted again with noise under its masks"""


class Recognizer(Embedder, Protocol):
    """Makes recognition vectors, and can tell whether it would look at a face at all."""

    def sees(self, crop: ImageArray) -> bool:
        """Whether its own detector finds a face in a crop."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What looks and paints, built and ready."""

    detector: Detector
    """finds the faces that are covered"""
    locator: Locator
    """finds keypoints, in the photo and in what became of it"""
    recognizer: Recognizer
    """knows people"""
    judges: Sequence[Detector]
    """are asked whether there is a face; all their detections count"""
    painter: FacePainter
    """the generator"""


@dataclass(frozen=True, slots=True)
class Equipment:
    """How to build `Tools`, in any process; and what else the look at a photo depends on."""

    settings: Settings
    """as a run would have them"""
    device: str
    """"cpu" or "cuda:N\""""
    judges: tuple[tuple[str, float], ...] = ()
    """(path of an ONNX detector, scale at which it is shown the photo); without any, our own detector judges"""
    score: float = 0.5
    """from which a judge's detection counts"""
    latents: int = 2
    """new people a photo gets"""
    seed: int = 0
    """of keys, jitter and noise"""
    weights: Path | None = None
    """the generator's, default: those that ship"""

    def tools(self) -> Tools:
        """Builds everything. Raises WeightsError, UsageError or DeviceError for what is missing."""
        from vidanon.detect.factory import build_detector
        from vidanon.detect.landmarks import FaceLandmarker
        from vidanon.detect.onnx import OnnxNetwork
        from vidanon.detect.plain import PlainDetector
        from vidanon.models.embeddings import FaceEmbedder
        from vidanon.render.align import CROP_SCALE

        detect = self.settings.detect
        threads = self.settings.run.threads
        detector = build_detector(detect, device=self.device, threads=threads)
        judges: list[Detector] = []
        for path, scale in self.judges:
            network = OnnxNetwork(Path(path), least=self.score, nms_iou=detect.nms_iou, threads=threads)
            judges.append(PlainDetector(network, name=network.name, scale=scale))
        return Tools(
            detector=detector,
            locator=FaceLandmarker.shipped(self.device),
            recognizer=FaceEmbedder(scale=CROP_SCALE),
            judges=judges or [detector],
            painter=self.painter(),
        )

    def painter(self) -> FacePainter:
        """The generator on its device. Raises WeightsError if its weights are missing, damaged or another network's."""
        from vidanon.models.generator import Generator, GeneratorConfig
        from vidanon.models.weights import read_weights
        from vidanon.render.generate import FacePainter

        if self.weights is None:
            return FacePainter.shipped(self.device)
        state, config = read_weights(self.weights)
        try:
            generator = Generator(GeneratorConfig.from_dict(config))
            generator.load_state_dict(state)
        except (RuntimeError, TypeError, KeyError) as e:
            hint = "name a generator.safetensors, as vidanon train generator --publish writes it"
            raise WeightsError(f"{self.weights}: does not fit a generator: {e}", hint=hint) from e
        return FacePainter(generator, self.device)

    def key(self, latent: int) -> bytes:
        """The key of the n-th people: no secret, so that figures can be had again."""
        return hashlib.sha256(f"vidanon evaluate generator {self.seed} {latent}".encode()).digest()


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one photo."""

    photo: Photo
    """which one"""
    size_px: float = 0.0
    """of the subject's face"""
    tone: str = groups.UNKNOWN
    """group of the subject's skin tone"""
    pose: str = groups.UNKNOWN
    """group of the subject's pose"""
    fallbacks: int = 0
    """faces the generator failed on"""
    subject: int = -1
    """index of the subject among the faces; -1: no face was found, and nothing else here means anything"""
    found: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    """of each column [judges, faces], whether the judge finds the face"""
    vectors: dict[str, FloatArray] = field(default_factory=dict)
    """of each column [128], the subject"""
    looked: dict[str, bool] = field(default_factory=dict)
    """of each column, whether the recognizer's own detector sees a face in the subject's crop"""
    skin: dict[str, FloatArray | None] = field(default_factory=dict)
    """of each column, the L*a*b* colour of the subject's cheeks"""
    openings: dict[str, Openings] = field(default_factory=dict)
    """of each column, the subject's lips and lids"""
    jittered: FloatArray | None = None
    """[128] painted again from a crop slightly off"""
    others: tuple[FloatArray, ...] = ()
    """[128] each, painted with other latents"""
    peeked: dict[str, bool] = field(default_factory=dict)
    """of each method, whether pixels under the mask had influence; empty for photos that were not tried"""


class Examiner:
    """Looks at photos, one after the other."""

    def __init__(self, tools: Tools, equipment: Equipment) -> None:
        self._tools, self._equipment = tools, equipment
        self._finder = FaceFinder(tools.detector, tools.locator, equipment.settings)
        render = equipment.settings.render
        self._renderers = {
            method: renderer(render, method, equipment.key(0), tools.painter if method == "gan" else None)
            for method in METHODS
        }
        self._strangers = [
            renderer(render, "gan", equipment.key(latent), tools.painter) for latent in range(1, equipment.latents)
        ]

    def find(self, photo: Photo) -> Still | None:
        """The photo's faces, None where there is none."""
        return self._finder.find(photo.path)

    def vector(self, photo: Photo) -> FloatArray | None:
        """[128] of a photo's subject as it is; None where there is no face."""
        still = self.find(photo)
        return None if still is None else self._tools.recognizer.embed(cut(still.frame, still.place()).image())

    def look(self, photo: Photo, number: int) -> Seen:
        """Everything about the `number`-th photo."""
        still = self.find(photo)
        if still is None:
            return Seen(photo)
        name, place, recognizer = photo.path.name, still.place(), self._tools.recognizer
        covered = {method: cover(still, self._renderers[method], name=name) for method in METHODS}
        frames: dict[str, Frame] = {NONE: still.frame} | {method: covered[method].frame for method in METHODS}
        crops = {column: cut(frame, place) for column, frame in frames.items()}
        skin = {column: groups.skin(crop, place) for column, crop in crops.items()}
        again = jittered(still.faces[still.subject], self._random(name))
        gan = covered["gan"]
        who = gan.casts[still.subject]  # as in a clip, where it is decided once
        moved = cover_subject(still, gan, self._renderers["gan"], name=name, face=again, who=who)
        same = still.faces[still.subject]
        strangers = [cover_subject(still, gan, other, name=name, face=same) for other in self._strangers]
        return Seen(
            photo,
            size_px=place.pose.size,
            tone=groups.tone(skin[NONE]),
            pose=groups.pose(place.points),
            fallbacks=gan.fallbacks,
            subject=still.subject,
            found={column: self._found(frame, still) for column, frame in frames.items()},
            vectors={column: recognizer.embed(crop.image()) for column, crop in crops.items()},
            looked={column: recognizer.sees(crop.image()) for column, crop in crops.items()},
            skin=skin,
            openings={column: self._openings(crop, place) for column, crop in crops.items()},
            jittered=recognizer.embed(cut(moved, place).image()),
            others=tuple(recognizer.embed(cut(frame, place).image()) for frame in strangers),
            peeked=self._peeked(still, name, number),
        )

    def sheet(self, photo: Photo, keys: Sequence[bytes]) -> list[ImageArray] | None:
        """The subject's crop as it is, then with the face of each key; None where there is no face."""
        still = self.find(photo)
        if still is None:
            return None
        render, name, place = self._equipment.settings.render, photo.path.name, still.place()
        made = [cover(still, renderer(render, "gan", key, self._tools.painter), name=name).frame for key in keys]
        return [cut(frame, place).image() for frame in (still.frame, *made)]

    def _random(self, name: str) -> np.random.Generator:
        digest = hashlib.sha256(f"{self._equipment.seed} {name}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "little"))

    def _found(self, frame: Frame, still: Still) -> NDArray[np.bool_]:
        rows = []
        for judge in self._tools.judges:
            (seen,) = judge.detect([frame.rgb()])
            boxes = seen.boxes[seen.scores >= self._equipment.score]
            rows.append(iou(still.boxes(), boxes).max(axis=1, initial=0) >= ON_FACE)
        return np.array(rows, np.bool_)

    def _openings(self, crop: Crop, place: Place) -> Openings:
        return seen_openings(crop, place, self._tools.locator)

    def _peeked(self, still: Still, name: str, number: int) -> dict[str, bool]:
        if number % BLIND_EVERY:
            return {}
        e = self._equipment
        return {
            method: looks_under_mask(
                still, method, e.settings.render, key=e.key(0), painter=self._tools.painter, name=name, seed=number
            )
            for method in METHODS
        }


def jittered(face: Observation, rng: np.random.Generator) -> Observation:
    """The face with a box that is off by up to JITTER: shifted on both axes, and scaled."""
    cx, cy, w, h = centre_size(face.box)
    dx, dy, grown = rng.uniform(-JITTER, JITTER, 3)
    size = max(w, h)
    box = from_centre_size(np.array([cx + dx * size, cy + dy * size, w * (1 + grown), h * (1 + grown)]))
    return replace(face, box=box.astype(np.float32))
