"""What the code of an action finds out about its invocation, and threads that have one of their own."""

from __future__ import annotations

import contextvars
import threading
import time
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import labthings as lt
from labthings.exceptions import InvocationCancelledError, NoInvocationContextError
from labthings.invocation_contexts import (
    CancelEvent,
    InvocationContext,
    current_invocation_context,
    fake_invocation_context,
    get_invocation_id,
    set_invocation_id,
    use_invocation_context,
)

SOON = 10.0


# --- ids ----------------------------------------------------------------------------------------------------


def test_outside_an_invocation_there_is_no_id() -> None:
    with pytest.raises(NoInvocationContextError, match="not running in an invocation"):
        get_invocation_id()
    assert current_invocation_context() is None


def test_an_id_holds_in_its_block_only() -> None:
    outer, inner = uuid.uuid4(), uuid.uuid4()
    with set_invocation_id(outer):
        assert get_invocation_id() == outer
        with set_invocation_id(inner):
            assert get_invocation_id() == inner
        assert get_invocation_id() == outer
    assert current_invocation_context() is None


def test_an_error_ends_the_block_too() -> None:
    with pytest.raises(ZeroDivisionError), fake_invocation_context():
        _ = 1 / 0
    assert current_invocation_context() is None


def test_each_fake_context_is_another_invocation() -> None:
    ids = []
    for _ in range(2):
        with fake_invocation_context() as context:
            assert context is current_invocation_context()
            assert context.id == get_invocation_id()
            ids.append(context.id)
    assert ids[0] != ids[1]


# --- cancelling ---------------------------------------------------------------------------------------------


def test_a_cancelled_action_is_told_when_it_asks_and_once() -> None:
    with fake_invocation_context() as context:
        lt.raise_if_cancelled()
        context.cancel_event.set()
        with pytest.raises(InvocationCancelledError):
            lt.raise_if_cancelled()
        lt.raise_if_cancelled()  # tidying up goes undisturbed
        lt.cancellable_sleep(0)


def test_sleeping_ends_at_once_when_the_action_is_cancelled() -> None:
    with fake_invocation_context() as context:
        threading.Timer(0.01, context.cancel_event.set).start()
        before = time.monotonic()
        with pytest.raises(InvocationCancelledError):
            lt.cancellable_sleep(600)
        assert time.monotonic() - before < SOON


def test_sleeping_ends_at_once_when_the_action_has_been_cancelled_already() -> None:
    with fake_invocation_context() as context:
        context.cancel_event.set()
        with pytest.raises(InvocationCancelledError):
            lt.cancellable_sleep(600)


def test_an_undisturbed_sleep_lasts_its_time() -> None:
    with fake_invocation_context():
        before = time.monotonic()
        lt.cancellable_sleep(0.03)
        assert time.monotonic() - before > 0.029


def test_outside_an_action_sleeping_just_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    lt.cancellable_sleep(0.5)
    lt.raise_if_cancelled()
    assert slept == [0.5]


def test_code_that_catches_exceptions_does_not_catch_a_cancellation() -> None:
    def careless() -> str:
        try:
            lt.raise_if_cancelled()
        except Exception:  # noqa: BLE001 - as such code does
            return "caught"
        return "undisturbed"

    with fake_invocation_context() as context:
        context.cancel_event.set()
        with pytest.raises(InvocationCancelledError):
            careless()


@given(st.lists(st.sampled_from(["set", "raise_if_set"])))
def test_a_cancellation_is_raised_once_however_often_it_was_asked_for(steps: list[str]) -> None:
    event, is_due = CancelEvent(), False
    for step in steps:
        if step == "set":
            event.set()
            is_due = True
        elif is_due:
            with pytest.raises(InvocationCancelledError):
                event.raise_if_set()
            is_due = False
        else:
            event.raise_if_set()


# --- progress -----------------------------------------------------------------------------------------------


@given(st.floats(allow_nan=False), st.none() | st.text())
def test_progress_is_a_fraction(fraction: float, message: str | None) -> None:
    told: list[InvocationContext] = []
    context = InvocationContext()
    context.on_progress = lambda: told.append(context)
    with use_invocation_context(context):
        lt.report_progress(fraction, message)
    assert told == [context]
    assert context.progress is not None
    assert 0 <= context.progress.fraction <= 1
    assert context.progress.message == message
    if 0 <= fraction <= 1:
        assert context.progress.fraction == fraction


def test_outside_an_action_progress_is_nothing() -> None:
    lt.report_progress(0.5)


# --- threads of their own -----------------------------------------------------------------------------------


