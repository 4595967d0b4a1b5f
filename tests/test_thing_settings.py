"""Settings have their values again after a restart, whatever has become of the file."""

import json
import logging
import re
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import anyio
import anyio.lowlevel
import pytest
from pydantic import BaseModel, Strict

import labthings as lt
from labthings.message_broker import MessageBroker

Files = Callable[..., Path]


@pytest.fixture
def saved(tmp_path: Path) -> Files:
    """Write the settings file of a Thing called ``laser``, of class ``Laser``."""

    def write(content: Any = None, **values: Any) -> Path:
        path = tmp_path / "settings" / "laser" / "Settings-Laser.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(values))
        return path

    return write


class Laser(lt.Thing):
    power: float = lt.setting(default=1.0, ge=0)
    modes: list[str] = lt.setting(default_factory=lambda: ["cw"])
    not_saved: int = lt.property(default=5)

    def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
        super().__init__(thing_server_interface)
        self._wavelength = 500
        self.seen: dict[str, Any] = {"in __init__": self.power}

    def __enter__(self) -> "Laser":
        self.seen["in __enter__"] = (self.power, self._wavelength)
        return self

    @lt.setting
    def wavelength(self) -> int:
        return self._wavelength

    @wavelength.setter
    def _set_wavelength(self, value: int) -> None:
        if value < 0:
            raise RuntimeError("there is no such light")
        self._wavelength = value


# --- loading ------------------------------------------------------------------------------------------------


def test_values_are_loaded_after_init_and_before_enter(serve: Any, saved: Files) -> None:
    saved(power=2.5, wavelength=633)
    laser = serve({"laser": Laser})[0].things["laser"]
    assert laser.seen == {"in __init__": 1.0, "in __enter__": (2.5, 633)}
    assert laser.modes == ["cw"], "what is not in the file has its default"


def test_slots_are_filled_before_settings_are_loaded(serve: Any, saved: Files) -> None:
    class Shutter(lt.Thing):
        pass

    class Laser(lt.Thing):
        shutter: Shutter = lt.thing_slot()
        found = None

        @lt.setting
        def open(self) -> bool:
            return True

        @open.setter
        def _set_open(self, value: bool) -> None:
            self.found = self.shutter.name

    saved(open=True)
    assert serve({"laser": Laser, "shutter": Shutter})[0].things["laser"].found == "shutter"


def test_what_init_sets_gives_way_to_what_was_saved(serve: Any, saved: Files) -> None:
    class Laser(lt.Thing):
        power: float = lt.setting(default=1.0)
        modes: list[str] = lt.setting(default_factory=list)

        def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
            super().__init__(thing_server_interface)
            self.power = 2.0
            self.modes = ["pulsed"]

    saved(power=3.0)
    laser = serve({"laser": Laser})[0].things["laser"]
    assert (laser.power, laser.modes) == (3.0, ["pulsed"])


def test_loading_tells_nobody_and_saves_nothing(serve: Any, saved: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    posted: list[Any] = []
    monkeypatch.setattr(MessageBroker, "is_observed", lambda broker, thing, affordance: True)
    monkeypatch.setattr(MessageBroker, "post", lambda broker, message: posted.append(message.payload))
    path = saved(power=2.5, wavelength=633)
    before = path.stat().st_mtime_ns, path.read_text()
    server, _ = serve({"laser": Laser})
    assert posted == []
    server._writer.flush()
    assert (path.stat().st_mtime_ns, path.read_text()) == before
    server.things["laser"].power = 3
    assert posted == [3]


def test_a_setter_that_sets_another_setting_while_it_is_loaded_has_nothing_saved(serve: Any, saved: Files) -> None:
    class Laser(lt.Thing):
        count: int = lt.setting(default=0)

        @lt.setting
        def power(self) -> float:
            return 1.0

        @power.setter
        def _set_power(self, value: float) -> None:
            self.count += 1

    path = saved(power=2)
    server, _ = serve({"laser": Laser})
    server._writer.flush()
    assert server.things["laser"].count == 1
    assert json.loads(path.read_text()) == {"power": 2}
    server.things["laser"].power = 3
    server._writer.flush()
    assert json.loads(path.read_text()) == {"power": 1.0, "count": 2}


def test_without_a_file_there_are_defaults_and_none_is_made(serve: Any, tmp_path: Path) -> None:
    laser = serve({"laser": Laser})[0].things["laser"]
    assert (laser.power, laser.modes, laser.wavelength) == (1.0, ["cw"], 500)
    assert not (tmp_path / "settings" / "laser").exists()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"power": "strong"}, "'power' .* cannot be used. The default is in force.*valid number"),
        ({"power": -1}, "'power' .* greater than or equal to 0"),
        ({"power": None}, "'power' .* valid number"),
        ({"wavelength": "red"}, "'wavelength' .* valid integer"),
        ({"wavelength": -1}, "'wavelength' .* RuntimeError: there is no such light"),
    ],
)
def test_a_value_that_cannot_be_used_keeps_its_default_and_is_logged(
    serve: Any, saved: Files, caplog: pytest.LogCaptureFixture, values: dict[str, Any], reason: str
) -> None:
    path = saved(modes=["pulsed"], **values)
    laser = serve({"laser": Laser})[0].things["laser"]
    assert (laser.power, laser.wavelength, laser.modes) == (1.0, 500, ["pulsed"])
    record = next(each for each in caplog.records if each.name == "labthings.things.laser")
    assert record.levelno == logging.ERROR
    assert re.search(reason, record.getMessage())
    assert str(path) in record.getMessage()


