"""A client in an event loop follows live state, and knows when it does not."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from labthings.exceptions import (
    ClientPropertyError,
    StaleStateError,
    StateTimeoutError,
    UnobservableClientPropertyError,
)
from tests.test_client.fake_thing import FakeThing
from tests.test_client.test_async_observation import SOON, with_client
from tests.test_client.test_live_state import State, nonsense_as_answer


@pytest.fixture
def supply(lamp) -> FakeThing:
    """A Thing with live state."""
    lamp.show("state", {"enabled": False, "bias": [0.0, 0.0]})
    return lamp


def test_the_state_is_there_when_it_was_awaited_and_is_kept(supply):
    async def use(client: Any) -> None:
        live = await client.live("state", State)
        assert (live.value, live.version, live.epoch, live.is_current) == (State(), 7, "aaaa", True)
        supply.change("state", "/enabled", True)
        assert await live.wait_until(lambda state: state.enabled, SOON) == State(enabled=True)
        assert live.data == live.last_known == {"enabled": True, "bias": [0.0, 0.0]}
        await live.aclose()
        with pytest.raises(StaleStateError, match=r"lamp\.state is not current .* it was closed"):
            _ = live.data

    with_client(supply, use)


def test_before_it_was_awaited_nothing_is_there(supply):
    async def use(client: Any) -> None:
        live = client.live("state")
        assert not live.is_current
        with pytest.raises(StaleStateError, match="it was not there yet"):
            _ = live.value
        assert await live.wait_until(lambda state: True)

    with_client(supply, use)


def test_changes_tell_what_has_become_of_the_state_and_why(supply):
    async def use(client: Any) -> list[Any]:
        changes = []
        async for change in client.live("state"):
            changes.append(change)
            if len(changes) == 3:
                break
            supply.change("state", "/bias/0", len(changes), origin={"by": "me"})
        return changes

    first, second, third = with_client(supply, use)
    assert (first.version, first.operations, second.version, second.origin) == (7, None, 8, {"by": "me"})
    assert third.operations == ({"op": "replace", "path": "/bias/0", "value": 2},)
    assert [each.data["bias"][0] for each in (first, second, third)] == [0, 1, 2]


def test_a_slow_reader_gets_the_newest_state_once(supply):
    async def use(client: Any) -> None:
        async with client.live("state") as live:
            for number in range(5):
                supply.change("state", "/bias/0", number)
            await live.wait_until(lambda state: state["bias"][0] == 4)
            assert (await anext(live)).version == 12
            supply.change("state", "/bias/0", 5)
            assert (await anext(live)).version == 13

    with_client(supply, use)


@pytest.mark.parametrize("is_async", [True, False])
def test_a_callback_is_called_with_each_change_and_awaited(supply, is_async):
    async def use(client: Any) -> None:
        changes: asyncio.Queue[Any] = asyncio.Queue()
        async with client.live("state", State, changes.put if is_async else changes.put_nowait):
            assert (await changes.get()).value == State()
            supply.change("state", "/enabled", True)
            assert (await changes.get()).value.enabled

    with_client(supply, use)


def test_a_callback_may_close_it(supply):
    async def use(client: Any) -> None:
        closed = asyncio.Event()

        async def close(change: Any) -> None:
            await live.aclose()
            closed.set()

        live = client.live("state", callback=close)
        await live
        await closed.wait()

    with_client(supply, use)
    assert supply.gone.get(timeout=SOON)


@pytest.mark.usefixtures("short_pauses")
def test_gaps_and_lost_connections_are_told_of_and_made_good(supply):
    async def use(client: Any) -> None:
        noted: asyncio.Queue[bool] = asyncio.Queue()
        changes: asyncio.Queue[Any] = asyncio.Queue()
        async with client.live("state", None, changes.put_nowait, on_connection=noted.put) as live:
            for epoch in ("bbbb", "cccc"):
                await changes.get()
                supply.held = {"addPropertyObservation"}
                supply.show("state", {"enabled": epoch}, epoch=epoch)
                supply.patch("state", epoch=epoch, baseVersion=7, version=8, patch=[])
                assert await noted.get() is False
                with pytest.raises(StaleStateError, match=f"was given a patch of {epoch}"):
                    _ = live.data
                supply.held = set()
                supply.drop()
                assert await noted.get() is True
                assert live.data == {"enabled": epoch}

    with_client(supply, use)


def test_waiting_for_something_that_does_not_come(supply):
    async def use(client: Any) -> None:
        async with client.live("state") as live:
            with pytest.raises(StateTimeoutError, match=r"within 0\.01 s"):
                await live.wait_until(lambda state: state["enabled"], 0.01)
            waiting = asyncio.create_task(live.wait_until(lambda state: state["enabled"]))
            await asyncio.sleep(0)
            await live.aclose()
            with pytest.raises(StaleStateError, match="it was closed"):
                await waiting

    with_client(supply, use)


def test_beginning_is_part_of_waiting(supply):
    async def use(client: Any) -> None:
        supply.held = {"addPropertyObservation"}
        live = client.live("state")
        async with client.observe("position"):  # so that there is a connection, however little time there is
            with pytest.raises(StateTimeoutError, match=r"within 0\.01 s: .* it was not there yet"):
                await live.wait_until(lambda state: True, 0.01)
        supply.held = set()
        assert (await live.wait_until(lambda state: True, SOON))["enabled"] is False
        assert await live.wait_until(lambda state: True, 0) == live.data

    with_client(supply, use)


def test_why_it_is_not_current_and_since_when(supply):
    async def use(client: Any) -> None:
        live = client.live("state")
        since = live.since
        assert (live.reason, since.tzinfo is None) == ("it was not there yet", False)
        await live
        assert (live.reason, live.since) == (None, None)
        await live.aclose()
        assert live.reason == "it was closed"
        assert live.since >= since

    with_client(supply, use)


def test_a_first_snapshot_that_makes_no_sense_is_an_error(supply):
    async def use(client: Any) -> None:
        supply.held = {"addPropertyObservation"}
        answering = asyncio.create_task(asyncio.to_thread(nonsense_as_answer, supply))
        with pytest.raises(ClientPropertyError, match=r"Following lamp\.state failed: a snapshot makes no sense"):
            await client.live("state")
        await answering

    with_client(supply, use)


def test_what_a_server_refuses(supply):
    async def use(client: Any) -> None:
        with pytest.raises(ClientPropertyError, match="Did you mean 'state'"):
            client.live("stat")
        with pytest.raises(
            UnobservableClientPropertyError, match=r"Following lamp\.position failed: .* not live state"
        ):
            await client.live("position")

    with_client(supply, use)


def test_two_of_one_property_share_a_copy_and_end_when_nobody_refers_to_them(supply):
    async def use(client: Any) -> None:
        one, two = await client.live("state"), await client.live("state")
        supply.change("state", "/enabled", True)
        await one.wait_until(lambda state: state["enabled"])
        assert two.data["enabled"] is True
        del one, two
        gc.collect()
        await asyncio.to_thread(supply.gone.get, timeout=SOON)

    with_client(supply, use)


def test_it_ends_with_the_client(supply):
    async def use(client: Any) -> Any:
        return await client.live("state")

    live = with_client(supply, use)
    with pytest.raises(StaleStateError, match="it was closed"):
        _ = live.data
