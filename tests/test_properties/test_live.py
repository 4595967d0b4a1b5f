"""Properties that are live state."""

from __future__ import annotations

import json
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Field, computed_field, field_validator

import labthings as lt
from labthings.exceptions import (
    AlreadyInStateError,
    InvalidValueError,
    PropertyNotLiveError,
    StateError,
    UntrackableTypeError,
)
from labthings.properties import property_document
from labthings.state import batch, document_of, origin
from labthings.testing import create_thing_without_server


class Channel(lt.ReactiveModel):
    bias: float = Field(0.0, le=10)


class Calibration(lt.ReactiveModel):
    gain: float = 1.0
    channels: list[Channel] = Field(default_factory=list)

    @computed_field
    @property
    def total(self) -> float:
        return sum(each.bias for each in self.channels)


class State(Calibration):
    note: str = Field("", exclude=True)


class Supply(lt.Thing):
    state: State = lt.property(default=State(channels=[Channel()]))
    calibration: Calibration = lt.setting(default_factory=Calibration)
    fixed: State = lt.property(default_factory=State, readonly=True)
    later: Later = lt.property(default_factory=lambda: Later())

    @lt.property(depends_on=["state"])
    def total(self) -> float:
        return self.state.total

    @lt.action
    def change(self, bias: float) -> None:
        self.state.channels[0].bias = bias


class Later(lt.ReactiveModel):
    number: int = 3


class Even(lt.ReactiveModel):
    number: int = 0

    @field_validator("number")
    @classmethod
    def is_even(cls, number: int) -> int:
        if number % 2:
            raise ValueError("it is odd")
        return number


class Holder(lt.Thing):
    even: Even = lt.setting(default_factory=Even)


@pytest.fixture
def supply() -> Supply:
    return create_thing_without_server(Supply)


def test_each_thing_has_its_own(supply: Supply) -> None:
    other = create_thing_without_server(Supply)
    supply.state.channels[0].bias = 5
    assert (supply.state.total, other.state.total) == (5, 0)
    assert supply.state is supply.properties["state"].get()


def test_setting_it_replaces_the_contents_in_place(supply: Supply) -> None:
    state, channel = supply.state, supply.state.channels[0]
    given = State(channels=[Channel(bias=1), Channel(bias=2)], note="new")
    supply.state = given
    assert supply.state is state
    assert supply.state.channels[0] is channel
    assert (channel.bias, state.total, state.note) == (1, 3, "new")
    given.channels[0].bias = 7
    assert channel.bias == 1
    supply.properties["state"].set({"gain": 2})
    assert (state.gain, state.channels) == (2, [])
    supply.properties["state"].reset()
    assert (state.gain, state.channels) == (1, [Channel()])


def test_it_may_be_given_what_another_thing_has(supply: Supply) -> None:
    other = create_thing_without_server(Supply)
    other.state.channels[0].bias = 4
    supply.state = other.state
    assert supply.state == other.state
    with pytest.raises(AlreadyInStateError):
        supply.state.channels.append(other.state.channels[0])


def test_what_does_not_fit_changes_nothing(supply: Supply) -> None:
    before = document_of(supply.state).snapshot()
    with pytest.raises(InvalidValueError, match=r"supply\.state: gain"):
        supply.state = {"gain": "much"}  # type: ignore[assignment]
    with pytest.raises(StateError, match="A Special cannot be loaded where there is a State"):
        supply.state = Special()
    assert document_of(supply.state).snapshot() == before


class Special(State):
    extra: int = 0


@pytest.mark.parametrize("default", [None, State, 3, {"gain": "much"}, Special()])
def test_a_default_that_does_not_fit_is_told(default: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"Broken\.state"):

        class Broken(lt.Thing):
            state: State = lt.property(default=default)

    class Late(lt.Thing):
        state: State = lt.property(default_factory=lambda: default)

    with pytest.raises(InvalidValueError, match=r"Late\.state"):
        _ = create_thing_without_server(Late).state
    assert create_thing_without_server(type("Right", (Supply,), {})).state.gain == 1


def test_what_validates_it_beside_its_model_is_refused() -> None:
    with pytest.raises(UntrackableTypeError, match=r"beside its model would not see changes in place"):

        class Checked(lt.Thing):
            state: Checked_ = lt.property(default_factory=State)


Checked_ = Annotated[State, AfterValidator(lambda state: state)]


