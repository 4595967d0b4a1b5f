"""Thing slots in tests: mocked, or filled by hand."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any

import pytest

import labthings as lt
from labthings.exceptions import ThingNotConnectedError, ThingSlotError
from labthings.testing import create_thing_without_server, manually_connect_thing_slot, mock_thing_instance


class Stage(lt.Thing):
    x: int = lt.property(default=3)

    @property
    def thing_state(self) -> Mapping[str, Any]:
        return {"x": self.x}

    @lt.action
    def move(self, x: int) -> int:
        """Move."""
        self.x = x
        return x


class Camera(lt.Thing):
    stage: Stage = lt.thing_slot()
    spare: Stage | None = lt.thing_slot(None)
    any_stage: Stage | None = lt.thing_slot()
    every: Mapping[str, Stage] = lt.thing_slot()
    chosen: Mapping[str, Stage] = lt.thing_slot(["left", "right"])
    named: Stage = lt.thing_slot("coarse")
    configured: Stage = lt.thing_slot(None)

    @lt.action
    def scan(self) -> list[int]:
        """Move the stage about."""
        return [self.stage.move(x) for x in range(3)]


def names(things: Mapping[str, Any]) -> list[str]:
    return [f"{key}={thing.name}" for key, thing in things.items()]


# --- mocks --------------------------------------------------------------------------------------------------


def test_all_slots_can_be_mocked() -> None:
    camera = create_thing_without_server(Camera, mock_all_slots=True)
    gc.collect()
    assert isinstance(camera.stage, Stage)
    assert camera.spare is None
    assert isinstance(camera.any_stage, Stage)
    assert (camera.stage.name, camera.named.name, camera.configured.name) == ("stage", "coarse", "configured")
    assert names(camera.every) == ["every=every"]
    assert names(camera.chosen) == ["left=left", "right=right"]


def test_a_mock_does_what_it_is_told() -> None:
    camera = create_thing_without_server(Camera, mock_all_slots=True)
    stage: Any = camera.stage
    stage.move.side_effect = lambda x: 10 * x
    assert camera.scan() == [0, 10, 20]
    assert [call.args for call in stage.move.call_args_list] == [(0,), (1,), (2,)]


def test_the_states_of_mocks_are_collected() -> None:
    camera = create_thing_without_server(Camera, mock_all_slots=True)
    states = camera._thing_server_interface.get_thing_states()
    assert set(states) == {"camera", "stage", "any_stage", "every", "left", "right", "coarse", "configured"}
    assert not any(states.values())


# --- by hand ------------------------------------------------------------------------------------------------


def test_until_then_optional_slots_are_empty_and_others_say_what_to_do() -> None:
    camera = create_thing_without_server(Camera)
    assert (camera.spare, camera.any_stage, camera.every, camera.chosen) == (None, None, {}, {})
    with pytest.raises(ThingNotConnectedError, match="manually_connect_thing_slot"):
        camera.scan()


def test_a_slot_is_filled_with_a_thing_which_is_kept() -> None:
    camera = create_thing_without_server(Camera)
    manually_connect_thing_slot(camera, "stage", create_thing_without_server(Stage))
    gc.collect()
    assert camera.scan() == [0, 1, 2]
    assert camera._thing_server_interface.get_thing_states() == {"camera": {}, "stage": {"x": 2}}


def test_a_slot_is_filled_with_a_mock() -> None:
    camera = create_thing_without_server(Camera)
    manually_connect_thing_slot(camera, "stage", mock_thing_instance(Stage))
    assert camera.stage.x == 3


def test_a_slot_that_takes_several() -> None:
    camera = create_thing_without_server(Camera)
    left, right = create_thing_without_server(Stage), mock_thing_instance(Stage, name="right")
    manually_connect_thing_slot(camera, "every", [left, right])
    assert names(camera.every) == ["stage=stage", "right=right"]
    manually_connect_thing_slot(camera, "every", {"a": left, "b": right})
    assert names(camera.every) == ["a=stage", "b=right"]
    manually_connect_thing_slot(camera, "every", None)
    assert camera.every == {}


def test_a_slot_is_emptied() -> None:
    camera = create_thing_without_server(Camera, mock_all_slots=True)
    manually_connect_thing_slot(camera, "any_stage", None)
    assert camera.any_stage is None


def test_a_slot_of_a_thing_on_a_server(serve: Any) -> None:
    server, _ = serve({"stage": Stage, "spectrometer": Spectrometer})
    stage = mock_thing_instance(Stage)
    manually_connect_thing_slot(server.things["spectrometer"], "stage", stage)
    assert server.things["spectrometer"].stage is stage


class Spectrometer(lt.Thing):
    stage: Stage = lt.thing_slot()


@pytest.mark.parametrize(
    ("slot", "target", "words"),
    [
        ("stag", None, "Camera has no thing slot 'stag'. Its slots are: stage, spare"),
        ("stage", None, "needs a Stage"),
        ("stage", Camera, "takes a Stage, but 'camera' is a Camera"),
        ("stage", [Stage, "other"], "takes one Thing, and was given 2"),
        ("every", [Stage, Stage], "Several Things for 'every' have one name"),
    ],
)
def test_what_does_not_fit_is_refused(slot: str, target: Any, words: str) -> None:
    def made(each: Any) -> Any:
        return mock_thing_instance(Stage, name=each) if isinstance(each, str) else create_thing_without_server(each)

    given = [made(each) for each in target] if isinstance(target, list) else target and made(target)
    with pytest.raises(ThingSlotError, match=words):
        manually_connect_thing_slot(create_thing_without_server(Camera), slot, given)
