"""The nouns every room speaks, frozen and slotted.

Conventions, stated once:

- Boxes are xyxy in px of the *upright* picture (rotation flag applied), half-open, float32.
- Keypoints are (x, y) in px of the same picture; NaN means "unknown", never "not a face".
- Time is a presentation time stamp (pts, an int) times a `Fraction` time base; seconds are derived.
- Images at borders are uint8 RGB, height x width x 3; inside models float32 NCHW in [-1, 1].
- "Left" and "right" of a face are the subject's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
ImageArray = NDArray[np.uint8]

Method = Literal["gan", "blur", "mosaic", "solid"]
METHODS: tuple[Method, ...] = ("gan", "blur", "mosaic", "solid")

Source = Literal["detected", "weak", "interpolated", "padded", "edited", "carried", "hidden"]
"""Where an observation comes from: a confident detection, a low-score one that continued a track,
a gap filled between two, an extension past a track's ends, a person's edit, a face that optical flow saw where the
detector did not, or one that is thought to be behind somebody: covered, but by no new face."""
SOURCES: tuple[Source, ...] = ("detected", "weak", "interpolated", "padded", "edited", "carried", "hidden")

Action = Literal["anonymize", "keep"]

UNNAMED = re.compile(r"track-\d+")
"""Identities that tracks have until a person names them: they mean nothing outside their clip."""

FIVE_POINTS = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")
"""Order of a detector's five keypoints."""

FACE_POINTS = (
    *FIVE_POINTS,
    "right_pupil",
    "left_pupil",
    "right_lid_upper",
    "right_lid_lower",
    "left_lid_upper",
    "left_lid_lower",
    "lip_upper_inner",
    "lip_lower_inner",
    "right_ear",
    "left_ear",
    "right_shoulder",
    "left_shoulder",
    "right_brow_outer",
    "right_brow_inner",
    "left_brow_inner",
    "left_brow_outer",
    "jaw_0",
    "jaw_1",
    "jaw_2",
    "jaw_3",
    "jaw_4",
    "jaw_5",
    "jaw_6",
    "jaw_7",
    "jaw_8",
)
"""Order of the landmarker's 30 keypoints; jaw_0..jaw_8 run from the right ear over the chin to the left."""

FACE_POINT_INDEX = {name: i for i, name in enumerate(FACE_POINTS)}
N_FACE_POINTS = len(FACE_POINTS)
ON_FACE = [i for i, name in enumerate(FACE_POINTS) if not name.endswith(("_ear", "_shoulder"))]
"""Rows of those that lie on the face itself."""
OPENINGS = tuple(
    (FACE_POINT_INDEX[f"{part}_upper{end}"], FACE_POINT_INDEX[f"{part}_lower{end}"])
    for part, end in (("lip", "_inner"), ("right_lid", ""), ("left_lid", ""))
)
"""Rows (upper, lower) of what opens and closes: the mouth, the subject's right eye, the left."""


JAW = [i for i, name in enumerate(FACE_POINTS) if name.startswith("jaw_")]
"""Rows of the outline of the lower face, from the subject's right ear over the chin to the left."""


LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Of R', G' and B' in luma, as BT.601 has it."""

UNSAID = np.zeros((0, 5), np.float32)
"""stands for a table that was left out"""


@dataclass(frozen=True, slots=True)
class Detections:
    """The faces of one picture."""

    boxes: FloatArray
    """[N, 4] xyxy px"""
    scores: FloatArray
    """[N] confidence, 0..1, sorted downwards"""
    keypoints: FloatArray
    """[N, 5, 2] px in the order of FIVE_POINTS, NaN where unknown"""
    visibility: FloatArray = field(default_factory=lambda: UNSAID)
    """[N, 5] of each keypoint, 0 = covered or turned away, 1 = seen; left out: 1 wherever it is known"""

    def __post_init__(self) -> None:
        n = len(self.boxes)
        if self.visibility is UNSAID:
            seen = np.isfinite(self.keypoints).all(-1).astype(np.float32)
            object.__setattr__(self, "visibility", seen)
        shapes = tuple(a.shape for a in (self.boxes, self.scores, self.keypoints, self.visibility))
        if shapes != ((n, 4), (n,), (n, 5, 2), (n, 5)):
            raise ValueError(
                "Detections wants boxes [N, 4], scores [N], keypoints [N, 5, 2], visibility [N, 5]; "
                f"got {', '.join(map(str, shapes))}"
            )

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Detections:
        """Some of them, chosen as numpy chooses rows, in that order."""
        return Detections(self.boxes[rows], self.scores[rows], self.keypoints[rows], self.visibility[rows])

    @classmethod
    def empty(cls) -> Detections:
        """No face."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))


@dataclass(frozen=True, slots=True)
class ScannedFace:
    """One detection as the scan writes it down."""

    box: FloatArray
    """[4] xyxy px"""
    score: float
    """0..1"""
    points: FloatArray
    """[30, 2] px in the order of FACE_POINTS, NaN where unknown"""
    confidence: FloatArray
    """[30] of each point, 0..1 (0 where unknown)"""
    flow: tuple[float, float]
    """median optical flow of the box from this frame to the next, px (0, 0 where there is no next)"""
    ahead: FloatArray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    """[K, 4] xyxy px: where its own pixels are found in the next K frames, up to one with a detection again"""
    behind: FloatArray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    """[K, 4] xyxy px: the same in the K frames before it, backwards"""
    moved: FloatArray = field(default_factory=lambda: np.full((N_FACE_POINTS, 2), np.nan, np.float32))
    """[30, 2] px that each point moves to the next frame by optical flow, NaN where that is not known"""


@dataclass(frozen=True, slots=True)
class Carried:
    """Where optical flow takes a detection, told some frames after it."""

    frame: int
    """frame index of the detection"""
    place: int
    """of the detection among those of its frame, 0 the best"""
    ahead: FloatArray
    """as `ScannedFace.ahead`"""
    behind: FloatArray
    """as `ScannedFace.behind`"""


@dataclass(frozen=True, slots=True)
class ScannedFrame:
    """What the scan knows of one frame: enough to link and settle without decoding again."""

    index: int
    """0-based, in presentation order"""
    pts: int
    """in units of the clip's time base"""
    faces: tuple[ScannedFace, ...]
    """all detections at or above the weak threshold, best first"""
    change: float
    """0..1, how much the picture differs from the frame before (0 for the first)"""
    change_skip: float
    """0..1, how much it differs from the frame before the last, or, within a few frames of a sudden change, from the
    one before that change: low once a flash is over, high after a cut"""
    camera: tuple[float, float]
    """motion of the background from this frame to the next, px: of the picture's corner (0, 0)"""
    turn: tuple[float, float] = (1.0, 0.0)
    """zoom and roll of the background from this frame to the next: zoom * cos, zoom * sin of the roll (x towards y)"""


