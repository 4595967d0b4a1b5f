"""The lock of a document."""

from __future__ import annotations

import threading

import pytest

from labthings.state.fair_lock import FairLock


def test_one_thread_at_a_time_has_it_and_may_have_it_several_times() -> None:
    lock, got = FairLock(), threading.Event()

    def take() -> None:
        with lock:
            got.set()

    thread = threading.Thread(target=take)
    with lock, lock:
        thread.start()
        lock.release()
        assert not got.wait(0.01)
        lock.acquire()
    assert got.wait(5)
    thread.join()


def test_only_who_has_it_lets_it_go() -> None:
    with pytest.raises(RuntimeError, match="does not have it"):
        FairLock().release()


def test_whoever_waits_gets_it_before_one_who_takes_it_again() -> None:
    lock, order, waiting = FairLock(), [], threading.Event()

    def wait() -> None:
        with lock:
            order.append("waiting")

    thread = threading.Thread(target=wait)
    lock.acquire()
    thread.start()
    while not lock._gate.locked():
        waiting.wait(0.001)
    lock.release()
    with lock:
        order.append("again")
    thread.join()
    assert order == ["waiting", "again"]
