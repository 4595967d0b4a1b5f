"""The one thread of a server that saves Things' settings, so that nobody who sets one waits for the disk."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Protocol

from typing_extensions import Self

from labthings.exceptions import SettingsNotSavedError

FIRST_RETRY_AFTER = 0.25
LONGEST_RETRY_AFTER = 30.0

_logger = logging.getLogger(__name__)


class SettingsSource(Protocol):
    """What has settings to save."""

    @property
    def name(self) -> str: ...

    def save_now(self) -> None:
        """Write all settings to disk as they are when this is called, and return when they are there."""


class SettingsWriter:
    """Saves settings that were marked as changed, soon and together.

    It starts with the first mark, saves what is pending when it is closed (or else when the interpreter exits), and
    may then be started again. While it is closed, marking saves in the caller's thread.

    :param interval: how many seconds lie between the end of one save of a source and its next, unless someone waits.
    :param patience: for how many seconds closing goes on trying to save what could not be saved.
    """

    def __init__(self, interval: float = 0.25, patience: float = 1.0) -> None:
        self._interval = interval
        self._patience = patience
        self._condition = threading.Condition()
        self._saving_lock = threading.Lock()
        self._savings: dict[int, _Saving] = {}
        self._pending: dict[int, _Saving] = {}
        self._in_progress: _Saving | None = None
        self._waiting_for_it: list[Future[None]] = []
        self._thread: threading.Thread | None = None
        self._closed = False
        self._give_up_at = 0.0

    def mark_changed(self, source: SettingsSource) -> None:
        """Have a source saved: at once, or when `interval` has passed since it was last saved.

        Mark after making the change, and after releasing every lock that the source's ``save_now`` takes.

        :raises SettingsNotSavedError: while this is closed, if the settings cannot be saved.
        """
        # Needs no lock, as a source ceases to be pending before it is saved: the save will include this change.
        if id(source) not in self._pending:
            self._mark(source)

    def flush(self, source: SettingsSource | None = None, timeout: float | None = None) -> None:
        """Wait until everything that was marked before is on disk.

        :param source: the one to wait for; all of them by default.
        :param timeout: how many seconds to wait.
        :raises SettingsNotSavedError: if something could not be saved, or not in time.
        """
        if threading.current_thread() is self._thread:
            raise SettingsNotSavedError("Settings cannot be waited for by what is saving them.")
        futures = {self.saved(each): each for each in (self._sources() if source is None else [source])}
        late = wait(futures, timeout).not_done
        errors = [error for future in futures if future not in late and (error := future.exception())]
        messages = [str(error) for error in errors]
        messages += [f"The settings of '{futures[future].name}' are not saved after {timeout} s." for future in late]
        if messages:
            raise SettingsNotSavedError(" ".join(messages)) from (errors[0] if errors else None)

    def saved(self, source: SettingsSource) -> Future[None]:
        """Have what was marked before saved at once, and tell when it is on disk.

        :return: a future that ends in SettingsNotSavedError if it could not be saved.
        """
        future: Future[None] = Future()
        with self._condition:
            saving = self._savings.get(id(source))
            if saving is not None and id(source) in self._pending:
                self._ensure_running()
                self._hasten(saving)
                saving.waiting.append(future)
                return future
            if saving is not None and saving is self._in_progress:
                self._waiting_for_it.append(future)
                return future
        _tell([future], None if saving is None or saving.failure is None else self._save(saving))
        return future

    def start(self) -> Self:
        """Start, if this is not running, and take up again what could not be saved before closing."""
        with self._condition:
            self._closed = False
            self._ensure_running()
            for saving in self._savings.values():
                if saving.failure is not None:
                    self._add(saving)
        return self

    def close(self) -> None:
        """Save what is pending, and end the thread. What cannot be saved is logged."""
        with self._condition:
            self._closed = True
            for saving in self._savings.values():
                saving.retry_after = FIRST_RETRY_AFTER
            for saving in self._pending.values():
                self._hasten(saving)
            self._give_up_at = time.monotonic() + self._patience
            self._condition.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()
        self._thread = None
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _sources(self) -> list[SettingsSource]:
        with self._condition:
            return [saving.source for saving in self._savings.values()]

    def _mark(self, source: SettingsSource) -> None:
        with self._condition:
            saving = self._savings.setdefault(id(source), _Saving(source))
            if not self._closed:
                self._ensure_running()
                self._add(saving)
                return
        error = self._save(saving)
        if error is not None:
            raise error

    def _ensure_running(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            # A daemon, because Python waits for all other threads before it calls what is registered to close this.
            self._thread = threading.Thread(target=self._run, name="labthings-settings", daemon=True)
            self._thread.start()
            atexit.register(self.close)

    def _add(self, saving: _Saving) -> None:
        if id(saving.source) not in self._pending:
            saving.due = max(time.monotonic(), saving.rests_until)
            self._pending[id(saving.source)] = saving
            self._condition.notify_all()

    def _hasten(self, saving: _Saving) -> None:
        saving.due = min(saving.due, time.monotonic())
        self._condition.notify_all()

    def _run(self) -> None:
        while (saving := self._take()) is not None:
            self._settle(saving, self._save(saving))
        self._give_up()

    def _take(self) -> _Saving | None:
        """Wait for a source to be due; there is none when this is closed and everything is saved or hopeless."""
        with self._condition:
            while True:
                saving = min(self._pending.values(), key=lambda pending: pending.due, default=None)
                if self._closed and (saving is None or saving.due > self._give_up_at):
                    return None
                pause = None if saving is None else saving.due - time.monotonic()
                if saving is not None and pause is not None and pause <= 0:
                    del self._pending[id(saving.source)]
                    self._in_progress = saving
                    self._waiting_for_it, saving.waiting = saving.waiting, []
                    return saving
                self._condition.wait(pause)

    def _save(self, saving: _Saving) -> SettingsNotSavedError | None:
        with self._saving_lock:
            try:
                saving.source.save_now()
            except BaseException as error:  # noqa: BLE001 - Things' own code, which may be cancelled, is called
                return saving.failed(error)
            saving.succeeded()
        return None

    def _settle(self, saving: _Saving, error: SettingsNotSavedError | None) -> None:
        with self._condition:
            self._in_progress = None
            waiting, self._waiting_for_it = self._waiting_for_it, []
            is_urgent = saving.waiting or (self._closed and id(saving.source) in self._pending)
            if error is not None:
                self._pending[id(saving.source)] = saving
            saving.rests_until = time.monotonic() + (self._interval if error is None else saving.next_pause())
            if not is_urgent:
                saving.due = saving.rests_until
        _tell(waiting, error)

    def _give_up(self) -> None:
        with self._condition:
            given_up = list(self._pending.values())
            self._pending.clear()
        for saving in given_up:
            _logger.error("%s It is lost when the program ends.", saving.failure)
            _tell(saving.waiting, SettingsNotSavedError(str(saving.failure)))
            saving.waiting = []


@dataclass(eq=False)
class _Saving:
    """How the saving of one source is going."""

    source: SettingsSource
    due: float = 0.0
    rests_until: float = 0.0
    retry_after: float = FIRST_RETRY_AFTER
    failure: str | None = None
    waiting: list[Future[None]] = field(default_factory=list)

    def succeeded(self) -> None:
        if self.failure is not None:
            _logger.info("The settings of '%s' are saved again.", self.source.name)
        self.failure = None
        self.retry_after = FIRST_RETRY_AFTER

    def failed(self, error: BaseException) -> SettingsNotSavedError:
        reason = str(error) if isinstance(error, SettingsNotSavedError) else f"{type(error).__name__}: {error}"
        failure = f"The settings of '{self.source.name}' are in force, but they could not be saved. {reason}"
        if failure != self.failure:
            is_bug = not isinstance(error, (SettingsNotSavedError, OSError))
            _logger.error("%s It is tried again while the server runs.", failure, exc_info=error if is_bug else None)
        self.failure = failure
        not_saved = SettingsNotSavedError(failure)
        not_saved.__cause__ = error
        return not_saved

    def next_pause(self) -> float:
        pause, self.retry_after = self.retry_after, min(2 * self.retry_after, LONGEST_RETRY_AFTER)
        return pause


def _tell(futures: Iterable[Future[None]], error: SettingsNotSavedError | None) -> None:
    for future in futures:
        if not future.set_running_or_notify_cancel():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
