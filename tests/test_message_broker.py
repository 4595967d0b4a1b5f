"""Messages reach those who have subscribed: the last value of each property, and actions in their order."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import anyio
import pytest
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from hypothesis import given
from hypothesis import strategies as st

from labthings.exceptions import MessageDroppedWarning
from labthings.message_broker import Inbox, Message, MessageBroker, MessagesLost
from labthings.messages import Reply
from labthings.workers import LoopCalls

SOON = 10.0


def value(number: Any, affordance: str = "speed", thing: str = "pump") -> Message:
    return Message(thing, affordance, "property", number)


def status(text: Any, affordance: str = "prime", thing: str = "pump") -> Message:
    return Message(thing, affordance, "action", {"status": text})


def payloads(stream: MemoryObjectReceiveStream[Message]) -> list[Any]:
    found = []
    while stream.statistics().current_buffer_used:
        found.append(stream.receive_nowait().payload)
    return found


@contextmanager
def opened(size: int = 10) -> Iterator[tuple[MemoryObjectSendStream[Message], MemoryObjectReceiveStream[Message]]]:
    send, receive = anyio.create_memory_object_stream[Message](size)
    with send, receive:
        yield send, receive


def in_loop(test: Callable[[MessageBroker], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        calls = LoopCalls()
        calls.attach(asyncio.get_running_loop())
        return await asyncio.wait_for(test(MessageBroker(calls)), SOON)

    return asyncio.run(main())


# --- messages -----------------------------------------------------------------------------------------------


def test_a_message_is_encoded_once_for_each_encoding() -> None:
    encoded: list[Message] = []

    def encode(message: Message) -> str:
        encoded.append(message)
        return f"<{message.payload}>"

    message = value(3)
    assert [message.encoded(encode) for _ in range(5)] == ["<3>"] * 5
    assert message.encoded(lambda each: each.thing) == "pump"
    assert encoded == [message]


def test_a_payload_is_made_json_of_as_its_property_says() -> None:
    assert value({"a": [1, None]}).payload_json() == b'{"a":[1,null]}'
    assert Message("pump", "speed", "property", 3, lambda number: b"0x%x" % number).payload_json() == b"0x3"


# --- subscribing --------------------------------------------------------------------------------------------


def test_only_messages_of_the_affordance_are_sent() -> None:
    async def test(broker: MessageBroker) -> list[Any]:
        with opened() as (send, receive):
            await broker.subscribe("pump", "speed", send)
            for message in (value(1), value(2, "flow"), value(3, thing="other"), status("running"), value(4)):
                await broker.publish(message)
            return payloads(receive)

    assert in_loop(test) == [1, 4]


def test_every_subscriber_is_sent_the_same_message() -> None:
    async def test(broker: MessageBroker) -> None:
        with ExitStack() as stack:
            streams = [stack.enter_context(opened()) for _ in range(3)]
            for send, _ in streams:
                await broker.subscribe("pump", "speed", send)
            message = value(1)
            await broker.publish(message)
            assert all(receive.receive_nowait() is message for _, receive in streams)

    in_loop(test)


def test_one_stream_may_subscribe_to_several_affordances_and_twice_to_one() -> None:
    async def test(broker: MessageBroker) -> list[Any]:
        with opened() as (send, receive):
            for affordance in ("speed", "flow", "speed"):
                await broker.subscribe("pump", affordance, send)
            await broker.publish(value(1))
            await broker.publish(value(2, "flow"))
            return payloads(receive)

    assert in_loop(test) == [1, 2]


def test_after_unsubscribing_nothing_is_sent() -> None:
    async def test(broker: MessageBroker) -> list[Any]:
        with opened() as (send, receive):
            await broker.subscribe("pump", "speed", send)
            await broker.subscribe("pump", "flow", send)
            await broker.unsubscribe("pump", "speed", send)
            await broker.publish(value(1))
            await broker.publish(value(2, "flow"))
            assert not broker.is_observed("pump", "speed")
            assert broker.is_observed("pump", "flow")
            broker.unsubscribe_all(send)
            await broker.publish(value(3, "flow"))
            return payloads(receive)

    assert in_loop(test) == [2]


@pytest.mark.parametrize("subscribed", [[], [("pump", "flow")], [("other", "speed")]])
def test_unsubscribing_what_is_not_subscribed_is_a_key_error(subscribed: list[tuple[str, str]]) -> None:
    async def test(broker: MessageBroker) -> None:
        with opened() as (send, _):
            for each in subscribed:
                await broker.subscribe(*each, send)
            with pytest.raises(KeyError):
                await broker.unsubscribe("pump", "speed", send)

    in_loop(test)


def test_another_streams_subscription_is_not_ones_own() -> None:
    async def test(broker: MessageBroker) -> None:
        with opened() as (mine, _), opened() as (theirs, receive):
            await broker.subscribe("pump", "speed", theirs)
            with pytest.raises(KeyError):
                await broker.unsubscribe("pump", "speed", mine)
            assert not broker.is_subscribed("pump", "speed", mine)
            await broker.publish(value(1))
            assert payloads(receive) == [1]

    in_loop(test)


@pytest.mark.parametrize("names", [(1, "speed"), ("pump", None), (b"pump", "speed")])
def test_names_must_be_strings(names: tuple[Any, Any]) -> None:
    async def test(broker: MessageBroker) -> None:
        with opened() as (send, _):
            with pytest.raises(TypeError, match="must be strings"):
                await broker.subscribe(*names, send)
            with pytest.raises(TypeError, match="must be strings"):
                await broker.unsubscribe(*names, send)

    in_loop(test)


# --- streams that end ---------------------------------------------------------------------------------------


def test_a_stream_that_nobody_refers_to_is_forgotten() -> None:
    async def test(broker: MessageBroker) -> None:
        send, receive = anyio.create_memory_object_stream[Message](10)
        await broker.subscribe("pump", "speed", send)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # of anyio's, that it was not closed
            del send
            gc.collect()
        with receive:
            await broker.publish(value(1))
            assert payloads(receive) == []
            assert not broker.is_observed("pump", "speed")

    in_loop(test)


@pytest.mark.parametrize("end", ["send", "receive"])
def test_a_closed_stream_is_forgotten_and_the_others_are_served(end: str) -> None:
    async def test(broker: MessageBroker) -> list[Any]:
        with opened() as closed, opened() as still_open:
            for send, _ in (closed, still_open):
                await broker.subscribe("pump", "speed", send)
            closed[end == "receive"].close()
            await broker.publish(value(1))
            assert not broker.is_subscribed("pump", "speed", closed[0])
            return payloads(still_open[1])

    assert in_loop(test) == [1]


def test_a_full_stream_loses_the_message_with_a_warning_and_the_others_do_not() -> None:
    async def test(broker: MessageBroker) -> tuple[list[Any], list[Any]]:
        with opened(1) as full, opened() as roomy:
            for send, _ in (full, roomy):
                await broker.subscribe("pump", "speed", send)
            await broker.publish(value(1))
            with pytest.warns(MessageDroppedWarning, match=r"pump\.speed is too slow"):
                await broker.publish(value(2))
            return payloads(full[1]), payloads(roomy[1])

    assert in_loop(test) == ([1], [1, 2])


def test_all_streams_can_be_closed_at_once() -> None:
    async def test(broker: MessageBroker) -> None:
        with opened() as (send, receive):
            inbox = broker.open_inbox()
            await broker.subscribe("pump", "speed", send)
            await broker.close_streams()
            with pytest.raises(anyio.EndOfStream):
                await receive.receive()
            with pytest.raises(anyio.EndOfStream):
                await inbox.receive()
            assert not broker.is_observed("pump", "speed")

    in_loop(test)


# --- posting from threads -----------------------------------------------------------------------------------


def test_what_a_thread_posts_is_published_in_the_loop() -> None:
    async def test(broker: MessageBroker) -> list[Any]:
        inbox = Inbox()
        await broker.subscribe("pump", "prime", inbox)
        await asyncio.to_thread(lambda: [broker.post(status(text)) for text in ("pending", "running", "completed")])
        return [(await inbox.receive()).payload["status"] for _ in range(3)]  # type: ignore[union-attr]

    assert in_loop(test) == ["pending", "running", "completed"]


def test_of_a_property_that_is_set_in_a_tight_loop_only_the_last_value_is_published() -> None:
    async def test(broker: MessageBroker) -> list[Any]:
        with opened() as (send, receive):
            await broker.subscribe("pump", "speed", send)
            await broker.subscribe("pump", "prime", send)
            for number in range(1000):
                broker.post(value(number))
            broker.post(status("running"))
            broker.post(status("completed"))
            broker.post(value("last"))
            published = asyncio.Event()
            broker.loop_calls.call_soon(published.set)
            await published.wait()
            return payloads(receive)

    assert in_loop(test) == [{"status": "running"}, {"status": "completed"}, "last"]


def test_properties_of_several_things_do_not_replace_each_other() -> None:
    async def test(broker: MessageBroker) -> list[Any]:
        inbox = Inbox()
        for thing, name in (("pump", "speed"), ("pump", "flow"), ("other", "speed")):
            await broker.subscribe(thing, name, inbox)
            broker.post(value(f"{thing}.{name}", name, thing))
        return [(await inbox.receive()).payload for _ in range(3)]  # type: ignore[union-attr]

    assert in_loop(test) == ["pump.speed", "pump.flow", "other.speed"]


def test_what_is_posted_while_there_is_no_loop_holds_up_nothing_later() -> None:
    async def main() -> Any:
        calls = LoopCalls()
        broker, inbox = MessageBroker(calls), Inbox()
        await broker.subscribe("pump", "speed", inbox)
        broker.post(value(1))
        calls.attach(asyncio.get_running_loop())
        broker.post(value(2))
        return (await asyncio.wait_for(inbox.receive(), SOON)).payload  # type: ignore[union-attr]

    assert asyncio.run(main()) == 2


def test_posting_from_many_threads_loses_no_action_state() -> None:
    async def test(broker: MessageBroker) -> None:
        inbox, number = Inbox(10_000), 200
        await broker.subscribe("pump", "prime", inbox)

        def post(thread: int) -> None:
            for each in range(number):
                broker.post(status((thread, each)))

        threads = [threading.Thread(target=post, args=(each,)) for each in range(4)]
        for thread in threads:
            thread.start()
        found = [(await inbox.receive()).payload["status"] for _ in range(4 * number)]  # type: ignore[union-attr]
        for thread in threads:
            thread.join(SOON)
        for each in range(4):
            assert [count for thread, count in found if thread == each] == list(range(number))

    in_loop(test)


# --- inboxes ------------------------------------------------------------------------------------------------


def now(inbox: Inbox) -> Message | MessagesLost:
    """What an inbox that is not empty gives, without an event loop."""
    try:
        inbox.receive().send(None)  # type: ignore[arg-type]
    except StopIteration as result:
        return result.value  # type: ignore[no-any-return]
    raise AssertionError("the inbox is empty")


def rest(inbox: Inbox) -> list[Message | MessagesLost]:
    inbox.close()
    found = []
    while True:
        try:
            found.append(now(inbox))
        except anyio.EndOfStream:
            return found


def test_a_newer_value_replaces_one_that_nobody_has_received() -> None:
    inbox = Inbox()
    for message in (value(1), value("other", "flow"), value(2), value(3)):
        inbox.send_nowait(message)
    assert [each.payload for each in rest(inbox)] == ["other", 3]  # type: ignore[union-attr]


def test_past_the_bound_the_oldest_are_lost_and_the_subscriber_is_told_how_many() -> None:
    inbox = Inbox(bound=3)
    inbox.send_nowait(value("kept"))
    for number in range(10):
        inbox.send_nowait(status(number))
    assert rest(inbox) == [MessagesLost(7), value("kept"), status(7), status(8), status(9)]


def test_by_default_a_thousand_messages_are_kept() -> None:
    inbox = Inbox()
    for number in range(1001):
        inbox.send_nowait(status(number))
    found = rest(inbox)
    assert found[:2] == [MessagesLost(1), status(1)]
    assert len(found) == 1001


def test_receiving_waits_for_a_message() -> None:
    async def test(broker: MessageBroker) -> Any:
        inbox = Inbox()
        waiting = asyncio.create_task(inbox.receive())
        await asyncio.sleep(0)
        assert not waiting.done()
        inbox.send_nowait(value(1))
        inbox.send_nowait(value(2))
        return (await waiting).payload  # type: ignore[union-attr]

    assert in_loop(test) == 2


def test_a_message_is_not_lost_when_waiting_for_it_is_given_up() -> None:
    async def test(broker: MessageBroker) -> Any:
        inbox = Inbox()
        waiting = asyncio.create_task(inbox.receive())
        await asyncio.sleep(0)
        inbox.send_nowait(status("running"))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return (await inbox.receive()).payload  # type: ignore[union-attr]

    assert in_loop(test) == {"status": "running"}


def test_a_closed_inbox_gives_what_is_in_it_and_takes_no_more() -> None:
    async def test(broker: MessageBroker) -> list[Any]:
        inbox = Inbox()
        waiting = asyncio.create_task(Inbox.receive(inbox))
        await asyncio.sleep(0)
        inbox.send_nowait(value(1))
        await inbox.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            inbox.send_nowait(value(2))
        return [(await waiting).payload, *[each.payload async for each in inbox]]  # type: ignore[union-attr]

    assert in_loop(test) == [1]


def test_closing_ends_the_waiting_for_a_message() -> None:
    async def test(broker: MessageBroker) -> None:
        inbox = broker.open_inbox()
        waiting = asyncio.create_task(inbox.receive())
        await asyncio.sleep(0)
        await broker.close_streams()
        with pytest.raises(anyio.EndOfStream):
            await waiting

    in_loop(test)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("property"), st.sampled_from(["speed", "flow"]), st.sampled_from(["pump", "other"])),
        st.tuples(st.just("action")),
        st.tuples(st.just("receive")),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 4))
def test_the_last_value_of_each_property_always_arrives_and_actions_keep_their_order(
    steps: list[tuple[str, ...]], bound: int
) -> None:
    inbox, received, pending = Inbox(bound), [], 0
    sent_values: dict[tuple[str, str], int] = {}
    sent_actions: list[int] = []
    for number, (kind, *names) in enumerate(steps):
        if kind == "property":
            sent_values[names[1], names[0]] = number
            inbox.send_nowait(value(number, *names))
        elif kind == "action":
            sent_actions.append(number)
            inbox.send_nowait(status(number))
        elif pending:
            received.append(now(inbox))
        pending = len(inbox._messages) + bool(inbox._lost)
        assert pending <= bound + 4 + 1, "an inbox is bounded"
    received += rest(inbox)

    messages = [each for each in received if isinstance(each, Message)]
    arrived = {(each.thing, each.affordance): each.payload for each in messages if each.message_type == "property"}
    assert arrived == sent_values
    actions = [each.payload["status"] for each in messages if each.message_type == "action"]
    assert actions == sorted(actions)
    assert set(actions) <= set(sent_actions)
    lost = sum(each.count for each in received if isinstance(each, MessagesLost))
    assert lost + len(actions) == len(sent_actions)
    assert actions[-1:] == sent_actions[-1:], "what is lost is the oldest"


# --- replies ------------------------------------------------------------------------------------------------


def test_a_reply_comes_after_what_was_sent_before_it_and_before_a_newer_value() -> None:
    inbox = Inbox()
    inbox.send_nowait(value(1))
    inbox.reply("the value is 2")
    inbox.send_nowait(value(2, "flow"))
    first, second, third = rest(inbox)
    assert (first, second, third) == (value(1), Reply("the value is 2"), value(2, "flow"))


def test_a_value_that_is_set_after_a_reply_is_received_after_it() -> None:
    inbox = Inbox()
    inbox.send_nowait(value(1))
    inbox.reply("the value is 1")
    inbox.send_nowait(value(2))
    assert rest(inbox) == [Reply("the value is 1"), value(2)]


def test_what_has_not_been_received_may_be_dropped() -> None:
    inbox = Inbox()
    inbox.send_nowait(value(1))
    inbox.send_nowait(status("running"))
    inbox.reply("well")
    assert (inbox.unsent, inbox.is_empty) == (1, False)
    inbox.drop()
    assert (inbox.unsent, inbox.is_empty) == (0, True)


def test_a_closed_inbox_takes_no_reply() -> None:
    inbox = Inbox()
    inbox.close()
    inbox.reply("too late")
    assert inbox.is_empty


# --- watches ------------------------------------------------------------------------------------------------


class CountingWatch:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def begin(self) -> None:
        self.asked.append("begin")

    def end(self) -> None:
        self.asked.append("end")

    def refresh(self) -> None:
        self.asked.append("refresh")


def test_a_watch_begins_with_the_first_subscriber_and_ends_with_the_last() -> None:
    async def watch(broker: MessageBroker) -> list[str]:
        watch = CountingWatch()
        broker.watch("pump", "speed", watch)
        one, other = Inbox(), Inbox()
        broker.subscribe_nowait("pump", "speed", one)
        broker.subscribe_nowait("pump", "speed", other)
        broker.unsubscribe_nowait("pump", "speed", one)
        watch.asked.append("still")
        broker.unsubscribe_all(other)
        broker.subscribe_nowait("pump", "speed", one)
        await broker.close_streams()
        return watch.asked

    assert in_loop(watch) == ["begin", "still", "end", "begin", "end"]


def test_a_watch_ends_when_its_subscriber_is_forgotten() -> None:
    async def watch(broker: MessageBroker) -> list[str]:
        watch = CountingWatch()
        broker.watch("pump", "speed", watch)
        broker.subscribe_nowait("pump", "speed", Inbox())
        gc.collect()
        assert not broker.has_subscribers("pump", "speed")
        return watch.asked

    assert in_loop(watch) == ["begin", "end"]


def test_a_change_is_looked_at_once_however_often_it_is_told() -> None:
    async def watch(broker: MessageBroker) -> list[str]:
        watch, inbox = CountingWatch(), Inbox()
        broker.watch("pump", "speed", watch)
        broker.post_change("pump", "speed")  # which nobody observes
        await asyncio.sleep(0.0)
        broker.subscribe_nowait("pump", "speed", inbox)
        for _ in range(100):
            broker.post_change("pump", "speed")
        await asyncio.sleep(0.0)
        await asyncio.sleep(0.0)
        return watch.asked

    assert in_loop(watch) == ["begin", "refresh"]


def test_events_are_numbered_when_they_are_published_and_kept_for_those_who_come_later() -> None:
    async def publish(broker: MessageBroker) -> None:
        for number in (5, 6):
            await broker.publish(Message("lid", "opened", "event", number))
        found = broker.history.since("lid", "opened", 1)
        assert [(each.number, each.payload) for each in found.messages] == [(2, 6)]

    in_loop(publish)


def test_brokers_can_be_told_apart() -> None:
    assert MessageBroker().epoch != MessageBroker().epoch
