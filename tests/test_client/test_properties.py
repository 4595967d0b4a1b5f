from __future__ import annotations

import pytest

import labthings as lt
from labthings.client import ReadOnlyClientPropertyError
from labthings.exceptions import (
    ClientPropertyError,
    GlobalLockBusyError,
    ReadOnlyPropertyError,
    UnserialisableTypeError,
)


class Heater(lt.Thing):
    """A heater."""

    target: float = lt.property(default=20.5, ge=0)
    """What it heats to.

    It takes its time.
    """
    names: dict[str, list[int]] = lt.property(default_factory=dict)
    maybe: int | None = lt.property(default=None)

    @lt.property
    def measured(self) -> float:
        """What it has reached."""
        return 19.5

    @lt.property
    def broken(self) -> float:
        raise ValueError("the sensor is unplugged")


def test_property_is_read_and_written(connect):
    client = connect(Heater)
    assert client.target == 20.5
    client.target = 30
    assert client.target == 30


@pytest.mark.parametrize("value", [{"a": [1, 2]}, {}, {"ü": []}])
def test_value_round_trips(connect, value):
    client = connect(Heater)
    client.names = value
    assert client.names == value


def test_none_is_a_value(connect):
    client = connect(Heater)
    client.maybe = 3
    client.maybe = None
    assert client.maybe is None


def test_numpy_values_can_be_written(connect):
    class Array:  # numpy's arrays and numbers have this method
        def __init__(self, plain):
            self.tolist = lambda: plain

    client = connect(Heater)
    client.target = Array(7)
    client.names = {"a": Array([1, 2])}
    assert (client.target, client.names) == (7, {"a": [1, 2]})


def test_value_that_is_not_json_is_not_sent(connect):
    with pytest.raises(UnserialisableTypeError, match="object at"):
        connect(Heater).target = object()


def test_read_only_property_is_refused_without_a_request(connect):
    client = connect(Heater)
    client._thing.connection.request = None  # a request would fail in another way
    with pytest.raises(ReadOnlyClientPropertyError, match=r"thing\.measured is read-only") as caught:
        client.measured = 3
    assert isinstance(caught.value, ClientPropertyError)
    assert isinstance(caught.value, ReadOnlyPropertyError)
    assert isinstance(caught.value, AttributeError)


def test_refused_value(connect):
    client = connect(Heater)
    with pytest.raises(
        ClientPropertyError, match=r"^Writing thing\.target failed: Input should be .* 0 \(422 "
    ) as caught:
        client.target = -1
    assert caught.value.problem.status == 422
    assert caught.value.problem.errors
    assert client.target == 20.5


def test_getter_that_raises(connect):
    with pytest.raises(ClientPropertyError, match=r"^Reading thing\.broken failed: the sensor is unplugged \(500"):
        connect(Heater).broken  # noqa: B018


def test_busy_global_lock(connect, while_busy):
    class Locked(lt.Thing):
        value: int = lt.property(default=0)

        @lt.action
        def work(self) -> None:
            while_busy.work()

    client = connect(Locked, enable_global_lock=True)
    with while_busy(client.work), pytest.raises(GlobalLockBusyError, match=r"^Writing thing\.value failed:") as caught:
        client.value = 3
    assert caught.value.problem.status == 409
    assert client.value == 0


def test_generic_access(connect):
    client = connect(Heater)
    client.set_property("target", 4)
    assert client.get_property("target") == 4
    with pytest.raises(ClientPropertyError, match=r"thing has no property 'tarmet'\. Did you mean 'target'\?"):
        client.get_property("tarmet")
    with pytest.raises(ClientPropertyError, match="'tarmet'"):
        client.set_property("tarmet", 1)


def test_unknown_attribute_suggests_another(connect):
    client = connect(Heater)
    with pytest.raises(AttributeError, match=r"no property or action 'targt'\. Did you mean 'target'\?"):
        client.targt  # noqa: B018
    with pytest.raises(AttributeError, match=r"no property 'targt'\. Did you mean 'target'\?"):
        client.targt = 3
    with pytest.raises(AttributeError, match="no property 'unlike_all_others'"):
        client.unlike_all_others = 3
    assert not hasattr(client, "_nothing")


def test_property_that_has_no_form(connect):
    client = connect(Heater)
    client._thing.properties["target"]._read_method = None
    with pytest.raises(ClientPropertyError, match=r"thing\.target cannot be read"):
        client.target  # noqa: B018
