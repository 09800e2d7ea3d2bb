"""Is a face still recognized, and is its owner found among many: recognition vectors in, shares out.

Vectors are those of embeddings.py; 0.6 is the distance under which dlib's own users call two faces one person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidanon.types import FloatArray

SAME_PERSON = 0.6
"""dlib's own threshold: two photos closer than this are of one person"""


def distances(a: FloatArray, b: FloatArray) -> FloatArray:
    """[N] between the rows of `a` and `b`, both [N, D]."""
    return np.asarray(np.linalg.norm(a - b, axis=1), np.float32)


@dataclass(frozen=True, slots=True)
class Search:
    """Who was looked for, and where: the plan of a re-identification, the same for all ways to cover a face."""

    rounds: tuple[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]], ...]
    """(queries [Q], gallery [G], position [Q] of the right answer in the gallery) in rows of the vectors"""

    @property
    def queries(self) -> int:
        """Searches made."""
        return sum(len(queries) for queries, _, _ in self.rounds)

    @property
    def gallery(self) -> int:
        """Photos searched each time."""
        return max((len(gallery) for _, gallery, _ in self.rounds), default=0)

    def right(self, queries: FloatArray, originals: FloatArray) -> dict[int, bool]:
        """Of each row searched, whether the nearest photo is of the right person; both [N, D]."""
        found: dict[int, bool] = {}
        for rows, gallery, answers in self.rounds:
            apart = np.linalg.norm(queries[rows][:, None] - originals[gallery][None], axis=2)
            found |= zip(rows.tolist(), (apart.argmin(axis=1) == answers).tolist(), strict=True)
        return found

    def hits(self, queries: FloatArray, originals: FloatArray) -> int:
        """Searches whose nearest photo is of the right person; both [N, D]."""
        return sum(self.right(queries, originals).values())


def plan_search(people: Sequence[str | None]) -> Search:
    """Two rounds over those with two photos or more: first photos are looked for among second ones, and vice versa.

    `people` [N] are the owners of the photos, None where unknown. A gallery has one photo a person, and never the one
    that is looked for. Third and later photos do not take part.
    """
    owned: dict[str, list[int]] = {}
    for row, person in enumerate(people):
        if person is not None:
            owned.setdefault(person, []).append(row)
    twice = [rows[:2] for rows in owned.values() if len(rows) > 1]
    if not twice:
        return Search(())
    first, second = np.array(twice, np.intp).T
    answers = np.arange(len(twice))
    return Search(((first, second, answers), (second, first, answers)))
