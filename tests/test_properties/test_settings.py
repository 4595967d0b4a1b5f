"""Properties that are kept on disk."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import labthings as lt
from labthings.exceptions import InvalidValueError, SettingsNotSavedError, UnserialisableTypeError
from labthings.outputs.blob import Blob


class Laser(lt.Thing):
    power: float = lt.setting(default=1.0, ge=0)
    modes: list[str] = lt.setting(default_factory=lambda: ["cw"])
    serial: str = lt.setting(default="?", readonly=True)

    def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
        super().__init__(thing_server_interface)
        self._wavelength, self._phase, self.set_calls = 500, 0, 0

    @lt.setting
    def wavelength(self) -> int:
        """In nm."""
        return self._wavelength

    @wavelength.setter
    def _set_wavelength(self, value: int) -> None:
        self.set_calls += 1
        self._wavelength = value

    @wavelength.resetter
    def _reset_wavelength(self) -> None:
        self._wavelength = 532

    @lt.setting
    async def phase(self) -> int:
        return self._phase

    @phase.setter
    async def phase(self, value: int) -> None:
        await asyncio.sleep(0)
        self._phase = value

    @phase.resetter
    async def _reset_phase(self) -> None:
        self._phase = 7


def on_disk(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "settings" / "laser" / "Settings-Laser.json").read_text())  # type: ignore[no-any-return]


def test_a_setting_is_a_property_and_saved(serve: Any, tmp_path: Path) -> None:
    server, _ = serve({"laser": Laser})
    laser = server.things["laser"]
    assert isinstance(Laser.power, lt.DataSetting)
    assert isinstance(Laser.power, lt.DataProperty)
    assert list(Laser.settings) == ["power", "modes", "serial", "wavelength", "phase"]
    laser.power = 2.5
    laser.serial = "A1"
    laser.wavelength = 600
    laser.phase = 3
    laser.save_settings()
    expected = {"power": 2.5, "modes": ["cw"], "serial": "A1", "wavelength": 600, "phase": 3}
    assert on_disk(tmp_path) == expected


def test_the_file_is_where_the_interface_says(serve: Any, tmp_path: Path) -> None:
    server, _ = serve({"laser": Laser})
    interface = server.things["laser"]._thing_server_interface
    assert Path(interface.settings_folder) == tmp_path / "settings" / "laser"
    assert Path(interface.settings_file_path) == tmp_path / "settings" / "laser" / "Settings-Laser.json"


@pytest.mark.parametrize(("name", "value"), [("power", 3.5), ("wavelength", 700), ("phase", 5)])
def test_once_a_client_is_answered_it_is_on_disk(serve: Any, tmp_path: Path, name: str, value: Any) -> None:
    _, client = serve({"laser": Laser})
    assert client.put(f"/laser/{name}", json=value).status_code == 204
    assert on_disk(tmp_path)[name] == value


@pytest.mark.parametrize(("name", "value"), [("power", 1.0), ("modes", ["cw"]), ("wavelength", 532), ("phase", 7)])
def test_a_reset_is_saved_too(serve: Any, tmp_path: Path, name: str, value: Any) -> None:
    server, client = serve({"laser": Laser})
    server.things["laser"].modes.append("pulsed")
    client.put("/laser/power", json=9)
    assert client.post(f"/laser/{name}/reset").status_code == 204
    assert on_disk(tmp_path)[name] == value


def test_when_the_server_stops_everything_is_on_disk(tmp_path: Path) -> None:
    server = lt.ThingServer.from_things({"laser": Laser}, settings_folder=str(tmp_path / "settings"))
    with server.test_client():
        for number in range(100):
            server.things["laser"].power = number
        server.things["laser"].wavelength = 700
    assert (on_disk(tmp_path)["power"], on_disk(tmp_path)["wavelength"]) == (99, 700)


def test_a_value_that_is_refused_is_not_saved(serve: Any, tmp_path: Path) -> None:
    server, client = serve({"laser": Laser})
    server.things["laser"].power = 2
    with pytest.raises(InvalidValueError):
        server.things["laser"].power = -1
    assert client.put("/laser/power", json=-1).status_code == 422
    server.things["laser"].save_settings()
    assert on_disk(tmp_path)["power"] == 2


def test_a_readonly_setting_stops_clients_only(serve: Any, tmp_path: Path) -> None:
    server, client = serve({"laser": Laser})
    assert client.put("/laser/serial", json="B2").status_code == 405
    server.things["laser"].serial = "B2"
    server.things["laser"].save_settings()
    assert on_disk(tmp_path)["serial"] == "B2"


def test_a_thing_without_settings_writes_no_file(serve: Any, tmp_path: Path) -> None:
    class Bare(lt.Thing):
        x: int = lt.property(default=1)

    server, client = serve({"bare": Bare})
    client.put("/bare/x", json=2)
    server.things["bare"].save_settings()
    assert not (tmp_path / "settings" / "bare").exists()


def test_what_cannot_be_written_is_told_and_in_force(serve: Any, tmp_path: Path) -> None:
    server, client = serve({"laser": Laser})
    (tmp_path / "settings").mkdir(exist_ok=True)
    (tmp_path / "settings" / "laser").write_text("a file where a folder should be")
    server.things["laser"].power = 4
    with pytest.raises(SettingsNotSavedError, match="'laser' are in force, but they could not be saved"):
        server.things["laser"].save_settings()
    assert client.put("/laser/power", json=5).status_code == 500
    assert server.things["laser"].power == 5
    (tmp_path / "settings" / "laser").unlink()


@pytest.mark.parametrize("kind", [Blob, Blob | None, list[Blob]])
def test_a_blob_is_no_setting(kind: Any) -> None:
    words = r"The setting 'Camera.background' cannot hold a blob.*have a setting with its path"
    with pytest.raises(UnserialisableTypeError, match=words):
        type("Camera", (lt.Thing,), {"__annotations__": {"background": kind}, "background": lt.setting(default=None)})


def test_a_blob_is_no_functional_setting() -> None:
    with pytest.raises(UnserialisableTypeError, match=r"'Camera.background' cannot hold a blob"):

        class Camera(lt.Thing):
            @lt.setting
            def background(self) -> Blob:
                return Blob.from_bytes(b"")
