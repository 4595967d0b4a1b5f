"""The bias supply, as its users and its page see it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import labthings as lt
from example_things.bias_supply import BiasSupply
from tests.browser import CHROMIUM, Tab, opened_tab
from tests.live_server import served

STATE, PATCH = "/bias_supply/state", {"Content-Type": "application/json-patch+json"}


@pytest.fixture
def client(serve: Callable[..., Any]) -> Any:
    return serve({"bias_supply": BiasSupply})


def put(client: Any, channel: int, **values: Any) -> Any:
    """Change several things of a channel at once."""
    path = f"/channels/{channel - 1}"
    patch = [{"op": "replace", "path": f"{path}/{name}", "value": value} for name, value in values.items()]
    return client.patch(STATE, json=patch, headers=PATCH)


def channel_of(client: Any, number: int) -> dict[str, Any]:
    channel: dict[str, Any] = client.get(STATE).json()["channels"][number - 1]
    return channel


@contextmanager
def patches(client: Any) -> Iterator[Callable[[], dict[str, Any]]]:
    """What the Thing's patches are from now on, one by one."""
    with client.websocket_connect("/bias_supply/ws") as websocket:
        websocket.send_json({"messageType": "addPropertyObservation", "data": {"state": "patches"}})
        assert websocket.receive_json()["messageType"] == "propertySnapshot"
        yield lambda: websocket.receive_json()["data"]["state"]


# --- the channels ---------------------------------------------------------------------------------------------------


def test_there_is_a_current_once_a_channel_is_on(client: Any, watch: Callable[..., Any]) -> None:
    with watch(client, "bias_supply", ["state"]) as until:
        assert put(client, 1, voltage=5, is_enabled=True).status_code == 204
        until(lambda data: data["state"]["channels"][0]["current"] == pytest.approx(5, abs=0.05))
        put(client, 1, is_enabled=False)
        until(lambda data: data["state"]["channels"][0]["current"] == 0)


def test_the_current_stays_within_its_limit(client: Any, watch: Callable[..., Any]) -> None:
    with watch(client, "bias_supply", ["state"]) as until:
        put(client, 2, voltage=-20, limit=3, is_enabled=True)
        until(lambda data: data["state"]["channels"][1]["current"] == -3)
    assert channel_of(client, 2)["is_limiting"] is True
    assert channel_of(client, 1)["is_limiting"] is False


@pytest.mark.parametrize("value", [20.1, -20.1, None, "high"])
def test_a_voltage_out_of_range_is_refused(client: Any, refused: Callable[..., None], value: Any) -> None:
    refused(put(client, 3, voltage=value), 422, "channels.2.voltage")
    assert channel_of(client, 3)["voltage"] == 0


@pytest.mark.parametrize("patch", [{"op": "remove", "path": "/channels/3"}, {"op": "add", "path": "/channels/-"}])
def test_there_are_as_many_channels_as_the_supply_has(
    client: Any, refused: Callable[..., None], patch: dict[str, Any]
) -> None:
    refused(client.patch(STATE, json=[{**patch, "value": {}}], headers=PATCH), 422, "channels: List should have")


def test_only_settings_are_kept(make_server: Callable[..., Any]) -> None:
    for _ in range(2):
        with make_server({"bias_supply": BiasSupply}).test_client() as client:
            assert channel_of(client, 1)["is_enabled"] is False
            put(client, 1, is_enabled=True)
            assert client.put("/bias_supply/ramp_rate", json=50).status_code == 204
    with make_server({"bias_supply": BiasSupply}).test_client() as client:
        assert client.get("/bias_supply/ramp_rate").json() == 50


def test_it_no_longer_measures_once_the_server_has_stopped(make_server: Callable[..., Any]) -> None:
    with make_server({"bias_supply": BiasSupply}).test_client():
        assert "bias_supply monitor" in _names_of_threads()
    assert "bias_supply monitor" not in _names_of_threads()


def _names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