@dataclass(frozen=True, slots=True)
class Observation:
    """One face of one settled track in one frame: what the renderer paints."""

    frame: int
    """frame index"""
    track: int
    """track number, from 1"""
    box: FloatArray
    """[4] xyxy px, settled; may reach past the picture's edge"""
    points: FloatArray
    """[30, 2] px, settled; NaN where unknown"""
    score: float
    """detector score, 0..1; for interpolated and padded ones that of the weaker neighbour"""
    source: Source
    """where it comes from"""


@dataclass(frozen=True, slots=True)
class Track:
    """One person in one shot."""

    number: int
    """from 1, in order of appearance"""
    first: int
    """frame index of the first observation"""
    last: int
    """frame index of the last observation, inclusive"""
    identity: str
    """the name the latent is derived from, with the key; two tracks with one identity get one face"""
    action: Action
    """what the renderer does with it"""


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """One audio stream, as probed."""

    index: int
    """stream number in the container"""
    codec: str
    """FFmpeg's name of the codec"""
    rate: int
    """samples a second"""
    channels: int
    """number of channels"""
    language: str | None
    """ISO 639 tag, or None"""


@dataclass(frozen=True, slots=True)
class CodecTraits:
    """What of a clip's coding an encoder should do again, as far as the first packets tell."""

    profile: str | None = None
    """FFmpeg's name of the codec's profile: "HQ" of ProRes, "DNXHR SQ", "High 4:2:2 Intra\""""
    intra: bool = False
    """every picture stands alone"""
    megabits: int | None = None
    """DNxHD: a nominal rate of its compression id, 10^6 bits a second"""
    loose: bool = False
    """numbered picture files: their codec says nothing about a video"""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """A clip as probed, before anything is decoded."""

    path: Path
    """the file"""
    container: str
    """FFmpeg's name of the format"""
    codec: str
    """FFmpeg's name of the video codec"""
    width: int
    """px of the upright picture"""
    height: int
    """px of the upright picture"""
    rotation: int
    """degrees counter-clockwise the stored picture is turned to stand upright: 0, 90, 180 or 270"""
    pix_fmt: str
    """FFmpeg's name of the pixel format as stored"""
    time_base: Fraction
    """seconds of one pts unit"""
    rate: Fraction | None
    """average frames a second, None where the container does not say"""
    frames_estimate: int | None
    """frames in the clip as far as the container tells (wrong under VFR), None where it does not"""
    duration_seconds: float | None
    """as far as the container tells"""
    audio: tuple[AudioInfo, ...]
    """all audio streams"""
    other_streams: tuple[str, ...]
    """what else the container holds and vidanon leaves behind, in words"""
    stream: int = 0
    """number of the video stream in the container"""
    cameras: tuple[int, ...] = (0,)
    """numbers of all video streams that are no cover art or thumbnail; `stream` is one of them"""
    traits: CodecTraits = CodecTraits()
    """how it is coded"""


@dataclass(frozen=True, slots=True)
class Region:
    """An integer window of a picture, half-open, inside it."""

    x0: int
    """left px"""
    y0: int
    """top px"""
    x1: int
    """right px, exclusive"""
    y1: int
    """bottom px, exclusive"""

    @property
    def width(self) -> int:
        """px"""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """px"""
        return self.y1 - self.y0


@dataclass(frozen=True, slots=True)
class Patch:
    """Painted pixels for one region of one frame."""

    region: Region
    """where it goes"""
    rgb: FloatArray
    """[height, width, 3] R'G'B' in 0..1 (gamma-encoded, full range)"""
    alpha: FloatArray
    """[height, width] 1 = only the patch, 0 = only the source"""
