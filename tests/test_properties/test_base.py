"""Types, constraints and who may write: the same for all properties."""

import decimal
import enum
import json
import socket
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

import labthings as lt
from labthings.exceptions import InvalidValueError, UnserialisableTypeError, UnsupportedConstraintError
from labthings.properties.base import CONSTRAINTS

INFINITY = float("inf")


def put(client: Any, value: Any) -> Any:
    return client.put("/stage/x", content=json.dumps(value), headers={"content-type": "application/json"})


constrained = pytest.mark.parametrize(
    ("kind", "constraints", "good", "bad"),
    [
        (int, {"gt": 0}, 1, 0),
        (int, {"ge": 0}, 0, -1),
        (int, {"lt": 10}, 9, 10),
        (float, {"le": 10}, 10.0, 10.5),
        (int, {"multiple_of": 5}, 10, 12),
        (str, {"min_length": 2}, "ab", "a"),
        (list[int], {"max_length": 2}, [1, 2], [1, 2, 3]),
        (str, {"pattern": "^a+$"}, "aa", "b"),
        (float, {"allow_inf_nan": False}, 1.0, INFINITY),
        (int | None, {"ge": 0}, None, -1),
    ],
)


def data_property(kind: Any, constraints: dict[str, Any], good: Any) -> type[lt.Thing]:
    class Stage(lt.Thing):
        x: kind = lt.property(default=good, **constraints)

    return Stage


def functional_property(kind: Any, constraints: dict[str, Any], good: Any) -> type[lt.Thing]:
    class Stage(lt.Thing):
        @lt.property
        def x(self) -> kind:
            return self.__dict__.get("stored", good)

        @x.setter
        def _set_x(self, value: kind) -> None:
            self.stored = value

        x.constraints = constraints

    return Stage


@constrained
@pytest.mark.parametrize("make", [data_property, functional_property])
def test_constraints_hold_in_python_and_over_http(
    serve: Any, make: Any, kind: Any, constraints: dict[str, Any], good: Any, bad: Any
) -> None:
    server, client = serve({"stage": make(kind, constraints, good)})
    stage = server.things["stage"]
    with pytest.raises(InvalidValueError, match=r"^stage\.x: ") as caught:
        stage.x = bad
    assert caught.value.errors[0]["type"]
    assert put(client, bad).status_code == 422
    assert stage.x == good
    assert put(client, good).status_code == 204


@pytest.mark.parametrize("make", [data_property, functional_property])
def test_a_whole_number_may_have_a_decimal_point_and_its_limits_hold(serve: Any, make: Any) -> None:
    server, client = serve({"stage": make(int, {"ge": 0}, 1)})
    assert put(client, 2.0).status_code == 204
    assert (server.things["stage"].x, type(server.things["stage"].x)) == (2, int)
    for path, body in (("/stage/x", -1.0), ("/stage/properties", {"x": -1.0}), ("/stage/x", 1.5), ("/stage/x", "3")):
        response = client.put(path, json=body)
        assert (response.status_code, response.json()["title"]) == (422, "InvalidValueError")
    assert server.things["stage"].x == 2


def test_those_are_all_constraints_there_are() -> None:
    allowed = {"gt", "ge", "lt", "le", "multiple_of", "allow_inf_nan", "min_length", "max_length", "pattern"}
    assert allowed == CONSTRAINTS


@pytest.mark.parametrize("declare", [lt.property, lt.setting])
def test_another_constraint_is_refused_by_name(declare: Any) -> None:
    with pytest.raises(
        UnsupportedConstraintError, match=r"no constraint deprecated, gte\. There are: .*ge.*multiple_of"
    ):
        declare(default=0, gte=1, deprecated=True, ge=0)


def test_another_constraint_of_a_functional_property_is_refused_too() -> None:
    with pytest.raises(UnsupportedConstraintError, match="no constraint maximum"):

        class Stage(lt.Thing):
            @lt.property
            def x(self) -> int:
                return 1

            x.constraints = {"maximum": 1}  # noqa: RUF012


def test_a_constraint_that_does_not_apply_to_the_type_is_refused_when_the_class_is_defined() -> None:
    with pytest.raises(UnsupportedConstraintError, match=r"'Stage\.x' cannot be validated: .*multiple_of"):

        class Stage(lt.Thing):
            x: str = lt.property(default="a", multiple_of=2)


