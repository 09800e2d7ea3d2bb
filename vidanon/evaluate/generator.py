"""How good new faces are, beside blur, mosaic, black-out and nothing at all: figures of what was seen of many photos.

In: `Seen`s of examine.py. Out: a `GeneratorReport`: is there still a face, is it still the person, does the same latent
stay one person and another one become another, are new faces spread as real ones are, do lips and lids follow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from vidanon.evaluate.calibrate import wilson
from vidanon.evaluate.examine import COLUMNS, NONE, Seen
from vidanon.evaluate.frechet import between_halves, to_others
from vidanon.evaluate.generator_report import Figures, GeneratorReport, GroupFigures, Speed
from vidanon.evaluate.groups import Kinds
from vidanon.evaluate.recognition import SAME_PERSON, distances, plan_search
from vidanon.evaluate.speech import correlation, gain
from vidanon.types import FloatArray

GAN = "gan"
LEAST_GROUP = 5
"""photos of a group, below which nothing is said of it"""


def figures_of(
    seen: Sequence[Seen],
    *,
    folder: str,
    weights: str,
    judges: Sequence[str],
    speed: Speed,
    real: FloatArray | None = None,
    real_name: str | None = None,
    kinds: Kinds | None = None,
) -> GeneratorReport:
    """The report. `real` [N, 128] are vectors of other real people; default: the photos themselves.

    `kinds` are groups of photos besides those by skin tone and pose.
    """
    known = [one for one in seen if one.subject >= 0]
    crowd = _Crowd(known, len(judges))
    search, apart = crowd.search, crowd.spread(real)
    same, other = crowd.apart()
    return GeneratorReport(
        folder=folder,
        weights=weights,
        photos=len(seen),
        faceless=len(seen) - len(known),
        faces=sum(one.found[NONE].shape[1] for one in known),
        fallbacks=sum(one.fallbacks for one in known),
        size_px=_median([one.size_px for one in known]),
        judges=tuple(judges),
        judges_faces=tuple(int(count) for count in crowd.found(NONE).sum(axis=1)),
        searches=search.queries,
        gallery=search.gallery,
        chance=1 / search.gallery if search.gallery else None,
        recognized_within=crowd.recognized_within(),
        rank1_within=_within(search.hits(crowd.vectors[GAN], crowd.vectors[NONE]), search.queries),
        same_person=same,
        other_person=other,
        frechet_halves=apart[NONE][1] if apart else None,
        frechet_real=real_name or folder,
        blind_tried=sum(bool(one.peeked) for one in known),
        speed=speed,
        columns=tuple(crowd.figures(column, apart[column][0] if apart else None) for column in COLUMNS),
        groups=tuple(_groups(known, len(judges), kinds or {})),
    )


class _Crowd:
    """Photos whose faces were found."""

    def __init__(self, known: Sequence[Seen], judges: int) -> None:
        self.known, self._judges = known, judges
        self._owners = [one.photo.person or one.photo.path.name for one in known]
        self.vectors = {column: np.array([one.vectors[column] for one in known], np.float32) for column in COLUMNS}
        self.search = plan_search([one.photo.person for one in known])

    def found(self, column: str) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
        """[judges, faces] of all photos."""
        parts = [one.found[column] for one in self.known]
        return np.concatenate(parts, axis=1) if parts else np.zeros((self._judges, 0), np.bool_)

    def distance(self, column: str) -> FloatArray:
        """[photos] from the originals."""
        return distances(self.vectors[column], self.vectors[NONE]) if self.known else np.zeros(0, np.float32)

    def recognized_within(self) -> tuple[float, float] | None:
        """95 % confidence interval of the share of photos recognized in spite of a new face."""
        return _within(int((self.distance(GAN) < SAME_PERSON).sum()), len(self.known))

    def apart(self) -> tuple[float | None, float | None]:
        """Median distances between originals of one person, and between those of two, by the search's first round."""
        if not self.search.queries:
            return None, None
        queries, gallery, answers = self.search.rounds[0]
        rows = self.vectors[NONE]
        apart = np.linalg.norm(rows[queries][:, None] - rows[gallery][None], axis=2)
        right = np.arange(len(gallery))[None] == answers[:, None]
        return _median(apart[right]), _median(apart[~right])

    def spread(self, real: FloatArray | None) -> dict[str, tuple[float, float]] | None:
        """Of each column, the Fréchet distance from real faces and that of their halves; None with too few photos."""
        found = {}
        for column in COLUMNS:
            made = self.vectors[column]
            pair = between_halves(self.vectors[NONE], made, self._owners) if real is None else to_others(real, made)
            if pair is None:
                return None
            found[column] = pair
        return found

    def figures(self, column: str, spread: float | None) -> Figures:
        """One column."""
        before, after = self.found(NONE), self.found(column)
        found = [_ratio(a.sum(), b.sum()) for a, b in zip(after, before, strict=True)]
        again = [_ratio((a & b).sum(), b.sum()) for a, b in zip(after, before, strict=True)]
        apart = self.distance(column)
        looked = np.array([one.looked[column] for one in self.known], np.bool_)
        mouths, lids = self._openings(column, "mouth"), self._openings(column, "lids")
        tried = [one.peeked[column] for one in self.known if column in one.peeked]
        hits = self.search.hits(self.vectors[column], self.vectors[NONE])
        return Figures(
            name=column,
            found=_mean(found),
            found_by=tuple(found),
            found_again=_mean(again),
            recognized=_share(apart < SAME_PERSON),
            looked_at=_share(looked),
            recognized_unaided=_share((apart < SAME_PERSON) & looked),
            distance=_median(apart),
            rank1=_ratio(hits, self.search.queries),
            jitter_distance=_median(self._jitters()) if column == GAN else None,
            latents_distance=_median(self._strangers()) if column == GAN else None,
            frechet=spread,
            skin=_median(self._skins(column)),
            mouth=correlation(*mouths),
            mouth_gain=gain(*mouths),
            lids=correlation(*lids),
            lids_gain=gain(*lids),
            peeked=sum(tried) if tried else None,
        )

    def _openings(self, column: str, what: str) -> tuple[list[float], list[float]]:
        """(in the originals, in the column), photo by photo."""
        before, after = ([getattr(one.openings[c], what) for one in self.known] for c in (NONE, column))
        return before, after

    def _skins(self, column: str) -> list[float]:
        """How far the colour of cheeks is from the original's, photo by photo."""
        pairs = [(one.skin.get(column), one.skin.get(NONE)) for one in self.known]
        return [float(np.linalg.norm(a - b)) for a, b in pairs if a is not None and b is not None]

    def _jitters(self) -> list[float]:
        pairs = [(one.jittered, one.vectors[GAN]) for one in self.known]
        return [float(np.linalg.norm(a - b)) for a, b in pairs if a is not None]

    def _strangers(self) -> list[float]:
        groups = [(one.vectors[GAN], *one.others) for one in self.known]
        return [float(np.linalg.norm(a - b)) for group in groups for a, b in combinations(group, 2)]


