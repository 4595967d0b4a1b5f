"""A client in an event loop is told of changes and events."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from labthings.exceptions import ClientPropertyError, FailedToSubscribeError
from tests.test_client.fake_thing import FakeThing

SOON = 10.0
BROKEN = {"status": "500", "title": "OSError", "detail": "the sensor is unplugged"}


def with_client(lamp: FakeThing, use: Callable[[Any], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with await lamp.async_client() as client:
            return await asyncio.wait_for(use(client), SOON)

    return asyncio.run(main())


def test_the_current_value_comes_first_and_then_each_change(lamp):
    async def use(client: Any) -> list[Any]:
        values = []
        async for value in client.observe("position"):
            values.append(value)
            lamp.set("position", len(values))
            if len(values) == 3:
                break
        return values

    assert with_client(lamp, use) == [0.0, 1, 2]


@pytest.mark.parametrize("is_async", [True, False])
def test_a_callback_is_called_with_each_value_and_awaited(lamp, is_async):
    async def use(client: Any) -> list[Any]:
        values: asyncio.Queue[Any] = asyncio.Queue()
        callback = values.put if is_async else values.put_nowait
        async with client.observe("position", callback) as observation:
            assert observation.is_connected
            assert await values.get() == 0.0
            lamp.set("position", 1)
            assert await values.get() == 1
        assert not observation.is_connected
        await observation.aclose()
        return [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]

    with_client(lamp, use)
    assert lamp.gone.get(timeout=SOON)


def test_an_observation_begins_when_it_is_awaited(lamp):
    async def use(client: Any) -> None:
        values: asyncio.Queue[Any] = asyncio.Queue()
        observation = await client.observe("position", values.put_nowait)
        assert lamp.expect("observeproperty")
        assert await values.get() == 0.0
        with pytest.raises(TypeError, match="has a callback"):
            aiter(observation)
        with pytest.raises(TypeError, match="has a callback"):
            await anext(observation)

    with_client(lamp, use)


def test_a_callback_is_a_function(lamp):
    async def use(client: Any) -> None:
        with pytest.raises(TypeError, match=r"'speed' cannot be called with the values of lamp.position"):
            client.observe("position", "speed")

    with_client(lamp, use)


def test_an_observation_that_nobody_awaits_is_warned_of(lamp):
    async def use(client: Any) -> None:
        with pytest.warns(RuntimeWarning, match=r"<AsyncObservation lamp\.position, not connected> .* never awaited"):
            client.observe("position", print)

    with_client(lamp, use)


def test_a_callback_that_fails_is_called_again(lamp, caplog):
    async def use(client: Any) -> None:
        values: asyncio.Queue[Any] = asyncio.Queue()

        def fail(value: Any) -> None:
            values.put_nowait(value)
            raise ValueError("no")

        async with client.observe("position", fail):
            assert await values.get() == 0.0
            lamp.set("position", 1)
            assert await values.get() == 1

    with_client(lamp, use)
    assert "A callback for lamp.position failed" in caplog.text


def test_a_callback_may_close_its_observation(lamp):
    async def use(client: Any) -> None:
        closed = asyncio.Event()

        async def close(value: Any) -> None:
            await observation.aclose()
            closed.set()

        observation = client.observe("position", close)
        await observation
        await closed.wait()

    with_client(lamp, use)


def test_closing_ends_a_loop_that_waits(lamp):
    async def use(client: Any) -> None:
        observation = client.observe("position")
        begun = asyncio.Event()

        async def read() -> list[Any]:
            values = []
            async for value in observation:
                values.append(value)
                begun.set()
            return values

        reader = asyncio.create_task(read())
        await begun.wait()
        await observation.aclose()
        assert await reader == [0.0]

    with_client(lamp, use)


def test_a_loop_that_is_left_ends_the_observation(lamp):
    async def use(client: Any) -> None:
        async for _ in client.observe("position"):
            break
        gc.collect()
        assert await asyncio.to_thread(lamp.gone.get, timeout=SOON)

    with_client(lamp, use)


def test_cancelling_a_loop_leaves_the_observation(lamp):
    async def use(client: Any) -> None:
        async with client.observe("position") as observation:
            assert await anext(observation) == 0.0
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(observation), 0.02)
            lamp.set("position", 1)
            assert await anext(observation) == 1

    with_client(lamp, use)


def test_the_end_of_the_event_loop_ends_what_is_still_observed(lamp):
    async def main() -> None:
        client = await lamp.async_client()
        await anext(client.observe("position"))
        await client.subscribe("overheated", print)

    asyncio.run(main())
    assert lamp.gone.get(timeout=SOON)


@pytest.mark.usefixtures("short_pauses")
def test_errors_and_lost_connections_are_told(lamp):
    async def use(client: Any) -> list[Any]:
        told: list[Any] = []

        async def note(what: Any) -> None:
            told.append(str(what))

        async with client.observe("position", on_error=note, on_connection=note) as observation:
            assert await anext(observation) == 0.0
            lamp.notify("observeproperty", "position", error=BROKEN)
            lamp.drop()
            assert await anext(observation) == 0.0
        return told

    told = with_client(lamp, use)
    assert told in (
        ["Reading lamp.position failed: the sensor is unplugged (500 OSError)", "False", "True"],
        ["False", "True"],
    )


def test_events_come_in_order(lamp):
    async def use(client: Any) -> None:
        async with client.subscribe("overheated") as observation:
            for number in range(3):
                lamp.emit("overheated", number, data=number)
            assert [await anext(observation) for _ in range(3)] == [0, 1, 2]

    with_client(lamp, use)


def test_what_cannot_be_observed_is_refused(lamp):
    async def use(client: Any) -> None:
        for ask in (client.observe, client.subscribe):
            with pytest.raises((ClientPropertyError, FailedToSubscribeError), match="Did you mean"):
                ask({client.observe: "positoin", client.subscribe: "overheat"}[ask])
        lamp.stop()
        observation = client.observe("position")
        with pytest.raises(ClientPropertyError, match="no answer from ws:"):
            await anext(observation)
        lamp.start()
        assert await anext(observation) == 0.0

    with_client(lamp, use)
