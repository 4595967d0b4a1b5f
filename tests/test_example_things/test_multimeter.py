"""The multimeter, driven through PyVISA and a socket, as its users see it: above all when something goes wrong."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import labthings as lt
from example_things.multimeter import Multimeter
from example_things.scpi_instrument import InstrumentError, ScpiInstrument
from example_things.scpi_simulator import Fault, ScpiSimulator
from example_things.simulated_instrument import SimulatedInstrument
from labthings.exceptions import ClientPropertyError, ConfigurationError, ServerActionError
from labthings.thing_description import validate_thing_description

TIMEOUT = 0.4
VOLTAGE = pytest.approx(1.25, abs=2e-3)


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScpiSimulator]:
    monkeypatch.setattr("example_things.simulated_multimeter.SELF_TEST_SECONDS", 0.01)
    with ScpiSimulator() as simulator:
        simulator.delay = 2 * TIMEOUT
        yield simulator


@pytest.fixture
def client(serve: Callable[..., Any], simulator: ScpiSimulator) -> Any:
    kwargs = {"address": simulator.address, "timeout": TIMEOUT}
    return serve({"multimeter": {"class": Multimeter, "kwargs": kwargs}})


@pytest.fixture
def multimeter(client: Any) -> Any:
    return lt.ThingClient.from_url("/multimeter/", client)


# --- measuring ------------------------------------------------------------------------------------------------------


def test_it_knows_the_instrument(multimeter: Any) -> None:
    assert multimeter.identity.startswith("LabThings,Simulated multimeter")
    assert multimeter.is_connected is True


def test_its_thing_description_is_valid(client: Any) -> None:
    description = client.get("/multimeter/").json()
    validate_thing_description(description)
    for affordance in (*description["properties"].values(), *description["actions"].values()):
        assert affordance["title"].endswith(".")


def test_it_measures(multimeter: Any) -> None:
    for reading in (multimeter.reading, multimeter.measure()):
        assert reading["value"] == VOLTAGE
        assert reading["unit"] == "V"


@pytest.mark.parametrize(("function", "value", "unit"), [("resistance", 1098, "Ω"), ("current", 4.2e-3, "A")])
def test_it_measures_other_quantities(multimeter: Any, function: str, value: float, unit: str) -> None:
    multimeter.function = function
    assert multimeter.reading["value"] == pytest.approx(value, rel=1e-2)
    assert multimeter.reading["unit"] == unit


def test_the_instrument_gets_the_settings(multimeter: Any, simulator: ScpiSimulator) -> None:
    multimeter.function = "resistance"
    multimeter.measuring_range = 5000
    multimeter.integration_time = 0.2
    multimeter.measure()
    function = simulator.multimeter.function
    assert (function.short, function.range, function.cycles) == ("RES", 10000, 0.2)


def test_an_overload_is_no_value(client: Any, multimeter: Any, listen: Callable[..., Any]) -> None:
    next_overload = listen(client.server.things["multimeter"], "overloaded")
    multimeter.measuring_range = 0.1
    with pytest.raises(ClientPropertyError, match="out of the measuring range"):
        _ = multimeter.reading
    assert next_overload() is None


def test_its_display_can_be_watched(client: Any, watch: Callable[..., Any]) -> None:
    with watch(client, "multimeter", ["reading", "is_connected"]) as until:
        until(lambda data: data.get("is_connected"))
        assert until(lambda data: "reading" in data)["reading"]["value"] == VOLTAGE


def test_a_series_is_measured_at_its_interval(client: Any, multimeter: Any) -> None:
    multimeter.integration_time = 0.02
    began = time.monotonic()
    run = client.post("/multimeter/measure_series?wait=10", json={"count": 4, "interval": 0.1}).json()
    series = run["output"]
    assert series["unit"] == "V"
    assert series["values"] == [VOLTAGE] * 4
    assert time.monotonic() - began >= 0.3
    assert len(series["times"]) == 4
    assert series["times"] == sorted(series["times"])
    assert run["progress"]["fraction"] == 1
    assert multimeter.series == series


def test_a_series_keeps_to_the_settings_that_it_began_with(client: Any, multimeter: Any, watch: Any) -> None:
    with watch(client, "multimeter", ["series"]) as until:
        href = client.post("/multimeter/measure_series", json={"count": 5}).json()["href"]
        until(lambda data: data.get("series"))
        multimeter.function = "resistance"
    assert client.get(f"{href}?wait=10").json()["output"]["values"] == [VOLTAGE] * 5


def test_a_cancelled_series_ends_at_once_and_keeps_what_it_has(client: Any, multimeter: Any, watch: Any) -> None:
    with watch(client, "multimeter", ["series"]) as until:
        href = client.post("/multimeter/measure_series", json={"count": 2, "interval": 3600}).json()["href"]
        until(lambda data: data.get("series"))
    start = time.monotonic()
    client.delete(href)
    assert client.get(f"{href}?wait=10").json()["status"] == "cancelled"
    assert time.monotonic() - start < 10, "and not an hour"
    assert multimeter.series["values"] == [VOLTAGE]


def test_a_measurement_can_be_cancelled_and_the_next_is_right(
    client: Any, multimeter: Any, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("multimeter", "simulated_multimeter"):
        monkeypatch.setattr(f"example_things.{module}.LINE_FREQUENCY", 5)
    multimeter.integration_time = 100
    with watch(client, "multimeter", [], ["measure"]) as until:
        href = client.post("/multimeter/measure").json()["href"]
        until(lambda data: data["status"] == "running")
    start = time.monotonic()
    client.delete(href)
    assert client.get(f"{href}?wait=10").json()["status"] == "cancelled"
    multimeter.function, multimeter.integration_time = "resistance", 0.1
    assert multimeter.reading["value"] == pytest.approx(1098, rel=1e-2)
    assert time.monotonic() - start < 10, "which is less than the measurement would have taken"


def test_a_second_series_is_refused(client: Any, multimeter: Any, watch: Any) -> None:
    with watch(client, "multimeter", ["series"]) as until:
        href = client.post("/multimeter/measure_series", json={"count": 2, "interval": 3600}).json()["href"]
        until(lambda data: data.get("series"))
        with pytest.raises(ServerActionError, match="measured already"):
            multimeter.measure_series()
        assert multimeter.reading["value"] == VOLTAGE, "single readings find their place in between"
    client.delete(href)
    assert client.get(f"{href}?wait=10").json()["status"] == "cancelled"


def test_many_at_once_each_get_their_own_answer(serve: Callable[..., Any], simulator: ScpiSimulator) -> None:
    kwargs = {"address": simulator.address, "timeout": 20}  # as each waits for the others
    client = serve({"multimeter": {"class": Multimeter, "kwargs": kwargs}})
    multimeter: Any = lt.ThingClient.from_url("/multimeter/", client)
    multimeter.integration_time = 0.02
    with ThreadPoolExecutor(8) as threads:
        identities = [threads.submit(lambda: multimeter.identity) for _ in range(40)]
        readings = [threads.submit(lambda: multimeter.reading) for _ in range(40)]
    assert {each.result()[:9] for each in identities} == {"LabThings"}
    assert [each.result()["value"] for each in readings] == [VOLTAGE] * 40


def test_it_tests_and_resets_the_instrument(multimeter: Any, simulator: ScpiSimulator) -> None:
    multimeter.self_test()
    multimeter.function = "resistance"
    multimeter.measure()
    multimeter.reset()
    assert simulator.multimeter.function.short == "VOLT"
    assert multimeter.function == "resistance"


def test_a_self_test_that_fails_says_so(multimeter: Any, simulator: ScpiSimulator, monkeypatch: Any) -> None:
    monkeypatch.setattr("example_things.simulated_multimeter.SELF_TEST_RESULT", "+602")
    with pytest.raises(ServerActionError, match="self-test has failed, with 602"):
        multimeter.self_test()


# --- the instrument complains ---------------------------------------------------------------------------------------


def test_what_the_instrument_says_is_told(multimeter: Any, refused: Any, client: Any) -> None:
    multimeter.measuring_range = 5000
    with pytest.raises(ServerActionError, match=r"refused 'CONF:VOLT:DC 5000.*-222,\"Data out of range\""):
        multimeter.measure()
    refused(client.get("/multimeter/reading"), 500, "-222", "Data out of range")
    multimeter.measuring_range = 10
    assert multimeter.reading["value"] == VOLTAGE


def test_a_complaint_needs_no_traceback(client: Any) -> None:
    client.put("/multimeter/measuring_range", json=5000)
    log = client.post("/multimeter/measure?wait=10").json()["log"]
    assert "exception_type" not in log[-1]


def test_a_full_error_queue_is_read_to_its_end(client: Any, multimeter: Any, simulator: ScpiSimulator) -> None:
    assert multimeter.is_connected
    simulator.multimeter.errors.extend(['-113,"Undefined header"'] * 20)
    with pytest.raises(ClientPropertyError, match="Undefined header"):
        _ = multimeter.reading
    assert multimeter.reading["value"] == VOLTAGE


def test_errors_from_before_it_was_connected_are_only_logged(
    multimeter: Any, simulator: ScpiSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.multimeter.errors.append('-113,"Undefined header"')
    assert multimeter.reading["value"] == VOLTAGE
    assert any("an error in its queue: -113" in record.getMessage() for record in caplog.records)


# --- the connection fails -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "command"),
    [
        *product(["hang up", "silence", "late", "garbage"], ["FETC"]),
        *product(["hang up", "late", "garbage"], ["SYST:ERR"]),
        *product(["late"], ["IDN"]),
    ],
)
def test_a_fault_is_an_error_and_the_next_reading_is_right(
    client: Any, multimeter: Any, simulator: ScpiSimulator, fault: Fault, command: str
) -> None:
    multimeter.integration_time = 0.1
    assert multimeter.reading["value"] == VOLTAGE
    simulator.fault, simulator.fault_at = fault, command
    start = time.monotonic()
    answer = client.get("/multimeter/reading" if command != "IDN" else "/multimeter/identity")
    assert answer.status_code == (500 if fault == "garbage" else 503)
    assert simulator.address in answer.json()["detail"]
    assert time.monotonic() - start < 10 * TIMEOUT  # of which a machine that is not busy needs two
    simulator.fault = "none"
    assert multimeter.identity.startswith("LabThings"), "and not what was left of another answer"
    assert multimeter.reading["value"] == VOLTAGE


def test_the_error_names_the_command(client: Any, simulator: ScpiSimulator, refused: Any) -> None:
    simulator.fault, simulator.fault_at = "silence", "FETC"
    refused(client.get("/multimeter/reading"), 503, "did not answer 'FETC?'", "Timeout")


def test_a_query_that_the_instrument_does_not_know_is_explained(simulator: ScpiSimulator) -> None:
    instrument = ScpiInstrument(simulator.address, logging.getLogger(__name__), TIMEOUT)
    with pytest.raises(InstrumentError, match=r"refused 'VOLTS\?': -113,\"Undefined header\""):
        instrument.query("VOLTS?")
    assert instrument.query_number("READ?") == VOLTAGE
    instrument.close()


def test_a_second_line_is_not_taken_for_the_next_answer(
    multimeter: Any, simulator: ScpiSimulator, monkeypatch: Any
) -> None:
    monkeypatch.setattr("example_things.simulated_multimeter.IDENTITY", "LabThings\n+9.99")
    with pytest.raises(ClientPropertyError, match=r"answered '\+9.99'"):
        _ = multimeter.identity
    monkeypatch.undo()
    assert multimeter.reading["value"] == VOLTAGE


def test_it_starts_while_the_instrument_is_off(client: Any, multimeter: Any, simulator: ScpiSimulator) -> None:
    simulator.switch_off()
    assert client.get("/health").json()["status"] == "running"
    assert multimeter.is_connected is False
    with pytest.raises(ServerActionError, match="Is it switched on"):
        multimeter.measure()
    simulator.switch_on()
    assert multimeter.is_connected is True
    assert multimeter.reading["value"] == VOLTAGE


def test_after_a_power_cut_it_has_its_settings_again(multimeter: Any, simulator: ScpiSimulator) -> None:
    multimeter.function, multimeter.integration_time = "resistance", 2
    multimeter.measure()
    simulator.switch_off()
    simulator.switch_on()
    assert simulator.multimeter.function.short == "VOLT"
    with pytest.raises(ServerActionError, match="did not answer"):
        multimeter.measure()
    assert multimeter.reading["value"] == pytest.approx(1098, rel=1e-2)
    assert simulator.multimeter.function.cycles == 2


def test_a_power_cut_in_a_series_ends_it_and_what_was_measured_is_kept(
    client: Any, multimeter: Any, simulator: ScpiSimulator, watch: Any
) -> None:
    with watch(client, "multimeter", ["series"]) as until:
        href = client.post("/multimeter/measure_series", json={"count": 10000}).json()["href"]
        until(lambda data: len((data.get("series") or {}).get("values", ())) >= 3)
        simulator.switch_off()
    run = client.get(f"{href}?wait=10").json()
    assert run["status"] == "error"
    assert run["error"]["title"] == "InstrumentUnreachableError"
    assert len(multimeter.series["values"]) >= 3


def test_a_power_cut_while_it_measures_gives_no_value(
    client: Any, multimeter: Any, simulator: ScpiSimulator, watch: Any
) -> None:
    multimeter.integration_time = 50
    with watch(client, "multimeter", [], ["measure"]) as until:
        href = client.post("/multimeter/measure").json()["href"]
        until(lambda data: data["status"] == "running")
    assert multimeter.is_connected
    simulator.switch_off()
    simulator.switch_on()
    assert multimeter.is_connected is False, "the broken connection is found out"
    assert multimeter.is_connected is True
    assert client.get(f"{href}?wait=10").json()["error"]["detail"].endswith('-230,"Data corrupt or stale"')


def test_an_address_that_is_wrong_is_an_error(serve: Callable[..., Any], refused: Any) -> None:
    client = serve({"multimeter": {"class": Multimeter, "kwargs": {"address": "/dev/ttyUSB0"}}})
    refused(client.get("/multimeter/reading"), 503, "/dev/ttyUSB0", "is this its address?")


def test_who_waits_for_too_long_is_told_that_it_is_busy(
    client: Any, multimeter: Any, simulator: ScpiSimulator, refused: Any, watch: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("example_things.simulated_multimeter.SELF_TEST_SECONDS", 3 * TIMEOUT)
    with watch(client, "multimeter", [], ["self_test"]) as until:
        href = client.post("/multimeter/self_test").json()["href"]
        until(lambda data: data["status"] == "running")
    refused(_first_failure(lambda: client.get("/multimeter/is_connected")), 500, "busy")
    assert client.get(f"{href}?wait=10").json()["status"] == "completed"


def _first_failure(request: Callable[[], Any]) -> Any:
    return next(answer for answer in iter(request, None) if answer.status_code != 200)


def test_the_server_stops_although_the_instrument_is_silent(
    make_server: Callable[..., Any], simulator: ScpiSimulator
) -> None:
    simulator.fault = "silence"
    kwargs = {"address": simulator.address, "timeout": TIMEOUT}
    server = make_server({"multimeter": {"class": Multimeter, "kwargs": kwargs}})
    with server.test_client() as client:
        client.post("/multimeter/measure")
        start = time.monotonic()
    assert time.monotonic() - start < 4.5, "which is less than it waits for actions that go on"


# --- the simulated instrument as a Thing, and the configuration -----------------------------------------------------


def test_the_power_switch_of_the_instrument_can_be_watched(
    serve: Callable[..., Any], watch: Callable[..., Any]
) -> None:
    client = serve({"instrument": {"class": SimulatedInstrument, "kwargs": {"port": 0}}})
    with watch(client, "instrument", ["is_on"]) as until:
        client.put("/instrument/is_on", json=False)
        until(lambda data: data["is_on"] is False)


def test_the_instrument_can_be_a_thing_too(serve: Callable[..., Any]) -> None:
    client = serve({"instrument": {"class": SimulatedInstrument, "kwargs": {"port": 0}}})
    instrument = lt.ThingClient.from_url("/instrument/", client)
    client = serve({"multimeter": {"class": Multimeter, "kwargs": {"address": instrument.address, "timeout": TIMEOUT}}})
    multimeter = lt.ThingClient.from_url("/multimeter/", client)
    assert multimeter.is_connected is True
    for name, value in (("is_on", False), ("fault", "silence")):
        before = getattr(instrument, name)
        setattr(instrument, name, value)
        assert multimeter.is_connected is False
        setattr(instrument, name, before)
        assert multimeter.is_connected is True


def test_its_example_configuration_works(tmp_path: Path, monkeypatch: Any) -> None:
    config = Path(sys.modules[Multimeter.__module__].__file__ or "").with_name("multimeter.example.json")
    model = lt.ThingServerConfig.model_validate_json(config.read_text(encoding="utf-8"))
    assert model.things["multimeter"].kwargs["address"].split("::")[2] == str(model.things["instrument"].kwargs["port"])


def test_without_pyvisa_the_configuration_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("example_things.multimeter", "example_things.scpi_instrument"):
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "pyvisa", None)
    with pytest.raises(ConfigurationError, match="pip install pyvisa pyvisa-py"):
        lt.ThingServer.from_things({"multimeter": "example_things.multimeter:Multimeter"})
