"""Events: how they are declared, told, and listened to."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

import labthings as lt
from labthings.exceptions import (
    InvalidValueError,
    InvocationCancelledError,
    MissingTypeError,
    NoInvocationContextError,
    NotBoundToInstanceError,
    ReservedNameError,
    ServerNotRunningError,
    UnserialisableTypeError,
)
from labthings.invocation_contexts import get_invocation_id
from labthings.message_broker import MOST_POSTED
from labthings.testing import create_thing_without_server
from labthings.workers import Lane
from tests.heard import Heard

SOON = 10.0


class Reading(BaseModel):
    place: str
    celsius: float


class Block(lt.Thing):
    overheated: lt.Event[float] = lt.event()
    """The block is too hot.

    The data is its temperature, in °C.
    """

    opened: lt.Event[None] = lt.event()

    measured: lt.Event[Reading] = lt.event()

    moved: int = lt.event()

    @lt.event
    def blown(self) -> list[str]:
        """Fuses have blown."""

    @lt.event
    def closed(self) -> None:
        """The lid is closed."""


@pytest.fixture
def block(client_of) -> Iterator[Any]:
    return client_of(Block).server.things["thing"]


def in_loop(thing: lt.Thing, function: Any) -> Any:
    """Run an async function in the server's event loop."""
    return thing._thing_server_interface.start_async_task_soon(function).result(SOON)


# --- declaring them -----------------------------------------------------------------------------------------


def test_an_event_has_a_name_a_title_and_a_description(block) -> None:
    event = block.overheated
    assert (event.name, event.title) == ("overheated", "The block is too hot.")
    assert event.description == "The data is its temperature, in °C."
    assert str(event) == "thing.overheated"
    assert Block.events["blown"].title == "Fuses have blown."


def test_a_thing_and_its_class_list_their_events(block) -> None:
    names = ["overheated", "opened", "measured", "moved", "blown", "closed"]
    assert list(Block.events) == list(block.events) == names
    assert block.events["opened"] is block.opened
    assert not Block.events["opened"].is_bound
    assert block.opened.is_bound


@pytest.mark.parametrize(
    ("name", "value_type"),
    [
        ("overheated", float),
        ("opened", None),
        ("measured", Reading),
        ("moved", int),
        ("blown", list[str]),
        ("closed", None),
    ],
)
def test_the_type_of_the_data(name: str, value_type: Any) -> None:
    event = Block.events[name]
    assert event.value_type in (value_type, type(value_type))
    assert (event.adapter is None) == (value_type is None)


def test_an_inherited_event_may_be_given_other_data() -> None:
    class Other(Block):
        overheated: lt.Event[Reading] = lt.event()

    assert Other.events["overheated"].value_type is Reading
    assert Block.events["overheated"].value_type is float
    assert Other.events["opened"].value_type in (None, type(None))


def test_an_event_says_what_data_it_has() -> None:
    with pytest.raises(MissingTypeError, match=r"Silent.happened.*lt.Event\[float\]"):

        class Silent(lt.Thing):
            happened = lt.event()

    with pytest.raises(MissingTypeError, match=r"Bare.happened.*lt.Event\[float\]"):

        class Bare(lt.Thing):
            happened: lt.Event = lt.event()


def test_an_event_is_declared_by_the_function() -> None:
    with pytest.raises(TypeError, match=r"declared by `lt.event\(\)`"):
        lt.Event()


def test_a_misspelt_event_is_suggested() -> None:
    with pytest.raises(KeyError, match=r"no 'overhated' here\. Did you mean 'overheated'"):
        Block.events["overhated"]
    assert "overhated" not in Block.events


def test_an_event_is_emitted_instead_of_set() -> None:
    block = create_thing_without_server(Block)
    with pytest.raises(AttributeError, match=r"overheated' is an event: use its `emit`"):
        block.overheated = 95.0


def test_only_a_function_can_listen() -> None:
    with pytest.raises(TypeError, match=r"'speed' cannot be called for .*overheated"):
        create_thing_without_server(Block).overheated.on("speed")


