from __future__ import annotations

import threading
import time
from typing import Any

import pytest

import labthings as lt
from labthings.exceptions import (
    FailedToInvokeActionError,
    GlobalLockBusyError,
    InvocationCancelledError,
    InvocationError,
    ServerActionError,
    UnserialisableTypeError,
)


class Stage(lt.Thing):
    """A stage."""

    @lt.action
    def add(self, a: int, b: int = 2) -> int:
        return a + b

    @lt.action
    def echo(self, value: Any) -> Any:
        return value

    @lt.action
    def stop(self) -> None:
        """Stop."""

    @lt.action
    def collect(self, first: int, **more: Any) -> dict[str, Any]:
        return {"first": first, **more}

    @lt.action
    def odd_names(self, self_: int = 0, args: int = 1, kwargs: int = 2) -> list[int]:
        return [self_, args, kwargs]

    @lt.action
    def crash(self) -> None:
        raise ValueError("the motor is stuck")

    @lt.action
    def give_up(self) -> None:
        raise InvocationError("there is no sample")


def test_arguments_are_passed_by_position_and_by_name(connect):
    client = connect(Stage)
    assert [client.add(1), client.add(1, 5), client.add(b=5, a=1), client.add(1, b=0)] == [3, 6, 6, 1]


@pytest.mark.parametrize("value", [0, False, "", None, [], {}, 1.5, "text", [1, [None]], {"status": "pending"}])
def test_output_is_returned_whatever_it_is(connect, value):
    assert connect(Stage).echo(value) == value


def test_action_without_arguments_or_output(connect):
    assert connect(Stage).stop() is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.add(), r"add\(a: int, b: int = 2\) -> int: missing a required argument: 'a'"),
        (lambda c: c.add(1, 2, 3), "too many positional arguments"),
        (lambda c: c.add(1, a=2), "multiple values for argument 'a'"),
        (lambda c: c.stop(1), r"stop\(\) -> None: too many positional"),
        (lambda c: c.stop(fast=True), "got unexpected arguments: fast"),
    ],
)
def test_arguments_that_do_not_fit(connect, call, message):
    with pytest.raises(TypeError, match=message):
        call(connect(Stage))


def test_further_arguments(connect):
    assert connect(Stage).collect(1, second=2, name=3) == {"first": 1, "second": 2, "name": 3}


def test_names_that_python_might_confuse(connect):
    assert connect(Stage).odd_names(kwargs=5, args=4) == [0, 4, 5]


def test_refused_arguments(connect):
    with pytest.raises(FailedToInvokeActionError, match=r"^Invoking thing\.add failed: a: .*\(422 ") as caught:
        connect(Stage).add("many")
    assert caught.value.problem.status == 422


def test_argument_that_is_not_json_is_not_sent(connect):
    with pytest.raises(UnserialisableTypeError):
        connect(Stage).echo(object())


def test_exception_in_an_action(connect):
    with pytest.raises(ServerActionError) as caught:
        connect(Stage).crash()
    assert str(caught.value) == "thing.crash failed: ValueError: the motor is stuck"
    assert caught.value.problem.title == "ValueError"


def test_exception_in_an_action_of_a_server_in_debug(connect):
    with pytest.raises(ServerActionError, match=r"(?s)On the server:\nTraceback.*in crash\n.*ValueError: the motor"):
        connect(Stage, debug=True).crash()


def test_invocation_error(connect):
    with pytest.raises(ServerActionError, match="there is no sample"):
        connect(Stage).give_up()


def test_busy_global_lock(connect, while_busy):
    class Locked(lt.Thing):
        @lt.action
        def work(self) -> None:
            while_busy.work()

        @lt.action
        def rest(self) -> None:
            """Do nothing."""

    client = connect(Locked, enable_global_lock=True)
    with while_busy(client.work), pytest.raises(GlobalLockBusyError, match=r"^thing\.rest failed:") as caught:
        client.rest()
    assert caught.value.problem.title == "GlobalLockBusyError"
    assert client.rest() is None


def test_cancelled_action(connect):
    class Slow(lt.Thing):
        @lt.action
        def wait(self) -> None:
            started.set()
            lt.cancellable_sleep(30)

    def cancel():
        assert started.wait(10)
        for invocation in request("GET", "/thing/wait").json():
            request("DELETE", invocation["href"])

    started = threading.Event()
    client = connect(Slow)
    request = client._thing.connection.request
    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(InvocationCancelledError, match=r"thing\.wait was cancelled"):
        client.wait()
    canceller.join()


@pytest.mark.usefixtures("short_waits")
def test_action_that_takes_longer_than_one_wait(connect):
    class Slow(lt.Thing):
        @lt.action
        def wait(self) -> str:
            asked.wait(10)
            return "done"

    asked = threading.Event()
    client = connect(Slow)
    send = client._thing.connection.send

    def counting(method, *args, **kwargs):
        if method == "GET":
            questions.append(args)
            if len(questions) == 2:
                asked.set()
        return send(method, *args, **kwargs)

    questions: list[Any] = []
    client._thing.connection.send = counting
    began = time.monotonic()
    assert client.wait() == "done"
    assert len(questions) >= 2
    assert time.monotonic() - began >= 0.05 * (len(questions) - 1), "each but the last waits for its answer"


def test_generic_invocation(connect):
    client = connect(Stage)
    assert client.invoke_action("add", a=1, b=3) == 4
    assert client.invoke_action("collect", first=1, name="x") == {"first": 1, "name": "x"}
    with pytest.raises(FailedToInvokeActionError, match=r"thing has no action 'ad'\. Did you mean 'add'\?"):
        client.invoke_action("ad")
    with pytest.raises(FailedToInvokeActionError, match="422"):
        client.invoke_action("add")
