"""Faces side by side on a CPU: what is done to one does not depend on the others, so the result is the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class Threads:
    """Up to `count` threads, 0 = one per core; with one, everything is done where it is asked for."""

    def __init__(self, count: int) -> None:
        count = count or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="faces") if count > 1 else None

    def map(self, function: Callable[[In], Out], items: Iterable[In]) -> list[Out]:
        """`function` of each item, in order. Raises what the first that fails raises."""
        items = list(items)
        if self._pool is None or len(items) < 2:
            return [function(item) for item in items]
        return list(self._pool.map(function, items))