def test_an_event_without_data_takes_none() -> None:
    with pytest.raises(InvalidValueError, match="opened has no data"):
        create_thing_without_server(Block).opened.emit(3)


def test_a_decorated_event_says_what_data_it_has() -> None:
    with pytest.raises(MissingTypeError, match=r"def happened\(self\) -> float"):

        class Silent(lt.Thing):
            @lt.event
            def happened(self):
                """Something."""


def test_the_data_must_have_a_json_form() -> None:
    with pytest.raises(UnserialisableTypeError, match=r"Odd\.happened"):

        class Odd(lt.Thing):
            happened: lt.Event[threading.Thread] = lt.event()


def test_an_event_holds_no_blob() -> None:
    with pytest.raises(UnserialisableTypeError, match=r"Odd\.taken"):

        class Odd(lt.Thing):
            taken: lt.Event[lt.blob.Blob] = lt.event()


def test_events_is_not_the_name_of_one() -> None:
    with pytest.raises(ReservedNameError, match="events"):

        class Odd(lt.Thing):
            events: lt.Event[None] = lt.event()


# --- telling of them ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["thread", "loop"])
def test_listeners_are_told_in_order(block, how: str) -> None:
    heard = Heard()
    block.overheated.on(heard)
    if how == "thread":
        for number in range(50):
            block.overheated.emit(number)
    else:

        async def emit() -> None:
            for number in range(50):
                block.overheated.emit(number)

        in_loop(block, emit)
    assert heard.wait(50) == [float(number) for number in range(50)]


def test_an_event_may_have_no_data(block) -> None:
    heard = Heard()
    block.opened.on(heard)
    block.closed.on(heard)
    block.opened.emit()
    block.closed.emit(None)
    assert heard.wait(2) == [None, None]


