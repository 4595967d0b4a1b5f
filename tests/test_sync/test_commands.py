"""Clients have commands done, in order, and are told what came of them after what came of them has been told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import numpy as np
import pytest
from pydantic import BaseModel, Field

from labthings.exceptions import ConfigurationError
from labthings.sync import CommandContext, CommandError, LabSync, lab_sync
from labthings.websockets import room

Share = Callable[..., Any]


class Position(BaseModel):
    x: int
    y: int = 0


def told(websocket: Any, *texts: str) -> list[str]:
    """The kinds of messages up to one of some kinds."""
    kinds = [websocket.receive_json()["type"]]
    while kinds[-1] not in texts:
        kinds.append(websocket.receive_json()["type"])
    return kinds


def send(websocket: Any, command: str, request_id: Any = None, **params: Any) -> None:
    websocket.send_json({"type": "command", "command": command, "params": params, "requestId": request_id})


def ask(websocket: Any, command: str, **params: Any) -> Any:
    """Have a command done, and give the answer to it."""
    send(websocket, command, "1", **params)
    while (answer := websocket.receive_json())["type"] not in ("command_ack", "command_error"):
        continue
    return answer


@pytest.mark.parametrize("is_async", [False, True])
def test_the_answer_comes_after_the_patches(share: Share, is_async: bool) -> None:
    shared = share()

    def change(ctx: CommandContext, volts: float) -> dict[str, Any]:
        shared.state.bias = volts
        return {"by": ctx.client_id, "threads": threading.current_thread().name.startswith("labthings sync")}

    async def change_async(ctx: CommandContext, volts: float) -> dict[str, Any]:
        return change(ctx, volts)

    shared.sync.command(name="change")(change_async if is_async else change)
    shared.start()
    websocket, other = shared.connect(), shared.connect()
    me = websocket.snapshot["clientId"]
    send(websocket, "change", "a", volts=1.5)
    patch, answer = websocket.receive_json(), websocket.receive_json()
    assert answer == {
        "type": "command_ack",
        "requestId": "a",
        "command": "change",
        "result": {"by": me, "threads": not is_async},
        "version": 1,
    }
    assert patch == {
        "type": "patch",
        "epoch": websocket.snapshot["epoch"],
        "baseVersion": 0,
        "version": 1,
        "patch": [{"op": "replace", "path": "/bias", "value": 1.5}],
        "originClientId": me,
        "requestId": "a",
        "command": "change",
    }
    assert other.receive_json() == patch


@pytest.mark.parametrize("is_async", [False, True])
def test_an_error_comes_after_the_patches_too(share: Share, is_async: bool) -> None:
    shared = share()

    def fail() -> None:
        shared.state.items.append(1)
        raise CommandError("too_hot", "Cool it.", "warning", "modal", False, kelvin=400, limit=float("nan"))

    async def fail_async() -> None:
        fail()

    shared.sync.command(name="fail")(fail_async if is_async else fail)
    shared.start()
    websocket = shared.connect()
    send(websocket, "fail", 7)
    assert websocket.receive_json()["patch"] == [{"op": "add", "path": "/items/0", "value": 1}]
    assert websocket.receive_json() == {
        "type": "command_error",
        "requestId": 7,
        "command": "fail",
        "code": "too_hot",
        "message": "Cool it.",
        "severity": "warning",
        "display": "modal",
        "recoverable": False,
        "kelvin": 400,
        "limit": None,
        "version": 1,
    }


def test_the_answer_waits_for_somebody_elses_batch(share: Share) -> None:
    shared, done = share(), threading.Event()

    @shared.sync.command  # type: ignore[untyped-decorator]
    def change() -> None:
        shared.state.bias = 2
        done.set()

    shared.start()
    websocket = shared.connect()
    with shared.sync.batch():
        send(websocket, "change")
        assert done.wait(5)
        websocket.send_json({"type": "resync"})
        assert websocket.receive_json()["data"]["bias"] == 0
    assert told(websocket, "command_ack") == ["patch", "command_ack"]


def test_the_answer_to_a_command_that_changes_nothing_waits_for_no_batch(share: Share) -> None:
    shared = share()
    shared.sync.command(name="look")(lambda: shared.state.bias)
    shared.sync.command(name="change")(lambda: setattr(shared.state, "text", "x"))
    shared.start()
    websocket, other = shared.connect(), shared.connect()
    with shared.sync.batch():
        shared.state.bias = 2
        answer = ask(websocket, "look")
        assert (answer["result"], answer["version"]) == (2, 0)
        send(other, "change", "1")
        send(other, "look", "2")  # which must not overtake the first
        assert ask(websocket, "look")["version"] == 0
    answers = [message for message in (other.receive_json() for _ in range(4)) if message["type"] == "command_ack"]
    assert [(each["requestId"], each["version"]) for each in answers] == [("1", 2), ("2", 2)]


def test_nor_does_what_follows_at_once(share: Share) -> None:
    shared, go = share(), threading.Event()
    shared.sync.command(name="slow")(lambda: go.wait(10))
    shared.start()
    websocket = shared.connect()
    with shared.sync.batch():
        send(websocket, "slow", 1)
        send(websocket, "unknown", 2)
        go.set()
        answers = [websocket.receive_json() for _ in range(2)]
    assert [(each["requestId"], each["version"]) for each in answers] == [(1, 0), (2, 0)]


def test_what_a_thread_of_the_commands_changes_is_told_before_the_answer(share: Share) -> None:
    shared = share()

    @shared.sync.command  # type: ignore[untyped-decorator]
    async def change() -> None:
        await asyncio.get_running_loop().run_in_executor(None, shared.state.items.append, 1)

    shared.start()
    websocket, other = shared.connect(), shared.connect()
    with shared.sync.batch():
        send(websocket, "change")
        while not shared.state.items:
            other.send_json({"type": "ping"})
            other.receive_json()
        websocket.send_json({"type": "resync"})
        assert websocket.receive_json()["type"] == "snapshot"
    assert told(websocket, "command_ack") == ["patch", "command_ack"]


def test_an_answer_tells_the_version_that_the_client_has(share: Share) -> None:
    shared = share()
    shared.sync.command(name="look")(lambda: shared.state.bias)
    for number in range(1, 3):
        shared.state.bias = number
    shared.start()
    websocket = shared.connect()
    assert ask(websocket, "look")["version"] == websocket.snapshot["version"] == 2


def test_what_is_refused_or_asked_waits_for_no_batch(share: Share) -> None:
    shared = share()
    shared.start()
    websocket = shared.connect()
    with shared.sync.batch():
        shared.state.bias = 2
        websocket.send_json({"type": "ping", "requestId": "here?"})
        assert websocket.receive_json() == {"type": "pong", "requestId": "here?"}
        websocket.send_json({"type": "pong"})
        assert websocket.receive_json()["code"] == "invalid_message"
    assert websocket.receive_json()["type"] == "patch"


def test_while_a_batch_does_not_end_few_commands_are_done(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_TEXTS", 2)
    shared, done = share(), list[str]()

    @shared.sync.command(name="do")  # type: ignore[untyped-decorator]
    def change() -> None:
        done.append("it")
        shared.state.items.append(1)

    shared.start()
    websocket = shared.connect()
    with shared.sync.batch():
        for _ in range(4):
            send(websocket, "do")
        for _ in range(100):
            websocket.send_json({"type": "ping"})
            assert websocket.receive_json()["type"] == "pong"
        assert len(done) == 2  # or else their answers would pile up
    kinds = [kind for _ in range(4) for kind in told(websocket, "command_ack")]
    assert (kinds.count("command_ack"), kinds.count("patch")) == (4, 4)


def test_a_command_that_hangs_holds_up_no_other(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab_sync, "MOST_THREADS", 1)
    shared, go, begun, updated = share(), *(threading.Event() for _ in range(3))

    @shared.sync.command  # type: ignore[untyped-decorator]
    def hang() -> None:
        begun.set()
        assert go.wait(5)

    shared.sync.command(name="quick")(lambda: 1)
    shared.sync.updater(interval=0.001)(lambda: begun.is_set() and updated.set())
    shared.start()
    websocket, other = shared.connect(), shared.connect()
    send(websocket, "hang")
    assert begun.wait(5)
    assert ask(other, "quick")["result"] == 1
    assert updated.wait(5)
    go.set()
    assert websocket.receive_json()["type"] == "command_ack"


def test_commands_keep_their_order_and_hold_up_nothing_else(share: Share) -> None:
    shared, go, done = share(), threading.Event(), list[str]()

    @shared.sync.command  # type: ignore[untyped-decorator]
    def slow() -> None:
        assert go.wait(5)
        done.append("slow")

    @shared.sync.command  # type: ignore[untyped-decorator]
    async def quick() -> None:
        done.append("quick")

    shared.start()
    websocket, other = shared.connect(), shared.connect()
    send(websocket, "slow", "1")
    send(websocket, "quick", "2")
    websocket.send_json({"type": "resync"})
    assert websocket.receive_json()["type"] == "snapshot"
    shared.state.bias = 3
    assert websocket.receive_json()["type"] == "patch"
    assert ask(other, "quick")["type"] == "command_ack"
    go.set()
    assert [websocket.receive_json()["requestId"] for _ in range(2)] == ["1", "2"]
    assert done == ["quick", "slow", "quick"]


def test_too_many_commands_are_refused(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labthings.sync.command_queue.MOST_COMMANDS", 1)
    shared, go, begun = share(), threading.Event(), threading.Event()

    @shared.sync.command  # type: ignore[untyped-decorator]
    def slow() -> None:
        begun.set()
        assert go.wait(5)

    shared.start()
    websocket = shared.connect()
    send(websocket, "slow", "1")
    assert begun.wait(5)
    send(websocket, "slow", "2")
    send(websocket, "slow", "3")
    refusal = websocket.receive_json()
    assert (refusal["requestId"], refusal["command"], refusal["code"]) == ("3", "slow", "busy")
    go.set()
    assert [websocket.receive_json()["requestId"] for _ in range(2)] == ["1", "2"]


def test_parameters_are_validated(share: Share) -> None:
    shared = share()

    @shared.sync.command  # type: ignore[untyped-decorator]
    def move(
        position: Position, *, speed: Annotated[float, Field(gt=0)] = 1, when: datetime | None = None, copy: int = 2
    ) -> Any:
        return [position, speed, when, copy]

    shared.start()
    websocket = shared.connect()
    assert ask(websocket, "move", position={"x": 3}, when="2026-01-02T03:04:05")["result"] == [
        {"x": 3, "y": 0},
        1,
        "2026-01-02T03:04:05",
        2,
    ]
    assert ask(websocket, "move", position={"x": 3.0})["result"][0] == {"x": 3, "y": 0}
    for wrong in ({"x": "3"}, {"x": True}, {"x": 3.5}, {"x": None}):
        assert ask(websocket, "move", position=wrong)["code"] == "invalid_params"
    refusal = ask(websocket, "move", position={"x": "far"}, speed=-1, tilt=2)
    assert refusal["code"] == "invalid_params"
    assert [each["loc"] for each in refusal["errors"]] == [["position", "x"], ["speed"], ["tilt"]]
    assert "position.x: Input should be a valid integer" in refusal["message"]
    assert ask(websocket, "move")["message"].endswith("position: Missing required argument")
    refusal = ask(websocket, "mvoe")
    assert refusal["code"] == "unknown_command"
    assert refusal["message"] == "There is no command 'mvoe'. There are: move."


@pytest.mark.parametrize(
    ("text", "code", "request_id"),
    [
        ("{", "invalid_message", None),
        ("[]", "invalid_message", None),
        ("NaN", "invalid_message", None),
        ("[" * 5000, "invalid_message", None),
        ('{"type": "subscribe", "requestId": 5}', "invalid_message", 5),
        ('{"type": "command"}', "invalid_message", None),
        ('{"type": "command", "command": "x", "params": [1], "requestId": "a"}', "invalid_message", "a"),
        ('{"type": "command", "command": "x", "requestId": ["a"]}', "invalid_message", None),
        ('{"type": "command", "command": "x", "requestId": true}', "invalid_message", None),
        (json.dumps({"type": "command", "command": "x", "requestId": "a" * 201}), "invalid_message", None),
        (json.dumps({"type": "command", "command": "x", "requestId": 10**60}), "invalid_message", None),
        ('{"type": "command", "command": "\\ud800"}', "invalid_message", None),
        ('{"type": "resync", "streams": "all"}', "invalid_message", None),
        (json.dumps({"type": "command", "command": "x" * 2000}), "message_too_large", None),
        (json.dumps({"requestId": 'a"\\', "type": "command", "command": "x" * 2000}), "message_too_large", 'a"\\'),
        (json.dumps({"requestId": 7, "command": "x" * 2000}), "message_too_large", 7),
        (json.dumps({"requestId": True, "command": "x" * 2000}), "message_too_large", None),
        ('{"requestId": "\\ud800", "command"', "invalid_message", None),
        ('{"requestId": "a", "params": ' + "[" * 5000, "invalid_message", "a"),
        (json.dumps({"type": "command", "command": "x" * 900}), "unknown_command", None),
    ],
)
def test_what_cannot_be_understood_is_refused(share: Share, text: str, code: str, request_id: Any) -> None:
    shared = share(most_message_bytes=1000 if len(text) < 4000 else 10_000)
    shared.start()
    websocket = shared.connect()
    websocket.send_text(text)
    refusal = websocket.receive_json()
    assert (refusal["type"], refusal["code"], refusal.get("requestId")) == ("command_error", code, request_id)
    websocket.send_bytes(b'{"type": "resync"}')
    assert websocket.receive_json() == websocket.snapshot


@pytest.mark.parametrize("is_async", [False, True])
def test_a_handler_that_fails_is_told_of(share: Share, is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
    shared = share()

    def divide(by: int) -> float:
        return 1 / by

    async def divide_async(by: int) -> float:
        return 1 / by

    shared.sync.command(name="divide")(divide_async if is_async else divide)
    shared.start()
    websocket = shared.connect()
    answer = ask(websocket, "divide", by=0)
    assert (answer["code"], answer["message"]) == ("command_failed", "ZeroDivisionError: division by zero")
    assert not answer["recoverable"]
    assert "The command 'divide' failed" in caplog.text
    assert ask(websocket, "divide", by=2)["result"] == 0.5


def test_a_value_that_the_state_refuses_is_told_of(share: Share) -> None:
    shared = share()
    shared.sync.command(name="spoil")(lambda: setattr(shared.state, "bias", "much"))
    shared.start()
    answer = ask(shared.connect(), "spoil")
    assert answer["code"] == "invalid_value"
    assert answer["errors"][0]["loc"] == ["bias"]


def test_a_handler_that_cancels_itself_ends_nothing_else(share: Share) -> None:
    shared = share()

    @shared.sync.command  # type: ignore[untyped-decorator]
    async def give_up() -> None:
        raise asyncio.CancelledError

    shared.start()
    websocket = shared.connect()
    assert ask(websocket, "give_up")["code"] == "cancelled"
    assert ask(websocket, "give_up")["code"] == "cancelled"


def test_a_result_that_is_no_json_is_told_of(share: Share) -> None:
    shared = share()
    shared.sync.command(name="give")(lambda: object())
    shared.sync.command(name="nan")(lambda: [float("nan"), shared.state])
    shared.start()
    websocket = shared.connect()
    assert ask(websocket, "give")["code"] == "invalid_result"
    assert ask(websocket, "nan")["result"] == [None, {"bias": 0, "text": "", "items": []}]


def test_a_result_may_be_of_numpy(share: Share) -> None:
    shared = share()
    shared.sync.command(name="give")(lambda: [np.float32(0.5), np.int64(2), np.bool_(True), {"a": np.arange(2)}])
    shared.start()
    assert ask(shared.connect(), "give")["result"] == [0.5, 2, True, {"a": [0, 1]}]


def test_a_detail_of_an_error_takes_no_other_members_place() -> None:
    with pytest.raises(TypeError, match="can be called 'version'"):
        CommandError("conflict", "No.", version=7)


@dataclass
class Pump:
    litres: int

    def __call__(self) -> int:
        return self.litres


def test_whatever_can_be_called_can_be_a_command(share: Share) -> None:
    shared = share()
    shared.sync.command(name="pump")(Pump(3))
    shared.start()
    assert ask(shared.connect(), "pump")["result"] == 3


def test_who_asks_may_be_optional(share: Share) -> None:
    shared = share()

    @shared.sync.command  # type: ignore[untyped-decorator]
    def who(context: CommandContext | None = None) -> str | None:
        return context and context.client_id

    shared.start()
    websocket = shared.connect()
    assert ask(websocket, "who")["result"] == websocket.snapshot["clientId"]


def test_a_command_that_nobody_could_call_is_refused() -> None:
    sync = LabSync()
    with pytest.raises(ConfigurationError, match=r"`@sync.command\(name='stop'\)`"):
        sync.command("stop")  # type: ignore[call-overload]

    class Panel:
        def stop(self) -> int:
            return 5

    with pytest.raises(ConfigurationError, match=r"`sync.command\(self.stop\)`"):
        sync.command(Panel.stop)
    sync.command(Panel().stop)
    sync.command(name="a")(lambda: None)
    with pytest.raises(ConfigurationError, match="There is a command 'a' already"):
        sync.command(name="a")(lambda: None)
    with pytest.raises(ConfigurationError, match="'b' takes 'x' by position"):
        sync.command(name="b")(lambda *x: None)
    with pytest.raises(ConfigurationError, match="annotations of the command 'nowhere'"):
        sync.command(nowhere)


def nowhere(x: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Has an annotation that is defined nowhere."""
