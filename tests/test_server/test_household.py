import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Optional

import pytest

import labthings as lt
from labthings.exceptions import ThingSlotError
from labthings.thing_description import validate_thing_description

DIARY: list[str] = []


@pytest.fixture(autouse=True)
def diary():
    """What happened, in order."""
    DIARY.clear()
    return DIARY


class Diarist(lt.Thing):
    def __enter__(self):
        DIARY.append(f"enter {self.name}")
        return self

    def __exit__(self, *args: Any) -> None:
        DIARY.append(f"exit {self.name}")


class AsyncDiarist(lt.Thing):
    """One that needs no thread to start or stop, so that it does so in no time, however busy the machine is."""

    x: float = lt.property(default=0)

    async def __aenter__(self):
        DIARY.append(f"enter {self.name}")
        return self

    async def __aexit__(self, *args: Any) -> None:
        DIARY.append(f"exit {self.name}")


class Stage(Diarist):
    x: float = lt.property(default=0)

    @lt.action
    def home(self) -> str:
        return "home"


class Broken(Stage):
    def __init__(self, **kwargs: Any) -> None:
        raise OSError("no stage on port 3")


class Unplugged(Stage):
    def __enter__(self):
        raise OSError("unplugged")


def wait_until(condition: Callable[[], Any], client: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        client.get("/health")


# --- starting and stopping ----------------------------------------------------------------------------------


def test_things_are_entered_in_the_order_of_their_slots_and_exited_in_the_reverse(tmp_path, diary):
    class Middle(Diarist):
        stage: Stage = lt.thing_slot()

    class Top(Diarist):
        middle: Middle = lt.thing_slot()

    things = {"top": Top, "middle": Middle, "stage": Stage, "other": Diarist}
    with lt.ThingServer.from_things(things, settings_folder=str(tmp_path)).test_client():
        assert diary == ["enter stage", "enter middle", "enter top", "enter other"]
        diary.clear()
    assert diary == ["exit other", "exit top", "exit middle", "exit stage"]


def test_things_in_a_circle_are_entered_too(client_of, diary):
    client = client_of({"hen": Hen, "egg": Egg})
    assert sorted(diary) == ["enter egg", "enter hen"]
    assert client.get("/health").json()["status"] == "running"


class Hen(Diarist):
    egg: "Egg" = lt.thing_slot()


class Egg(Diarist):
    hen: Hen = lt.thing_slot()


def test_code_runs_in_threads_and_async_code_in_the_event_loop(tmp_path):
    threads: dict[str, int] = {}

    class Sync(lt.Thing):
        def __enter__(self):
            threads["enter"] = threading.get_ident()
            return self

        def __exit__(self, *args: Any) -> None:
            threads["exit"] = threading.get_ident()
            assert args == (None, None, None)

    class Async(lt.Thing):
        async def __aenter__(self):
            threads["aenter"] = threading.get_ident()
            return self

        async def __aexit__(self, *args: Any) -> None:
            threads["aexit"] = threading.get_ident()

    things = {"sync": Sync, "async": Async}
    with lt.ThingServer.from_things(things, settings_folder=str(tmp_path)).test_client() as client:
        loop = client.portal.call(threading.get_ident)
    assert threads["aenter"] == threads["aexit"] == loop
    assert loop not in (threads["enter"], threads["exit"])


def test_settings_and_slots_are_there_when_a_thing_is_entered(tmp_path, client_of):
    class User(lt.Thing):
        stage: Stage = lt.thing_slot()
        speed: float = lt.setting(default=1.0)

        def __enter__(self):
            self.found = (self.stage.name, self.speed)
            return self

    folder = tmp_path / "settings" / "user"
    folder.mkdir(parents=True)
    (folder / "Settings-User.json").write_text('{"speed": 7.5}')
    client = client_of({"user": User, "stage": Stage})
    assert client.server.things["user"].found == ("stage", 7.5)


def test_actions_have_ended_when_a_thing_is_exited(tmp_path, diary):
    class Mover(Diarist):
        begun = threading.Event()

        @lt.action
        def move(self) -> None:
            self.begun.set()
            try:
                lt.cancellable_sleep(60)
            finally:
                DIARY.append("stopped moving")

    with lt.ThingServer.from_things({"mover": Mover}, settings_folder=str(tmp_path)).test_client() as client:
        client.post("/mover/move")
        assert Mover.begun.wait(10)
    assert diary == ["enter mover", "stopped moving", "exit mover"]


def test_settings_of_the_last_moment_are_saved(tmp_path):
    class Thing(lt.Thing):
        parked_at: int = lt.setting(default=0)

        def __exit__(self, *args: Any) -> None:
            self.parked_at = 5

    with lt.ThingServer.from_things({"thing": Thing}, settings_folder=str(tmp_path)).test_client():
        pass
    assert '"parked_at": 5' in (tmp_path / "thing" / "Settings-Thing.json").read_text()


def test_a_thing_that_cannot_stop_does_not_stop_the_others(tmp_path, diary, caplog):
    class Stubborn(Diarist):
        def __exit__(self, *args: Any) -> None:
            raise OSError("will not close")

    class AsyncStubborn(lt.Thing):
        async def __aenter__(self):
            return self

        async def __aexit__(self, *args: Any) -> None:
            raise OSError("will not close either")

    things = {"first": Diarist, "stubborn": Stubborn, "other": AsyncStubborn, "last": Diarist}
    with lt.ThingServer.from_things(things, settings_folder=str(tmp_path)).test_client():
        diary.clear()
    assert diary == ["exit last", "exit first"]
    assert "'stubborn' could not stop properly: will not close" in caplog.text
    assert "'other' could not stop properly: will not close either" in caplog.text


def test_a_thing_that_takes_too_long_to_stop_is_left_behind(tmp_path, diary, caplog):
    go_on = threading.Event()

    class Slow(Diarist):
        def __exit__(self, *args: Any) -> None:
            go_on.wait(20)

    config: dict[str, Any] = {"settings_folder": str(tmp_path), "stop_timeout": 0.02}
    with lt.ThingServer.from_things({"first": AsyncDiarist, "slow": Slow}, **config).test_client():
        diary.clear()
    assert diary == ["exit first"]
    assert "'slow' has not finished stopping after 0.02 s" in caplog.text
    go_on.set()


def test_an_action_that_goes_on_though_it_is_cancelled_is_left_behind(tmp_path, diary, caplog):
    go_on, begun = threading.Event(), threading.Event()

    class Stubborn(AsyncDiarist):
        @lt.action
        def go_on(self) -> None:
            begun.set()
            go_on.wait(20)

    config: dict[str, Any] = {"settings_folder": str(tmp_path), "stop_timeout": 0.02}
    with lt.ThingServer.from_things({"thing": Stubborn}, **config).test_client() as client:
        client.post("/thing/go_on")
        assert begun.wait(10)
    assert diary == ["enter thing", "exit thing"]
    assert "thing.go_on goes on although it was cancelled" in caplog.text
    go_on.set()


# --- failing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cls", "reason"), [(Broken, "no stage on port 3"), (Unplugged, "unplugged")])
def test_one_that_fails_leaves_the_others_running(client_of, refused, caplog, cls, reason):
    client = client_of({"bad": cls, "good": Stage})
    for method, path in [
        ("GET", "x"),
        ("PUT", "x"),
        ("POST", "x/reset"),
        ("GET", "properties"),
        ("PUT", "properties"),
        ("POST", "home"),
    ]:
        body = 1 if path == "x" else {}
        problem = refused(client.request(method, f"/bad/{path}", json=body), 503, "'bad'", "OSError", reason)
        assert problem["type"] == "urn:labthings:error:thing-failed"
    assert client.get("/bad/actions").json() == []
    assert "'bad' is not available" in caplog.text
    assert client.put("/good/x", json=2).status_code == 204
    assert client.post("/good/home?wait=9").json()["output"] == "home"

    validate_thing_description(client.get("/bad/").json())
    assert client.get("/bad/").json()["properties"].keys() == client.get("/good/").json()["properties"].keys()
    assert set(client.get("/things/").json()) == {"bad", "good"}
    assert client.get("/health").json()["things"]["bad"] == {"state": "failed", "error": f"OSError: {reason}"}
    status = client.server.statuses["bad"]
    assert (status.state, type(status.error)) == ("failed", OSError)


def test_one_that_could_not_enter_is_not_exited(tmp_path, diary):
    with lt.ThingServer.from_things({"stage": Unplugged}, settings_folder=str(tmp_path)).test_client():
        pass
    assert diary == []


def test_one_that_failed_may_succeed_at_the_next_start(tmp_path):
    class Sometimes(lt.Thing):
        plugged = False

        def __enter__(self):
            if not Sometimes.plugged:
                raise OSError("unplugged")
            return self

    server = lt.ThingServer.from_things({"thing": Sometimes}, settings_folder=str(tmp_path))
    with server.test_client():
        assert server.statuses["thing"].state == "failed"
    Sometimes.plugged = True
    with server.test_client():
        assert server.statuses["thing"].state == "running"


def test_an_async_start_that_fails(client_of, refused):
    class Thing(lt.Thing):
        x: int = lt.property(default=1)

        async def __aenter__(self):
            raise OSError("unplugged")

        async def __aexit__(self, *args: Any) -> None:
            raise AssertionError("It was not entered.")

    refused(client_of(Thing).get("/thing/x"), 503, "unplugged")


def test_a_start_that_tries_to_exit_python(client_of, refused):
    class Thing(lt.Thing):
        x: int = lt.property(default=1)

        def __enter__(self):
            raise SystemExit("no licence")

    client = client_of({"thing": Thing, "stage": Stage})
    refused(client.get("/thing/x"), 503, "SystemExit", "no licence")
    assert client.get("/stage/x").json() == 0


def test_an_init_that_tries_to_exit_python(client_of, refused):
    class Exiting(lt.Thing):
        x: int = lt.property(default=1)

        def __init__(self, **kwargs: Any) -> None:
            raise SystemExit("no driver")

    refused(client_of(Exiting).get("/thing/x"), 503, "SystemExit: no driver")


def test_an_init_that_does_not_call_its_superclass(client_of, refused):
    class Thing(lt.Thing):
        x: int = lt.property(default=1)

        def __init__(self, **kwargs: Any) -> None:
            pass

    refused(client_of(Thing).get("/thing/x"), 503, "Thing.__init__", "super().__init__")


@pytest.mark.parametrize("cls", [Broken, Unplugged])
def test_what_needs_one_that_failed_fails_too_and_what_does_not_does_without(client_of, refused, caplog, cls):
    class Needy(Diarist):
        x: float = lt.property(default=0)
        stage: Stage = lt.thing_slot()

    class Needier(Diarist):
        x: float = lt.property(default=0)
        needy: Needy = lt.thing_slot()

    class Modest(Diarist):
        x: float = lt.property(default=0)
        stage: Optional[Stage] = lt.thing_slot()  # noqa: UP045
        stages: Mapping[str, Stage] = lt.thing_slot()

        def __enter__(self):
            assert (self.stage, dict(self.stages)) == (None, {})
            return super().__enter__()

    client = client_of({"needier": Needier, "needy": Needy, "modest": Modest, "stage": cls})
    refused(client.get("/needy/x"), 503, "'needy'", "'stage'")
    refused(client.get("/needier/x"), 503, "'needier'", "'needy'")
    assert client.get("/modest/x").json() == 0
    assert DIARY == ["enter modest"]
    assert "'modest.stage' does without 'stage'" in caplog.text


def test_settings_that_cannot_be_read(client_of, refused, tmp_path):
    class Thing(lt.Thing):
        speed: float = lt.setting(default=1)

    (tmp_path / "settings" / "thing" / "Settings-Thing.json").mkdir(parents=True)
    client = client_of({"thing": Thing, "stage": Stage})
    refused(client.get("/thing/speed"), 503, "'thing'", "Settings-Thing.json")
    assert client.get("/stage/x").json() == 0


# --- starting late ------------------------------------------------------------------------------------------


def test_one_that_takes_long_to_start_starts_in_its_own_time(client_of, refused, caplog, diary):
    go_on = threading.Event()

    class Slow(Stage):
        def __enter__(self):
            go_on.wait(20)
            return super().__enter__()

    class Needy(Diarist):
        x: float = lt.property(default=0)
        slow: Slow = lt.thing_slot()

    client = client_of({"needy": Needy, "slow": Slow, "other": AsyncDiarist}, start_timeout=0.02)
    assert "'slow' is taking too long to start" in caplog.text
    assert client.get("/other/x").json() == 0
    for name in ("slow", "needy"):
        refused(client.get(f"/{name}/x"), 503, name)
    states = {name: each["state"] for name, each in client.get("/health").json()["things"].items()}
    assert (states["slow"], states["other"]) == ("starting", "running")
    assert client.get("/health").json()["status"] == "degraded"

    go_on.set()
    wait_until(lambda: client.get("/health").json()["status"] == "running", client)
    assert client.get("/needy/x").json() == client.get("/slow/x").json() == 0
    assert diary == ["enter other", "enter slow", "enter needy"]


def test_one_that_is_still_starting_does_not_keep_the_server_from_stopping(tmp_path, caplog):
    go_on = threading.Event()

    class Slow(Stage):
        def __enter__(self):
            go_on.wait(20)

    config: dict[str, Any] = {"settings_folder": str(tmp_path), "start_timeout": 0.02, "stop_timeout": 0.02}
    with lt.ThingServer.from_things({"slow": Slow}, **config).test_client():
        pass
    assert "'slow' has not finished starting after 0.02 s" in caplog.text
    go_on.set()


# --- slots --------------------------------------------------------------------------------------------------


class User(lt.Thing):
    stage: Stage = lt.thing_slot()


@pytest.mark.parametrize(
    ("things", "words"),
    [
        ({"user": User}, "there is none"),
        ({"user": User, "one": Stage, "other": Stage}, "one, other"),
        ({"user": {"cls": User, "thing_slots": {"stage": "nobody"}}, "one": Stage}, "nobody"),
        ({"user": {"cls": User, "thing_slots": {"stage": "user"}}, "one": Stage}, "'user' is a User"),
        ({"user": {"cls": User, "thing_slots": {"stage": None}}, "one": Stage}, "given none"),
        ({"user": {"cls": User, "thing_slots": {"stage": ["one", "one"]}}, "one": Stage}, "given 2"),
        (
            {"user": {"cls": User, "thing_slots": {"camera": "one"}}, "one": Stage},
            "camera: User has no such thing slot",
        ),
    ],
)
def test_slots_that_cannot_be_filled(things, words):
    with pytest.raises(ThingSlotError, match=words) as raised:
        lt.ThingServer.from_things(things)
    assert "user" in str(raised.value)


def test_a_thing_that_failed_still_fits_its_slot(client_of, refused):
    things = {"user": {"cls": User, "thing_slots": {"stage": "bad"}}, "bad": Broken, "good": Stage}
    client = client_of(things)
    assert client.server.statuses["user"].state == "failed"
    assert client.server.statuses["good"].state == "running"
