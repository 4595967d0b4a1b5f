from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import labthings as lt
from labthings.client import ThingClient
from labthings.client.held_interrupt import HeldInterrupt
from labthings.exceptions import FailedToInvokeActionError, ServerActionError

DESCRIPTION = {"title": "Oven", "actions": {"bake": {"forms": [{"href": "bake"}]}}}
RUNNING = {"status": "running", "href": "/action_invocations/7"}
BAKED = RUNNING | {"status": "completed", "output": "bread"}


def oven(answer: Callable[[httpx.Request], Any], started: Any = RUNNING) -> Any:
    """A client of a Thing whose invocations are what ``answer`` says."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(201, json=started)
        if request.url.path == "/oven/":
            return httpx.Response(200, json=DESCRIPTION)
        told = answer(request)
        return told if isinstance(told, httpx.Response) else httpx.Response(200, json=told)

    return ThingClient.from_url("http://lab/oven/", httpx.Client(transport=httpx.MockTransport(handle)))


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """Has nothing pause, and returns how long everything would have paused."""
    pauses: list[float] = []
    monkeypatch.setattr("labthings.client.remote_invocation.time.sleep", pauses.append)
    return pauses


def test_server_that_does_not_know_how_to_wait_is_asked_ever_less_often(pauses):
    answers = iter([RUNNING] * 30 + [BAKED])
    assert oven(lambda request: next(answers)).bake() == "bread"
    assert len(pauses) == 30
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.01, 0.5)


def test_question_asks_to_wait_where_the_server_said(pauses):
    questions = []

    def answer(request):
        questions.append(str(request.url))
        return BAKED

    oven(answer).bake()
    links = [{"rel": "output", "href": "/o"}, {"rel": "self", "href": "http://lab/there?x=1"}]
    oven(answer, {"status": "pending", "links": links}).bake()
    assert questions == ["http://lab/action_invocations/7?wait=1", "http://lab/there?x=1&wait=1"]
    assert not pauses


def test_lost_connection_is_tried_again(pauses, caplog):
    answers = iter([httpx.ConnectError("unplugged"), httpx.ReadTimeout("slow"), BAKED])

    def answer(request):
        told = next(answers)
        if isinstance(told, Exception):
            raise told
        return told

    assert oven(answer).bake() == "bread"
    assert "Waiting for oven.bake failed: no answer from http://lab/action_invocations/7?wait=1" in caplog.text
    assert pauses == [0.5, 0.5]


@pytest.mark.usefixtures("pauses")
def test_connection_that_stays_lost(monkeypatch):
    monkeypatch.setattr("labthings.client.remote_invocation.PATIENCE", 0)

    def answer(request):
        raise httpx.ConnectError("unplugged")

    with pytest.raises(ServerActionError, match=r"no answer from .*: ConnectError: unplugged") as caught:
        oven(answer).bake()
    assert isinstance(caught.value.__cause__, httpx.ConnectError)


def test_connection_that_fails_at_once():
    client = oven(lambda request: BAKED)

    def fail(*args, **kwargs):
        raise httpx.ConnectError("unplugged")

    client._thing.connection.request = fail
    with pytest.raises(
        FailedToInvokeActionError, match=r"Invoking oven\.bake failed: no answer from http://lab/oven/bake"
    ):
        client.bake()


def test_invocation_that_the_server_has_forgotten():
    with pytest.raises(ServerActionError, match=r"Waiting for oven\.bake failed: never heard of it"):
        oven(lambda request: httpx.Response(404, json={"detail": "never heard of it"})).bake()


@pytest.mark.parametrize("started", [{"no": "status"}, [], "running"])
def test_answer_that_is_not_an_invocation(started):
    with pytest.raises(FailedToInvokeActionError, match=r"http://lab/oven/bake does not answer with an invocation"):
        oven(lambda request: BAKED, started).bake()


def test_invocation_that_cannot_be_asked_for():
    with pytest.raises(ServerActionError, match="does not tell where to ask"):
        oven(lambda request: BAKED, {"status": "running"}).bake()


def test_interrupt_cancels_the_invocation():
    requests = []

    def answer(request):
        requests.append((request.method, request.url.path))
        if request.method == "GET":
            raise KeyboardInterrupt
        return httpx.Response(204)

    with pytest.raises(KeyboardInterrupt):
        oven(answer).bake()
    assert requests[1:] == [("DELETE", "/action_invocations/7")]


@pytest.mark.parametrize(
    ("status", "logged"), [(409, ""), (404, "Cancelling oven.bake failed: gone"), (503, "Cancelling oven.bake")]
)
def test_interrupt_is_raised_even_if_the_invocation_cannot_be_cancelled(status, logged, caplog):
    def answer(request):
        if request.method == "GET":
            raise KeyboardInterrupt
        return httpx.Response(status, json={"detail": "gone"})

    with pytest.raises(KeyboardInterrupt):
        oven(answer).bake()
    assert [logged in record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == (
        [True] if logged else []
    )


@pytest.mark.usefixtures("short_waits")
def test_interrupt_while_the_invocation_starts_cancels_it(connect):
    """Ctrl-C waits for the answer, which tells what there is to cancel."""

    class Oven(lt.Thing):
        @lt.action
        def bake(self) -> None:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            try:
                lt.cancellable_sleep(30)
            finally:
                ended.set()

    ended = threading.Event()
    client = connect(Oven)
    with pytest.raises(KeyboardInterrupt):
        client.bake()
    assert ended.wait(10)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_second_interrupt_is_not_held_back():
    reached = []

    def work():
        with HeldInterrupt():
            signal.raise_signal(signal.SIGINT)
            reached.append("after the first")
            signal.raise_signal(signal.SIGINT)
            reached.append("after the second")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == ["after the first"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_synchronous_action_of_another_server_answers_with_its_output():
    description = {"actions": {"bake": {"synchronous": True, "forms": [{"href": "bake"}]}}}
    outputs = iter([httpx.Response(200, json={"status": "golden"}), httpx.Response(204), httpx.Response(200, text="<")])
    transport = httpx.MockTransport(
        lambda request: next(outputs) if request.method == "POST" else httpx.Response(200, json=description)
    )
    client = ThingClient.from_url("http://lab/oven/", httpx.Client(transport=transport))
    assert client.bake() == {"status": "golden"}
    assert client.bake() is None
    with pytest.raises(ServerActionError, match="not JSON"):
        client.bake()
