"""Fréchet distance between two sets of recognition vectors: are new faces spread as real ones are?

In: vectors [N, D]. Out: one number, 0 for equal Gaussians. It grows as sets get smaller, so sets of one size are
compared, beside what two halves of the real faces are apart.

Source: Dowson & Landau 1982; as a measure of generators Heusel et al. 2017 (https://arxiv.org/abs/1706.08500), there on
features of a classifier, here on those of a face recognizer, which sees people rather than pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidanon.types import FloatArray

SPLITS = 10
"""random halves, of which the mean is taken"""
LEAST = 16
"""vectors in a half, below which a covariance says nothing"""

Array = NDArray[np.float64]


def frechet(a: FloatArray, b: FloatArray) -> float:
    """Squared distance between the Gaussians fitted to `a` [N, D] and `b` [M, D], N and M at least 2."""
    mean_a, mean_b = (x.mean(axis=0, dtype=np.float64) for x in (a, b))
    cov_a, cov_b = (np.atleast_2d(np.cov(x.astype(np.float64), rowvar=False)) for x in (a, b))
    root = _root(cov_a)
    # the trace of (A B)^(1/2) is that of (A^(1/2) B A^(1/2))^(1/2), which is symmetric
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ cov_b @ root), 0, None)).sum()
    distance = np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross
    return max(0.0, float(distance))


def _root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T, np.float64)


def halves(people: Sequence[str], *, seed: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """SPLITS random halves of N vectors, of one size, nobody in both; `people` [N] are their owners."""
    rng = np.random.default_rng(seed)
    names = sorted(set(people))
    owner = np.array([names.index(person) for person in people])
    out = []
    for _ in range(SPLITS):
        in_first = np.isin(owner, rng.permutation(len(names))[: len(names) // 2])
        first, second = np.flatnonzero(in_first), np.flatnonzero(~in_first)
        size = min(len(first), len(second))
        out.append((rng.permutation(first)[:size], rng.permutation(second)[:size]))
    return out


def between_halves(
    real: FloatArray, made: FloatArray, people: Sequence[str], *, seed: int = 0
) -> tuple[float, float] | None:
    """(of `made` to `real`, of one half of `real` to the other); None where there are too few.

    `made` [N, D] are the covered copies of `real` [N, D]: one half's copies are compared with the other half's
    originals, so that nobody is compared with himself, and an unchanged copy scores what the real halves do.
    """
    if len(set(people)) < 2 * LEAST:
        return None
    parts = halves(people, seed=seed)
    return (
        float(np.mean([frechet(made[a], real[b]) for a, b in parts])),
        float(np.mean([frechet(real[a], real[b]) for a, b in parts])),
    )


def to_others(real: FloatArray, made: FloatArray, *, seed: int = 0) -> tuple[float, float] | None:
    """The same where `made` [N, D] shows other people than `real` [M, D]: samples of one size, half of the smaller."""
    size = min(len(real) // 2, len(made))
    if size < LEAST:
        return None
    rng = np.random.default_rng(seed)
    apart, own = [], []
    for _ in range(SPLITS):
        order = rng.permutation(len(real))
        apart.append(frechet(made[rng.permutation(len(made))[:size]], real[order[:size]]))
        own.append(frechet(real[order[:size]], real[order[size : 2 * size]]))
    return float(np.mean(apart)), float(np.mean(own))
