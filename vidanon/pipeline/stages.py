"""Decoding ahead of inference and encoding behind it: threads with bounded queues between them.

In: an iterator, or a function that takes one item after the other. Out: the same items in the same order, at most
`depth` of them waiting. An error in a thread comes out in the caller; leaving the `with` block ends and joins the
thread, whatever stopped the work (an error, Ctrl-C), after at most one more item. `surrounded` looks a few items ahead
and behind, in the caller's own thread.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")
U = TypeVar("U")

_POLL_SECONDS = 0.1
"""how often a waiting thread looks whether it is still wanted; nobody waits for that in the ordinary way of things"""


def grouped(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`, the last one maybe shorter."""
    while group := list(itertools.islice(items, size)):
        yield group


def surrounded(items: Iterable[T], part: Callable[[T], Sequence[U]], *, reach: int) -> Iterator[tuple[T, list[U]]]:
    """Each item with the parts of those up to `reach` before and after it; at most `reach` items wait.

    Of items that have been given out only their `part` is kept.
    """
    before: deque[Sequence[U]] = deque(maxlen=reach)
    waiting: deque[T] = deque()

    def first() -> tuple[T, list[U]]:
        item = waiting.popleft()
        around = [one for parts in (*before, *map(part, waiting)) for one in parts]
        before.append(part(item))
        return item, around

    for item in items:
        waiting.append(item)
        if len(waiting) > reach:
            yield first()
    while waiting:
        yield first()


class _End:
    """Nothing more will come; `error` says why, if it is not the end of the work."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Ahead(Generic[T]):
    """Iterates over `items` in a thread of its own, up to `depth` items ahead; a context manager and an iterator.

    What `items` raises is raised here, behind the items before it. `items` is used by the thread alone while the block
    lasts.
    """

    def __init__(self, items: Iterator[T], *, depth: int) -> None:
        if depth < 1:
            raise ValueError(f"a queue holds at least one item, got {depth}")
        self._items = items
        self._queue: queue.Queue[T | _End] = queue.Queue(depth)
        self._unwanted = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="vidanon ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unwanted.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._ended:
            raise StopIteration
        # With a timeout, or Ctrl-C would wait for the next item.
        item = _patiently(self._queue.get)
        if isinstance(item, _End):
            self._ended = True
            if item.error is not None:
                raise item.error
            raise StopIteration
        return item

    def _run(self) -> None:
        end = _End()
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller's thread, whatever it is
            end = _End(error)
        self._put(end)

    def _put(self, item: T | _End) -> bool:
        return _offer(self._queue, item, self._unwanted.is_set)


class Behind(Generic[T]):
    """Hands items to `take` in a thread of its own, up to `depth` items behind; a context manager.

    Leaving it cleanly waits until all are taken; leaving it with an exception drops those that wait. What `take` raises
    is raised by the next `put`, or on the way out. `take` is called by the thread alone while the block lasts.
    """

    def __init__(self, take: Callable[[T], object], *, depth: int) -> None:
        if depth < 1:
            raise ValueError(f"a queue holds at least one item, got {depth}")
        self._take = take
        self._queue: queue.Queue[T | _End] = queue.Queue(depth)
        self._unwanted = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="vidanon behind", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                _offer(self._queue, _End(), self._unwanted.is_set)
                while self._thread.is_alive():
                    self._thread.join(_POLL_SECONDS)
        finally:
            # Ctrl-C may come while waiting as well.
            self._unwanted.set()
            self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def put(self, item: T) -> None:
        """Give an item away; waits while `depth` of them wait. Raises what `take` raised."""
        if not _offer(self._queue, item, self._unwanted.is_set):
            assert self._error is not None
            raise self._error

    def _run(self) -> None:
        while (item := self._get()) is not None and not isinstance(item, _End):
            try:
                self._take(item)
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller's thread, whatever it is
                self._error = error
                self._unwanted.set()

    def _get(self) -> T | _End | None:
        while not self._unwanted.is_set():
            try:
                return self._queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
        return None


def _patiently(get: Callable[..., T]) -> T:
    while True:
        try:
            return get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue


def _offer(waiting: queue.Queue[T], item: T, unwanted: Callable[[], bool]) -> bool:
    """Puts `item` in the queue as soon as there is room; False where it is not wanted any more."""
    while not unwanted():
        try:
            waiting.put(item, timeout=_POLL_SECONDS)
            return True
        except queue.Full:
            continue
    return False