def _groups(known: Sequence[Seen], judges: int, kinds: Kinds) -> Iterator[GroupFigures]:
    """The generator's figures by skin tone, pose and `kinds`, largest group first; searches are among all photos."""
    search = plan_search([one.photo.person for one in known])
    everybody = _Crowd(known, judges)
    right = search.right(everybody.vectors[GAN], everybody.vectors[NONE])
    of_photos: dict[str, list[str]] = {"skin tone": [one.tone for one in known], "pose": [one.pose for one in known]}
    of_photos |= {kind: [groups.get(one.photo.path.name, "") for one in known] for kind, groups in kinds.items()}
    for kind, names in of_photos.items():
        for name in sorted(set(names) - {""}, key=lambda n: (-names.count(n), n)):
            rows = [i for i, own in enumerate(names) if own == name]
            if len(rows) < LEAST_GROUP:
                continue
            crowd = _Crowd([known[i] for i in rows], judges)
            column = crowd.figures(GAN, None)
            searched = [right[i] for i in rows if i in right]
            yield GroupFigures(
                kind=kind,
                name=name,
                photos=len(rows),
                found=column.found,
                recognized=column.recognized,
                rank1=_ratio(sum(searched), len(searched)),
                mouth=column.mouth,
            )


def _ratio(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None


def _within(part: int, whole: int) -> tuple[float, float] | None:
    return wilson(part, whole) if whole else None


def _share(which: ArrayLike) -> float | None:
    values = np.asarray(which, np.bool_)
    return float(values.mean()) if values.size else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _median(values: ArrayLike) -> float | None:
    array = np.asarray(values, np.float64)
    return float(np.median(array)) if array.size else None