def test_data_is_made_to_fit(block) -> None:
    heard = Heard()
    block.measured.on(heard)
    block.measured.emit({"place": "lid", "celsius": 3})
    assert heard.wait(1) == [Reading(place="lid", celsius=3.0)]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("overheated", "hot", "thing.overheated: .*valid number"),
        ("opened", 1, "thing.opened"),
        ("measured", {"place": "lid"}, "celsius: Field required"),
    ],
)
def test_data_that_does_not_fit_is_refused(block, name: str, data: Any, words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        block.events[name].emit(data)


def test_data_is_needed(block) -> None:
    with pytest.raises(InvalidValueError, match=r"thing.overheated"):
        block.overheated.emit()


def test_what_is_changed_after_it_was_told_is_told_as_it_was(block) -> None:
    fuses = ["F1"]

    async def observe() -> bytes:
        async with block._thing_server_interface.inbox("blown") as inbox:
            block.blown.emit(fuses)
            fuses.append("F2")
            return (await inbox.receive()).payload_json()

    assert in_loop(block, observe) == b'["F1"]'


def test_the_event_of_a_class_cannot_happen() -> None:
    with pytest.raises(NotBoundToInstanceError):
        Block.events["opened"].emit()


def test_a_thread_that_floods_the_server_is_held_up_and_loses_nothing(block) -> None:
    numbers: list[int] = []

    async def count() -> None:
        async with block._thing_server_interface.inbox("moved") as inbox:
            ready.set()
            while len(numbers) < 20_000:
                numbers.append((await inbox.receive()).payload)

    ready = threading.Event()
    counting = block._thing_server_interface.start_async_task_soon(count)
    assert ready.wait(SOON)
    broker = block._thing_server_interface.server.message_broker
    most = 0
    for number in range(20_000):
        block.moved.emit(number)
        most = max(most, len(broker._posted))
    counting.result(SOON)
    assert numbers == list(range(20_000))
    assert most <= MOST_POSTED


def test_a_flood_that_goes_on_while_it_is_delivered_leaves_a_waiting_subscriber_nothing_to_lose(block) -> None:
    numbers: list[int] = []
    broker = block._thing_server_interface.server.message_broker

    def flood() -> None:
        for _ in range(500):
            block.moved.emit(0)

    def deliver_once_all_are_held_up() -> None:
        deadline = time.monotonic() + SOON
        while len(broker._posted) < MOST_POSTED:
            assert time.monotonic() < deadline
        broker._publish_posted()

    async def count() -> None:
        async with block._thing_server_interface.inbox("moved") as inbox:
            for each in threads:
                each.start()
            deliver_once_all_are_held_up()
            deliver_once_all_are_held_up()  # this subscriber has not had a turn since, as happens in a busy event loop
            while len(numbers) < 2000:
                numbers.append((await inbox.receive()).payload)

    threads = [threading.Thread(target=flood) for _ in range(4)]
    in_loop(block, count)
    for each in threads:
        each.join(SOON)
    assert numbers == [0] * 2000


# --- listening to them --------------------------------------------------------------------------------------


def test_a_closed_subscription_hears_no_more(block) -> None:
    heard, still = Heard(), Heard()
    with block.overheated.on(heard):
        block.overheated.emit(1)
        heard.wait(1)
    block.overheated.on(still)
    block.overheated.emit(2)
    assert still.wait(1) == [2]
    assert heard.all == [1]


def test_closing_twice_is_harmless(block) -> None:
    subscription = block.overheated.on(print)
    subscription.close()
    subscription.close()


def test_a_listener_may_be_async(block) -> None:
    heard = Heard()

    async def listen(data: float) -> None:
        heard((data, asyncio.current_task() is not None))

    block.overheated.on(listen)
    block.overheated.emit(5)
    assert heard.wait(1) == [(5.0, True)]


def test_a_listener_that_fails_is_called_again_and_logged_when_that_is_new(block, caplog) -> None:
    caplog.set_level("INFO")
    heard = Heard()

    def fail(data: float) -> None:
        heard(data)
        if data < 4:
            raise RuntimeError("the listener is broken")

    block.overheated.on(fail)
    for number in range(1, 6):
        block.overheated.emit(number)
    assert heard.wait(5) == [1, 2, 3, 4, 5]
    assert caplog.text.count("fail for thing.overheated failed: RuntimeError: the listener is broken") == 1
    assert caplog.text.count("fail for thing.overheated works again") == 1


def test_an_async_listener_that_is_interrupted_is_logged_and_called_again(block, caplog) -> None:
    heard = Heard()

    async def fail(data: float) -> None:
        heard(data)
        raise asyncio.CancelledError if data == 1 else InvocationCancelledError("by somebody")

    block.overheated.on(fail)
    for number in (1, 2, 3):
        block.overheated.emit(number)
    assert heard.wait(3) == [1, 2, 3]
    assert caplog.text.count("fail for thing.overheated") == 2, "once for each of the two errors"


def test_a_loop_that_is_too_slow_loses_the_oldest_which_is_logged(block, caplog) -> None:
    async def follow() -> None:
        moves = aiter(block.moved)
        waiting = asyncio.ensure_future(anext(moves))
        await asyncio.sleep(0)
        for number in range(2500):
            block.moved.emit(number)
        last = await waiting
        while last != 2499:
            last = await anext(moves)

    in_loop(block, follow)
    assert "An `async for` over thing.moved is too slow: " in caplog.text


def test_a_listener_is_told_of_all_that_has_come_meanwhile_in_one_visit_to_a_thread(block, monkeypatch) -> None:
    heard, still, gate, visits, run = Heard(), Heard(), threading.Event(), list[str](), Lane.run
    monkeypatch.setattr(Lane, "run", lambda lane, *call: (visits.append(lane.name), run(lane, *call))[1])

    def listen(data: float) -> None:
        heard(data)
        gate.wait(SOON)

    with block.moved.on(listen) as slow, block.moved.on(still):
        block.moved.emit(0)
        heard.wait(1)
        for number in range(1, 900):
            block.moved.emit(number)
        still.wait(900)
        gate.set()
        assert heard.wait(900) == list(range(900))
    assert visits.count(str(slow)) == 2


def test_a_listener_that_closes_its_subscription_is_not_called_for_what_has_come_meanwhile(block) -> None:
    heard, gate = Heard(), threading.Event()

    def listen(data: float) -> None:
        heard(data)
        gate.wait(SOON)
        if data == 2:
            subscription.close()

    subscription = block.overheated.on(listen)
    block.overheated.on(still := Heard())
    for number in (1, 2, 3, 4):
        block.overheated.emit(number)
    still.wait(4)
    gate.set()
    heard.wait(2)
    block.overheated.on(last := Heard())
    block.overheated.emit(5)
    last.wait(1)
    assert heard.all == [1, 2]


def test_a_listener_does_not_belong_to_the_action_that_subscribed_it(client_of) -> None:
    heard = Heard()

    class Door(Block):
        @lt.action
        def listen(self) -> None:
            self.opened.on(lambda data: heard(_invocation_id()))

    client = client_of(Door)
    client.post("/thing/listen?wait=5")
    client.server.things["thing"].opened.emit()
    assert heard.wait(1) == [None]


def _invocation_id() -> Any:
    try:
        return get_invocation_id()
    except NoInvocationContextError:
        return None


def test_a_slow_listener_holds_up_no_other(block) -> None:
    release, heard = threading.Event(), Heard()
    block.overheated.on(lambda data: release.wait(SOON))
    block.overheated.on(heard)
    for number in range(5):
        block.overheated.emit(number)
    assert heard.wait(5) == [0, 1, 2, 3, 4]
    release.set()


def test_events_can_be_awaited(block) -> None:
    async def listen() -> list[float]:
        found = []
        async for data in block.overheated:
            found.append(data)
            if len(found) == 3:
                return found
        raise AssertionError("it ended")

    listening = block._thing_server_interface.start_async_task_soon(listen)
    broker = block._thing_server_interface.server.message_broker
    while not broker.is_observed("thing", "overheated") and not listening.done():
        threading.Event().wait(0.001)
    for number in (1, 2, 3):
        block.overheated.emit(number)
    assert listening.result(SOON) == [1.0, 2.0, 3.0]
    assert not in_loop(block, _subscribed(broker))


def _subscribed(broker: Any) -> Any:
    async def ask() -> bool:
        await asyncio.sleep(0)  # in which the generator is closed
        return broker.has_subscribers("thing", "overheated")

    return ask


def test_a_thing_listens_to_another_through_a_slot(client_of) -> None:
    heard = Heard()

    class Guard(lt.Thing):
        block: Block = lt.thing_slot()

        def __enter__(self):
            self.block.overheated.on(heard)
            return self

    server = client_of({"block": Block, "guard": Guard}).server
    server.things["block"].overheated.emit(80)
    assert heard.wait(1) == [80.0]


def test_what_listens_before_the_server_starts_hears_every_time_that_it_runs(tmp_path) -> None:
    server = lt.ThingServer.from_things({"block": Block}, settings_folder=str(tmp_path))
    block, heard = server.things["block"], Heard()
    subscription = block.opened.on(heard)
    block.opened.emit()  # nobody is told of it
    for _ in range(2):
        with server.test_client():
            block.opened.emit()
    assert heard.wait(2) == [None, None]
    subscription.close()
    with server.test_client():
        block.opened.emit()
    assert len(heard.all) == 2


def test_what_happens_while_things_stop_is_heard(client_of, tmp_path) -> None:
    heard = Heard()

    class Closing(Block):
        def __exit__(self, *error: object) -> None:
            self.opened.emit()

    server = lt.ThingServer.from_things({"block": Closing}, settings_folder=str(tmp_path))
    with server.test_client():
        server.things["block"].opened.on(heard)
    assert heard.all == [None]


def test_waiting_for_events_needs_a_server_that_runs(tmp_path) -> None:
    server = lt.ThingServer.from_things({"block": Block}, settings_folder=str(tmp_path))
    block = server.things["block"]

    async def listen() -> None:
        async for _ in block.opened:
            break

    with pytest.raises(ServerNotRunningError):
        asyncio.run(listen())


def test_a_thing_without_a_server_tells_its_listeners_at_once() -> None:
    block = create_thing_without_server(Block)
    heard: list[Any] = []
    with block.overheated.on(heard.append):
        block.overheated.emit(91)
        assert heard == [91.0]
    block.overheated.emit(92)
    assert heard == [91.0]
