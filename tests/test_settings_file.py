"""Settings files never lose what they hold: real files, real crashes."""

from __future__ import annotations

import errno
import json
import logging
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labthings import settings_file
from labthings.exceptions import SettingsNotSavedError
from labthings.settings_file import SettingsFile, SettingsVersion, most_expendable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings" / "stage" / "Settings-Stage.json"


def open_file(path: Path) -> SettingsFile:
    file = SettingsFile(path)
    file.load()
    return file


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def contents(file: SettingsFile) -> list[Any]:
    return [json.loads(version.path.read_bytes()) for version in file.versions()]


def temporary_files(path: Path) -> list[Path]:
    return [leftover for leftover in path.parent.rglob("*") if leftover.name.endswith(".tmp")]


# --- load and save ------------------------------------------------------------------------------------------


def test_no_file_means_no_settings_and_creates_nothing(path: Path) -> None:
    assert SettingsFile(path).load() == {}
    assert not path.parent.exists()


def test_what_was_saved_is_loaded(path: Path) -> None:
    open_file(path).save({"gain": 1.5, "name": "µm"})
    assert SettingsFile(path).load() == {"gain": 1.5, "name": "µm"}
    assert '"name": "µm"' in path.read_text(encoding="utf-8")
    assert temporary_files(path) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=5)


