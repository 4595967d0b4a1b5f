"""Things on one server are connected to each other, by what is configured, by name or by type."""

import gc
from collections.abc import Mapping, MutableMapping
from typing import Any, Optional, Union

import pytest

import labthings as lt
from labthings.exceptions import MissingTypeError, ThingNotConnectedError, ThingSlotError
from labthings.thing_slots import ThingSlot


class ThingA(lt.Thing):
    @lt.action
    def say_hello(self) -> str:
        return f"Hello from {self.name}."


class SpecialA(ThingA):
    pass


class ThingB(lt.Thing):
    pass


class Unrelated(lt.Thing):
    pass


def things(tmp_path: Any, configured: dict[str, Any]) -> dict[str, Any]:
    """The Things of a server that is kept alive by them."""
    server = lt.ThingServer.from_things(configured, settings_folder=str(tmp_path))
    found: dict[str, Any] = dict(server.things)
    for each in found.values():
        each.kept_server = server
    return found


def host_of(annotation: Any, *default: Any) -> type[lt.Thing]:
    class Host(lt.Thing):
        slot: annotation = lt.thing_slot(*default)

    return Host


# --- what is found by type ----------------------------------------------------------------------------------


@pytest.mark.parametrize("annotation", [ThingA, ThingA | None, Optional[ThingA]])  # noqa: UP045
def test_a_single_slot_is_filled_by_the_one_that_fits(tmp_path: Any, annotation: Any) -> None:
    found = things(tmp_path, {"host": host_of(annotation), "b": ThingB, "a": SpecialA})
    assert found["host"].slot is found["a"]


@pytest.mark.parametrize("annotation", [ThingA | ThingB, Union[ThingA, ThingB, None]])  # noqa: UP007
@pytest.mark.parametrize("kind", [ThingA, ThingB])
def test_a_union_is_filled_by_either(tmp_path: Any, annotation: Any, kind: type[lt.Thing]) -> None:
    found = things(tmp_path, {"host": host_of(annotation), "it": kind, "other": Unrelated})
    assert found["host"].slot is found["it"]


def test_an_optional_slot_may_stay_empty(tmp_path: Any) -> None:
    assert things(tmp_path, {"host": host_of(ThingA | None), "b": ThingB})["host"].slot is None


@pytest.mark.parametrize("annotation", [Mapping[str, ThingA], dict[str, ThingA], MutableMapping[str, ThingA]])
def test_a_mapping_is_filled_by_all_that_fit(tmp_path: Any, annotation: Any) -> None:
    found = things(tmp_path, {"host": host_of(annotation), "a": ThingA, "b": ThingB, "special": SpecialA})
    slot = found["host"].slot
    assert isinstance(slot, Mapping)
    assert dict(slot) == {"a": found["a"], "special": found["special"]}
    with pytest.raises(TypeError):
        slot["mine"] = found["a"]


def test_a_mapping_of_a_union_is_filled_by_all_of_both(tmp_path: Any) -> None:
    found = things(tmp_path, {"host": host_of(Mapping[str, ThingA | ThingB]), "a": ThingA, "b": ThingB, "c": Unrelated})
    assert set(found["host"].slot) == {"a", "b"}


def test_a_mapping_may_stay_empty(tmp_path: Any) -> None:
    assert things(tmp_path, {"host": host_of(Mapping[str, ThingA])})["host"].slot == {}


def test_a_thing_is_not_connected_to_itself_by_type(tmp_path: Any) -> None:
    class Chain(lt.Thing):
        others: Mapping[str, lt.Thing] = lt.thing_slot()

    class Pair(lt.Thing):
        other: lt.Thing = lt.thing_slot()

    found = things(tmp_path, {"one": Chain, "two": Pair})
    assert list(found["one"].others) == ["two"]
    assert found["two"].other is found["one"]


def test_nothing_that_fits_is_an_error_that_says_so(tmp_path: Any) -> None:
    with pytest.raises(ThingSlotError) as caught:
        things(tmp_path, {"host": host_of(ThingA), "b": ThingB})
    assert "The thing slot 'host.slot' cannot be filled: it needs a ThingA, and there is none." in str(caught.value)
    assert '"thing_slots": {"slot": ...}' in str(caught.value)


@pytest.mark.parametrize("annotation", [ThingA, ThingA | None, ThingA | ThingB])
def test_several_that_fit_are_an_error_that_names_them(tmp_path: Any, annotation: Any) -> None:
    with pytest.raises(ThingSlotError, match=r"'host\.slot' cannot be filled: .* there are several: a, special"):
        things(tmp_path, {"host": host_of(annotation), "a": ThingA, "special": SpecialA})


# --- defaults -----------------------------------------------------------------------------------------------