# --- ramps ----------------------------------------------------------------------------------------------------------


def test_a_ramp_tells_of_each_step_and_who_makes_it(client: Any) -> None:
    client.put("/bias_supply/ramp_rate", json=100)
    with patches(client) as next_patch:
        ramp = client.post("/bias_supply/ramp?wait=10", json={"channel": 2, "voltage": 6.6}).json()
        told: list[dict[str, Any]] = []
        while not any(each["value"] == 6.6 for patch in told for each in patch["patch"]):
            told.append(next_patch())
    assert (ramp["status"], ramp["output"]) == ("completed", pytest.approx(3, abs=0.05))
    assert [each["baseVersion"] for each in told[1:]] == [each["version"] for each in told[:-1]]
    own = [each["patch"] for each in told if each.get("origin") == {"invocation": ramp["id"]}]
    assert [each["path"].rpartition("/")[2] for each in own[0]] == ["is_enabled"]
    assert [each["value"] for (each,) in own[1:]] == [1.65, 3.3, 4.95, 6.6]
    assert {each["path"] for patch in told if "origin" not in patch for each in patch["patch"]} <= {
        "/channels/1/current"
    }


def test_a_ramp_to_where_it_is_ends_at_once(client: Any) -> None:
    assert client.post("/bias_supply/ramp?wait=10", json={"channel": 1, "voltage": 0}).json()["status"] == "completed"


def test_a_cancelled_ramp_stays_where_it_has_come_to(client: Any, watch: Callable[..., Any]) -> None:
    with ramping(client, watch) as href:
        client.delete(href)
        assert client.get(f"{href}?wait=10").json()["status"] == "cancelled"
    channel = channel_of(client, 1)
    assert channel["is_enabled"] is True
    assert 0 < channel["voltage"] < 20


@pytest.mark.parametrize(
    ("interruption", "cause"),
    [
        (lambda client: put(client, 1, voltage=1), "it was set to 1.0 V"),
        (lambda client: put(client, 1, is_enabled=False), "it was switched off"),
        (lambda client: client.post("/bias_supply/open_lid?wait=10"), "the lid was opened"),
    ],
    ids=["set", "switched off", "interlock"],
)
def test_a_ramp_ends_when_something_else_changes_the_channel(
    client: Any, watch: Callable[..., Any], interruption: Callable[[Any], Any], cause: str
) -> None:
    with ramping(client, watch) as href:
        interruption(client)
        error = client.get(f"{href}?wait=10").json()["error"]
    assert error["title"] == "InvocationError"
    assert cause in error["detail"]


def test_a_second_ramp_of_a_channel_is_refused(client: Any, watch: Callable[..., Any]) -> None:
    with ramping(client, watch) as href:
        second = client.post("/bias_supply/ramp?wait=10", json={"channel": 1, "voltage": 0}).json()
        assert "is ramping already" in second["error"]["detail"]
        assert (
            client.post("/bias_supply/ramp?wait=10", json={"channel": 2, "voltage": 0}).json()["status"] == "completed"
        )
        client.delete(href)
        assert client.get(f"{href}?wait=10").json()["status"] == "cancelled"
    put(client, 1, voltage=0)
    again = client.post("/bias_supply/ramp?wait=10", json={"channel": 1, "voltage": 0}).json()
    assert again["status"] == "completed"


@contextmanager
def ramping(client: Any, watch: Callable[..., Any]) -> Iterator[str]:
    """A ramp of the first channel that takes longer than a test, and has begun."""
    with watch(client, "bias_supply", ["state"]) as until:
        href = client.post("/bias_supply/ramp", json={"channel": 1, "voltage": 20}).json()["href"]
        until(lambda data: data["state"]["channels"][0]["voltage"] > 0)
        yield href


# --- the interlock --------------------------------------------------------------------------------------------------


