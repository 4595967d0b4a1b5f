"""The class that a scientist subclasses."""

import logging
import threading
from typing import Any

import pytest

import labthings as lt
from labthings.exceptions import NotConnectedToServerError, ReservedNameError


class Stage(lt.Thing):
    """A stage."""

    position: int = lt.property(default=0)

    def __init__(self, thing_server_interface: lt.ThingServerInterface, length: int = 5) -> None:
        super().__init__(thing_server_interface)
        self.length, self.seen = length, []

    def __enter__(self) -> "Stage":
        self.seen.append(("enter", threading.current_thread().name))
        return self

    def __exit__(self, *exception: object) -> None:
        self.seen.append(("exit", exception))


class AsyncStage(lt.Thing):
    seen: list[str]

    async def __aenter__(self) -> "AsyncStage":
        self.seen = [threading.current_thread().name]
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.seen.append("exit")


def test_it_knows_its_name_path_and_logger(serve: Any) -> None:
    server, _ = serve({"xy": Stage}, api_prefix="/api")
    stage = server.things["xy"]
    assert (stage.name, stage.path) == ("xy", "/api/xy/")
    assert isinstance(stage.logger, logging.Logger)
    assert stage.thing_state == {}
    assert isinstance(stage._thing_server_interface, lt.ThingServerInterface)


def test_arguments_come_from_the_configuration(serve: Any) -> None:
    server, _ = serve(
        {"a": Stage, "b": {"cls": Stage, "kwargs": {"length": 7}}, "c": {"class": Stage, "kwargs": {"length": 8}}}
    )
    assert [server.things[name].length for name in "abc"] == [5, 7, 8]


def test_it_is_entered_and_exited_with_the_server(tmp_path: Any) -> None:
    server = lt.ThingServer.from_things({"stage": Stage, "later": AsyncStage}, settings_folder=str(tmp_path))
    stage: Any = server.things["stage"]
    assert stage.seen == []
    with server.test_client():
        ((kind, thread),) = stage.seen
        assert kind == "enter"
        assert thread.startswith("stage"), "it may take its time without holding up the event loop"
    assert stage.seen[1:] == [("exit", (None, None, None))]
    later: Any = server.things["later"]
    assert later.seen[1:] == ["exit"]


def test_entering_and_exiting_a_bare_thing_does_nothing(serve: Any) -> None:
    class Bare(lt.Thing):
        pass

    bare = serve({"bare": Bare})[0].things["bare"]
    with bare as entered:
        assert entered is bare
    with pytest.raises(ZeroDivisionError), bare:
        _ = 1 / 0


def test_the_title_is_the_name_of_the_class_unless_it_is_given() -> None:
    class Titled(Stage):
        title = "My stage"

    class Untitled(Titled):
        pass

    assert (lt.Thing.title, Stage.title, Titled.title, Untitled.title) == ("Thing", "Stage", "My stage", "Untitled")


def test_the_description_has_title_and_docstring(serve: Any) -> None:
    described = serve({"stage": Stage})[1].get("/stage/").json()
    assert (described["title"], described["description"]) == ("Stage", "A stage.")


@pytest.mark.parametrize(
    "name", ["properties", "actions", "events", "ws", "forms", "name", "title", "settings", "path"]
)
@pytest.mark.parametrize(
    "declare",
    [lambda: lt.property(default=1), lambda: lt.action(lambda self: None), lambda: lt.endpoint("get")(lambda self: 1)],
)
def test_names_that_labthings_uses_are_refused_when_the_class_is_defined(name: str, declare: Any) -> None:
    with pytest.raises(ReservedNameError, match=rf"'Bad\.{name}' must have another name"):
        type("Bad", (lt.Thing,), {name: declare(), "__annotations__": {name: int}})


def test_a_thing_that_is_used_before_it_is_connected_says_what_to_do() -> None:
    class Hasty(lt.Thing):
        x: int = lt.property(default=1)

        def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
            self.x = 2
            super().__init__(thing_server_interface)

    interface: Any = object()
    with pytest.raises(NotConnectedToServerError, match=r"In `Hasty.__init__`, call `super\(\).__init__\(thing_server"):
        Hasty(interface)
    with pytest.raises(NotConnectedToServerError):
        _ = Hasty.__new__(Hasty).name


def test_a_thing_that_never_calls_super_fails_and_no_other_does(serve: Any) -> None:
    class Forgetful(lt.Thing):
        def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
            pass

    server, client = serve({"forgetful": Forgetful, "stage": Stage})
    assert isinstance(server.statuses["forgetful"].error, NotConnectedToServerError)
    assert client.get("/stage/position").json() == 0


def test_class_settings_are_a_typed_dictionary() -> None:
    class Quick(lt.Thing):
        _class_settings: Any = lt.ThingClassSettings(validate_properties_on_set=False)

    assert Quick._class_settings == {"validate_properties_on_set": False}
    assert lt.ThingClassSettings.__annotations__.keys() == {"validate_properties_on_set"}
    assert lt.Thing._class_settings == {}


def test_an_attribute_error_in_a_things_code_is_not_swallowed(serve: Any) -> None:
    class Wrong(lt.Thing):
        @lt.property
        def x(self) -> int:
            return self.no_such_attribute  # type: ignore[attr-defined, no-any-return]

    server, client = serve({"wrong": Wrong})
    with pytest.raises(AttributeError, match="no_such_attribute"):
        _ = server.things["wrong"].x
    response = client.get("/wrong/x")
    assert (response.status_code, response.json()["title"]) == (500, "AttributeError")
    assert "no_such_attribute" in response.json()["detail"]
