"""Things without a server."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import labthings as lt
from labthings.exceptions import (
    GlobalLockBusyError,
    InvalidValueError,
    NotConnectedToServerError,
    NotFoundError,
    ServerNotRunningError,
)
from labthings.testing import create_thing_without_server, fake_invocation_context


class Counter(lt.Thing):
    """Counts."""

    count: int = lt.property(default=0, ge=0)
    step: int = lt.setting(default=1, ge=1)

    def __init__(self, unit: str = "", *, colour: str = "red", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.unit, self.colour, self.entered = unit, colour, False

    def __enter__(self) -> Counter:
        self.entered = True
        return self

    @property
    def thing_state(self) -> Mapping[str, Any]:
        return {"count": self.count}

    @lt.action
    def increment(self) -> int:
        """Count one step on."""
        self.logger.info("Counting.")
        self.count += self.step
        return self.count

    @lt.action
    async def wait(self) -> str:
        """Wait a little."""
        await asyncio.sleep(0)
        return "waited"


def folder_of(thing: lt.Thing) -> Path:
    return Path(thing._thing_server_interface.settings_folder)


def test_its_code_runs() -> None:
    counter = create_thing_without_server(Counter, "mm", colour="blue")
    assert (counter.unit, counter.colour, counter.entered) == ("mm", "blue", False)
    assert counter.increment() == 1
    assert asyncio.run(counter.wait()) == "waited"
    counter.count = 5
    assert counter.properties["count"].get() == 5
    with pytest.raises(InvalidValueError):
        counter.count = -1
    with counter:
        assert counter.entered


def test_it_has_a_name_and_what_goes_with_it(caplog: pytest.LogCaptureFixture) -> None:
    counter = create_thing_without_server(Counter)
    assert (counter.name, counter.path, counter.title) == ("counter", "/counter/", "Counter")
    with caplog.at_level(logging.INFO):
        counter.increment()
    assert [record.name for record in caplog.records] == ["labthings.things.counter"]
    interface = counter._thing_server_interface
    assert isinstance(interface, lt.ThingServerInterface)
    assert interface.get_thing_states() == {"counter": {"count": 1}}
    assert interface.application_config is None
    with pytest.raises(NotFoundError):
        interface.server.path_for_thing("elsewhere")


def test_what_it_logs_in_an_invocation_is_collected() -> None:
    counter = create_thing_without_server(Counter)
    with fake_invocation_context():
        counter.increment()
        assert [record.getMessage() for record in counter.get_current_invocation_logs()] == ["Counting."]


def test_there_is_no_event_loop() -> None:
    with pytest.raises(ServerNotRunningError):
        create_thing_without_server(Counter)._thing_server_interface.call_async_task(asyncio.sleep, 0)


def test_a_class_that_does_not_call_its_superclass_is_refused() -> None:
    class Careless(lt.Thing):
        def __init__(self, **kwargs: Any) -> None:
            pass

    with pytest.raises(NotConnectedToServerError, match="call `super"):
        create_thing_without_server(Careless)


def test_what_init_raises_is_raised() -> None:
    class Broken(lt.Thing):
        def __init__(self, **kwargs: Any) -> None:
            raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        create_thing_without_server(Broken)


# --- settings -----------------------------------------------------------------------------------------------


def test_settings_are_saved_and_loaded(tmp_path: Path) -> None:
    counter = create_thing_without_server(Counter, settings_folder=tmp_path / "settings")
    counter.step = 4
    file = tmp_path / "settings" / "Settings-Counter.json"
    assert json.loads(file.read_text()) == {"step": 4}
    assert Path(counter._thing_server_interface.settings_file_path) == file
    assert create_thing_without_server(Counter, settings_folder=str(tmp_path / "settings")).step == 4


def test_they_are_saved_when_it_says_so(tmp_path: Path) -> None:
    class Camera(lt.Thing):
        regions: list[int] = lt.setting(default_factory=list)

    camera = create_thing_without_server(Camera, settings_folder=tmp_path)
    camera.regions.append(1)
    camera.save_settings()
    assert json.loads((tmp_path / "Settings-Camera.json").read_text()) == {"regions": [1]}


def test_loading_does_not_save(tmp_path: Path) -> None:
    file = tmp_path / "Settings-Counter.json"
    file.write_text('{"step": 3, "old": 1}')
    assert create_thing_without_server(Counter, settings_folder=tmp_path).step == 3
    assert file.read_text() == '{"step": 3, "old": 1}'


def test_a_setting_with_an_async_setter_is_loaded(tmp_path: Path) -> None:
    class Laser(lt.Thing):
        _power = 0

        @lt.setting
        async def power(self) -> int:
            return self._power

        @power.setter
        async def _set_power(self, value: int) -> None:
            self._power = value

    (tmp_path / "Settings-Laser.json").write_text('{"power": 7}')
    assert create_thing_without_server(Laser, settings_folder=tmp_path)._power == 7


def test_a_folder_of_its_own_is_removed_with_it() -> None:
    counter = create_thing_without_server(Counter)
    other = create_thing_without_server(Counter)
    counter.step = 2
    assert other.step == 1
    folder, gone = folder_of(counter), weakref.ref(counter)
    assert (folder / "Settings-Counter.json").exists()
    del counter
    gc.collect()
    assert gone() is None
    assert not folder.exists()
    assert folder_of(other).exists()


def test_a_folder_that_was_given_stays(tmp_path: Path) -> None:
    create_thing_without_server(Counter, settings_folder=tmp_path).step = 2
    gc.collect()
    assert (tmp_path / "Settings-Counter.json").exists()


# --- the global lock ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("enabled", [True, False])
def test_there_is_a_global_lock_unless_it_is_not_wanted(enabled: bool) -> None:
    counter = create_thing_without_server(Counter, enable_global_lock=enabled)
    outcomes: list[Any] = []

    def count() -> None:
        try:
            outcomes.append(counter.increment())
        except GlobalLockBusyError as error:
            outcomes.append(error)

    with counter._thing_server_interface.hold_global_lock(error_if_unavailable=False):
        counter.increment()
        thread = threading.Thread(target=count)
        thread.start()
        thread.join(10)
    assert isinstance(outcomes[0], GlobalLockBusyError) == enabled
