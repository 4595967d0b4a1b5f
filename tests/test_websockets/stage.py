"""A Thing with affordances of every kind."""

from __future__ import annotations

import threading
from typing import Any

import labthings as lt


class Stage(lt.Thing):
    x: float = lt.property(default=0.0, ge=-10, le=10)
    label: str = lt.property(default="")
    serial: str = lt.property(default="S1", readonly=True)
    speed: float = lt.setting(default=1.0)
    arrived: lt.Event[float] = lt.event()
    hit: lt.Event[None] = lt.event()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.written: list[float] = []

    @lt.property
    def computed(self) -> int:
        return 1

    @lt.property(observable=True)
    def broken(self) -> int:
        raise OSError("no cable")

    @lt.property
    def slow(self) -> float:
        return self.written[-1]

    @slow.setter
    def _set_slow(self, value: float) -> None:
        self.begun.set()
        assert self.go_on.wait(20)
        self.written.append(value)

    @lt.action
    def add(self, a: int, b: int = 1) -> int:
        return a + b

    @lt.action
    def home(self) -> None:
        pass

    @lt.action
    def fail(self) -> None:
        raise OSError("stuck")

    @lt.action
    def work(self) -> None:
        lt.report_progress(0.5, "halfway")
        self.begun.set()
        while not self.go_on.is_set():
            lt.cancellable_sleep(0.005)