def test_a_thread_has_another_id_and_remembers_what_it_returned() -> None:
    with fake_invocation_context():
        mine = get_invocation_id()
        thread = lt.ThreadWithInvocationID(lambda a, b: (get_invocation_id(), a, b), args=[1], kwargs={"b": 2})
        assert thread.result is None
        thread.start()
        thread.join(SOON)
    assert thread.result == (thread.invocation_id, 1, 2)
    assert thread.exception is None
    assert thread.invocation_id != mine


def test_a_thread_remembers_what_it_raised() -> None:
    error = KeyError("missing")

    def fail() -> None:
        raise error

    thread = lt.ThreadWithInvocationID(target=fail)
    thread.start()
    thread.join_and_propagate_cancel()
    assert (thread.result, thread.exception) == (None, error)


def test_it_takes_the_other_arguments_of_a_thread() -> None:
    thread = lt.ThreadWithInvocationID(print, name="scanner", daemon=True)
    assert isinstance(thread, threading.Thread)
    assert (thread.name, thread.daemon) == ("scanner", True)


def test_a_thread_is_cancelled_like_an_action() -> None:
    thread = lt.ThreadWithInvocationID(lt.cancellable_sleep, args=(600,))
    thread.start()
    thread.cancel()
    thread.join(SOON)
    assert isinstance(thread.exception, InvocationCancelledError)


def test_a_thread_that_is_cancelled_leaves_its_parent_alone() -> None:
    with fake_invocation_context():
        thread = lt.ThreadWithInvocationID(lt.cancellable_sleep, args=(600,))
        thread.start()
        thread.cancel()
        thread.join_and_propagate_cancel(0.001)
        lt.raise_if_cancelled()
    assert isinstance(thread.exception, InvocationCancelledError)


def test_a_cancellation_of_the_parent_goes_to_the_child_and_then_on() -> None:
    tidied = []

    def work() -> None:
        try:
            lt.cancellable_sleep(600)
        except InvocationCancelledError:
            tidied.append(True)
            raise

    with fake_invocation_context() as context:
        thread = lt.ThreadWithInvocationID(work)
        thread.start()
        threading.Timer(0.01, context.cancel_event.set).start()
        with pytest.raises(InvocationCancelledError):
            thread.join_and_propagate_cancel(0.001)
        lt.raise_if_cancelled()  # it was told already
    assert not thread.is_alive(), "the parent goes on only when the child has ended"
    assert tidied == [True]
    assert isinstance(thread.exception, InvocationCancelledError)


def test_a_child_that_completes_all_the_same_does_not_keep_the_parent_from_being_cancelled() -> None:
    begun = threading.Event()

    def work() -> str:
        try:
            begun.set()
            lt.cancellable_sleep(600)
        except InvocationCancelledError:
            return "done all the same"
        return "undisturbed"

    with fake_invocation_context() as context:
        thread = lt.ThreadWithInvocationID(work)
        thread.start()
        assert begun.wait(SOON)
        context.cancel_event.set()
        with pytest.raises(InvocationCancelledError):
            thread.join_and_propagate_cancel()
    assert (thread.result, thread.exception) == ("done all the same", None)


def test_a_cancellation_that_comes_as_the_child_ends_is_not_lost() -> None:
    with fake_invocation_context() as context:
        thread = lt.ThreadWithInvocationID(int)
        thread.start()
        thread.join(SOON)
        context.cancel_event.set()
        with pytest.raises(InvocationCancelledError):
            thread.join_and_propagate_cancel()


def test_an_ordinary_thread_is_in_no_invocation() -> None:
    with fake_invocation_context():
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(current_invocation_context()))
        contextvars.Context().run(thread.start)  # as it is by default before Python 3.14's free threading
        thread.join(SOON)
    assert found == [None]


def test_from_an_action_a_thread_can_be_cancelled_over_http(serve: Any) -> None:
    class Scanner(lt.Thing):
        begun = threading.Event()
        thread: Any = None

        @lt.action
        def scan(self) -> None:
            self.thread = lt.ThreadWithInvocationID(self._work)
            self.thread.start()
            self.thread.join_and_propagate_cancel(0.005)

        def _work(self) -> None:
            self.logger.info("of the thread")
            self.begun.set()
            lt.cancellable_sleep(600)

    server, client = serve({"scanner": Scanner})
    told = client.post("/scanner/scan").json()
    scanner = server.things["scanner"]
    assert scanner.begun.wait(SOON)
    assert client.delete(told["href"]).status_code == 204
    ended = client.get(told["href"] + "?wait=10").json()
    assert ended["status"] == "cancelled"
    assert "of the thread" not in [entry["message"] for entry in ended["log"]]
    assert isinstance(scanner.thread.exception, InvocationCancelledError)