@settings(max_examples=60, deadline=None)
@given(json_objects, json_objects)
def test_everything_comes_back_and_unknown_keys_survive(old_values: dict[str, Any], values: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "Settings-Stage.json"
        open_file(path).save(old_values)
        open_file(path).save(values)
        # Compared as text, as NaN is not equal to itself.
        assert repr(SettingsFile(path).load()) == repr({**old_values, **values})


def test_half_a_surrogate_pair_survives(path: Path) -> None:
    open_file(path).save({"name": "\ud800"})
    assert SettingsFile(path).load() == {"name": "\ud800"}


def test_a_file_edited_with_notepad_is_read(path: Path) -> None:
    write(path, b'\xef\xbb\xbf{"gain": 2}')
    assert SettingsFile(path).load() == {"gain": 2}


def test_nothing_is_written_when_nothing_changed(path: Path) -> None:
    write(path, '{"gain":2,   "other": NaN}')
    open_file(path).save({"gain": 2})
    assert path.read_text() == '{"gain":2,   "other": NaN}'
    assert open_file(path).versions() == []


def test_true_is_not_one(path: Path) -> None:
    write(path, '{"gain": 1}')
    open_file(path).save({"gain": True})
    assert SettingsFile(path).load()["gain"] is True


def test_what_json_cannot_write_leaves_the_file_alone(path: Path) -> None:
    write(path, '{"gain": 1}')
    with pytest.raises(TypeError, match="not JSON serializable"):
        open_file(path).save({"gain": object()})
    assert SettingsFile(path).load() == {"gain": 1}
    assert temporary_files(path) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_the_mode_is_kept(path: Path) -> None:
    write(path, '{"password": 1}')
    path.chmod(0o600)
    file = open_file(path)
    file.save({"password": 2})
    modes = {stat.S_IMODE(each.stat().st_mode) for each in (path, file.versions()[0].path)}
    assert modes == {0o600}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such links")
def test_a_symbolic_link_stays_one(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.json"
    write(target, "{}")
    path.parent.mkdir(parents=True)
    path.symlink_to(target)
    open_file(path).save({"gain": 1})
    assert path.is_symlink()
    assert json.loads(target.read_text()) == {"gain": 1}


def test_the_folder_that_the_program_works_in_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = open_file(Path("settings") / "Settings-Stage.json")
    monkeypatch.chdir("/")
    file.save({"gain": 1})
    assert (tmp_path / "settings" / "Settings-Stage.json").exists()


def test_a_file_that_vanishes_is_written_again_with_its_unknown_keys(path: Path) -> None:
    write(path, '{"gain": 1, "future": 2}')
    file = open_file(path)
    path.unlink()
    file.save({"gain": 1})
    assert SettingsFile(path).load() == {"gain": 1, "future": 2}


def test_it_cannot_be_saved_to_before_it_was_loaded(path: Path) -> None:
    write(path, '{"calibration": 1}')
    with pytest.raises(SettingsNotSavedError, match=r"Settings-Stage\.json.*has not been loaded yet"):
        SettingsFile(path).save({"calibration": 0})
    assert SettingsFile(path).load() == {"calibration": 1}


# --- files that cannot be parsed ----------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [b"", b'{"gain": 1', b"[1]", b'{"a": "\xff"}', b"\0\0\0", b"[" * 100_000])
def test_a_broken_file_is_moved_aside(path: Path, broken: bytes, caplog: pytest.LogCaptureFixture) -> None:
    write(path, broken)
    assert SettingsFile(path).load() == {}
    [aside] = path.parent.glob("Settings-Stage.broken-*.json")
    assert aside.read_bytes() == broken
    assert not path.exists()
    assert caplog.records[0].levelno == logging.ERROR
    assert str(path) in caplog.records[0].message
    assert str(aside) in caplog.records[0].message


def test_files_moved_aside_never_overwrite_each_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([*[datetime(2025, 1, 1, tzinfo=timezone.utc)] * 2, datetime(2025, 1, 2, tzinfo=timezone.utc)])

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return next(times)

    monkeypatch.setattr(settings_file, "datetime", Clock)
    for broken in ("first", "second"):
        write(path, broken)
        SettingsFile(path).load()
    asides = sorted(path.parent.glob("*.broken-*"))
    assert [aside.read_text() for aside in asides] == ["first", "second"]


def test_a_broken_file_is_replaced_by_its_newest_readable_version(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for calibration in range(4):
        open_file(path).save({"calibration": calibration})
    newest, *_ = SettingsFile(path).versions()
    newest.path.write_text("broken too")
    write(path, "{")
    assert SettingsFile(path).load() == {"calibration": 1}
    assert "goes on with its version of" in caplog.text
    caplog.clear()
    assert SettingsFile(path).load() == {"calibration": 1}, "also at the next start"
    assert caplog.text == ""


def test_a_file_that_breaks_while_the_server_runs_is_moved_aside(path: Path) -> None:
    write(path, '{"gain": 1, "future": 2}')
    file = open_file(path)
    write(path, "edited by hand, badly")
    file.save({"gain": 3})
    assert SettingsFile(path).load() == {"gain": 3, "future": 2}
    [aside] = path.parent.glob("*.broken-*")
    assert aside.read_text() == "edited by hand, badly"


def test_a_file_that_cannot_be_moved_aside_is_not_overwritten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, "broken")
    file = SettingsFile(path)
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", disk_full)
        with pytest.raises(OSError, match="No space left"):
            file.load()
    with pytest.raises(SettingsNotSavedError, match="No space left"):
        file.save({"gain": 1})
    assert path.read_text() == "broken"


# --- files that cannot be read or written -------------------------------------------------------------------


def disk_full(*arguments: object) -> None:
    paths = [str(argument) for argument in arguments if isinstance(argument, Path)]
    raise OSError(errno.ENOSPC, "No space left on device", *paths[:1])


def test_a_file_that_could_not_be_read_is_never_overwritten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, '{"calibration": 1}')
    file = SettingsFile(path)

    def refuse(self: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    with monkeypatch.context() as disk:
        disk.setattr(Path, "read_bytes", refuse)
        with pytest.raises(PermissionError, match=r"Settings-Stage\.json"):
            file.load()
    with pytest.raises(SettingsNotSavedError, match=r"Permission denied.*restart the server"):
        file.save({"calibration": 0})
    assert path.read_text() == '{"calibration": 1}'
    assert file.load() == {"calibration": 1}
    file.save({"calibration": 2})
    assert SettingsFile(path).load() == {"calibration": 2}


def test_a_folder_in_its_place_is_an_error(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(OSError, match=r"Settings-Stage\.json"):
        SettingsFile(path).load()


def test_a_file_in_place_of_its_folder_is_an_error(path: Path) -> None:
    file = open_file(path)
    write(path.parent, "not a folder")
    with pytest.raises(SettingsNotSavedError, match=r"Settings-Stage\.json could not be written"):
        file.save({"gain": 1})


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_full_disk_leaves_the_file_as_it_was(path: Path, function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, '{"gain": 1}')
    file = open_file(path)
    messages = set()
    with monkeypatch.context() as disk:
        disk.setattr(os, function, disk_full)
        for _ in range(2):
            with pytest.raises(SettingsNotSavedError, match="No space left") as caught:
                file.save({"gain": 2})
            messages.add(str(caught.value))
    assert len(messages) == 1, "the same failure has the same message"
    assert path.read_text() == '{"gain": 1}'
    assert temporary_files(path) == []
    file.save({"gain": 2})
    assert SettingsFile(path).load() == {"gain": 2}
    assert contents(file) == [{"gain": 1}]


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc to name what is synced")
def test_a_save_whose_folder_could_not_be_synced_is_done_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = open_file(path)
    file.save({"gain": 1})
    file.save({"gain": 2})
    with monkeypatch.context() as disk:
        disk.setattr(settings_file, "_sync_folder", disk_full)
        with pytest.raises(SettingsNotSavedError):
            file.save({"gain": 3})
    calls = record_calls(monkeypatch)
    file.save({"gain": 3})
    assert calls[-1] == "sync stage"
    assert "changed by something else" not in caplog.text


def test_a_save_that_fails_at_every_attempt_and_start_makes_one_version(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, '{"calibration": 1}')
    replace = os.replace
    monkeypatch.setattr(
        os, "replace", lambda source, target: disk_full() if target == path else replace(source, target)
    )
    for _ in range(3):
        with pytest.raises(SettingsNotSavedError):
            open_file(path).save({"calibration": 2})
    assert contents(SettingsFile(path)) == [{"calibration": 1}]


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc to name what is synced")
def test_the_disk_has_the_content_before_the_name_and_the_name_before_save_returns(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = open_file(path)
    calls = record_calls(monkeypatch)
    file.save({"gain": 1})
    assert calls[-3:] == ["sync a temporary file", f"replace {path.name}", "sync stage"]
    assert "sync settings" in calls, "the entry of the new folder"


def record_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor: int) -> None:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))
        calls.append("sync a temporary file" if name.endswith(".tmp") else f"sync {name}")
        fsync(descriptor)

    def recorded_replace(source: Path, target: Path) -> None:
        calls.append(f"replace {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    return calls


# --- crashes ------------------------------------------------------------------------------------------------


def test_what_a_crash_left_half_written_is_ignored_and_removed(path: Path) -> None:
    file = open_file(path)
    for gain in (1, 2):
        open_file(path).save({"gain": gain})
    folders = (path.parent, file.versions()[0].path.parent)
    for folder in folders:
        (folder / ".Settings-Stage.0123.tmp").write_text('{"gain": ')
    (path.parent / ".Settings-Other.0123.tmp").write_text("of another Thing")
    assert SettingsFile(path).load() == {"gain": 2}
    assert [leftover.name for leftover in temporary_files(path)] == [".Settings-Other.0123.tmp"]


SAVE_FOR_EVER = """
import os, sys
from pathlib import Path
from labthings.settings_file import SettingsFile

for _ in sys.stdin:
    process = os.fork()
    if process == 0:
        file = SettingsFile(Path(sys.argv[1]))
        number = file.load().get("number", 0)
        while True:
            number += 1
            file.save({"number": number, "table": [number] * 3000})
            os.write(1, b"%d\\n" % number)
    os.write(1, b"process %d\\n" % process)
    os.waitpid(process, 0)
    os.write(1, b"dead\\n")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_process_leaves_a_complete_and_recent_file(path: Path) -> None:
    chance = random.Random(1)
    last_seen = 0
    with subprocess.Popen(
        [sys.executable, "-c", SAVE_FOR_EVER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(10):
            process.stdin.write(b"start\n")
            process.stdin.flush()
            saver, saved = None, last_seen
            while saver is None or saved < last_seen + 3:
                words = process.stdout.readline().split()
                saver, saved = (int(words[1]), saved) if len(words) == 2 else (saver, int(words[0]))
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=chance.uniform(0, 0.02))
            os.kill(saver, signal.SIGKILL)
            while (line := process.stdout.readline()) != b"dead\n":
                saved = int(line)
            values = SettingsFile(path).load()
            assert values["table"] == [values["number"]] * 3000
            assert saved <= values["number"] <= saved + 1
            last_seen = values["number"]
        process.stdin.close()
    assert list(path.parent.glob("*.broken-*")) == []


# --- earlier versions ---------------------------------------------------------------------------------------


def test_what_a_session_finds_is_kept_before_it_is_overwritten(path: Path) -> None:
    write(path, '{"calibration": 1}')
    saved_at = datetime(2025, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    os.utime(path, (saved_at.timestamp(),) * 2)
    file = open_file(path)
    assert file.versions() == []
    file.save({"calibration": 2})
    assert contents(file) == [{"calibration": 1}]
    assert file.versions()[0].saved_at == saved_at


def test_a_slider_that_is_dragged_for_three_hours_makes_three_versions(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    write(path, '{"slider": -1}')
    file = open_file(path)
    for minute in range(180):
        file.save({"slider": minute})
        now += 60.0
    assert contents(file) == [{"slider": 119}, {"slider": 59}, {"slider": -1}]


def test_many_sessions_leave_few_versions_and_the_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_file, "_sync_folder", lambda folder: None)
    for session in range(settings_file.MOST_VERSIONS + 10):
        open_file(path).save({"session": session})
    sessions = [content["session"] for content in contents(SettingsFile(path))]
    assert len(sessions) == settings_file.MOST_VERSIONS
    newest = settings_file.MOST_VERSIONS + 8
    assert sessions[:20] == list(range(newest, newest - 20, -1))
    assert sessions[-1] == 0
    assert sessions == sorted(sessions, reverse=True)


def simulated_history(times: list[datetime]) -> list[SettingsVersion]:
    versions: list[SettingsVersion] = []
    for number, saved_at in enumerate(times):
        versions.insert(0, SettingsVersion(Path(str(number)), saved_at, number))
        if len(versions) > settings_file.MOST_VERSIONS:
            versions.remove(most_expendable(versions))
    return versions


def test_last_weeks_and_last_months_calibrations_outlive_a_busy_year() -> None:
    start = datetime(2025, 1, 1, tzinfo=timezone.utc)
    end = start + timedelta(days=365)
    versions = simulated_history([start + timedelta(hours=hour) for hour in range(365 * 24)])
    for days in (1, 7, 30, 180):
        gap = min(abs(end - timedelta(days=days) - version.saved_at) for version in versions)
        assert gap < 0.25 * timedelta(days=days)


def test_what_stood_for_a_month_outlives_a_hundred_restarts() -> None:
    stood = datetime(2025, 1, 1, tzinfo=timezone.utc)
    restarts = [stood + timedelta(days=30, minutes=minute) for minute in range(100)]
    before = [stood - timedelta(days=days) for days in range(10, 0, -1)]
    assert stood in [version.saved_at for version in simulated_history([*before, stood, *restarts])]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)), min_size=41, max_size=80))
def test_whatever_the_clock_does_the_newest_and_the_oldest_stay(times: list[datetime]) -> None:
    versions = simulated_history([saved_at.replace(tzinfo=timezone.utc) for saved_at in times])
    numbers = [version.number for version in versions]
    assert numbers[:20] == list(range(len(times) - 1, len(times) - 21, -1))
    assert numbers[-1] == 0


def test_a_change_by_somebody_else_becomes_a_version(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = open_file(path)
    file.save({"gain": 1})
    write(path, '{"gain": 5, "note": "by hand"}')
    file.save({"gain": 2})
    assert contents(file) == [{"gain": 5, "note": "by hand"}]
    assert SettingsFile(path).load() == {"gain": 2, "note": "by hand"}
    assert "changed by something else" in caplog.text


def test_a_version_can_be_restored_and_the_restoring_undone(path: Path) -> None:
    for gain in range(3):
        open_file(path).save({"gain": gain})
    file = open_file(path)
    file.save({"gain": 3})
    oldest = file.versions()[-1]
    assert file.restore(oldest) == {"gain": 0}
    assert SettingsFile(path).load() == {"gain": 0}
    assert file.restore(file.versions()[0]) == {"gain": 3}
    assert SettingsFile(path).load() == {"gain": 3}


def test_restoring_brings_back_a_file_that_was_deleted(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for gain in range(2):
        open_file(path).save({"gain": gain})
    path.unlink()
    file = SettingsFile(path)
    assert file.load() == {}
    assert "has earlier versions" in caplog.text
    assert file.restore(file.versions()[0]) == {"gain": 0}
    assert SettingsFile(path).load() == {"gain": 0}


def test_a_broken_version_is_not_restored(path: Path) -> None:
    for gain in range(2):
        open_file(path).save({"gain": gain})
    file = open_file(path)
    version = file.versions()[0]
    version.path.write_text("{")
    with pytest.raises(ValueError, match="Expecting"):
        file.restore(version)
    assert SettingsFile(path).load() == {"gain": 1}


def test_other_files_among_the_versions_are_left_alone(path: Path) -> None:
    for gain in range(2):
        open_file(path).save({"gain": gain})
    file = open_file(path)
    [version] = file.versions()
    for name in ("notes.txt", "Settings-Stage.000009-20259999T999999Z.json"):
        (version.path.parent / name).write_text("mine")
    assert file.versions() == [version]


def test_two_threads_that_save_leave_a_complete_file(path: Path) -> None:
    file = open_file(path)
    errors: list[BaseException] = []

    def save_often(name: str) -> None:
        try:
            for number in range(20):
                file.save({name: number})
        except BaseException as error:  # noqa: BLE001 - to be seen by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=save_often, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert SettingsFile(path).load() == {"a": 19, "b": 19}