def test_a_field_that_does_not_exist_is_refused_from_clients_and_passed_over_in_files(
    client_of: Callable[..., Any], tmp_path: Path, refused: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "settings" / "thing" / "Settings-Supply.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"calibration": {"gain": 3, "removed_long_ago": 1, "channels": [{"bais": 2}]}}))
    client = client_of(Supply)
    assert "'thing.calibration' is loaded without what is unknown in the data." in caplog.text
    assert client.get("/thing/calibration").json()["gain"] == 3
    wrong = {"gain": 4, "chanels": []}
    told = "A Calibration has no field 'chanels'. Did you mean 'channels'?"
    refused(client.put("/thing/calibration", json=wrong), 422, "thing.calibration: ", told)
    refused(client.put("/thing/properties", json={"calibration": wrong}), 422, told)
    patch = [{"op": "add", "path": "/channels/0/bais", "value": 1}]
    headers = {"content-type": "application/json-patch+json"}
    answer = client.patch("/thing/calibration", json=patch, headers=headers)
    refused(answer, 422, "channels.0: A Channel has no field 'bais'. Did you mean 'bias'?")
    assert client.get("/thing/calibration").json()["gain"] == 3


def test_nor_can_the_things_own_code_set_what_is_no_field(serve: Callable[..., Any]) -> None:
    supply = serve({"supply": Supply})[0].things["supply"]
    supply.state = {"channels": [{"bias": 2}]}
    others = (OrderedDict(nope=1), MappingProxyType({"nope": 1}), {"channels": [OrderedDict(bais=1)]})
    for wrong in ({"nope": 1}, {"channels": [{"bais": 1}]}, {"channels": 1}, *others):
        with pytest.raises(InvalidValueError, match=r"supply\.state: "):
            supply.state = wrong
    assert supply.state.channels[0].bias == 2


def test_a_reference_to_a_class_that_comes_later(supply: Supply) -> None:
    supply.later.number = 4
    assert document_of(supply.later).snapshot().data == b'{"number":4}'


class Plain(BaseModel):
    state: State


@pytest.mark.parametrize("kind", [list[State], dict[str, State], State | None, tuple[list[State], int], Plain])
def test_live_state_within_something_else_is_refused(kind: Any) -> None:
    with pytest.raises(UntrackableTypeError, match=r"Changes of what is in 'Bad.states' would not be noticed"):
        type(
            "Bad",
            (lt.Thing,),
            {
                "__annotations__": {"states": kind},
                "states": lt.property(default_factory=list),
                "__module__": __name__,
            },
        )


def test_other_properties_have_no_document(supply: Supply) -> None:
    with pytest.raises(PropertyNotLiveError, match=r"'supply\.total' is not live state"):
        _ = supply.properties["total"].document
    assert not supply.properties["total"].is_live
    assert Supply.properties["state"].is_live


def test_functions_that_listen_are_told_of_each_change(supply: Supply) -> None:
    heard: list[float] = []
    with_whole_values = supply.properties["state"].on(lambda state: heard.append(state.total))
    supply.state.channels[0].bias = 1
    with batch(supply.state):
        supply.state.channels[0].bias = 2
        supply.state.channels[0].bias = 3
    supply.properties["state"].notify()
    with_whole_values.close()
    supply.state.channels[0].bias = 4
    assert heard == [1, 3, 3]


def test_the_origin_names_the_invocation_and_what_else_is_said(
    serve: Callable[..., Any],
) -> None:
    server, client = serve({"supply": Supply})
    supply, patches, all_there = server.things["supply"], [], threading.Event()

    def told(patch: Any) -> None:
        patches.append(patch.origin)
        if len(patches) == 3:
            all_there.set()

    document_of(supply.state).subscribe(told)
    id = client.post("/supply/change?wait=5", json={"bias": 1}).json()["id"]
    with origin({"by": "me"}):
        supply.change(2)  # not by an invocation
        document_of(supply.state).flush()
    supply.state.gain = 3
    assert all_there.wait(5)
    assert patches == [{"invocation": id}, {"by": "me"}, None]


def test_the_origin_of_an_action_may_have_more_in_it() -> None:
    from labthings.invocation_contexts import fake_invocation_context

    supply = create_thing_without_server(Supply)
    origins: list[Any] = []
    document_of(supply.state).subscribe(lambda patch: origins.append(patch.origin))
    with fake_invocation_context() as context:
        supply.change(1)
        with origin({"step": 2, "invocation": "mine"}), batch(supply.state):
            supply.change(2)
            supply.state.gain = 4
    id = {"invocation": str(context.id)}
    assert origins == [id, {"step": 2, **id}]
    assert context.changed == {document_of(supply.state)}


# --- settings -----------------------------------------------------------------------------------------------


def saved(folder: Path) -> Any:
    (path,) = folder.glob("settings/supply/Settings-Supply.json")
    return json.loads(path.read_text())["calibration"]


def test_a_setting_saves_itself_after_changes_in_place(serve: Callable[..., Any], tmp_path: Path) -> None:
    server, _ = serve({"supply": Supply})
    supply = server.things["supply"]
    supply.calibration.channels.append(Channel(bias=2))
    supply.calibration.gain = math.inf
    supply.save_settings()
    assert saved(tmp_path) == {"gain": math.inf, "channels": [{"bias": 2.0}]}
    supply.calibration.channels[0].bias = 3
    server._writer.flush(timeout=5)
    assert saved(tmp_path)["channels"] == [{"bias": 3.0}]


def test_a_setting_has_its_value_again(serve: Callable[..., Any], tmp_path: Path) -> None:
    first, _ = serve({"supply": Supply})
    first.things["supply"].calibration.channels = [Channel(bias=2), Channel(bias=3)]
    first.things["supply"].calibration.gain = math.nan
    first.things["supply"].save_settings()

    class Early(Supply):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.kept = self.calibration  # before it is loaded

    Early.__name__ = "Supply"
    second, client = serve({"supply": Early})
    supply = second.things["supply"]
    assert supply.calibration is supply.kept
    assert [each.bias for each in supply.kept.channels] == [2, 3]
    assert math.isnan(supply.kept.gain)
    assert client.get("/supply/calibration").json()["total"] == 5


def test_a_saved_value_that_does_not_fit_is_left_in_the_file(
    serve: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "settings" / "supply" / "Settings-Supply.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"calibration": {"channels": [{"bias": 11}]}}))
    server, _ = serve({"supply": Supply})
    assert server.things["supply"].calibration == Calibration()
    assert "calibration" in caplog.text
    assert "less than or equal to 10" in caplog.text
    server.things["supply"].save_settings()
    assert saved(tmp_path) == {"channels": [{"bias": 11}]}


def test_without_a_server_a_setting_is_saved_at_once() -> None:
    supply = create_thing_without_server(Supply)
    supply.calibration.gain = 5
    path = Path(supply._thing_server_interface.settings_file_path)
    assert json.loads(path.read_text())["calibration"]["gain"] == 5


def test_loading_tells_nobody_and_saves_nothing(serve: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "settings" / "supply" / "Settings-Supply.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"calibration": {"gain": 2}}')
    before = path.stat()
    serve({"supply": Supply})
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_changes_by_many_threads_are_all_there(serve: Callable[..., Any]) -> None:
    server, client = serve({"supply": Supply})
    state = server.things["supply"].state
    state.channels = [Channel() for _ in range(4)]

    def change(channel: Channel) -> None:
        for number in range(200):
            channel.bias = number % 10
            state.gain = number

    threads = [threading.Thread(target=change, args=(each,)) for each in state.channels]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert client.get("/supply/state").json() == {"gain": 199.0, "channels": [{"bias": 9.0}] * 4, "total": 36.0}


def test_a_validator_that_raises_has_changed_nothing() -> None:
    holder = create_thing_without_server(Holder)
    with pytest.raises(ValueError, match="it is odd"):
        holder.even.number = 3
    assert (holder.even.number, document_of(holder.even).version) == (0, 0)
    assert not Path(holder._thing_server_interface.settings_file_path).exists()


def test_half_a_batch_is_not_saved(serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, _ = serve({"supply": Supply})
    supply = server.things["supply"]
    supply.calibration.gain = 2
    supply.save_settings()
    with batch(supply.calibration):
        supply.calibration.gain = 3
        supply.save_settings()
        assert saved(tmp_path)["gain"] == 2
        supply.calibration.channels.append(Channel())
    server._writer.flush(timeout=5)
    assert saved(tmp_path) == {"gain": 3.0, "channels": [{"bias": 0.0}]}
    monkeypatch.setattr(property_document, "LONGEST_BATCH", 0)
    with batch(supply.calibration):
        supply.calibration.gain = 4
        supply.save_settings()
        assert saved(tmp_path)["gain"] == 4


def test_what_a_client_writes_during_a_batch_is_on_disk_when_it_is_told_so(
    client_of: Callable[..., Any], tmp_path: Path
) -> None:
    client = client_of({"supply": Supply})
    supply, begun, answered = client.server.things["supply"], threading.Event(), threading.Event()

    def change() -> None:
        with batch(supply.calibration):
            begun.set()
            answered.wait(0.1)
            supply.calibration.channels.append(Channel())

    thread = threading.Thread(target=change)
    thread.start()
    assert begun.wait(5)
    assert client.put("/supply/calibration", json={"gain": 5}).status_code == 204
    assert saved(tmp_path)["gain"] == 5
    answered.set()
    thread.join()


def test_what_is_computed_is_described_as_read_only_and_may_be_sent_back(client_of: Callable[..., Any]) -> None:
    client = client_of(Supply)
    described = client.get("/thing/").json()["properties"]["state"]
    assert described["properties"]["total"] == {"type": "number", "readOnly": True}
    assert "total" not in described.get("required", [])
    before = client.get("/thing/state").json()
    assert "total" in before
    assert client.put("/thing/state", json=before).status_code == 204
    assert client.get("/thing/state").json() == before


def test_whether_a_property_is_live_may_be_asked_before_its_class_exists() -> None:
    class Early(lt.Thing):
        state: "NotYet" = lt.property(default=None)  # type: ignore[name-defined]  # noqa: F821, UP037

    assert not Early.properties["state"].is_live
    globals()["NotYet"] = type("NotYet", (lt.ReactiveModel,), {})
    try:
        assert Early.properties["state"].is_live
        assert Early.state.is_live
    finally:
        del globals()["NotYet"]