def test_a_value_that_was_refused_stays_in_the_file_until_that_setting_is_set(serve: Any, saved: Files) -> None:
    path = saved(power="strong", wavelength="red")
    laser = serve({"laser": Laser})[0].things["laser"]
    laser.modes = []
    laser.wavelength = 700
    laser.save_settings()
    assert json.loads(path.read_text()) == {"power": "strong", "modes": [], "wavelength": 700}
    laser.power = 2
    laser.save_settings()
    assert json.loads(path.read_text())["power"] == 2


def test_unknown_keys_are_kept(serve: Any, saved: Files) -> None:
    path = saved(power=2, gone={"since": "last year"}, not_saved=9)
    laser = serve({"laser": Laser})[0].things["laser"]
    laser.power = 3
    laser.save_settings()
    kept = json.loads(path.read_text())
    assert (kept["gone"], kept["not_saved"], kept["power"]) == ({"since": "last year"}, 9, 3)
    assert laser.not_saved == 5, "a property that is no setting is not loaded"


@pytest.mark.parametrize("content", ['{"power": 2', "[1, 2]", ""])
def test_a_file_that_cannot_be_parsed_is_moved_aside_and_not_overwritten(
    serve: Any, saved: Files, content: str
) -> None:
    path = saved(content)
    _, client = serve({"laser": Laser})
    assert client.get("/laser/power").json() == 1.0
    assert client.put("/laser/power", json=2).status_code == 204
    assert json.loads(path.read_text())["power"] == 2
    if content:
        others = [each for each in path.parent.rglob("*") if each.is_file() and each != path]
        assert content in [each.read_text() for each in others]


def test_a_file_that_cannot_be_read_fails_that_thing_and_no_other(serve: Any, tmp_path: Path) -> None:
    class Other(lt.Thing):
        x: int = lt.setting(default=1)

    (tmp_path / "settings" / "laser" / "Settings-Laser.json").mkdir(parents=True)
    server, client = serve({"laser": Laser, "other": Other})
    assert client.get("/laser/power").status_code == 503
    assert "Its settings cannot be read" in str(server.health()) or server.statuses["laser"].state == "failed"
    assert isinstance(server.statuses["laser"].error, OSError)
    assert client.get("/other/x").json() == 1


# --- there and back -----------------------------------------------------------------------------------------


class Limits(BaseModel):
    low: float
    high: float | None = None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (float, float("inf")),
        (bytes, b"abc"),
        (set[int], {1, 2}),
        (tuple[int, str], (1, "a")),
        (dict[int, float], {1: 2.0}),
        (datetime, datetime(2020, 1, 2, 3, 4, 5)),
        (Annotated[datetime, Strict()], datetime(2020, 1, 2, 3, 4, 5)),
        (Annotated[tuple[int, ...], Strict()], (1, 2)),
        (date | None, date(2020, 1, 2)),
        (Limits, Limits(low=1)),
        (list[Limits], [Limits(low=1, high=2)]),
        (Any, {"a": [1, None, "µ"]}),
    ],
)
def test_a_value_of_any_type_is_the_same_after_a_restart(tmp_path: Path, kind: Any, value: Any) -> None:
    class Laser(lt.Thing):
        x: kind = lt.setting(default=value)
        never_set: kind = lt.setting(default=value)

    for turn in range(2):
        server = lt.ThingServer.from_things({"laser": Laser}, settings_folder=str(tmp_path))
        laser = server.things["laser"]
        if turn == 1:
            assert "x" in vars(laser), "it was loaded"
            assert laser.x == laser.never_set == value
        with server.test_client():
            laser.x = value


def test_a_value_that_cannot_be_written_keeps_what_was_saved_and_the_rest_is_saved(
    serve: Any, saved: Files, caplog: pytest.LogCaptureFixture
) -> None:
    class Laser(lt.Thing):
        anything: Any = lt.setting(default=None)
        power: float = lt.setting(default=1.0)

    path = saved(anything=[1], power=2)
    laser = serve({"laser": Laser})[0].things["laser"]
    for power, last_saved in ((3, [1]), (4, [2])):
        laser.anything = object()
        laser.power = power
        laser.save_settings()
        assert json.loads(path.read_text()) == {"anything": last_saved, "power": power}
        laser.anything = [2]
        laser.save_settings()
    assert "The setting 'anything' cannot be saved, so its last saved value is kept" in caplog.text


# --- async settings -----------------------------------------------------------------------------------------


class AsyncLaser(lt.Thing):
    def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
        super().__init__(thing_server_interface)
        self._phase, self.at_enter = 0, -1

    async def __aenter__(self) -> "AsyncLaser":
        self.at_enter = self._phase
        return self

    async def __aexit__(self, *exception: object) -> None:
        pass

    @lt.setting
    async def phase(self) -> int:
        return self._phase

    @phase.setter
    async def _set_phase(self, value: int) -> None:
        await anyio.lowlevel.checkpoint()
        if value < 0:
            raise RuntimeError("no such phase")
        self._phase = value


AsyncLaser.__name__ = "Laser"


def test_async_setters_load_before_enter(serve: Any, saved: Files) -> None:
    path = saved(phase=5)
    laser = serve({"laser": AsyncLaser})[0].things["laser"]
    assert laser.at_enter == 5
    laser.phase = 6
    laser.save_settings()
    assert json.loads(path.read_text()) == {"phase": 6}


def test_an_async_setter_that_raises_keeps_the_default(
    serve: Any, saved: Files, caplog: pytest.LogCaptureFixture
) -> None:
    saved(phase=-1)
    server, client = serve({"laser": AsyncLaser})
    assert server.things["laser"].at_enter == 0
    assert client.get("/laser/phase").json() == 0
    assert "'phase'" in caplog.text
    assert "no such phase" in caplog.text