def test_a_constraint_that_does_not_apply_to_a_value_is_named(serve: Any) -> None:
    class Stage(lt.Thing):
        x: int | str = lt.property(default=1, ge=0)

    server, client = serve({"stage": Stage})
    with pytest.raises(UnsupportedConstraintError, match=r"'Stage\.x' cannot be validated"):
        server.things["stage"].x = "a"
    response = put(client, "a")
    assert response.status_code == 500
    assert "Do its constraints (ge) apply to its type?" in response.json()["detail"]
    assert client.get("/stage/x").json() == 1


def test_a_type_that_has_no_json_form_is_refused_when_the_class_is_defined() -> None:
    with pytest.raises(UnserialisableTypeError, match=r"The type of 'Stage\.connection' has no JSON form"):

        class Stage(lt.Thing):
            connection: socket.socket = lt.property(default=None)


def test_constraints_of_the_annotation_hold_as_well(serve: Any) -> None:
    class Stage(lt.Thing):
        x: Annotated[int, Field(ge=0)] = lt.property(default=1, lt=10)

    stage = serve({"stage": Stage})[0].things["stage"]
    for bad in (-1, 10):
        with pytest.raises(InvalidValueError):
            stage.x = bad
    assert stage.x == 1


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Limits(BaseModel):
    low: float
    high: float | None = None


@pytest.mark.parametrize(
    ("kind", "sent", "stored"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (bool, True, True),
        (str, "3", "3"),
        (bytes, "abc", b"abc"),
        (None, None, None),
        (Any, {"a": [1, None]}, {"a": [1, None]}),
        (list[int], [1, 2], [1, 2]),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[int], [1, 2], {1, 2}),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
        (Literal["on", "off"], "off", "off"),
        (Colour, "blue", Colour.BLUE),
        (Limits, {"low": 1}, Limits(low=1)),
        (int | str, "a", "a"),
        (int | None, None, None),
        (datetime, "2020-01-02T03:04:05", datetime(2020, 1, 2, 3, 4, 5)),
        (timedelta, "PT90S", timedelta(seconds=90)),
        (decimal.Decimal, "1.50", decimal.Decimal("1.50")),
    ],
)
def test_any_type_that_pydantic_knows_goes_there_and_back(serve: Any, kind: Any, sent: Any, stored: Any) -> None:
    class Stage(lt.Thing):
        x: kind = lt.property(default=stored)

    server, client = serve({"stage": Stage})
    assert put(client, sent).status_code == 204
    assert server.things["stage"].x == stored
    assert type(server.things["stage"].x) is type(stored)
    read = client.get("/stage/x").json()
    assert put(client, read).status_code == 204
    assert server.things["stage"].x == stored


def test_what_does_not_fit_names_what_is_wrong_and_where(serve: Any) -> None:
    class Stage(lt.Thing):
        limits: list[Limits] = lt.property(default_factory=list)

    stage = serve({"stage": Stage})[0].things["stage"]
    with pytest.raises(InvalidValueError) as caught:
        stage.limits = [{"low": 1}, {"low": "wide"}]
    assert caught.value.errors[0]["loc"] == [1, "low"]
    assert caught.value.errors[0].keys() == {"loc", "msg", "type"}
    assert str(caught.value).startswith("stage.limits: 1.low: Input should be a valid number")
    assert isinstance(caught.value, ValueError)


# --- how they are declared ----------------------------------------------------------------------------------


@pytest.mark.parametrize("declare", [lt.property, lt.setting])
def test_a_default_that_is_not_named_is_refused(declare: Any) -> None:
    with pytest.raises(lt.properties.MissingDefaultError, match="`default=3`"):
        declare(3)


@pytest.mark.parametrize("declare", [lt.property, lt.setting])
@pytest.mark.parametrize("extra", [{"default": 1}, {"default_factory": int}])
def test_a_getter_and_a_default_are_too_much(declare: Any, extra: dict[str, Any]) -> None:
    with pytest.raises(lt.properties.OverspecifiedDefaultError):
        declare(lambda self: 1, **extra)


@pytest.mark.parametrize("declare", [lt.property, lt.setting])
def test_a_data_property_needs_one_default(declare: Any) -> None:
    with pytest.raises(lt.properties.MissingDefaultError, match="getter takes no brackets"):
        declare(readonly=True)
    with pytest.raises(lt.properties.OverspecifiedDefaultError):
        declare(default=1, default_factory=int)
    assert declare(default=None).default_value  # None is a default


def test_the_errors_of_properties_are_where_they_are_looked_for() -> None:
    assert issubclass(lt.properties.MissingDefaultError, ValueError)
    assert issubclass(lt.properties.OverspecifiedDefaultError, ValueError)
    assert lt.properties.MissingDefaultError is lt.exceptions.MissingDefaultError
