"""What is told of a model is what is serialised of it, whatever makes that."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import pytest
from pydantic import (
    Field,
    PlainSerializer,
    PrivateAttr,
    SerializeAsAny,
    computed_field,
    field_serializer,
    model_serializer,
)

from labthings.exceptions import StateError
from labthings.state import Document, ReactiveModel


class Channel(ReactiveModel):
    bias: float = 0.0
    name: str | None = None


class State(ReactiveModel):
    enabled: Any = False
    main: Channel = Field(default_factory=Channel)
    channels: list[Channel] = Field(default_factory=lambda: [Channel()])


def test_numbers_that_json_has_no_word_for_are_null(follow: Any) -> None:
    class Readings(ReactiveModel):
        one: float = math.nan
        many: list[float] = Field([math.inf])
        any: Any = None

    readings = Readings()
    replica = follow(readings)
    assert replica.data == {"one": None, "many": [None], "any": None}
    readings.one = -math.inf
    readings.many.append(math.nan)
    readings.many[0] = 1
    readings.any = {"a": [math.nan]}
    replica.check()
    assert math.isnan(readings.many[1])


def test_excluded_fields_are_told_of_by_nothing(follow: Any) -> None:
    class Secret(ReactiveModel):
        shown: int = 1
        kept: list[Channel] = Field(default_factory=lambda: [Channel()], exclude=True)

    secret = Secret()
    replica = follow(secret)
    secret.kept[0].bias = 3
    secret.kept.append(Channel())
    secret.kept = []
    assert replica.patches == []
    assert replica.data == {"shown": 1}


@pytest.mark.skipif(pydantic.VERSION < "2.12", reason="`exclude_if` is new in pydantic 2.12")
def test_fields_that_are_excluded_now_and_then(follow: Any) -> None:
    class Alarm(ReactiveModel):
        text: str = Field("", exclude_if=lambda text: not text)
        items: list[int] = Field([], exclude_if=lambda items: len(items) < 2)

    alarm = Alarm()
    replica = follow(alarm)
    for text in ("hot", "hotter", "", ""):
        alarm.text = text
        replica.check()
    for number in (1, 2, 3):
        alarm.items.append(number)
        replica.check()
    alarm.items.clear()
    replica.check()


def test_serialisers_of_fields(follow: Any) -> None:
    class Odd(ReactiveModel):
        unit: str = "V"
        value: float = 1.0
        items: list[Channel] = Field(default_factory=list)
        many: Annotated[dict[str, list[int]], PlainSerializer(lambda value: sorted(value))] = Field({})
        each: list[Annotated[int, PlainSerializer(hex)]] = Field([1])
        models: list[Annotated[Channel, PlainSerializer(lambda channel: channel.bias)]] = Field([])
        when: datetime = datetime(2025, 1, 1, tzinfo=timezone.utc)

        @field_serializer("value")
        def with_unit(self, value: float) -> str:
            return f"{value} {self.unit}"

        @field_serializer("items")
        def count(self, items: list[Channel]) -> dict[str, float]:
            return {"count": len(items), "bias": sum(each.bias for each in items)}

    odd = Odd()
    replica = follow(odd)
    odd.value = 2
    odd.unit = "mV"
    odd.items.append(Channel(bias=1))
    odd.items[0].bias = 2
    odd.many["a"] = [1]
    odd.many["a"].append(2)
    odd.each.append(255)
    odd.models = [Channel(), Channel()]
    odd.models[1].bias = 9
    odd.models.reverse()
    odd.when = datetime(2026, 1, 1, tzinfo=timezone.utc)
    replica.check()
    assert ("replace", "/value", "2.0 mV") in replica.operations
    assert replica.operations[-2][1:] == ("/models", [9.0, 0.0])


def test_serialisers_of_models(follow: Any) -> None:
    class Point(ReactiveModel):
        x: int = 0
        more: list[int] = Field([])

        @model_serializer
        def short(self) -> list[Any]:
            return [self.x, *self.more]

    class Line(ReactiveModel):
        points: list[Point] = Field(default_factory=lambda: [Point()])

    line = Line()
    replica = follow(line)
    line.points[0].x = 3
    line.points[0].more.append(4)
    assert replica.operations == [("replace", "/points/0", [3]), ("replace", "/points/0", [3, 4])]
    replica.check()
    point = Point()
    alone = follow(point)
    point.more.append(5)
    assert alone.operations == [("replace", "", [0, 5])]
    alone.check()


def test_a_value_that_cannot_be_serialised_is_refused(follow: Any) -> None:
    state = State()
    replica, channels = follow(state), state.channels
    for value in (object(), "\ud800", {"a": [object()]}):
        with pytest.raises(ValueError, match=r"serialize|surrogates|utf-8"):
            state.enabled = value
    assert (state.enabled, state.channels is channels, replica.patches) == (False, True, [])
    replica.check()


def test_computed_fields(follow: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Inner(ReactiveModel):
        value: int = 1

        @computed_field(alias="the/double")
        @property
        def double(self) -> int:
            return self.value * 2

    class Outer(ReactiveModel):
        inner: list[Inner] = Field(default_factory=lambda: [Inner(), Inner()])
        _factor: int = PrivateAttr(1)

        @computed_field
        @property
        def mean(self) -> float:
            return self._factor * sum(each.value for each in self.inner) / len(self.inner)

    outer = Outer()
    replica = follow(outer)
    outer.inner[1].value = 5
    assert len(replica.patches) == 1
    assert [each[1:] for each in replica.operations] == [
        ("/inner/1/value", 5),
        ("/inner/1/the~1double", 10),
        ("/mean", 3.0),
    ]
    outer.inner.append(Inner(value=9))
    outer._factor = 2
    replica.check()
    assert replica.data["mean"] == 10
    outer.inner.clear()
    assert "What is computed of a Outer cannot be computed" in caplog.text
    assert (replica.data["inner"], replica.data["mean"]) == ([], 10)
    outer.inner.append(Inner())
    replica.check()


def test_aliases(follow: Any) -> None:
    class Named(ReactiveModel):
        one: int = Field(1, alias="a/b~c")
        two: list[int] = Field([], serialization_alias="the two")

    named = Named(one=2)
    replica = follow(named)
    named.one = 3
    named.two.append(1)
    assert replica.operations == [("replace", "/a~1b~0c", 3), ("add", "/the two/0", 1)]
    assert replica.data == named.model_dump(mode="json") == {"a/b~c": 3, "the two": [1]}
    replica.check()


def test_models_of_a_subclass_are_sent_as_what_is_expected(follow: Any) -> None:
    class Special(Channel):
        more: list[int] = Field([])

    class Holder(ReactiveModel):
        expected: Channel = Field(default_factory=Special)
        any: SerializeAsAny[Channel] = Field(default_factory=Special)
        either: Special | Channel | None = None
        anything: Any = None

    holder = Holder()
    replica = follow(holder)
    for channel in (holder.expected, holder.any):
        channel.bias = 2
        channel.more.append(1)  # type: ignore[attr-defined]
    for value in (Channel(), Special()):
        holder.either = value
        holder.either.bias = 3
        holder.anything = value.model_copy()
        holder.anything.bias = 4
    holder.either.more.append(1)  # type: ignore[union-attr]
    holder.anything.more.append(1)
    replica.check()
    assert "more" not in replica.data["expected"]
    assert replica.data["any"]["more"] == [1]


def test_unions_of_models(follow: Any) -> None:
    class Lamp(ReactiveModel):
        kind: Literal["lamp"] = "lamp"
        power: float = 0

    class Laser(ReactiveModel):
        kind: Literal["laser"] = "laser"
        lines: list[int] = Field([])

    class Bench(ReactiveModel):
        source: Annotated[Lamp | Laser, Field(discriminator="kind")] = Field(default_factory=Lamp)
        sources: list[Lamp | Laser] = Field([])

    bench = Bench()
    replica = follow(bench)
    bench.source.power = 3  # type: ignore[union-attr]
    bench.source = {"kind": "laser"}  # type: ignore[assignment]
    bench.source.lines.append(532)  # type: ignore[union-attr]
    bench.sources += [Lamp(), Laser()]
    bench.sources[1].lines.append(633)  # type: ignore[union-attr]
    bench.sources[0].power = 1  # type: ignore[union-attr]
    replica.check()


@pytest.mark.parametrize("kind", ["volt", "amp"])
def test_the_literals_of_a_model_tell_it_from_others_with_the_same_names_in_json(follow: Any, kind: str) -> None:
    class Kind(str, Enum):
        AMP = "amp"

    class Volt(ReactiveModel):
        kind: Literal["volt"] = "volt"
        volts: float = Field(0.0, alias="value")

    class Amp(ReactiveModel):
        kind: Literal[Kind.AMP] = Kind.AMP
        amps: float | None = Field(None, alias="value")

    class Meter(ReactiveModel):
        reading: Annotated[Volt | Amp, Field(discriminator="kind")]
        name: str = ""

    meter = Meter(reading={"kind": kind})  # type: ignore[arg-type]
    replica = follow(meter)
    for value in (3.5, None):
        replica.document.patch([{"op": "replace", "path": "/reading/value", "value": value}], strict=True)
        replica.document.patch([{"op": "replace", "path": "/name", "value": f"{value}"}], strict=True)
        assert replica.data == {"reading": {"kind": kind, "value": value}, "name": f"{value}"}
        assert repr(replica.read(Meter)) == repr(meter)
    assert repr(meter.reading) in ("Volt(kind='volt', volts=nan)", "Amp(kind=<Kind.AMP: 'amp'>, amps=None)")


@pytest.mark.parametrize("value", [{"\ud800": 1}, {"a": "\ud800"}, {"a": 10**4300}, {"a": [-(10**5000)]}])
def test_what_could_not_be_sent_or_read_is_refused(follow: Any, value: Any) -> None:
    class Table(ReactiveModel):
        table: dict[str, Any] = Field({})

        @computed_field
        @property
        def longer(self) -> Any:
            return [each * 10 for each in self.table.values()]

    model = Table()
    replica = follow(model)
    with pytest.raises((StateError, ValueError), match=r"Unicode|surrogates|4300 digits"):
        model.table.update(value)
    assert model.table == {}
    model.table["b"] = 10**4299  # what is computed of it is too long, and stays as it was
    model.table["c"] = 1
    assert replica.data == {"table": {"b": 10**4299, "c": 1}, "longer": []}
    del model.table["b"]
    replica.check()


def test_a_number_that_could_not_be_read_is_not_loaded(follow: Any) -> None:
    class Number(ReactiveModel):
        field: int = 0

    replica = follow(Number())
    with pytest.raises(StateError, match="more than 4300 digits"):
        replica.document.load_state({"field": 10**4300})
    replica.document.load_state({"field": 10**4299})
    replica.check()


class Rounded(ReactiveModel):
    """What JSON tells less of than there is."""

    number: float = 1.23456
    other: int = 0
    limit: float = math.inf

    @field_serializer("number")
    def _rounded(self, number: float) -> float:
        return round(number, 2)


def test_a_patch_leaves_what_is_the_same_in_json() -> None:
    document = Document(Rounded())
    document.patch([{"op": "replace", "path": "/other", "value": 1}])
    assert (document.model.number, document.model.other, document.model.limit) == (1.23456, 1, math.inf)
    document.patch([{"op": "replace", "path": "/number", "value": 1.5}])
    assert document.model.number == 1.5


def test_json_leaves_what_is_the_same_in_it_and_models_replace_it() -> None:
    document = Document(Rounded())
    document.load_state(document.snapshot().data)
    assert (document.model.number, document.model.limit) == (1.23456, math.inf)
    document.load_state(Rounded(number=1.231, limit=math.nan))
    assert document.model.number == 1.231
    assert math.isnan(document.model.limit)


class Labelled(ReactiveModel):
    name: str
    limit: float = math.inf
    secret: str = Field("", exclude=True)


class Labels(ReactiveModel):
    items: list[Labelled] = Field(default_factory=list)
    limits: list[float] = Field(default_factory=list)


@pytest.mark.parametrize(
    ("operations", "secrets"),
    [
        ([{"op": "remove", "path": "/items/0"}], "bc"),
        ([{"op": "remove", "path": "/items/1"}], "ac"),
        ([{"op": "move", "from": "/items/0", "path": "/items/2"}], "bca"),
        ([{"op": "add", "path": "/items/0", "value": {"name": "new"}}], ["", "a", "b", "c"]),
        ([{"op": "replace", "path": "/items/1/name", "value": "other"}], "abc"),
        ([{"op": "copy", "from": "/items/0", "path": "/items/3"}], ["a", "b", "c", ""]),
        ([{"op": "replace", "path": "/items", "value": []}], ""),
    ],
)
def test_a_patch_of_a_list_leaves_its_items_what_they_are(operations: Any, secrets: Any) -> None:
    items = [Labelled(name=each, secret=each) for each in "abc"]
    document = Document(Labels(items=items))
    before = {each.secret: each for each in document.model.items}
    document.patch(operations, strict=True)
    assert [each.secret for each in document.model.items] == list(secrets)
    assert all(each is before.get(each.secret, each) for each in document.model.items)
    assert all(each.limit == math.inf for each in document.model.items if each.secret)


def test_a_patch_of_a_list_of_numbers_leaves_infinite_ones() -> None:
    document = Document(Labels(limits=[1, math.inf, 3, -math.inf]))
    document.patch([{"op": "remove", "path": "/limits/0"}])
    assert document.model.limits == [math.inf, 3, -math.inf]


class Quotient(ReactiveModel):
    number: float = 1
    hidden: float = Field(0, exclude=True)

    @computed_field
    @property
    def quotient(self) -> float:
        return 1 / (self.number - self.hidden)


def test_what_cannot_be_told_afterwards_is_taken_back() -> None:
    document = Document(Quotient())
    model = document.model
    model.hidden = 5
    document.flush()
    before = document.snapshot()
    for change in (
        lambda: document.load_state({"number": 5}),
        lambda: document.load_state(b'{"number": 5}'),
        lambda: document.patch([{"op": "replace", "path": "/number", "value": 5}]),
    ):
        with pytest.raises(ValueError, match="ZeroDivisionError"):
            change()
        assert (model.number, model.hidden) == (1, 5)
        assert document.snapshot() == before
    document.patch([{"op": "replace", "path": "/number", "value": 6}])
    assert (model.number, model.hidden, model.quotient) == (6, 5, 1)


class Grown(ReactiveModel):
    gain: float = 1
    folder: Path = Path("/data")
    count: int = 0


def test_fields_that_came_later_have_their_defaults() -> None:
    document = Document(Grown())
    document.load_state(b'{"gain": 3.75}')
    document.patch([{"op": "remove", "path": "/folder"}], strict=True)
    assert document.model == Grown(gain=3.75)
