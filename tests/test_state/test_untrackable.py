"""What could change without anybody noticing is refused when its class is made, or it itself when it is put there."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import numpy
import pytest
from pydantic import BaseModel, ConfigDict, Field, InstanceOf, Json, RootModel, create_model
from typing_extensions import TypedDict

from labthings.exceptions import UntrackableTypeError
from labthings.state import Document, ReactiveModel
from labthings.types.numpy import NDArray


class Plain(BaseModel):
    number: int = 0


class Child(ReactiveModel):
    number: int = 0


class Bytes(ReactiveModel):
    model_config = ConfigDict(ser_json_bytes="base64")
    content: bytes = b""


@dataclass
class Mutable:
    number: int = 0


@dataclass(frozen=True)
class Immutable:
    number: int = 0


@dataclass(frozen=True)
class Holding:
    child: Child


class Typed(TypedDict):
    number: int


class Pair(NamedTuple):
    one: int
    other: int


class Side(Enum):
    LEFT = "left"


REFUSED = {
    "a set": set[int],
    "a Plain, which is a plain model": Plain,
    "a ReactiveModel as Plain": list[dict[str, Plain | None]],
    "a RootModel[list[int]], which is a plain model": RootModel[list[int]],
    "a Mutable, which is a dataclass": Mutable,
    "a dataclass that holds a model": Holding,
    "a TypedDict": Typed,
    "a tuple that holds a model": tuple[Child, ...],
    "a tuple that holds a list or dict": tuple[int, list[int]],
    "a frozenset that holds a model": frozenset[Child],
    "an iterator": Iterable[int],
    "a deque": deque[int],
    "holds a": OrderedDict[str, int],
    "holds a ": Counter[str],
    "a defaultdict": defaultdict[str, int],
    "a Sequence": Sequence[int],
    "keys are no strings": dict[int, str],
    "keys are no strings, as": dict[str, dict[Side, int]],
    "one of several kinds of lists": list[int] | list[str],
    "one of several kinds of dicts": dict[str, int] | dict[str, str],
    "a json that holds a list or dict": Json[list[int]],
    "an instance of Child": InstanceOf[Child],
    "whose `ser_json_bytes` is not that of": Bytes,
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_field_of_that_type_is_refused_when_the_class_is_made(what: str) -> None:
    with pytest.raises(UntrackableTypeError) as caught:
        create_model("State", __base__=ReactiveModel, field=(REFUSED[what], ...))
    assert what in str(caught.value)
    assert "State.field" in str(caught.value)


ACCEPTED: dict[str, tuple[Any, Any]] = {
    "a tuple of numbers": (tuple[int, ...], (1, 2)),
    "a named tuple": (Pair, Pair(1, 2)),
    "a frozenset": (frozenset[str], frozenset("a")),
    "an immutable dataclass": (Immutable, Immutable(3)),
    "a list of lists of dicts of models": (list[list[dict[str, Child]]], [[{"a": Child()}]]),
    "an enumeration": (Side, Side.LEFT),
    "bytes": (bytes, b"a"),
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_a_field_of_that_type_is_fine(what: str, follow: Any) -> None:
    kind, value = ACCEPTED[what]
    state = create_model("State", __base__=ReactiveModel, field=(kind | None, None))()
    replica = follow(state)
    state.field = value  # type: ignore[attr-defined]
    replica.check()


class Anything(ReactiveModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    field: Any = None
    fields: list[Any] = Field([])


class Names(list[str]):
    pass


@pytest.mark.parametrize(
    "value",
    [
        {1},
        bytearray(b"a"),
        deque([1]),
        Plain(),
        Mutable(),
        Names("a"),
        OrderedDict(a=1),
        ([1],),
        (Child(),),
        [{"a": {1}}],
    ],
    ids=repr,
)
def test_a_value_of_that_kind_is_refused_where_anything_may_be(value: Any, follow: Any) -> None:
    state = Anything()
    replica = follow(state)
    with pytest.raises(UntrackableTypeError, match=r"'Anything\.field' holds a .* Use a .* instead\."):
        state.field = value
    with pytest.raises(UntrackableTypeError, match=r"Anything\.fields"):
        state.fields.append(value)
    with pytest.raises(UntrackableTypeError):
        Anything(field=value)
    assert (state.field, state.fields, replica.patches) == (None, [], [])


def test_keys_are_strings_where_anything_may_be(follow: Any) -> None:
    state = Anything()
    replica = follow(state)
    with pytest.raises(TypeError, match=r"Anything\.field: the key 1 is not a string"):
        state.field = {"a": [{1: 2}]}
    assert replica.patches == []


def test_a_config_that_cannot_be_kept_is_refused() -> None:
    for name, value in {"extra": "allow", "revalidate_instances": "always", "ser_json_inf_nan": "constants"}.items():
        with pytest.raises(UntrackableTypeError, match=f"such as State cannot have {name}='{value}'"):
            type("State", (ReactiveModel,), {"model_config": {name: value}})


def test_a_root_model_is_refused() -> None:
    with pytest.raises(UntrackableTypeError, match="cannot be a RootModel"):
        type("State", (ReactiveModel, RootModel[int]), {})


def test_a_class_that_is_not_complete_yet_is_refused_once_it_is() -> None:
    class Later(ReactiveModel):
        field: ToCome | None = None  # type: ignore[name-defined]  # noqa: F821

    Later.model_rebuild(_types_namespace={"ToCome": Plain})
    with pytest.raises(UntrackableTypeError, match=r"Later\.field"):
        Later()


def test_an_array_is_sent_whole_and_its_contents_when_that_is_asked_for(follow: Any) -> None:
    class Spectrum(ReactiveModel):
        counts: NDArray = Field(default_factory=lambda: numpy.zeros(3))

    spectrum = Spectrum()
    replica = follow(spectrum)
    spectrum.counts = numpy.ones(3)
    assert replica.operations == [("replace", "/counts", [1, 1, 1])]
    spectrum.counts[1] = 5
    assert len(replica.patches) == 1
    assert replica.document.publish() is replica.patches[1]
    assert replica.operations[1] == ("replace", "/counts/1", 5)
    replica.check()
    assert isinstance(Document(Spectrum()).model, Spectrum)
