"""Bad input gets one clear error that names the Thing and the attribute, and harms nothing else."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, PlainSerializer

import labthings as lt
from labthings import exceptions
from labthings.logs import THINGS_LOGGER

JSON = {"content-type": "application/json"}


class Point(BaseModel):
    x: float
    y: float = 0


class Circular:
    """Cannot be serialised, being its own part."""

    def __init__(self) -> None:
        self.part = {"self": self}


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError("not even this")


class Robot(lt.Thing):
    speed: float = lt.property(default=1.0, gt=0)
    point: Point = lt.property(default=Point(x=0))
    names: list[str] = lt.property(default_factory=list)
    anything: Any = lt.property(default=None)
    serial: str = lt.property(default="R", readonly=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.answer: Any = 1
        self.error: BaseException | None = None

    @lt.property
    def integer(self) -> int:
        return self.given()

    @integer.setter
    def _set_integer(self, value: int) -> None:
        self.given()

    @integer.resetter
    def _reset_integer(self) -> None:
        self.given()

    @lt.property
    async def coroutine(self) -> int:
        return self.given()

    @coroutine.setter
    async def _set_coroutine(self, value: int) -> None:
        self.given()

    @lt.property
    def whatever(self) -> Any:
        return self.given()

    @lt.action
    def move(self, point: Point, times: int = 1) -> int:
        return self.given()

    @lt.action
    def stop(self) -> Any:
        return self.given()

    @lt.action
    async def stop_async(self) -> int:
        return self.given()

    def given(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.answer


class Fine(lt.Thing):
    x: float = lt.property(default=1.0)

    @lt.action
    def act(self) -> int:
        return 1


@pytest.fixture
def client(client_of) -> Iterator[Any]:
    """A client of a robot and of another Thing, which both work after whatever a test has done."""
    client = client_of({"robot": Robot, "fine": Fine}, maximum_body_size=10_000)
    yield client
    robot = client.server.things["robot"]
    robot.answer, robot.error = 7, None
    assert client.put("/robot/properties", json={"speed": 3, "integer": 7}).status_code == 204
    values = client.get("/robot/properties").json()
    assert [values[name] for name in ("speed", "integer", "coroutine", "whatever")] == [3, 7, 7, 7]
    assert client.post("/robot/stop?wait=9").json()["output"] == 7
    assert client.post("/fine/act?wait=9").json()["output"] == 1


@pytest.fixture
def robot(client) -> Robot:
    thing: Robot = client.server.things["robot"]
    return thing


# --- requests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("speed", "fast"),
        ("speed", None),
        ("speed", [1.0]),
        ("speed", {}),
        ("speed", -1),
        ("speed", 0),
        ("point", {"y": 1}),
        ("point", {"x": "left"}),
        ("point", [1, 2]),
        ("point", 5),
        ("point", None),
        ("names", "ab"),
        ("names", {"a": 1}),
        ("names", ["a", 2]),
        ("names", [["a"]]),
        ("integer", 1.5),
        ("integer", "one"),
        ("coroutine", "one"),
    ],
)
def test_wrong_types_and_shapes(client, refused, name, value):
    body = json.dumps(value)
    before = client.get(f"/robot/{name}").json()
    assert refused(client.put(f"/robot/{name}", content=body, headers=JSON), 422, f"robot.{name}")["errors"]
    problem = refused(client.put("/robot/properties", content=f'{{"{name}": {body}}}', headers=JSON), 422, "robot")
    assert problem["errors"][0]["loc"][0] == name
    assert name in problem["detail"]
    assert client.get(f"/robot/{name}").json() == before


@pytest.mark.parametrize(
    "arguments",
    [{}, {"point": 1}, {"point": {"x": 1}, "times": "often"}, {"point": {"x": 1}, "tmes": 1}, [], "x", 1, None],
)
def test_wrong_arguments(client, refused, arguments):
    body = json.dumps(arguments)
    assert refused(client.post("/robot/move", content=body, headers=JSON), 422, "robot.move")["errors"]
    assert client.get("/robot/move").json() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/robot/speed"),
        ("DELETE", "/robot/speed"),
        ("PATCH", "/robot/speed"),
        ("PUT", "/robot/serial"),
        ("PUT", "/robot/whatever"),
        ("PUT", "/robot/stop"),
        ("DELETE", "/robot/stop"),
        ("GET", "/robot/speed/reset"),
        ("POST", "/robot/properties"),
        ("POST", "/robot/"),
        ("DELETE", "/robot/"),
        ("PUT", "/things"),
        ("POST", "/action_invocations"),
        ("POST", "/action_invocations/x"),
        ("BREW", "/robot/speed"),
    ],
)
def test_wrong_methods(client, refused, method, path):
    response = client.request(method, path)
    refused(response, 405, path, method, response.headers["allow"])
    assert method not in response.headers["allow"].split(", ")


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/robot/speed"), ("PUT", "/robot/properties"), ("POST", "/robot/move"), ("POST", "/robot/stop")],
)
@pytest.mark.parametrize("media_type", ["text/plain", "multipart/form-data; boundary=x", "application/xml", ""])
def test_wrong_media_types(client, refused, method, path, media_type):
    body = b'{"point": {"x": 1}}' if path.endswith("move") else b"{}"
    headers = {"content-type": media_type} if media_type else {}
    refused(client.request(method, path, content=body, headers=headers), 415, "application/json")


@pytest.mark.parametrize(
    "body", [b"{", b"[1", b'{"a": }', b"\xff\xfe", b"1,", b"undefined", b'{"a": 1}}', b'"\\x"', b"[" * 9000]
)
@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("PUT", "speed", "robot.speed"),
        ("PUT", "anything", "robot.anything"),
        ("PUT", "properties", "robot.properties"),
        ("POST", "move", "robot.move"),
        ("POST", "stop", "robot.stop"),
    ],
)
def test_broken_json(client, refused, method, path, name, body):
    refused(client.request(method, f"/robot/{path}", content=body, headers=JSON), 422, name, "JSON")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nobody/", 404),
        ("/nobody/speed", 404),
        ("/robot/sped", 404),
        ("/robot/__class__", 404),
        ("/robot/_set_integer", 404),
        ("/robot/given", 404),
        ("/robot/speed/nope", 404),
        ("/robot/serial/reset", 404),
        ("/action_invocations/nope", 404),
        ("/action_invocations/nope/output", 404),
        ("/things/nope", 404),
    ],
)
def test_unknown_names_and_ids(client, refused, path, status):
    name = path.removesuffix("/output").strip("/").rpartition("/")[2]
    refused(client.get(path), status, name)


def test_unknown_names_among_several(client, refused):
    problem = refused(client.put("/robot/properties", json={"speed": 2, "sped": 3}), 422, "robot.properties", "sped")
    assert problem["errors"][0]["loc"] == ["sped"]
    assert client.get("/robot/speed").json() == 1


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/robot/anything"), ("PUT", "/robot/properties"), ("POST", "/robot/move")]
)
def test_oversized_bodies(client, refused, method, path):
    refused(client.request(method, path, content=b'"%b"' % (b"x" * 10_000), headers=JSON), 413, "10000 bytes")


@pytest.mark.parametrize("query", ["wait=long", "wait=", "wait", "wait=1e999", "wait=nan"])
def test_nonsense_in_the_query(client, refused, query):
    refused(client.post(f"/robot/stop?{query}&x"), 400, "'wait'")
    id = client.post("/robot/stop?wait=9").json()["id"]
    refused(client.get(f"/action_invocations/{id}?{query}&x"), 400, "'wait'")


@pytest.mark.parametrize("wait", ["-1", "0", "1e3", "1e308", "00.1"])
def test_odd_but_possible_waits(client, wait):
    assert client.post(f"/robot/stop?wait={wait}").status_code in (200, 201)


# --- what the Things' own code raises and returns -----------------------------------------------------------

GETTERS = ["integer", "coroutine", "whatever"]


@pytest.mark.parametrize("error", [OSError("unplugged"), KeyError("x"), AttributeError("y"), RecursionError("z")])
@pytest.mark.parametrize("name", GETTERS)
def test_a_getter_that_raises(client, robot, refused, name, error):
    robot.error = error
    assert refused(client.get(f"/robot/{name}"), 500, f"robot.{name}", str(error))["title"] == type(error).__name__
    refused(client.get("/robot/properties"), 500, "robot.")


@pytest.mark.parametrize("error", [SystemExit("bye"), KeyboardInterrupt("bye"), StopIteration("bye")])
@pytest.mark.parametrize("name", ["integer", "whatever"])
def test_a_getter_that_raises_what_is_not_an_error(client, robot, refused, name, error):
    robot.error = error
    refused(client.get(f"/robot/{name}"), 500, f"robot.{name}", type(error).__name__)


@pytest.mark.parametrize(("name", "method"), [("integer", "PUT"), ("coroutine", "PUT"), ("integer/reset", "POST")])
def test_a_setter_or_resetter_that_raises(client, robot, refused, name, method):
    robot.error = OSError("jammed")
    problem = refused(
        client.request(method, f"/robot/{name}", json=1), 500, f"robot.{name.partition('/')[0]}", "jammed"
    )
    assert problem["title"] == "OSError"


@pytest.mark.parametrize("name", GETTERS)
def test_an_error_that_says_nothing(client, robot, refused, name):
    robot.error = ZeroDivisionError()
    refused(client.get(f"/robot/{name}"), 500, f"robot.{name}", "ZeroDivisionError")


@pytest.mark.parametrize("name", GETTERS)
def test_an_error_that_cannot_be_encoded(client, robot, refused, name):
    robot.error = FileNotFoundError("no file b\udcff.tif")
    refused(client.get(f"/robot/{name}"), 500, f"robot.{name}", "no file b")


@pytest.mark.parametrize("name", GETTERS)
def test_an_error_that_cannot_be_printed(client, robot, refused, name):
    robot.error = UnprintableError()
    refused(client.get(f"/robot/{name}"), 500, f"robot.{name}", "UnprintableError")


@pytest.mark.parametrize("value", ["one", None, 1.5, [1], Point(x=1), object()])
@pytest.mark.parametrize("name", ["integer", "coroutine"])
def test_a_getter_that_returns_the_wrong_type(client, robot, refused, name, value):
    robot.answer = value
    problem = refused(client.get(f"/robot/{name}"), 500, f"robot.{name}", "integer")
    assert problem["title"] == "InvalidReturnValueError"


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


UNSERIALISABLE: list[Any] = [object(), {1, object()}, lambda: None, Circular(), "\udcff", {"a": b"\xff"}, nested(5000)]
NAMES = ["object", "set", "function", "circular", "surrogate", "bytes", "nested"]


@pytest.mark.parametrize("value", UNSERIALISABLE, ids=NAMES)
def test_a_getter_that_returns_something_unserialisable(client, robot, refused, value):
    robot.answer = value
    problem = refused(client.get("/robot/whatever"), 500, "robot.whatever", "JSON")
    assert problem["title"] == "InvalidReturnValueError"


@pytest.mark.parametrize("value", UNSERIALISABLE, ids=NAMES)
def test_a_data_property_that_holds_something_unserialisable(client, robot, refused, value):
    robot.anything = value
    refused(client.get("/robot/anything"), 500, "robot.anything", "JSON")
    refused(client.get("/robot/properties"), 500, "robot.anything")
    robot.anything = 1
    assert client.get("/robot/anything").json() == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": -math.inf}])
def test_numbers_that_json_has_not(client, robot, value):
    robot.answer = value
    assert client.get("/robot/whatever").json() in (None, {"a": None})


def test_a_serialiser_that_raises(client_of, refused):
    def fail(value: int) -> int:
        raise KeyError("no such unit")

    class Thing(lt.Thing):
        x: Annotated[int, PlainSerializer(fail)] = lt.property(default=1)
        y: int = lt.property(default=2)

    client = client_of(Thing)
    refused(client.get("/thing/x"), 500, "thing.x", "no such unit")
    assert client.get("/thing/y").json() == 2
    assert client.get("/thing/").status_code == 200


def test_a_default_factory_that_raises(client_of, refused):
    def fail() -> int:
        raise OSError("no default today")

    class Thing(lt.Thing):
        x: int = lt.property(default_factory=fail)
        y: int = lt.property(default=2)

    client = client_of(Thing)
    refused(client.get("/thing/x"), 500, "thing.x", "no default today")
    refused(client.post("/thing/x/reset"), 500, "thing.x", "no default today")
    assert client.put("/thing/x", json=1).status_code == 204
    assert client.get("/thing/properties").json() == {"x": 1, "y": 2}


def test_a_default_factory_that_raises_is_left_out_of_the_description(client_of):
    def fail() -> int:
        raise OSError("no default today")

    class Thing(lt.Thing):
        x: int = lt.property(default_factory=fail)

    assert "default" not in client_of(Thing).get("/thing/").json()["properties"]["x"]


# --- what actions raise and return --------------------------------------------------------------------------

ACTIONS = ["stop", "stop_async"]


@pytest.mark.parametrize(
    "error",
    [
        OSError("jammed"),
        exceptions.InvocationError("jammed"),
        SystemExit("jammed"),
        FileNotFoundError("jammed \udcff"),
    ],
    ids=["error", "invocation-error", "exit", "surrogate"],
)
@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_that_raises(client, robot, action, error):
    robot.error = error
    told = client.post(f"/robot/{action}?wait=9").json()
    assert told["status"] == "error"
    assert told["error"]["title"] == type(error).__name__
    assert told["error"]["detail"]
    assert action in told["log"][-1]["message"]
    assert client.get(told["href"]).json() == told


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_that_raises_what_cannot_be_printed(client_of, monkeypatch, action):
    monkeypatch.setattr(THINGS_LOGGER, "propagate", False)  # pytest's own handler fails on purpose
    client = client_of({"robot": Robot}, stop_timeout=0.01)
    client.server.things["robot"].error = UnprintableError()
    told = client.post(f"/robot/{action}?wait=1").json()
    assert (told["status"], told["error"]["title"]) == ("error", "UnprintableError")


@pytest.mark.parametrize(("action", "value"), [("stop_async", "x"), ("stop_async", None), ("stop", object())])
def test_an_action_that_returns_what_does_not_fit(client, robot, action, value):
    robot.answer = value
    told = client.post(f"/robot/{action}?wait=9").json()
    assert (told["status"], told["error"]["title"]) == ("error", "InvalidReturnValueError")
    assert f"robot.{action}" in told["error"]["detail"]


@pytest.mark.parametrize("value", UNSERIALISABLE, ids=NAMES)
def test_an_action_that_returns_something_unserialisable(client, robot, value):
    robot.answer = value
    told = client.post("/robot/stop?wait=9").json()
    assert (told["status"], told["error"]["title"]) == ("error", "InvalidReturnValueError")


def test_an_action_that_returns_something_although_it_says_it_does_not(client_of):
    class Thing(lt.Thing):
        @lt.action
        def act(self) -> None:
            return 5  # type: ignore[return-value]

    told = client_of(Thing).post("/thing/act?wait=9").json()
    assert (told["status"], told["error"]["title"]) == ("error", "InvalidReturnValueError")
    assert "thing.act" in told["error"]["detail"]


@pytest.mark.parametrize("record", [("%d pieces", "three"), ("%s", UnprintableError()), ("\udcff",), (object(),)])
def test_an_action_that_logs_nonsense(client_of, monkeypatch, record):
    monkeypatch.setattr(THINGS_LOGGER, "propagate", False)  # pytest's own handler fails on purpose

    class Thing(lt.Thing):
        @lt.action
        def act(self) -> int:
            self.logger.info(*record)
            self.logger.info("later")
            return 5

    client = client_of(Thing)
    told = client.post("/thing/act?wait=9").json()
    assert (told["status"], told["output"]) == ("completed", 5)
    assert told["log"][-1]["message"] == "later"
    assert client.get(told["href"]).json() == told


@pytest.mark.parametrize(
    "fraction",
    [
        math.nan,
        math.inf,
        -1,
        2,
    ],
)
def test_progress_that_makes_no_sense(client_of, fraction):
    class Thing(lt.Thing):
        @lt.action
        def act(self) -> int:
            lt.report_progress(fraction)
            return 5

    response = client_of(Thing).post("/thing/act?wait=9")
    told = json.loads(response.content, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (told["status"], told["output"]) == ("completed", 5)


# --- classes and names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("things", "words"),
    [
        ({"thing": int}, "int"),
        ({"thing": "labthings.thing:Nope"}, "Nope"),
        ({"thing": "no_such_module:Thing"}, "no_such_module"),
        ({"thing": "json:loads"}, "loads"),
        ({"a b": Fine}, "a b"),
        ({"": Fine}, "letters"),
        ({"größe": Fine}, "größe"),
        ({"things": Fine}, "things"),
        ({"docs": Fine}, "docs"),
        ({"thing": {"cls": Fine, "kwargs": {"nope": 1}}}, "nope"),
        ({"thing": {"cls": Fine, "nope": 1}}, "nope"),
        ({"thing": {}}, "class"),
        ({"thing": None}, "thing"),
    ],
)
def test_configurations_that_cannot_be_used(things: Mapping[str, Any], words: str):
    with pytest.raises(exceptions.ConfigurationError, match=words):
        lt.ThingServer.from_things(things)


@pytest.mark.parametrize("name", ["properties", "actions", "events", "ws", "forms", "name", "logger"])
def test_names_of_affordances_that_are_taken(name):
    def act(self: Any) -> None:
        pass

    act.__name__ = name
    with pytest.raises(exceptions.ReservedNameError, match=f"Thing.{name}'"):
        type("Thing", (lt.Thing,), {name: lt.action(act)})


def test_duplicate_names():
    with pytest.raises(exceptions.PropertyRedefinitionError, match="'x' has two setters"):

        class Setters(lt.Thing):
            @lt.property
            def x(self) -> int:
                return 1

            @x.setter
            def _set_x(self, value: int) -> None:
                pass

            @x.setter
            def _set_x_too(self, value: int) -> None:
                pass

    with pytest.raises((exceptions.DescriptorAddedToClassTwiceError, RuntimeError)):

        class Attributes(lt.Thing):
            x: int = lt.property(default=1)
            y: int = x


def test_an_endpoint_with_the_name_of_another():
    class Thing(lt.Thing):
        @lt.endpoint("get", "page")
        def one(self) -> str:
            return ""

        @lt.endpoint("get", "page")
        def other(self) -> str:
            return ""

    with pytest.raises(exceptions.ConfigurationError, match=r"'Thing\.other' and 'Thing\.one'"):
        lt.ThingServer.from_things({"thing": Thing})


@pytest.mark.parametrize("place", ["__init__", "__enter__", "__aenter__"])
def test_a_thing_that_fails_to_start(client_of, refused, place):
    def fail(self: Any, **kwargs: Any) -> None:
        raise OSError("unplugged")

    async def fail_async(self: Any) -> None:
        raise OSError("unplugged")

    broken = type("Broken", (Robot,), {place: fail_async if place == "__aenter__" else fail})
    client = client_of({"broken": broken, "fine": Fine})
    for method, name, body in [
        ("GET", "speed", None),
        ("PUT", "speed", 1),
        ("POST", "stop", None),
        ("GET", "properties", None),
        ("GET", "integer", None),
    ]:
        refused(client.request(method, f"/broken/{name}", json=body), 503, "'broken'", "OSError", "unplugged")
    assert client.get("/health").json()["things"]["broken"]["error"] == "OSError: unplugged"
    assert client.get("/broken/").status_code == 200
    assert client.get("/fine/x").json() == 1
    assert client.post("/fine/act?wait=9").json()["output"] == 1
