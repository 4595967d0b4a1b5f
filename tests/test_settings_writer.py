"""Marked settings reach the disk, whatever happens in between."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labthings.exceptions import InvocationCancelledError, SettingsNotSavedError
from labthings.settings_file import SettingsFile
from labthings.settings_writer import SettingsWriter, _Saving

AN_HOUR = 3600.0
SOON = 20.0


class Source:
    """Something with one setting, whose saving can be held up, and can fail."""

    def __init__(self, name: str = "stage") -> None:
        self.name = name
        self.value = 0
        self.saved: list[int] = []
        self.errors: Iterator[BaseException] = iter(())
        self.attempted = threading.Semaphore(0)
        self.may_save = threading.Event()
        self.may_save.set()
        self.threads: set[str] = set()
        self._changed = threading.Condition()

    def save_now(self) -> None:
        value = self.value
        self.threads.add(threading.current_thread().name)
        self.attempted.release()
        assert self.may_save.wait(SOON)
        for error in self.errors:
            raise error
        with self._changed:
            self.saved.append(value)
            self._changed.notify_all()

    def wait_until(self, condition: Callable[[list[int]], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.saved), SOON), self.saved

    def set(self, writer: SettingsWriter, value: int) -> None:
        self.value = value
        writer.mark_changed(self)


class FileSource:
    """Something with one setting, in a real file."""

    def __init__(self, path: Path) -> None:
        self.name = "stage"
        self.value = 0
        self.file = SettingsFile(path)
        self.file.load()

    def save_now(self) -> None:
        self.file.save({"value": self.value})


def for_ever(error: BaseException) -> Iterator[BaseException]:
    while True:
        yield error


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def writer() -> Iterator[SettingsWriter]:
    with SettingsWriter(interval=AN_HOUR, patience=0.05) as writer:
        yield writer


# --- when it saves ------------------------------------------------------------------------------------------


def test_the_first_change_is_saved_at_once(writer: SettingsWriter, source: Source) -> None:
    source.set(writer, 1)
    source.wait_until(lambda saved: saved == [1])


def test_further_changes_are_saved_together(writer: SettingsWriter, source: Source) -> None:
    source.set(writer, 1)
    source.wait_until(lambda saved: saved == [1])
    for value in range(2, 1001):
        source.set(writer, value)
    assert source.saved == [1]
    writer.flush()
    assert source.saved == [1, 1000]


def test_the_last_state_is_saved_though_nobody_waits(source: Source) -> None:
    with SettingsWriter(interval=0.01) as writer:
        for value in range(1, 2001):
            source.set(writer, value)
        source.wait_until(lambda saved: saved[-1:] == [2000])
    assert len(source.saved) < 1000


def test_a_change_during_a_save_is_not_held_up_and_causes_another(writer: SettingsWriter, source: Source) -> None:
    source.may_save.clear()
    source.set(writer, 1)
    assert source.attempted.acquire(timeout=SOON)
    source.set(writer, 2)
    source.may_save.set()
    writer.flush(source, timeout=SOON)
    assert source.saved == [1, 2]


def test_one_source_that_is_always_awaited_does_not_starve_another(writer: SettingsWriter) -> None:
    class Greedy(Source):
        def save_now(self) -> None:
            if not other.saved:
                writer.mark_changed(self)
                writer.saved(self)

    greedy, other = Greedy("greedy"), Source("other")
    greedy.set(writer, 1)
    other.set(writer, 1)
    other.wait_until(lambda saved: saved == [1])


def test_everything_is_saved_by_one_thread_that_starts_with_the_first_mark(source: Source) -> None:
    others = set(threading.enumerate())
    writer, other = SettingsWriter(), Source("other")
    assert set(threading.enumerate()) <= others
    try:
        source.set(writer, 1)
        other.set(writer, 1)
        writer.flush(timeout=SOON)
        [thread] = set(threading.enumerate()) - others
    finally:
        writer.close()
    assert source.threads == other.threads == {thread.name} == {"labthings-settings"}
    assert not thread.is_alive()


def test_threads_that_mark_all_have_their_last_values_saved(tmp_path: Path) -> None:
    sources = [FileSource(tmp_path / f"Settings-{name}.json") for name in "ab"]

    def change(source: FileSource, writer: SettingsWriter) -> None:
        for source.value in range(3000):
            writer.mark_changed(source)

    with SettingsWriter(interval=0.0) as writer, ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(change, source, writer) for source in sources]:
            done.result(SOON)
        writer.flush(timeout=SOON)
        assert [source.file.load() for source in sources] == [{"value": 2999}] * 2


# --- waiting for it -----------------------------------------------------------------------------------------


def test_there_is_nothing_to_wait_for_when_nothing_is_marked(writer: SettingsWriter, source: Source) -> None:
    assert writer.saved(source).done()
    writer.flush()
    source.set(writer, 1)
    source.wait_until(lambda saved: saved == [1])
    writer.flush(source)
    assert source.saved == [1]


def test_many_that_wait_share_one_save(writer: SettingsWriter, source: Source) -> None:
    source.may_save.clear()
    source.set(writer, 1)
    assert source.attempted.acquire(timeout=SOON)
    source.set(writer, 2)
    futures = [writer.saved(source) for _ in range(50)]
    source.may_save.set()
    for future in futures:
        future.result(SOON)
    assert source.saved == [1, 2]


def test_a_save_in_progress_is_enough_for_what_was_marked_before_it(writer: SettingsWriter, source: Source) -> None:
    source.may_save.clear()
    source.set(writer, 1)
    assert source.attempted.acquire(timeout=SOON)
    future = writer.saved(source)
    assert not future.done()
    source.may_save.set()
    future.result(SOON)
    assert source.saved == [1]


def test_one_that_stops_waiting_disturbs_nobody(writer: SettingsWriter, source: Source) -> None:
    source.may_save.clear()
    source.set(writer, 1)
    impatient, patient = writer.saved(source), writer.saved(source)
    assert impatient.cancel()
    source.may_save.set()
    patient.result(SOON)


def test_a_coroutine_can_wait(writer: SettingsWriter, source: Source) -> None:
    async def change() -> None:
        source.set(writer, 1)
        await asyncio.wrap_future(writer.saved(source))
        assert source.saved == [1]

    asyncio.run(change())


def test_waiting_ends_with_the_timeout(writer: SettingsWriter, source: Source) -> None:
    source.may_save.clear()
    source.set(writer, 1)
    with pytest.raises(SettingsNotSavedError, match=r"'stage' are not saved after 0\.01 s"):
        writer.flush(timeout=0.01)
    source.may_save.set()


def test_a_source_that_waits_for_itself_is_told_that_it_cannot(writer: SettingsWriter) -> None:
    class Waiting(Source):
        def save_now(self) -> None:
            writer.flush(self)

    waiting = Waiting()
    waiting.set(writer, 1)
    with pytest.raises(SettingsNotSavedError, match="cannot be waited for by what is saving them"):
        writer.flush(waiting, timeout=SOON)


# --- when it cannot be saved --------------------------------------------------------------------------------


def test_one_that_waits_is_told_what_went_wrong(writer: SettingsWriter, tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    source = FileSource(folder / "Settings-Stage.json")
    folder.write_text("not a folder")
    source.value = 5
    writer.mark_changed(source)
    with pytest.raises(
        SettingsNotSavedError, match=r"'stage' are in force, but .*Settings-Stage\.json.*Not a directory"
    ) as caught:
        writer.flush(source, timeout=SOON)
    assert caught.value.__cause__ is not None
    folder.unlink()
    writer.flush(source, timeout=SOON)
    assert source.file.load() == {"value": 5}


def test_a_failed_save_is_tried_again_and_logged_once(
    writer: SettingsWriter, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    source.errors = iter([OSError(28, "No space left"), OSError(28, "No space left"), OSError(5, "I/O error")])
    source.set(writer, 1)
    source.wait_until(lambda saved: saved == [1])
    writer.flush(source)
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2
    assert "'stage'" in errors[0]
    assert "No space left" in errors[0]
    assert "I/O error" in errors[1]
    assert caplog.messages[-1] == "The settings of 'stage' are saved again."


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), InvocationCancelledError("a bug"), SystemExit("a bug")])
def test_the_thread_survives_whatever_a_source_raises(
    error: BaseException, writer: SettingsWriter, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    source.errors = iter([error])
    source.set(writer, 1)
    source.wait_until(lambda saved: saved == [1])
    assert f"{type(error).__name__}: a bug" in caplog.text
    assert "Traceback" in caplog.text


def test_one_source_that_fails_does_not_keep_another_from_being_saved(writer: SettingsWriter, source: Source) -> None:
    broken = Source("broken")
    broken.errors = for_ever(OSError(5, "I/O error"))
    broken.set(writer, 1)
    source.set(writer, 1)
    with pytest.raises(SettingsNotSavedError) as caught:
        writer.flush(timeout=SOON)
    assert "'broken'" in str(caught.value)
    assert "'stage'" not in str(caught.value)
    assert source.saved == [1]


def test_the_pause_between_attempts_is_bounded_however_many_there_were(source: Source) -> None:
    saving = _Saving(source)
    pauses = [saving.next_pause() for _ in range(5000)]
    assert pauses[:3] == [0.25, 0.5, 1.0]
    assert pauses[-1] == 30.0


# --- closing ------------------------------------------------------------------------------------------------


def test_closing_saves_what_is_pending(source: Source) -> None:
    with SettingsWriter(interval=AN_HOUR) as writer:
        source.set(writer, 1)
        source.wait_until(lambda saved: saved == [1])
        source.set(writer, 2)
    assert source.saved == [1, 2]


def test_closing_during_a_save_does_not_lose_the_change_after_it(source: Source) -> None:
    writer = SettingsWriter(interval=AN_HOUR, patience=0.0)
    source.may_save.clear()
    source.set(writer, 1)
    assert source.attempted.acquire(timeout=SOON)
    source.set(writer, 2)
    close_and_let_save(writer, source)
    assert source.saved == [1, 2]


def close_and_let_save(writer: SettingsWriter, source: Source) -> None:
    with ThreadPoolExecutor(1) as threads:
        closing = threads.submit(writer.close)
        with writer._condition:
            assert writer._condition.wait_for(lambda: writer._closed, SOON)
        source.may_save.set()
        closing.result(SOON)


def test_closing_tries_again(source: Source) -> None:
    writer = SettingsWriter(interval=AN_HOUR, patience=SOON)
    source.errors = iter([OSError(5, "I/O error"), OSError(5, "I/O error")])
    source.set(writer, 1)
    writer.close()
    assert source.saved == [1]


def test_closing_logs_what_is_lost(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    source.errors = for_ever(OSError(28, "No space left"))
    with SettingsWriter(patience=0.0) as writer:
        source.set(writer, 1)
    assert caplog.records[-1].levelno == logging.ERROR
    assert "'stage'" in caplog.messages[-1]
    assert "No space left" in caplog.messages[-1]
    assert "lost when the program ends" in caplog.messages[-1]


def test_one_that_waits_is_told_when_it_is_given_up(source: Source) -> None:
    source.errors = for_ever(OSError(28, "No space left"))
    writer = SettingsWriter(patience=0.0)
    source.may_save.clear()
    source.set(writer, 1)
    future = writer.saved(source)
    close_and_let_save(writer, source)
    assert isinstance(future.exception(SOON), SettingsNotSavedError)


def test_marks_after_closing_are_saved_before_they_return(source: Source) -> None:
    writer = SettingsWriter()
    writer.close()
    source.set(writer, 1)
    assert source.saved == [1]
    assert source.threads == {threading.current_thread().name}
    source.errors = iter([OSError(28, "No space left")])
    with pytest.raises(SettingsNotSavedError, match="No space left"):
        source.set(writer, 2)
    writer.flush(source)
    assert source.saved == [1, 2]


def test_threads_that_mark_after_closing_leave_the_last_value(tmp_path: Path) -> None:
    source = FileSource(tmp_path / "Settings-Stage.json")
    writer = SettingsWriter()
    writer.close()
    changing = threading.Lock()

    def change() -> None:
        for _ in range(20):
            with changing:
                source.value += 1
            writer.mark_changed(source)

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(change) for _ in range(2)]:
            done.result(SOON)
    assert source.file.load() == {"value": 40}


def test_starting_again_takes_up_what_could_not_be_saved(source: Source) -> None:
    writer = SettingsWriter(patience=0.0)
    source.errors = iter([OSError(5, "I/O error")])
    source.set(writer, 1)
    assert source.attempted.acquire(timeout=SOON)
    writer.close()
    with writer:
        source.wait_until(lambda saved: saved == [1])
        source.set(writer, 2)
    assert source.saved == [1, 2]


def test_after_closing_too_a_source_is_saved_by_one_thread_at_a_time() -> None:
    class Exclusive(Source):
        overlaps = threading.Event()
        in_use = threading.Lock()

        def save_now(self) -> None:
            if not self.in_use.acquire(blocking=False):
                self.overlaps.set()
                return
            self.overlaps.wait(0.05)
            self.in_use.release()

    source, writer = Exclusive(), SettingsWriter()
    writer.close()
    with ThreadPoolExecutor(3) as threads:
        for marked in [threads.submit(writer.mark_changed, source) for _ in range(3)]:
            marked.result(SOON)
    assert not source.overlaps.is_set()


EXIT_WITHOUT_CLOSING = """
import sys
from pathlib import Path
from labthings.settings_file import SettingsFile
from labthings.settings_writer import SettingsWriter

class Source:
    name = "stage"
    value = 0
    file = SettingsFile(Path(sys.argv[1]))

    def save_now(self):
        self.file.save({"value": self.value})

source, writer = Source(), SettingsWriter(interval=3600)
source.file.load()
for source.value in range(1000):
    writer.mark_changed(source)
sys.exit("an error")
"""


def test_a_program_that_ends_without_closing_saves_first(tmp_path: Path) -> None:
    path = tmp_path / "Settings-Stage.json"
    ended = subprocess.run(
        [sys.executable, "-c", EXIT_WITHOUT_CLOSING, str(path)], capture_output=True, text=True, timeout=60
    )
    assert ended.stderr.strip() == "an error"
    assert SettingsFile(path).load() == {"value": 999}
