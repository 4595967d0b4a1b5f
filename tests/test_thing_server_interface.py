"""What a Thing may ask of its server."""

import asyncio
import gc
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

import labthings as lt
from labthings.exceptions import (
    FeatureNotEnabledError,
    GlobalLockBusyError,
    NotConnectedToServerError,
    ServerNotRunningError,
)

SOON = 10.0


class Stage(lt.Thing):
    position: int = lt.property(default=3)

    @property
    def thing_state(self) -> Mapping[str, Any]:
        return {"position": self.position}


class Camera(lt.Thing):
    pass


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def fail() -> None:
    raise KeyError("missing")


@pytest.fixture
def interface(serve: Any) -> Any:
    server, _ = serve(
        {"stage": Stage, "camera": Camera}, api_prefix="/api/v1", application_config={"site": "north", "rooms": [1]}
    )
    interface = server.things["stage"]._thing_server_interface
    interface.keeps_alive = server
    return interface


# --- what it knows ------------------------------------------------------------------------------------------


def test_it_knows_the_things_name_and_place(interface: lt.ThingServerInterface, tmp_path: Path) -> None:
    assert isinstance(interface, lt.ThingServerInterface)
    assert (interface.name, interface.path) == ("stage", "/api/v1/stage/")
    assert interface.settings_folder == str(tmp_path / "settings" / "stage")
    assert interface.settings_file_path == str(tmp_path / "settings" / "stage" / "Settings-Stage.json")
    assert isinstance(interface.settings_folder, str)


def test_it_knows_the_applications_configuration(interface: lt.ThingServerInterface, serve: Any) -> None:
    assert interface.application_config == {"site": "north", "rooms": [1]}
    other, _ = serve({"stage": Stage})
    assert other.things["stage"]._thing_server_interface.application_config is None


def test_it_collects_the_state_of_all_things(interface: lt.ThingServerInterface) -> None:
    assert interface.get_thing_states() == {"stage": {"position": 3}, "camera": {}}


class Moody(Stage):
    @property
    def thing_state(self) -> Mapping[str, Any]:
        raise KeyError("temperature")


class Unplugged(Stage):
    def __enter__(self) -> "Unplugged":
        raise OSError("no cable")

    @property
    def thing_state(self) -> Mapping[str, Any]:
        raise AssertionError("its code was called")


class NeverMade(Stage):
    def __init__(self, **kwargs: Any) -> None:
        raise OSError("no driver")


class Microscope(lt.Thing):
    @lt.action
    def acquire(self) -> dict[str, Any]:
        """Take an image, and tell what belongs to it."""
        self.logger.info("Taking an image.")
        return {
            "states": self._thing_server_interface.get_thing_states(),
            "site": (self._thing_server_interface.application_config or {}).get("site"),
            "log": [record.getMessage() for record in self.get_current_invocation_logs()],
        }


def test_an_action_stores_metadata_of_all_things_with_its_result(thing_server: Any, thing_client: Any) -> None:
    things = {"microscope": Microscope, "stage": Stage, "camera": Camera}
    thing_server(things, application_config={"site": "north"})
    thing_client("stage").position = 7
    assert thing_client("microscope").acquire() == {
        "states": {"microscope": {}, "stage": {"position": 7}, "camera": {}},
        "site": "north",
        "log": ["Taking an image."],
    }


