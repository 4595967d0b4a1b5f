"""Blobs on their way from memory to files."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from labthings.actions.spool import Spool
from labthings.outputs.blob_data import BytesData
from labthings.retention import Sizes

SOON = 10.0


def ended(*sizes: int) -> Any:
    """Something like an invocation that has ended, with blobs."""
    blobs = [BytesData(bytes(size), "text/plain") for size in sizes]
    return SimpleNamespace(blobs=blobs, sizes=Sizes(sum(sizes)), info="camera.snap")


def test_only_large_blobs_are_moved(tmp_path: Path) -> None:
    spool, invocation = Spool(10, str(tmp_path), 1000), ended(5, 50, 500)
    assert spool.takes(invocation)
    assert spool.sizes_to_be(invocation) == Sizes(5, 550, 2)
    spool.move(invocation)
    assert [each.in_memory for each in invocation.blobs] == [5, 0, 0]
    assert not spool.takes(invocation)


def test_those_that_would_take_too_much_memory_on_the_way_wait(tmp_path: Path) -> None:
    spool, order = Spool(10, str(tmp_path), 250), []

    def move() -> None:
        with spool.room_for(ended(100)):
            order.append("third")

    with ExitStack() as stack:
        stack.enter_context(spool.room_for(ended(100)))
        stack.enter_context(spool.room_for(ended(100)))
        thread = threading.Thread(target=move)
        thread.start()
        thread.join(0.05)
        order.append("first")
    thread.join(SOON)
    assert order == ["first", "third"]


def test_one_that_is_larger_than_all_may_be_goes_alone(tmp_path: Path) -> None:
    with Spool(10, str(tmp_path), 250).room_for(ended(1000)):
        pass
