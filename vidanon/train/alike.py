"""Which faces are the same photo again, and which side of the split each belongs to.

In: upright grey faces whose eyes and mouth lie where every face's do. Out: difference hashes, pairs of near duplicates,
the ones to keep, groups that must stay together.

A difference hash says of neighbouring cells which is brighter (Krawetz, "Kind of like that", 2013). Every face has two,
of the face with its surroundings and of the features alone, and two faces are as far apart as the farther of the two
says: portraits of one studio are alike around the face, and faces laid over each other by their keypoints are alike
inside. Measured so, copies that were cropped, scaled, turned a little, recompressed or brightened (7 ways, 100 news
photos) differ in at most 15 % of the bits, 99.9 % of them in 12 %; of 320,000 pairs of news photos of different people
the nearest in 26 %, of 10,000,000 pairs of official and synthetic portraits the nearest that are two people in 17 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.types import ImageArray

CELLS = 16
"""cells of a hash, across and down"""
BITS = 2 * CELLS * CELLS
"""bits of one hash; a face has two"""
FEATURES = ((0.25, 0.78), (0.235, 0.765))
"""rows and columns of the face in which brows, eyes, nose and mouth lie, shares of its side"""
SAME = 0.14
"""share of differing bits up to which two faces are one photo"""
KIN = 0.18
"""share up to which two faces are from one sitting at least: never on both sides of a split"""
BLOCK = 2048
"""faces compared at a time: bounds memory"""

Pair = tuple[int, int, float]


def difference_hash(face: ImageArray) -> tuple[bytes, bytes]:
    """(hashes, hashes of the mirrored face), 2 * BITS bits each, of a grey face [S, S]."""
    return _both(face), _both(np.ascontiguousarray(face[:, ::-1]))


def _both(face: ImageArray) -> bytes:
    side = len(face)
    rows, columns = (slice(round(low * side), round(high * side)) for low, high in FEATURES)
    return _bits(face) + _bits(face[rows, columns])


def _bits(face: ImageArray) -> bytes:
    small = cv2.resize(face.astype(np.float32), (CELLS + 1, CELLS + 1), interpolation=cv2.INTER_AREA)
    across = small[:CELLS, 1:] > small[:CELLS, :-1]
    down = small[1:, :CELLS] > small[:-1, :CELLS]
    return np.packbits(np.concatenate([across.ravel(), down.ravel()])).tobytes()


def pairs(hashes: Sequence[bytes], mirrored: Sequence[bytes], *, limit: float = KIN) -> Iterator[Pair]:
    """(i, j, distance), i < j, of all faces that differ in at most `limit` of their bits, as they are or mirrored."""
    own, other = _signs(hashes), _signs(mirrored)
    for start in range(0, len(hashes), BLOCK):
        rows = slice(start, start + BLOCK)
        for begin in range(start, len(hashes), BLOCK):
            columns = slice(begin, begin + BLOCK)
            distance = np.minimum(_apart(own[:, rows], own[:, columns]), _apart(own[:, rows], other[:, columns]))
            for i, j in np.argwhere(distance <= limit):
                if start + i < begin + j:
                    yield int(start + i), int(begin + j), float(distance[i, j])


def _apart(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, M] shares of differing bits of [2, N, BITS] and [2, M, BITS]: of both hashes, the larger."""
    agreeing = np.minimum(a[0] @ b[0].T, a[1] @ b[1].T)  # minus differing: the product of +-1 vectors
    return np.asarray((1 - agreeing / BITS) / 2, np.float32)


def _signs(hashes: Sequence[bytes]) -> NDArray[np.float32]:
    """[2, N, BITS] of -1 and 1."""
    packed = np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), 2, BITS // 8)
    return np.ascontiguousarray((np.unpackbits(packed, axis=2).astype(np.float32) * 2 - 1).transpose(1, 0, 2))


def best_of_each(order: Sequence[int], near: Iterable[Pair]) -> dict[int, int]:
    """Which faces go, and for the sake of which: going through `order`, a face goes if one that stays is the SAME."""
    same: dict[int, list[int]] = {}
    for i, j, distance in near:
        if distance <= SAME:
            same.setdefault(i, []).append(j)
            same.setdefault(j, []).append(i)
    gone: dict[int, int] = {}
    for i in order:
        if i not in gone:  # it stays, and what is like it and still there cannot have been decided for
            gone.update({j: i for j in same.get(i, ()) if j not in gone})
    return gone


def groups(count: int, links: Iterable[tuple[int, int]]) -> list[int]:
    """The group of each of `count` faces, named by its smallest member; linked faces share one."""
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in links:
        a, b = sorted((root(i), root(j)))
        parent[b] = a
    return [root(i) for i in range(count)]


def split(members: Sequence[int], digests: Sequence[str], *, val_share: float) -> list[str]:
    """The side of each face, "val" or "train", whole groups at a time.

    Args: `members`, the group of each face, at least two different ones; `digests`, hex content hashes; `val_share`,
    0..1. A group's side hangs on the smallest hash in it alone, so photos that come later move nobody but their kin.
    Neither side is left empty.
    """
    least: dict[int, str] = {}
    for group, digest in zip(members, digests, strict=True):
        least[group] = min(digest, least.get(group, digest))
    order = sorted(least, key=lambda group: least[group])
    held_out = {group for group in order if int(least[group][:12], 16) < val_share * 16**12}
    held_out = (held_out | {order[0]}) - {order[-1]}
    return ["val" if group in held_out else "train" for group in members]
