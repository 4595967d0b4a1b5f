"""What is known about a property, of a class and of a Thing."""

from operator import methodcaller
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ValidationError

import labthings as lt
from labthings.exceptions import InvalidReturnValueError, InvalidValueError, NotBoundToInstanceError
from labthings.properties import PropertyInfo, SettingInfo


class Limits(BaseModel):
    low: int


class Stage(lt.Thing):
    position: Annotated[int, "mm"] = lt.property(default=3, ge=0, unit="mm")
    """Where it is.

    Along x.
    """
    limits: Limits = lt.property(default=Limits(low=0))
    measured: int = lt.property(default=1, readonly=True)
    gain: float = lt.setting(default=1.5)

    @lt.property
    def answer(self) -> int:
        return 42


@pytest.fixture
def stage(serve: Any) -> Any:
    return serve({"mine": Stage})[0].things["mine"]


def facts(info: PropertyInfo) -> dict[str, Any]:
    names = [
        "title",
        "description",
        "readonly",
        "unit",
        "is_observable",
        "is_resettable",
        "is_setting",
        "is_data",
        "has_default",
    ]
    return {name: getattr(info, name) for name in names}


def test_a_class_and_its_things_know_the_same_facts(stage: Stage) -> None:
    for name in Stage.properties:
        assert facts(Stage.properties[name]) == facts(stage.properties[name])
    assert facts(Stage.properties["position"]) == {
        "title": "Where it is.",
        "description": "Along x.",
        "readonly": False,
        "unit": "mm",
        "is_observable": True,
        "is_resettable": True,
        "is_setting": False,
        "is_data": True,
        "has_default": True,
    }
    assert facts(Stage.properties["answer"]) == {
        "title": "answer",
        "description": None,
        "readonly": True,
        "unit": None,
        "is_observable": False,
        "is_resettable": False,
        "is_setting": False,
        "is_data": False,
        "has_default": False,
    }


def test_settings_have_info_objects_of_their_own() -> None:
    assert isinstance(Stage.properties["gain"], SettingInfo)
    assert isinstance(Stage.settings["gain"], SettingInfo)
    assert not isinstance(Stage.properties["position"], SettingInfo)
    assert Stage.properties["gain"].is_setting


def test_bound_it_reads_writes_and_resets(stage: Stage) -> None:
    info = stage.properties["position"]
    assert info.get() == info.default == 3
    info.set(5)
    assert stage.position == info.get() == 5
    with pytest.raises(InvalidValueError):
        info.set(-5)
    info.reset()
    assert stage.position == 3


@pytest.mark.parametrize("use", ["get", "reset", "model_instance"])
def test_unbound_it_has_no_value(use: str) -> None:
    with pytest.raises(NotBoundToInstanceError, match=r"'Stage\.position' belongs to a class"):
        methodcaller(use)(Stage.properties["position"])
    with pytest.raises(NotBoundToInstanceError):
        Stage.properties["position"].set(1)


def test_it_validates_without_setting(stage: Stage) -> None:
    for info in (stage.properties["position"], Stage.properties["position"]):
        assert info.validate("7") == 7
        assert info.validate_json(b" 7 ") == 7
        for refused in (lambda info=info: info.validate("far"), lambda info=info: info.validate(-1)):
            with pytest.raises(InvalidValueError, match=r"^(mine|Stage)\.position: "):
                refused()
        for document in (b"", b"{", b'"far"', b"-1", b"\xff"):
            with pytest.raises(InvalidValueError):
                info.validate_json(document)
    assert stage.position == 3
    assert Stage.properties["limits"].validate({"low": 1}) == Limits(low=1)


def test_the_model_has_type_and_constraints(stage: Stage) -> None:
    model = Stage.properties["position"].model
    assert model.model_validate(4).model_dump() == 4
    with pytest.raises(ValidationError):
        model.model_validate(-4)
    assert stage.properties["position"].model_instance.model_dump() == 3
    assert stage.properties["limits"].model_instance.model_dump() == {"low": 0}


def test_a_value_becomes_json_and_what_does_not_fit_is_refused(stage: Stage) -> None:
    assert stage.properties["limits"].to_json(Limits(low=3)) == b'{"low":3}'
    assert stage.properties["answer"].to_json(3) == b"3"
    with pytest.raises(InvalidReturnValueError, match=r"'mine\.answer' returned a value that does not fit its type"):
        stage.properties["answer"].to_json("three")


def test_the_type_is_the_annotation() -> None:
    assert Stage.properties["limits"].value_type is Limits
    assert Stage.properties["answer"].value_type is int
    assert Stage.properties["position"].value_type == Annotated[int, "mm"]
    assert Stage.properties["position"].adapter.json_schema() == {"type": "integer", "minimum": 0}