def test_a_default_names_the_thing(tmp_path: Any) -> None:
    found = things(tmp_path, {"host": host_of(ThingA, "second"), "first": ThingA, "second": ThingA})
    assert found["host"].slot is found["second"]


def test_a_list_with_one_name_is_as_good_as_the_name(tmp_path: Any) -> None:
    found = things(tmp_path, {"host": host_of(ThingA, ["second"]), "first": ThingA, "second": ThingA})
    assert found["host"].slot is found["second"]


def test_a_mapping_takes_a_name_or_names(tmp_path: Any) -> None:
    for default in ("b", ["b"], ("b",), {"b"}, iter(["b"])):
        found = things(tmp_path, {"host": host_of(Mapping[str, ThingA], default), "a": ThingA, "b": ThingA})
        assert dict(found["host"].slot) == {"b": found["b"]}


@pytest.mark.parametrize("annotation", [ThingA | None, Mapping[str, ThingA]])
@pytest.mark.parametrize("default", [None, []])
def test_none_leaves_it_empty_where_it_may_be(tmp_path: Any, annotation: Any, default: Any) -> None:
    assert not things(tmp_path, {"host": host_of(annotation, default), "a": ThingA})["host"].slot


def test_none_makes_the_configuration_of_any_other_compulsory(tmp_path: Any) -> None:
    host = host_of(ThingA, None)
    with pytest.raises(ThingSlotError, match="it needs a ThingA, and was given none"):
        things(tmp_path, {"host": host, "a": ThingA})
    found = things(tmp_path, {"host": {"cls": host, "thing_slots": {"slot": "a"}}, "a": ThingA})
    assert found["host"].slot is found["a"]


@pytest.mark.parametrize(
    ("annotation", "default", "reason"),
    [
        (ThingA, "nowhere", "connected to 'nowhere', but there is no Thing of that name. The Things here are: host, a"),
        (ThingA | None, "nowhere", "connected to 'nowhere'"),
        (Mapping[str, ThingA], ["a", "nowhere"], "connected to 'nowhere'"),
        (ThingA, "b", "it takes a ThingA, but 'b' is a ThingB"),
        (Mapping[str, ThingA], ["a", "b"], "it takes a ThingA, but 'b' is a ThingB"),
        (ThingA, ["a", "c"], "it takes one Thing, and was given 2"),
        (ThingA, [], "was given none"),
        (ThingA, 3, "must be the name of a Thing, several names or None, not 3"),
        (ThingA, [3], "must be the name of a Thing"),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_why(tmp_path: Any, annotation: Any, default: Any, reason: str) -> None:
    with pytest.raises(ThingSlotError) as caught:
        things(tmp_path, {"host": host_of(annotation, default), "a": ThingA, "b": ThingB, "c": ThingA})
    assert reason in str(caught.value)
    assert "'host.slot'" in str(caught.value)


# --- configuration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("annotation", "target", "expected"), [
    (ThingA, "b", "b"),
    (ThingA | None, None, None),
    (Mapping[str, ThingA], ["b", "c"], ["b", "c"]),
    (Mapping[str, ThingA], "b", ["b"]),
    (Mapping[str, ThingA], [], []),
])  # fmt: skip
def test_the_configuration_wins_over_the_default(tmp_path: Any, annotation: Any, target: Any, expected: Any) -> None:
    host = {"cls": host_of(annotation, "a"), "thing_slots": {"slot": target}}
    slot = things(tmp_path, {"host": host, "a": ThingA, "b": ThingA, "c": ThingA})["host"].slot
    assert (list(slot) if isinstance(expected, list) else slot and slot.name) == expected


@pytest.mark.parametrize("target", ["b", "nowhere", ["a", "c"], None])
def test_a_configuration_that_does_not_fit_is_an_error(tmp_path: Any, target: Any) -> None:
    host = {"cls": host_of(ThingA, "a"), "thing_slots": {"slot": target}}
    with pytest.raises(ThingSlotError, match=r"'host\.slot'"):
        things(tmp_path, {"host": host, "a": ThingA, "b": ThingB, "c": ThingA})


def test_a_slot_that_does_not_exist_cannot_be_configured(tmp_path: Any) -> None:
    host = {"cls": host_of(ThingA), "thing_slots": {"plug": "a"}}
    with pytest.raises(lt.exceptions.LabThingsError, match="plug"):
        things(tmp_path, {"host": host, "a": ThingA})


# --- using them ---------------------------------------------------------------------------------------------


def test_a_connection_is_used_like_any_attribute(serve: Any) -> None:
    class Greeter(lt.Thing):
        a: ThingA = lt.thing_slot()

        @lt.action
        def greet(self) -> str:
            return self.a.say_hello()

    _, client = serve({"greeter": Greeter, "a": ThingA})
    assert client.post("/greeter/greet", headers={"Prefer": "wait=10"}).json()["output"] == "Hello from a."