def test_things_that_have_no_state_to_give_do_not_keep_the_others_from_theirs(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    things = {"microscope": Microscope, "moody": Moody, "unplugged": Unplugged, "never": NeverMade, "stage": Stage}
    _, client = serve(things)
    caplog.clear()
    result = client.post("/microscope/acquire", headers={"Prefer": "wait=10"}).json()["output"]
    assert result["states"] == {
        "microscope": {},
        "moody": {"error": "KeyError: 'temperature'"},
        "unplugged": {"error": "The Thing 'unplugged' is not available: OSError: no cable"},
        "never": {"error": "The Thing 'never' is not available: OSError: no driver"},
        "stage": {"position": 3},
    }
    assert [text.partition(".")[0] for text in result["log"][1:]] == [
        "The metadata lacks the state of 'moody', whose `thing_state` raised",
        "The metadata lacks the state of 'unplugged'",
        "The metadata lacks the state of 'never'",
    ]
    assert {record.name for record in caplog.records} == {"labthings.things.microscope"}
    assert "KeyError: 'temperature'" in caplog.text


def test_things_that_are_starting_or_have_stopped_are_left_alone(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    class Watcher(lt.Thing):
        stage: Stage = lt.thing_slot()

        def __enter__(self) -> "Watcher":
            seen["start"] = self._thing_server_interface.get_thing_states()
            return self

        def __exit__(self, *error: Any) -> None:
            seen["stop"] = self._thing_server_interface.get_thing_states()

    things = {"stage": Stage, "watcher": Watcher, "late": Camera}
    server = lt.ThingServer.from_things(things, settings_folder=tmp_path)
    with server.test_client():
        pass
    assert seen["start"]["stage"] == {"position": 3}
    assert seen["start"]["watcher"] == {"error": "The Thing 'watcher' is still starting. Try again later."}
    assert "is not running" in seen["start"]["late"]["error"]
    assert seen["stop"]["stage"] == {"position": 3}
    assert "is not running" in seen["stop"]["watcher"]["error"]


def test_it_can_be_made_as_documented(interface: Any) -> None:
    made = lt.ThingServerInterface(interface.server, "camera", "Camera")
    assert (made.name, made.path) == ("camera", "/api/v1/camera/")
    assert lt.ThingServerInterface(server=interface.server, name="a", class_name="B").name == "a"


def test_it_keeps_no_server_alive() -> None:
    interface = lt.ThingServer.from_things({"stage": Stage}).things["stage"]._thing_server_interface
    gc.collect()
    with pytest.raises(NotConnectedToServerError, match="The server of Thing 'stage' no longer exists"):
        _ = interface.server


# --- the event loop -----------------------------------------------------------------------------------------


def test_an_async_function_can_be_called_and_waited_for(interface: lt.ThingServerInterface) -> None:
    assert interface.call_async_task(double, 4) == 8
    with pytest.raises(KeyError, match="missing"):
        interface.call_async_task(fail)


def test_an_async_function_can_be_started(interface: lt.ThingServerInterface) -> None:
    go_on, main_thread = threading.Event(), threading.get_ident()

    async def wait() -> bool:
        await asyncio.to_thread(go_on.wait, SOON)
        return threading.get_ident() != main_thread

    future = interface.start_async_task_soon(wait)
    assert isinstance(future, Future)
    assert not future.done()
    go_on.set()
    assert future.result(SOON) is True
    assert interface.start_async_task_soon(double, 4).result(SOON) == 8
    with pytest.raises(KeyError, match="missing"):
        interface.start_async_task_soon(fail).result(SOON)


def test_from_an_action_the_loop_is_another_thread(serve: Any) -> None:
    class Robot(lt.Thing):
        @lt.action
        def ask(self) -> bool:
            async def loop_thread() -> int:
                return threading.get_ident()

            return self._thing_server_interface.call_async_task(loop_thread) != threading.get_ident()

    _, client = serve({"robot": Robot})
    assert client.post("/robot/ask", headers={"Prefer": "wait=10"}).json()["output"] is True


def test_without_a_running_server_there_is_no_loop(tmp_path: Path) -> None:
    server = lt.ThingServer.from_things({"stage": Stage}, settings_folder=str(tmp_path))
    interface = server.things["stage"]._thing_server_interface
    for _ in range(2):
        for use in (interface.call_async_task, interface.start_async_task_soon):
            with pytest.raises(ServerNotRunningError, match="'stage' needs the event loop, but the server is not"):
                use(double, 1)
        with server.test_client():
            assert interface.call_async_task(double, 1) == 2


# --- the global lock ----------------------------------------------------------------------------------------


def test_the_global_lock_can_be_held(serve: Any) -> None:
    server, _ = serve({"stage": Stage, "camera": Camera}, enable_global_lock=True)
    stage, camera = (server.things[name]._thing_server_interface for name in ("stage", "camera"))
    refused: list[type] = []

    def attempt() -> None:
        try:
            with camera.hold_global_lock():
                pass
        except GlobalLockBusyError:
            refused.append(GlobalLockBusyError)

    with stage.hold_global_lock(), stage.hold_global_lock(error_if_unavailable=False):
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join(SOON)
    assert refused == [GlobalLockBusyError]
    attempt()
    assert len(refused) == 1


def test_without_a_global_lock_holding_it_is_an_error_unless_that_is_allowed(
    interface: lt.ThingServerInterface,
) -> None:
    with pytest.raises(FeatureNotEnabledError, match="Set `enable_global_lock` to true"), interface.hold_global_lock():
        pytest.fail("it was held")
    ran = False
    with interface.hold_global_lock(error_if_unavailable=False):
        ran = True
    assert ran
