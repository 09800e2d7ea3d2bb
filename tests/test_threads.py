"""Faces side by side: in order, each by itself, and the same on any number of threads."""

from __future__ import annotations

import threading

import pytest

from vidanon.threads import Threads


@pytest.mark.parametrize("count", [1, 3])
def test_results_come_in_order_and_failures_come_out(count: int) -> None:
    """Whatever finishes first; what the first that fails raises is raised."""
    threads = Threads(count)
    assert threads.map(lambda n: n * n, range(50)) == [n * n for n in range(50)]
    assert threads.map(str, []) == []

    def fails(n: int) -> int:
        if n in (7, 9):
            raise ValueError(str(n))
        return n

    with pytest.raises(ValueError, match="7"):
        threads.map(fails, range(20))
    assert threads.map(str, range(3)) == ["0", "1", "2"], "the threads are still there"


def test_two_threads_work_at_once_and_one_is_the_caller() -> None:
    """Two calls that wait for each other both return; with one thread nothing leaves the caller's."""
    together = threading.Barrier(2, timeout=20)
    assert sorted(Threads(2).map(lambda _: together.wait(), range(2))) == [0, 1]
    assert set(Threads(1).map(lambda _: threading.get_ident(), range(3))) == {threading.get_ident()}
