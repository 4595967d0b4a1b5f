"""Descriptors know what they are called, and say what is wrong with them."""

from typing import Any

import pytest

import labthings as lt
from labthings.base_descriptor import BaseDescriptor, descriptors_of
from labthings.exceptions import (
    DescriptorAddedToClassTwiceError,
    DescriptorNotAddedToClassError,
    InconsistentTypeError,
    MissingTypeError,
    NotBoundToInstanceError,
)
from labthings.properties import BaseProperty, DataProperty


def cause(error: BaseException) -> BaseException:
    """What `__set_name__` raised, which Python 3.11 and older wrap."""
    return error if isinstance(error, lt.exceptions.LabThingsError) else error.__cause__ or error


# --- names --------------------------------------------------------------------------------------------------


def test_a_descriptor_knows_its_name_and_class() -> None:
    class Stage(lt.Thing):
        position: int = lt.property(default=0)

    class LongStage(Stage):
        pass

    descriptor = LongStage.properties["position"].descriptor
    assert (descriptor.name, descriptor.owner) == ("position", Stage)


@pytest.mark.parametrize("attribute", ["name", "owner", "title", "value_type"])
def test_a_descriptor_that_is_no_attribute_has_none(attribute: str) -> None:
    with pytest.raises(DescriptorNotAddedToClassError, match="DataProperty"):
        getattr(DataProperty(0), attribute)


def test_a_descriptor_cannot_be_two_attributes() -> None:
    with pytest.raises(RuntimeError) as caught:

        class Stage(lt.Thing):
            x: int = lt.property(default=0)
            y: int = x

    error = cause(caught.value)
    assert isinstance(error, DescriptorAddedToClassTwiceError)
    assert "'Stage.y' and 'Stage.x' are one object" in str(error)


def test_a_descriptor_cannot_belong_to_two_classes() -> None:
    class Stage(lt.Thing):
        x: int = lt.property(default=0)

    with pytest.raises(RuntimeError) as caught:

        class Camera(lt.Thing):
            x: int = vars(Stage)["x"]

    assert isinstance(cause(caught.value), DescriptorAddedToClassTwiceError)


def test_a_bare_descriptor_is_itself_on_the_class_and_has_no_value() -> None:
    class Stage(lt.Thing):
        thing = BaseDescriptor[Any, Any]()

    assert isinstance(Stage.thing, BaseDescriptor)
    with pytest.raises(AttributeError, match=r"'Stage\.thing' has no value"):
        _ = Stage.__new__(Stage).thing


# --- types --------------------------------------------------------------------------------------------------


def test_a_missing_annotation_is_refused_when_the_class_is_defined() -> None:
    with pytest.raises(MissingTypeError, match=r"'Stage\.position' has no type\. Annotate it"):

        class Stage(lt.Thing):
            position = lt.property(default=0)


def test_a_subscript_is_as_good_as_an_annotation() -> None:
    class Stage(lt.Thing):
        position = DataProperty[Any, int](0)
        angle: float = DataProperty[Any, float](0.0)

    assert Stage.properties["position"].value_type is int
    assert Stage.properties["angle"].value_type is float


def test_two_types_that_disagree_are_refused() -> None:
    with pytest.raises(InconsistentTypeError, match=r"'Stage\.position' is annotated as .*float.*says .*int"):

        class Stage(lt.Thing):
            position: float = DataProperty[Any, int](0)


# --- info objects -------------------------------------------------------------------------------------------


class Stage(lt.Thing):
    """A stage."""

    position: int = lt.property(default=0)
    speed: int = lt.setting(default=1)

    @lt.action
    def home(self) -> None:
        """Go home."""


class LongStage(Stage):
    length: int = lt.property(default=9)
    position: int = lt.property(default=5)
    speed = 3  # a plain value instead


def test_collections_are_mappings_of_the_class_and_of_the_instance(serve: Any) -> None:
    server, _ = serve({"stage": Stage})
    stage = server.things["stage"]
    assert list(Stage.properties) == list(stage.properties) == ["position", "speed"]
    assert list(Stage.settings) == ["speed"]
    assert dict(Stage.actions).keys() == {"home"}
    assert len(stage.properties) == 2
    assert "speed" in stage.settings
    assert "position" not in stage.settings
    with pytest.raises(KeyError):
        stage.properties["home"]
    assert repr(stage.properties) == "<PropertyCollection of position, speed>"
    assert repr(lt.Thing.actions) == "<ActionCollection of nothing>"


def test_what_belongs_to_a_class_is_not_bound_and_what_belongs_to_a_thing_is(serve: Any) -> None:
    server, _ = serve({"mine": Stage})
    unbound, bound = Stage.properties["position"], server.things["mine"].properties["position"]
    assert (unbound.is_bound, bound.is_bound) == (False, True)
    assert bound.thing is server.things["mine"]
    with pytest.raises(NotBoundToInstanceError, match=r"'Stage\.position' belongs to a class"):
        _ = unbound.thing
    assert (repr(unbound), repr(bound)) == ("<PropertyInfo Stage.position>", "<PropertyInfo mine.position>")


def test_two_things_of_one_class_have_their_own_info_objects(serve: Any) -> None:
    server, _ = serve({"a": Stage, "b": Stage})
    a, b = server.things["a"], server.things["b"]
    assert a.properties is a.properties
    assert a.properties["position"].thing is a
    assert b.properties["position"].thing is b


def test_a_subclass_inherits_overrides_and_removes() -> None:
    assert list(LongStage.properties) == ["position", "length"]
    assert list(LongStage.settings) == []
    assert (LongStage.properties["position"].default, Stage.properties["position"].default) == (5, 0)
    assert list(LongStage.actions) == ["home"]


def test_the_descriptors_of_a_class_can_be_listed_by_kind() -> None:
    assert list(descriptors_of(Stage, BaseProperty)) == ["position", "speed"]
    assert list(descriptors_of(Stage, BaseDescriptor)) == ["position", "speed", "home"]