def test_all_channels_are_switched_off_in_one_patch(client: Any) -> None:
    for number in (1, 2, 3, 4):
        put(client, number, is_enabled=True, limit=0.1)
    with patches(client) as next_patch:
        run = client.post("/bias_supply/open_lid?wait=10").json()
        while "origin" not in (patch := next_patch()):
            pass
    assert patch["origin"] == {"invocation": run["id"]}
    expected = {f"/channels/{index}/is_enabled": False for index in range(4)} | {"/is_lid_open": True}
    assert {each["path"]: each["value"] for each in patch["patch"]} == expected


def test_nothing_can_be_switched_on_while_the_lid_is_open(client: Any, refused: Callable[..., None]) -> None:
    client.post("/bias_supply/open_lid?wait=10")
    refused(put(client, 1, is_enabled=True), 422, "The lid is open")
    ramp = client.post("/bias_supply/ramp?wait=10", json={"channel": 1, "voltage": 1}).json()
    assert ramp["error"]["detail"] == "Channel 1 cannot be switched on: the lid is open."
    assert channel_of(client, 1)["is_enabled"] is False
    client.post("/bias_supply/close_lid?wait=10")
    assert put(client, 1, is_enabled=True).status_code == 204


# --- the page -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    if CHROMIUM is None:
        pytest.skip("There is no Chromium here, so NOBODY HAS SEEN whether the bias supply's page works in a browser.")
    with opened_tab(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


def test_the_page_follows_and_changes_the_state_and_says_when_it_is_old(tab: Tab, tmp_path: Path) -> None:
    server = lt.ThingServer.from_things({"bias_supply": BiasSupply}, settings_folder=str(tmp_path), api_prefix="/api")
    with served(server.app, timeout_graceful_shutdown=1) as port:
        tab.open(f"http://127.0.0.1:{port}/api/bias_supply/panel")
        tab.until("document.querySelectorAll('article').length === 4")
        tab.run("window.card = document.querySelectorAll('article')[1]")
        tab.run("card.querySelector('.target').value = 8.8; card.querySelector('.set').click()")
        tab.run("card.querySelector('.enable').click()")
        tab.until("Math.abs(Number(card.querySelector('.current').textContent) - 4) < 0.1")
        assert tab.evaluate("card.querySelector('.voltage').textContent") == "8.80"
        tab.run("card.querySelector('.target').value = 21; card.querySelector('.set').click()")
        tab.until("document.querySelector('#notice').textContent.includes('less than or equal to 20')")
        tab.run("document.querySelector('#lid').click()")
        tab.until("card.querySelector('.enable').textContent === 'off'")
        assert tab.evaluate("document.querySelector('#alarm').hidden && document.title === 'Bias supply'")
    tab.until("document.querySelector('#alarm').textContent.startsWith('NOT CURRENT since')")
    assert tab.evaluate("document.body.className === 'stale' && document.title.includes('NOT CURRENT')")
    assert tab.evaluate("[...document.querySelectorAll('button')].every((each) => each.matches(':disabled'))")
    with served(server.app, port=port, timeout_graceful_shutdown=1):
        tab.until("document.querySelector('#alarm').hidden && document.body.className === ''")


def test_a_page_shows_a_ramp_and_why_it_has_ended(tab: Tab, tmp_path: Path) -> None:
    server = lt.ThingServer.from_things({"bias_supply": BiasSupply}, settings_folder=str(tmp_path))
    with served(server.app, timeout_graceful_shutdown=1) as port:
        tab.open(f"http://127.0.0.1:{port}/bias_supply/panel")
        tab.until("document.querySelectorAll('article').length === 4")
        tab.run("document.querySelector('.target').value = 20; document.querySelector('.ramp').click()")
        tab.until("document.querySelector('.ramp').textContent === 'Stop'")
        tab.until("document.querySelector('.enable').textContent === 'ON'")
        tab.run("document.querySelector('#all-off').click()")
        tab.until("document.querySelector('#notice').textContent.includes('it was switched off')")
        tab.until("document.querySelector('.ramp').textContent === 'Ramp'")
