"""The spectrometer, as its users see it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import labthings as lt
from example_things.spectrometer import SATURATED, SimulatedSensor, Spectrometer
from labthings.exceptions import ServerActionError

FAST = 0.01  # s


@pytest.fixture
def client(serve: Callable[..., Any]) -> Any:
    client = serve({"spectrometer": Spectrometer})
    client.put("/spectrometer/integration_time", json=FAST)
    return client


@pytest.fixture
def spectrometer(client: Any) -> Any:
    return lt.ThingClient.from_url("/spectrometer/", client)


def test_wavelengths_are_an_array_in_nm(client: Any, spectrometer: Any) -> None:
    wavelengths = spectrometer.wavelengths
    assert isinstance(wavelengths, np.ndarray)
    assert (wavelengths[0], wavelengths[-1], len(wavelengths)) == (350, 850, 1024)
    assert client.get("/spectrometer/").json()["properties"]["wavelengths"]["unit"] == "nm"


def test_a_spectrum_has_the_lines_of_the_lamp(spectrometer: Any) -> None:
    spectrum = spectrometer.acquire(averages=5)
    brightest = spectrum["wavelengths"][np.argmax(spectrum["counts"])]
    assert brightest == pytest.approx(546.1, abs=0.5)
    assert spectrum["averages"] == 5
    assert spectrum["integration_time"] == FAST
    assert spectrum["is_dark_subtracted"] is False
    assert spectrum["saturated_pixels"] == 0


def test_without_light_a_dark_corrected_spectrum_is_zero(spectrometer: Any) -> None:
    spectrometer.take_dark_reference(averages=50)
    spectrum = spectrometer.acquire(averages=5)
    assert spectrum["is_dark_subtracted"] is True
    dark_corner = spectrum["counts"][-20:]  # where the lamp has next to no light
    assert np.mean(dark_corner) == pytest.approx(0, abs=40)


def test_a_dark_reference_is_for_one_integration_time(client: Any, spectrometer: Any) -> None:
    spectrometer.take_dark_reference(averages=1)
    spectrometer.integration_time = 0.02
    run = client.post("/spectrometer/acquire?wait=10").json()
    assert run["output"]["is_dark_subtracted"] is False
    assert "another integration time" in run["log"][-1]["message"]
    spectrometer.integration_time = FAST
    assert spectrometer.acquire()["is_dark_subtracted"] is True
    spectrometer.forget_dark_reference()
    assert spectrometer.acquire()["is_dark_subtracted"] is False


def test_the_dark_reference_is_there_after_a_restart(make_server: Callable[..., Any]) -> None:
    with make_server({"spectrometer": Spectrometer}).test_client() as client:
        spectrometer = lt.ThingClient.from_url("/spectrometer/", client)
        spectrometer.take_dark_reference(averages=1)
        before = spectrometer.dark_reference
    with make_server({"spectrometer": Spectrometer}).test_client() as client:
        spectrometer = lt.ThingClient.from_url("/spectrometer/", client)
        np.testing.assert_array_equal(spectrometer.dark_reference["counts"], before["counts"])
        assert spectrometer.acquire()["is_dark_subtracted"] is True


def test_clients_cannot_make_up_a_dark_reference(client: Any, refused: Any) -> None:
    refused(client.put("/spectrometer/dark_reference", json=None), 405)


def test_saturation_is_reported(client: Any, listen: Callable[..., Any]) -> None:
    next_saturation = listen(client.server.things["spectrometer"], "saturated")
    client.post("/spectrometer/acquire?wait=10")
    client.put("/spectrometer/integration_time", json=0.5)
    run = client.post("/spectrometer/acquire?wait=10").json()
    assert run["output"]["saturated_pixels"] > 3
    assert "saturated" in run["log"][-1]["message"]
    assert next_saturation() == run["output"]["saturated_pixels"]


def test_progress_is_told_and_an_acquisition_can_be_cancelled(client: Any, watch: Any) -> None:
    with watch(client, "spectrometer", [], ["acquire"]) as until:
        href = client.post("/spectrometer/acquire", json={"averages": 10000}).json()["href"]
        until(lambda data: "progress" in data and data["progress"]["fraction"] > 0)
    client.delete(href)
    assert client.get(f"{href}?wait=10").json()["status"] == "cancelled"


def test_spectra_can_be_watched_until_that_is_cancelled(client: Any, watch: Any) -> None:
    with watch(client, "spectrometer", ["live"]) as until:
        href = client.post("/spectrometer/watch").json()["href"]
        first = until(lambda data: data["live"])["live"]
        second = until(lambda data: data["live"])["live"]
    assert len(first["counts"]) == 1024
    assert first["counts"] != second["counts"]
    client.delete(href)
    assert client.get(f"{href}?wait=10").json()["status"] == "cancelled"


def test_one_measurement_at_a_time(client: Any, spectrometer: Any, watch: Any) -> None:
    with watch(client, "spectrometer", ["live"]) as until:
        href = client.post("/spectrometer/watch").json()["href"]
        until(lambda data: data["live"])
    for action in (spectrometer.acquire, spectrometer.take_dark_reference):
        with pytest.raises(ServerActionError, match="measuring already"):
            action()
    client.delete(href)
    client.get(f"{href}?wait=10")
    assert spectrometer.acquire()["averages"] == 1


# --- the simulated sensor -------------------------------------------------------------------------------------------


def test_dark_current_grows_with_the_integration_time() -> None:
    sensor = SimulatedSensor()
    short, long = (sensor.read(seconds, is_shutter_open=False).mean() for seconds in (0.1, 1))
    assert long - sensor.offset == pytest.approx(10 * (short - sensor.offset), rel=0.1)


def test_there_is_shot_noise() -> None:
    sensor = SimulatedSensor()
    peak = np.argmax(sensor.read(0.1))
    signals = np.array([sensor.read(0.1)[peak] for _ in range(300)]) - sensor.offset
    assert np.std(signals) == pytest.approx(np.sqrt(np.mean(signals) / sensor.electrons), rel=0.25)


def test_the_converter_has_16_bits() -> None:
    counts = SimulatedSensor().read(10)
    assert counts.dtype == np.uint16
    assert counts.max() == SATURATED
