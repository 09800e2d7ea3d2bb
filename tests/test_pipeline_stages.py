"""Threads that work ahead and behind: order, bounds, errors, and that nothing is left hanging."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vidanon.pipeline.stages import Ahead, Behind


class BoomError(Exception):
    """What stops the work in these tests."""


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("vidanon")]


def counting(to: int, seen: list[int], *, boom: bool = False) -> Iterator[int]:
    for number in range(to):
        seen.append(number)
        yield number
    if boom:
        raise BoomError


@pytest.mark.parametrize("depth", [1, 3, 100])
def test_items_come_in_order_and_none_is_lost(depth: int) -> None:
    """Through both queues, whatever their depth."""
    taken: list[int] = []
    with Ahead(counting(50, []), depth=depth) as ahead, Behind(taken.append, depth=depth) as behind:
        for item in ahead:
            behind.put(item)
        assert next(ahead, None) is None
    assert taken == list(range(50))
    assert threads() == []


def test_nobody_runs_further_ahead_than_asked() -> None:
    """With a depth of 3, four items at most have been made that nobody has taken: three wait, one is in hand."""
    seen: list[int] = []
    made = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for number in counting(1000, seen):
            made.release()
            yield number

    with Ahead(items(), depth=3) as ahead:
        for _ in range(4):
            assert made.acquire(timeout=30)
        assert not made.acquire(timeout=0.3)
        assert next(ahead) == 0
        assert made.acquire(timeout=30)
        assert not made.acquire(timeout=0.3)
    assert len(seen) == 5


def test_nobody_falls_further_behind_than_asked() -> None:
    """With a depth of 2, the fourth item waits until the first has been taken."""
    gate = threading.Event()
    put = threading.Semaphore(0)

    def offer() -> None:
        with Behind(lambda _: gate.wait(30), depth=2) as behind:
            for number in range(6):
                behind.put(number)
                put.release()

    thread = threading.Thread(target=offer)
    thread.start()
    for _ in range(3):
        assert put.acquire(timeout=30)
    assert not put.acquire(timeout=0.3)
    gate.set()
    thread.join(30)
    assert not thread.is_alive()


def test_an_error_ahead_comes_out_after_the_items_before_it() -> None:
    """Nothing of what was sound is lost, and the error is the caller's."""
    got: list[int] = []
    with pytest.raises(BoomError), Ahead(counting(5, [], boom=True), depth=2) as ahead:
        got.extend(ahead)
    assert got == list(range(5))
    assert threads() == []


@pytest.mark.parametrize("bad", [0, 3, 9])
def test_an_error_behind_comes_out_in_the_caller(bad: int) -> None:
    """At the next put, or at the end at the latest; nothing is taken after it."""
    taken: list[int] = []

    def take(number: int) -> None:
        if number == bad:
            raise BoomError
        taken.append(number)

    def work() -> None:
        with Behind(take, depth=2) as behind:
            for number in range(10):
                behind.put(number)

    with pytest.raises(BoomError):
        work()
    assert taken == list(range(bad))
    assert threads() == []


def test_leaving_with_an_error_drops_what_waits_and_joins() -> None:
    """Neither side keeps the caller: the one ahead stops making, the one behind stops taking."""
    seen: list[int] = []
    taken: list[int] = []
    gate = threading.Event()

    def take(number: int) -> None:
        gate.wait(30)
        taken.append(number)

    def leave() -> None:
        with Ahead(counting(10**9, seen), depth=2) as ahead, Behind(take, depth=2) as behind:
            behind.put(next(ahead))
            behind.put(next(ahead))
            gate.set()
            raise BoomError

    with pytest.raises(BoomError):
        leave()
    assert threads() == []
    assert len(seen) < 10
    assert len(taken) <= 2


def test_a_queue_holds_at_least_one_item() -> None:
    """A depth of zero would mean no bound at all."""
    with pytest.raises(ValueError, match="at least one"):
        Ahead(iter(()), depth=0)
    with pytest.raises(ValueError, match="at least one"):
        Behind(print, depth=0)


WAITING = """
import signal, sys, threading
from vidanon.pipeline.stages import Ahead, Behind
signal.signal(signal.SIGINT, signal.default_int_handler)
released = threading.Event()

def endless():
    yield 1
    released.wait(60)
    yield 2

try:
    with Ahead(endless(), depth=1) as ahead, Behind(lambda item: None, depth=1) as behind:
        for item in ahead:
            behind.put(item)
            threading.Timer(1.5, released.set).start()  # before the word, or the interrupt could forestall it
            print("waiting", flush=True)
except KeyboardInterrupt:
    print("stopped", [t.name for t in threading.enumerate() if t.name.startswith("vidanon")], flush=True)
    sys.exit(130)
"""


def test_ctrl_c_ends_a_wait() -> None:
    """The caller waits for an item that takes its time; the interrupt comes out, and both threads are gone."""
    root = Path(__file__).parents[1]
    with subprocess.Popen([sys.executable, "-c", WAITING], cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        os.kill(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert rest == "stopped []\n"
