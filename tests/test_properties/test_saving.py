"""What of a setting is on disk, and which types are refused because they would not come back."""

import enum
import json
import math
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pydantic
import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Secret,
    SecretBytes,
    SecretStr,
    Tag,
    computed_field,
    field_serializer,
    model_serializer,
)
from typing_extensions import NotRequired, TypedDict

import labthings as lt
from labthings.exceptions import SettingNotSavedWarning, UnserialisableTypeError
from labthings.testing import create_thing_without_server
from labthings.types.numpy import NDArray


class Aliased(BaseModel):
    volts: float = Field(0, alias="v")
    amperes: float = Field(0, serialization_alias="a", validation_alias=AliasPath("limits", "a"))


class AliasedInFiles(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    volts: float = Field(0, serialization_alias="v")


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    half: int = 1

    @computed_field
    @property
    def whole(self) -> int:
        return self.half * 2


class Seconds(BaseModel):
    model_config = ConfigDict(ser_json_timedelta="float")
    pause: timedelta = timedelta()


class LiveAliased(lt.ReactiveModel):
    volts: float = Field(0, alias="v")
    notes: dict[str, Any] = Field(default_factory=dict)


class Axis(enum.Enum):
    X = 1


class Name(enum.Enum):
    X = "x"


class Key(BaseModel):
    secret: SecretStr = SecretStr("")


class LiveKey(lt.ReactiveModel):
    secrets: dict[str, SecretStr] = Field(default_factory=dict)


class WrappedKey(BaseModel):
    secret: SecretStr = SecretStr("")

    @model_serializer(mode="wrap")
    def _tell(self, tell: Any) -> Any:
        return tell(self)


class WrappedSecret(BaseModel):
    secret: SecretStr = SecretStr("")

    @field_serializer("secret", mode="wrap")
    def _tell(self, secret: SecretStr, tell: Any) -> Any:
        return tell(secret)


class ToldKey(BaseModel):
    secret: SecretStr = SecretStr("")

    @field_serializer("secret", when_used="json")
    def _tell(self, secret: SecretStr) -> str:
        return secret.get_secret_value()


class NoBytes(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64")


class MixedBytes(NoBytes):
    data: bytes = b""


class BytesBesideMixed(BaseModel):
    data: bytes = b""
    other: NoBytes = NoBytes()


class SwappedNames(BaseModel):
    a: int = Field(0, alias="b")
    b: int = Field(0, alias="a")


class PathOfOther(BaseModel):
    limits: dict[str, float] = Field(default_factory=dict)
    amperes: float = Field(0, validation_alias=AliasChoices("a", AliasPath("limits", "a")))


class OwnNameFirst(BaseModel):
    new: int = Field(0, validation_alias=AliasChoices("new", "old"))
    old: int = 0


class Place(NamedTuple):
    row: int
    column: int


class PlacesTwice(BaseModel):
    """So that what the keys are is said elsewhere in the schema."""

    names: dict[Place, str] = Field(default_factory=dict)
    volts: dict[Place, float] = Field(default_factory=dict)


class Needy(BaseModel):
    hidden: int = Field(exclude=True)


class ForgetfulDict(TypedDict):
    kept: int
    hidden: NotRequired[Annotated[int, Field(exclude=True)]]


class Forgetful(lt.ReactiveModel):
    kept: int = 1
    hidden: int = Field(0, exclude=True)


class Scan(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    counts: NDArray = Field(default_factory=lambda: np.zeros(2))
    dwell: float = 1

    @field_serializer("dwell")
    def _double(self, dwell: float) -> float:
        return dwell * 2


class InVolts(BaseModel):
    volts: float = 0

    @field_serializer("volts")
    def _with_unit(self, volts: float) -> str:
        return f"{volts} V"


WrittenPlaces = dict[
    Annotated[
        tuple[int, int],
        PlainSerializer(lambda place: f"{place[0]} {place[1]}"),
        BeforeValidator(lambda place: place.split() if isinstance(place, str) else place),
    ],
    float,
]
TaggedNumber = Annotated[
    Annotated[int, Tag("int")] | Annotated[str, Tag("str")], Discriminator(lambda value: type(value).__name__)
]


def thing_with(value_type: Any, **options: Any) -> type[lt.Thing]:
    options = options or {"default_factory": lambda: None}
    return type("Lab", (lt.Thing,), {"__annotations__": {"x": value_type}, "x": lt.setting(**options)})


@pytest.mark.parametrize(
    ("value_type", "value"),
    [
        (Aliased, Aliased.model_validate({"v": 3, "limits": {"a": 2}})),
        (AliasedInFiles, AliasedInFiles(volts=3)),
        (Computed, Computed(half=3)),
        (Seconds, Seconds(pause=timedelta(seconds=1.5))),
        (ToldKey, ToldKey(secret=SecretStr("1234"))),
        (dict[str, Any], {"gain": math.inf}),
        (Decimal, Decimal("3.10")),
        (timedelta, timedelta(days=-3, microseconds=7)),
        (float, -math.inf),
        (dict[int, float], {1: 2.0}),
        (dict[Name, float], {Name.X: 2.0}),
        (dict[str | Literal["x"], float], {"x": 2.0}),
        (dict[int | float, float], {1.5: 2.0}),
        (WrittenPlaces, {(1, 2): 2.0}),
        (BytesBesideMixed, BytesBesideMixed(data=b"x")),
        (OwnNameFirst, OwnNameFirst.model_validate({"new": 1, "old": 2})),
    ],
)
def test_a_setting_has_its_value_again(tmp_path: Path, value_type: Any, value: Any) -> None:
    cls = thing_with(value_type)
    first: Any = create_thing_without_server(cls, settings_folder=tmp_path)
    first.x = value
    first.save_settings()
    second: Any = create_thing_without_server(cls, settings_folder=tmp_path)
    assert second.x == value


def test_live_state_has_its_value_again(tmp_path: Path) -> None:
    cls = thing_with(LiveAliased, default_factory=LiveAliased)
    first: Any = create_thing_without_server(cls, settings_folder=tmp_path)
    first.x.volts, first.x.notes = 3, {"gain": math.inf}
    first.save_settings()
    second: Any = create_thing_without_server(cls, settings_folder=tmp_path)
    assert (second.x.volts, second.x.notes) == (3, {"gain": math.inf})


@pytest.mark.parametrize(
    ("value_type", "words"),
    [
        (SecretStr, "asterisks"),
        (SecretBytes | None, "asterisks"),
        (Secret[int], "asterisks"),
        (Key, "asterisks"),
        (list[Key], "asterisks"),
        (LiveKey, "asterisks"),
        (WrappedKey, "asterisks"),
        (WrappedSecret, "asterisks"),
        (dict[Axis, float], "keys"),
        (dict[Literal[1, 2], float], "keys"),
        (dict[tuple[int, int], float], "keys"),
        (dict[Annotated[tuple[int, int], AfterValidator(tuple)], float], "keys"),
        (dict[Place, float], "keys"),
        (PlacesTwice, "keys"),
        (dict[str | None, float], "keys"),
        (dict[int | str, float], "keys"),
        (dict[str | Name, float], "keys"),
        (dict[int | bytes, float], "keys"),
        (dict[float | tuple[int, int], float], "keys"),
        (dict[TaggedNumber, float], "keys"),
        (MixedBytes, "ser_json_bytes"),
        (SwappedNames, "its field 'a' has the alias 'b'"),
        (PathOfOther, "its field 'amperes' has the alias 'limits'"),
        (Needy, "its field 'hidden' is needed, but not saved"),
    ],
)
def test_what_would_be_lost_is_refused(value_type: Any, words: str) -> None:
    with pytest.raises(UnserialisableTypeError, match=rf"The setting 'Lab\.x' .*{words}"):
        thing_with(value_type)


@pytest.mark.parametrize(
    ("value_type", "default"),
    [
        (InVolts, InVolts(volts=2)),
        (Annotated[float, PlainSerializer(lambda value: [value])], 2.0),
        (Scan, Scan()),
    ],
)
def test_a_default_that_cannot_be_read_back_is_refused(value_type: Any, default: Any) -> None:
    with pytest.raises(UnserialisableTypeError, match=r"The setting 'Lab\.x' could not be read back .* is saved as"):
        thing_with(value_type, default=default)


def test_a_default_that_is_read_back_as_another_is_refused() -> None:
    doubled = Annotated[float, PlainSerializer(lambda value: value * 2)]
    with pytest.raises(UnserialisableTypeError, match=r"is saved as 4\.0\. That is 4\.0\."):
        thing_with(doubled, default=2.0)


def test_a_setting_with_a_getter_is_checked_too() -> None:
    with pytest.raises(UnserialisableTypeError, match="asterisks"):

        class Lab(lt.Thing):
            @lt.setting
            def x(self) -> SecretStr:
                return SecretStr("")


def test_a_field_that_is_not_saved_is_warned_of_where_the_setting_is_defined() -> None:
    with pytest.warns(SettingNotSavedWarning, match=r"The field 'hidden' of the setting 'Lab\.x'") as warned:
        thing_with(Forgetful, default_factory=Forgetful)
    assert warned[0].filename == __file__


def test_a_key_that_may_be_missing_is_warned_of_too() -> None:
    with pytest.warns(SettingNotSavedWarning, match="The field 'hidden' .* because of `exclude=True`"):
        thing_with(ForgetfulDict)


@pytest.mark.skipif(pydantic.VERSION < "2.12", reason="`exclude_if` is new in pydantic 2.12")
def test_a_field_that_is_not_always_saved_is_warned_of() -> None:
    class Shy(BaseModel):
        hidden: int = Field(3, exclude_if=lambda value: value == 5)

    with pytest.warns(SettingNotSavedWarning, match="The field 'hidden' .* where `exclude_if` says so"):
        thing_with(Shy)


def test_properties_may_have_all_that() -> None:
    class Lab(lt.Thing):
        key: SecretStr = lt.property(default=SecretStr(""))
        axes: dict[Axis, float] = lt.property(default_factory=dict)
        state: Forgetful = lt.property(default_factory=Forgetful)
        swapped: SwappedNames = lt.property(default_factory=SwappedNames)


def test_a_value_that_cannot_be_read_back_is_told_of_once_when_it_is_saved(
    serve: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, _ = serve({"lab": thing_with(InVolts, default_factory=InVolts)})
    lab = server.things["lab"]
    for volts in (1, 2):
        lab.x = InVolts(volts=volts)
        lab.save_settings()
    (record,) = [each for each in caplog.records if "cannot be read back" in each.getMessage()]
    assert "The setting 'x' is saved as {'volts': '1.0 V'}" in record.getMessage()
    (path,) = tmp_path.glob("settings/lab/*.json")
    assert json.loads(path.read_text()) == {"x": {"volts": "2.0 V"}}
