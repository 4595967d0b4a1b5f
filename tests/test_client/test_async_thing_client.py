"""A Thing is used from an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import httpx2
import numpy
import pytest

import labthings as lt
from labthings.client import ThingUnavailableError
from labthings.exceptions import (
    BlobTransferError,
    ClientPropertyError,
    FailedToInvokeActionError,
    InvocationCancelledError,
    ServerActionError,
)
from labthings.outputs.blob import Blob
from labthings.types.numpy import NDArray

SENT = b"\x89PNG and so on" * 100


class Stage(lt.Thing):
    """A stage."""

    position: float = lt.property(default=1.5)
    measured: float = lt.property(default=2.5, readonly=True)
    image: NDArray = lt.property(default_factory=lambda: numpy.zeros((2, 3)))

    @lt.action
    def move_to(self, x: float, speed: float = 1.0) -> list[float]:
        self.logger.warning("moving")
        return [x, speed]

    @lt.action
    def snap(self) -> Blob:
        return Blob.from_bytes(SENT, "image/png")

    @lt.action
    def size(self, blob: Blob) -> int:
        return len(blob.content)

    @lt.action
    def crash(self) -> None:
        raise ValueError("the motor is stuck")

    @lt.action
    def wait(self) -> None:
        self.during()
        try:
            lt.cancellable_sleep(30)
        except InvocationCancelledError:
            self.cancelled.set()
            raise

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cancelled = threading.Event()
        self.during: Callable[[], object] = lambda: None


@pytest.fixture
def stage(serve_live: Any) -> Iterator[Any]:
    """A server of a stage, and how to use it: ``stage.use(function_of_client)``."""
    live = serve_live({"stage": Stage})

    class Served:
        thing = live.server.things["stage"]
        url = f"{live.url}/stage/"

        def use(self, function: Callable[[Any], Awaitable[Any]], client: Any = None) -> Any:
            async def main() -> Any:
                async with await lt.AsyncThingClient.from_url(self.url, client) as thing:
                    return await asyncio.wait_for(function(thing), 20)

            return asyncio.run(main())

    return Served()


def test_properties_and_actions_are_awaited(stage, caplog):
    async def use(client: Any) -> None:
        assert (await client.position, await client.get_property("measured")) == (1.5, 2.5)
        await client.set_property("position", 3)
        assert await client.position == 3
        assert await client.move_to(1, speed=2) == [1, 2]
        assert await client.invoke_action("move_to", x=0) == [0, 1]
        assert await asyncio.gather(client.position, client.move_to(x=5)) == [3, [5, 1]]
        assert (await client.image).shape == (2, 3)
        assert client.thing_description.title == "Stage"
        assert repr(client) == f"<StageClient {stage.url}>"

    stage.use(use)
    assert [r.getMessage() for r in caplog.records if r.name == "labthings.client.stage"] == ["moving"] * 3


def test_setting_an_attribute_tells_the_remedy(stage):
    async def use(client: Any) -> None:
        with pytest.raises(AttributeError, match=r"Use `await client\.set_property\('position', 3\)`"):
            client.position = 3
        with pytest.raises(AttributeError, match=r"no property 'positoin'\. Did you mean 'position'"):
            client.positoin = 3
        with pytest.raises(AttributeError, match=r"no property or action 'mov_to'\. Did you mean 'move_to'"):
            client.mov_to(1)

    stage.use(use)


def test_errors_are_those_of_the_client_that_blocks(stage):
    async def use(client: Any) -> None:
        with pytest.raises(ServerActionError, match=r"^stage\.crash failed: ValueError: the motor is stuck"):
            await client.crash()
        with pytest.raises(FailedToInvokeActionError, match="422"):
            await client.move_to("far")
        with pytest.raises(TypeError, match="missing a required argument: 'x'"):
            await client.move_to()
        with pytest.raises(ClientPropertyError, match="read-only"):
            await client.set_property("measured", 3)

    stage.use(use)


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_given_client_is_left_open(stage, module):
    async def main() -> None:
        async with module.AsyncClient() as http:
            async with lt.AsyncThingClient.from_url(stage.url, http) as client:
                assert await client.move_to(x=1) == [1, 1]
            assert await client.position == 1.5

    asyncio.run(main())


def test_client_that_was_opened_is_closed(stage, monkeypatch):
    async def main(url: str, problem: Any) -> None:
        with problem:
            async with lt.AsyncThingClient.from_url(url):
                pass

    closed = []
    close = httpx.AsyncClient.aclose
    monkeypatch.setattr(httpx.AsyncClient, "aclose", lambda self: (closed.append(self), close(self))[1])
    asyncio.run(main(f"{stage.url}nothing/", pytest.raises(ThingUnavailableError, match="404")))
    assert len(closed) == 1


@pytest.mark.usefixtures("short_waits")
def test_cancelling_the_task_cancels_the_action(stage):
    async def use(client: Any) -> None:
        loop, begun = asyncio.get_running_loop(), asyncio.Event()
        stage.thing.during = lambda: loop.call_soon_threadsafe(begun.set)
        task = asyncio.create_task(client.wait())
        await begun.wait()  # the answer to the request that starts it is still on its way
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stage.thing.cancelled.wait(10)

    stage.use(use)


@pytest.mark.usefixtures("short_waits")
def test_a_time_limit_cancels_the_action(stage):
    async def use(client: Any) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.wait(), 0.2)
        async with httpx.AsyncClient(base_url=stage.url, verify=False) as http:
            [told] = (await http.get("wait")).json()
            assert (await http.get(told["href"], params={"wait": 10})).json()["status"] == "cancelled"

    stage.use(use)


def test_a_second_cancellation_waits_for_nothing(monkeypatch):
    """Not even for a server that does not answer."""

    async def main() -> None:
        asked, never = asyncio.Event(), asyncio.Event()

        async def answer(request: httpx.Request) -> httpx.Response:
            if request.method == "POST":
                asked.set()
                await never.wait()
            return httpx.Response(200, json={"actions": {"wait": {"forms": [{"href": "wait"}]}}})

        http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        client: Any = await lt.AsyncThingClient.from_url("http://lab/stage/", http)
        task = asyncio.create_task(client.wait())
        await asked.wait()
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=0.02)
        assert not done
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(main(), 10))


def test_blobs_are_read_in_threads(stage, tmp_path):
    async def use(client: Any) -> Blob:
        blob: Blob = await client.snap()
        assert blob.size == len(SENT)
        await asyncio.to_thread(blob.save, tmp_path / "picture.png")
        assert (tmp_path / "picture.png").read_bytes() == SENT
        with pytest.raises(BlobTransferError, match=r"await asyncio\.to_thread\(blob\.save, path\)"):
            _ = blob.content
        assert await client.size(blob) == len(SENT)
        own = Blob.from_file(tmp_path / "picture.png")
        assert await client.size(blob=own) == len(SENT)
        return blob

    assert stage.use(use).content == SENT  # although the client is closed


def test_blobs_are_downloaded_by_the_client_that_was_given(stage):
    async def main() -> Blob:
        async with httpx.AsyncClient(headers={"x-token": "7"}, event_hooks={"request": [note]}) as http:
            blob = await (await lt.AsyncThingClient.from_url(stage.url, http)).snap()
            assert await asyncio.to_thread(lambda: blob.content) == SENT
            assert asked[-1].url == blob.data.url
            assert asked[-1].headers["x-token"] == "7"
            return await (await lt.AsyncThingClient.from_url(stage.url, http)).snap()

    async def note(request: httpx.Request) -> None:
        asked.append(request)

    asked: list[httpx.Request] = []
    blob = asyncio.run(main())
    with pytest.raises(BlobTransferError, match="the event loop of its client has ended"):
        _ = blob.content
