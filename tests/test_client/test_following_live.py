"""Clients follow live state on a real server, whatever happens to that or to the cable."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import Field

import labthings as lt
from labthings.exceptions import ClientPropertyError, StaleStateError, UnobservableClientPropertyError
from labthings.state import Replica
from labthings.state.json_patch import applied
from tests.tcp_proxy import Proxy, proxy_to

SOON = 10.0


def url_of(cable: Proxy) -> str:
    return f"http://127.0.0.1:{cable.port}/supply/"


class Channel(lt.ReactiveModel):
    bias: float = Field(0.0, ge=0, le=10)


class State(lt.ReactiveModel):
    enabled: bool = False
    channels: list[Channel] = Field(default_factory=lambda: [Channel(), Channel()])


class Supply(lt.Thing):
    state: State = lt.property(default_factory=State)
    voltage: float = lt.property(default=0.0)

    @lt.action
    def enable(self) -> None:
        self.state.enabled = True


@pytest.fixture(scope="module")
def server(serve_live_to_all) -> Any:
    return serve_live_to_all({"supply": Supply})


@pytest.fixture
def cable(server) -> Iterator[Proxy]:
    """What connects clients to the server."""
    with proxy_to(server.port) as proxy:
        yield proxy


@pytest.fixture
def thing(server) -> Any:
    """The Thing, with its state as at first."""
    thing = server.server.things["supply"]
    thing.state = State()
    return thing


@pytest.fixture
def supply(cable, thing) -> Iterator[Any]:
    """A client of the Thing."""
    with lt.ThingClient.from_url(url_of(cable)) as client:
        yield client


def test_changes_of_the_thing_come_and_those_of_an_action_say_so(thing, supply):
    with supply.live("state", State) as live:
        assert live.value == State()
        thing.state.channels[1].bias = 1.25
        assert live.wait_until(lambda state: state.channels[1].bias, SOON).channels[0].bias == 0
        assert next(live).version == live.version
        supply.enable()
        change = next(live)
        assert change.operations == ({"op": "replace", "path": "/enabled", "value": True},)
        assert "invocation" in change.origin
        assert supply.state == live.data


def test_the_state_is_patched_if_it_is_at_the_version_that_it_should_be(thing, supply):
    patch = [{"op": "replace", "path": "/channels/0/bias", "value": 2.5}]
    with supply.live("state", State) as live:
        before = live.version
        version = supply.patch_property("state", patch, version=before)
        live.wait_until(lambda state: state.channels[0].bias == 2.5, SOON)
        assert (version, version.epoch) == (live.version, live.epoch)
        assert supply.patch_property("state", patch, version=version) == version  # as nothing has changed
        for version in (before, int(before)):
            with pytest.raises(ClientPropertyError, match=r"Patching supply\.state failed: .* there is version"):
                supply.patch_property("state", patch, version=version)
        with pytest.raises(ClientPropertyError, match="less than or equal to 10"):
            supply.patch_property("state", [{**patch[0], "value": 11}])
        with pytest.raises(ClientPropertyError, match="nothing at '/gone'"):
            supply.patch_property("state", [*patch, {"op": "remove", "path": "/gone"}])


@pytest.mark.usefixtures("short_pauses")
def test_it_survives_a_restart_of_the_server_and_says_so(cable, supply, serve_live):
    noted: queue.Queue[bool] = queue.Queue()
    changes: queue.Queue[Any] = queue.Queue()
    live = supply.live("state", State, changes.put, on_connection=noted.put)
    version = changes.get(timeout=SOON).version
    other = serve_live({"supply": Supply})
    cable.to = other.port
    cable.cut()
    assert noted.get(timeout=SOON) is False
    assert noted.get(timeout=SOON) is True
    change = changes.get(timeout=SOON)
    assert (change.operations, change.value) == (None, State())
    assert change.version.epoch != version.epoch
    other.server.things["supply"].state.enabled = True
    assert live.wait_until(lambda state: state.enabled, SOON)
    with pytest.raises(ClientPropertyError, match="there is version"):
        supply.patch_property("state", [], version=type(version)(live.version, version.epoch))


def test_a_cable_that_is_unplugged_is_noticed(cable, thing, supply, monkeypatch, short_pauses):
    monkeypatch.setattr("labthings.client.endpoint.PING_SECONDS", 0.05)
    monkeypatch.setattr("labthings.client.endpoint.CLOSE_SECONDS", 0.01)
    noted: queue.Queue[bool] = queue.Queue()
    live = supply.live("state", callback=lambda change: None, on_connection=noted.put)
    cable.go_dead()
    thing.state.enabled = True
    while live.is_current:  # on a busy machine, a ping may have been late before
        noted.get(timeout=SOON)
    with pytest.raises(StaleStateError, match="was lost"):
        _ = live.data
    assert live.last_known["enabled"] is False
    cable.revive()
    while not noted.get(timeout=SOON):
        pass
    assert live.wait_until(lambda state: state["enabled"], SOON)


def test_it_can_be_observed_too(thing, supply):
    with supply.live("state") as live, supply.live("state", State) as other, supply.observe("state") as observation:
        assert next(observation)["enabled"] is False
        thing.state.enabled = True
        assert next(value for value in observation if value["enabled"])
        assert live.wait_until(lambda state: state["enabled"], SOON)
        other.close()
        thing.state.channels.pop()
        assert live.wait_until(lambda state: len(state["channels"]) == 1, SOON)
        live.close()
        thing.state.channels.clear()
        assert next(value for value in observation if not value["channels"])


def test_a_property_that_is_not_live_state(supply):
    with pytest.raises(UnobservableClientPropertyError, match=r"Following supply\.voltage failed: .* not live state"):
        supply.live("voltage")
    with pytest.raises(ClientPropertyError, match=r"Patching supply\.voltage failed: .* does not take PATCH"):
        supply.patch_property("voltage", [])


@pytest.mark.usefixtures("short_pauses")
def test_no_change_is_ever_wrong_however_often_the_cable_is_cut(cable, thing, supply):
    document = thing.properties["state"].document
    truth = Replica()
    at = {}

    def note(patch: Any) -> None:
        truth.apply(patch)
        at[truth.version] = (truth.data["enabled"], len(truth.data["channels"]))

    snapshot = document.subscribe(note)
    truth.load(snapshot)
    at[truth.version] = (False, 2)
    with supply.live("state") as live:
        mine, versions = None, []
        for number in range(200):
            thing.state.enabled = not thing.state.enabled
            if number % 20 == 0:
                thing.state.channels.append(Channel(bias=number / 20))
                cable.cut()
            if number % 3 == 0:
                change = next(live)
                versions.append((change.version, at[change.version]))
                mine = change.data if change.operations is None else applied(mine, change.operations)
                assert mine == change.data
                assert at[change.version] == (mine["enabled"], len(mine["channels"]))
        live.wait_until(lambda state: live.version == truth.version, SOON)
        assert live.data == truth.data
    document.unsubscribe(note)


def test_a_client_in_an_event_loop(cable, thing):
    async def main() -> None:
        async with lt.AsyncThingClient.from_url(url_of(cable)) as client, client.live("state", State) as live:
            await client.enable()
            assert (await live.wait_until(lambda state: state.enabled, SOON)).enabled
            patch = [{"op": "remove", "path": "/channels/0"}]
            version = await client.patch_property("state", patch, version=live.version)
            assert len((await live.wait_until(lambda state: len(state.channels) == 1, SOON)).channels) == 1
            assert (version, version.epoch) == (live.version, live.epoch)

    asyncio.run(main())
