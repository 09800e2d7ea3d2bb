"""What `evaluate generator` says: the classes that become tables and JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one way to cover a face. None: cannot be told, or makes no sense for it."""

    name: str
    """"none", or the method"""
    found: float | None
    """faces that a judge finds, as a share of those it finds in the originals; mean over the judges"""
    found_by: tuple[float | None, ...]
    """the same, judge by judge"""
    found_again: float | None
    """of the very faces a judge finds in the originals, the share it finds here; mean over the judges"""
    recognized: float | None
    """photos whose face is under dlib's 0.6 from the original's, the place being known"""
    looked_at: float | None
    """photos in which dlib's own detector finds the face at all"""
    recognized_unaided: float | None
    """photos that are both: what somebody with dlib and no knowledge of the place recognizes"""
    distance: float | None
    """dlib distance to the original, median"""
    rank1: float | None
    """searches by the covered photo that find the person's other photo first"""
    jitter_distance: float | None
    """dlib distance between paintings of one face from crops slightly off each other, median"""
    latents_distance: float | None
    """dlib distance between paintings of one face with two latents, median"""
    frechet: float | None
    """Fréchet distance of the recognition vectors from those of real faces"""
    skin: float | None
    """how far the colour of the cheeks is from the original's, CIE 1976 dE, median"""
    mouth: float | None
    """correlation of mouth opening over the photos, original against this"""
    mouth_gain: float | None
    """how far the mouth opens for every unit that the original's does"""
    lids: float | None
    """correlation of lid opening"""
    lids_gain: float | None
    """how far the lids open for every unit that the original's do"""
    peeked: int | None
    """photos in which pixels under the mask had influence, of those that were tried"""


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """What holds of one group of photos, covered by the generator."""

    kind: str
    """"skin tone" or "pose\""""
    name: str
    """of the group"""
    photos: int
    """how many there are"""
    found: float | None
    """as in Figures"""
    recognized: float | None
    """as in Figures"""
    rank1: float | None
    """as in Figures; the group's photos against everybody's"""
    mouth: float | None
    """as in Figures"""


@dataclass(frozen=True, slots=True)
class Speed:
    """How quickly a generator paints."""

    resolution: int
    """px of its crop"""
    device: str
    """where"""
    threads: int
    """CPU threads"""
    faces_a_second: float
    """painted by the generator alone, 8 at a time"""


@dataclass(frozen=True, slots=True)
class GeneratorReport:
    """What was measured."""

    folder: str
    """name of the photos' folder"""
    weights: str
    """the generator's"""
    photos: int
    """photos looked at"""
    faceless: int
    """of these, photos in which our detector found no face; they are in no other figure"""
    faces: int
    """faces covered"""
    fallbacks: int
    """faces the generator failed on, which the fallback covered"""
    size_px: float | None
    """median size of the photos' main face"""
    judges: tuple[str, ...]
    """detectors asked for faces"""
    judges_faces: tuple[int, ...]
    """faces each of them finds in the originals"""
    searches: int
    """re-identifications tried"""
    gallery: int
    """photos searched each time"""
    chance: float | None
    """rank-1 share of guessing"""
    recognized_within: tuple[float, float] | None
    """95 % confidence interval (Wilson) of the generator's photos recognized"""
    rank1_within: tuple[float, float] | None
    """95 % confidence interval of the generator's rank-1 share"""
    same_person: float | None
    """dlib distance between two photos of one person, median"""
    other_person: float | None
    """dlib distance between photos of two people, median"""
    frechet_halves: float | None
    """Fréchet distance between two halves of the real faces"""
    frechet_real: str
    """name of the folder of the real faces"""
    blind_tried: int
    """photos painted again with noise under the masks"""
    speed: Speed
    """of the generator"""
    columns: tuple[Figures, ...]
    """nothing, then the methods"""
    groups: tuple[GroupFigures, ...]
    """the generator's figures by group, of those with enough photos"""