def test_two_things_of_one_class_have_their_own_connections(tmp_path: Any) -> None:
    host = host_of(ThingA)
    configured = {name: {"cls": host, "thing_slots": {"slot": target}} for name, target in (("x", "a"), ("y", "b"))}
    found = things(tmp_path, {**configured, "a": ThingA, "b": ThingA})
    assert (found["x"].slot.name, found["y"].slot.name) == ("a", "b")


def test_a_slot_that_is_used_too_early_says_when_to_use_it(tmp_path: Any) -> None:
    class Hasty(lt.Thing):
        a: ThingA = lt.thing_slot()

        def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
            super().__init__(thing_server_interface)
            self.a.say_hello()

    server = lt.ThingServer.from_things({"hasty": Hasty, "a": ThingA}, settings_folder=str(tmp_path))
    error = server.statuses["hasty"].error
    assert isinstance(error, ThingNotConnectedError)
    assert "'hasty.a' is not connected yet" in str(error)
    assert "not in `__init__`" in str(error)


def test_slots_are_filled_when_things_are_entered_and_those_connected_to_first(serve: Any) -> None:
    order: list[str] = []

    class Shutter(lt.Thing):
        def __enter__(self) -> Any:
            order.append(self.name)
            return self

    class Camera(Shutter):
        shutter: Shutter = lt.thing_slot("shutter")

        def __enter__(self) -> Any:
            order.append(f"{self.name} with {self.shutter.name}")
            return self

    serve({"camera": Camera, "shutter": Shutter})
    assert order == ["shutter", "camera with shutter"]


def test_circular_connections_are_fine(serve: Any) -> None:
    server, _ = serve({"chicken": Chicken, "egg": Egg})
    chicken, egg = server.things["chicken"], server.things["egg"]
    assert chicken.egg is egg
    assert egg.chicken is chicken
    assert {each.state for each in server.statuses.values()} == {"running"}


class Chicken(lt.Thing):
    egg: "Egg" = lt.thing_slot()


class Egg(lt.Thing):
    chicken: Chicken = lt.thing_slot()


def test_a_connection_keeps_nothing_alive(tmp_path: Any) -> None:
    found = things(tmp_path, {"host": host_of(ThingA), "many": host_of(Mapping[str, ThingA]), "a": ThingA})
    host, many = found["host"], found["many"]
    host.kept_server = many.kept_server = None
    found.clear()
    gc.collect()
    with pytest.raises(ReferenceError, match="no longer exists"):
        _ = host.slot
    assert dict(many.slot) == {}


# --- the definition -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "is_mapping", "is_optional", "thing_type"),
    [
        (ThingA, False, False, (ThingA,)),
        (ThingA | None, False, True, (ThingA,)),
        (ThingA | ThingB | None, False, True, (ThingA, ThingB)),
        (Mapping[str, ThingA], True, True, (ThingA,)),
        (Mapping[str, ThingA | ThingB], True, True, (ThingA, ThingB)),
    ],
)
def test_the_annotation_says_what_it_takes(
    annotation: Any, is_mapping: bool, is_optional: bool, thing_type: tuple[type, ...]
) -> None:
    slot: Any = host_of(annotation).slot  # type: ignore[attr-defined]
    assert isinstance(slot, ThingSlot)
    assert (slot.is_mapping, slot.is_optional, slot.thing_type) == (is_mapping, is_optional, thing_type)


@pytest.mark.parametrize("default", [..., None, "a", ["a", "b"]])
def test_the_default_is_known(default: Any) -> None:
    assert host_of(ThingA, default).slot.default == default  # type: ignore[attr-defined]
    assert host_of(ThingA).slot.default is ...  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "annotation", [list[ThingA], Mapping[int, ThingA], Mapping[str, ThingA] | None, Any, None, Mapping, "ThingA | str"]
)
def test_another_annotation_is_an_error_that_names_the_slot(tmp_path: Any, annotation: Any) -> None:
    with pytest.raises(ThingSlotError, match=r"Host\.slot' is annotated as"):
        things(tmp_path, {"host": host_of(annotation), "a": ThingA})


def test_a_missing_annotation_is_refused_when_the_class_is_defined() -> None:
    with pytest.raises(MissingTypeError, match=r"'Host\.slot' has no type"):

        class Host(lt.Thing):
            slot = lt.thing_slot()


def test_a_thing_with_a_slot_may_be_equal_to_others_and_empty(serve: Any) -> None:
    class Box(lt.Thing):
        other: lt.Thing | None = lt.thing_slot(None)
        size: int = lt.property(default=3)

        def __len__(self) -> int:
            return 0

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Box)

        __hash__ = None  # type: ignore[assignment]

    server, client = serve({"box": Box})
    assert server.things["box"].other is None
    assert client.get("/box/size").json() == 3
