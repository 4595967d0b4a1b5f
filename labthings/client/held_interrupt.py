"""Ctrl-C at a bad moment."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class HeldInterrupt:
    """Holds Ctrl-C back until the end of a ``with`` block, but not a second one."""

    def __enter__(self) -> None:
        self._is_pending = False
        self._is_holding = (
            threading.current_thread() is threading.main_thread()  # no other thread is interrupted
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self._is_holding:
            signal.signal(signal.SIGINT, self._hold)

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_holding:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._is_pending:
            raise KeyboardInterrupt

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if self._is_pending:
            raise KeyboardInterrupt
        self._is_pending = True
