"""Photos looked at by several processes, as face recognition holds Python's lock and most of the time.

In: photos. Out: what is seen of each, in order, the same whatever the number of processes.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Self

from vidanon.evaluate.examine import Equipment, Examiner, Seen, Tools
from vidanon.evaluate.photos import Photo
from vidanon.types import FloatArray


class Workers:
    """Looks at photos, with `count` processes that each build tools of their own, or here with `tools` where it is 1.

    A context manager.
    """

    def __init__(self, equipment: Equipment, tools: Tools, *, count: int) -> None:
        self._here = Examiner(tools, equipment) if count == 1 else None
        # not forked: torch and CUDA do not survive that
        context = multiprocessing.get_context("spawn")
        self._pool = (
            ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(equipment,))
            if count > 1
            else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def look(self, photos: Sequence[Photo]) -> Iterator[Seen]:
        """Everything about each photo."""
        if self._pool is not None:
            return self._pool.map(_look, photos, range(len(photos)))
        assert self._here is not None
        return map(self._here.look, photos, range(len(photos)))

    def vectors(self, photos: Sequence[Photo]) -> Iterator[FloatArray | None]:
        """The recognition vector [128] of each photo's subject as it is, None where there is no face."""
        if self._pool is not None:
            return self._pool.map(_vector, photos)
        assert self._here is not None
        return map(self._here.vector, photos)


class _Process:
    """What a worker process has one of."""

    examiner: Examiner


def _begin(equipment: Equipment) -> None:
    import torch

    # Ctrl-C reaches every process of a terminal; the one that started the others ends them
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _Process.examiner = Examiner(equipment.tools(), equipment)


def _look(photo: Photo, number: int) -> Seen:
    return _Process.examiner.look(photo, number)


def _vector(photo: Photo) -> FloatArray | None:
    return _Process.examiner.vector(photo)
