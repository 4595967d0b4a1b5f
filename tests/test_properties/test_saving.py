"""What of a setting is on disk, and which types are refused because they would not come back."""

import enum
import json
import math
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    Secret,
    SecretBytes,
    SecretStr,
    computed_field,
    field_serializer,
)

import labthings as lt
from labthings.exceptions import SettingNotSavedWarning, UnserialisableTypeError
from labthings.testing import create_thing_without_server


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


class ToldKey(BaseModel):
    secret: SecretStr = SecretStr("")

    @field_serializer("secret", when_used="json")
    def _tell(self, secret: SecretStr) -> str:
        return secret.get_secret_value()


class MixedBytes(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64")
    data: bytes = b""


class Needy(BaseModel):
    hidden: int = Field(exclude=True)


class Forgetful(lt.ReactiveModel):
    kept: int = 1
    hidden: int = Field(0, exclude=True)


class InVolts(BaseModel):
    volts: float = 0

    @field_serializer("volts")
    def _with_unit(self, volts: float) -> str:
        return f"{volts} V"


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
        (dict[Axis, float], "keys"),
        (dict[Literal[1, 2], float], "keys"),
        (dict[tuple[int, int], float], "keys"),
        (MixedBytes, "ser_json_bytes"),
        (Needy, "its field 'hidden' is needed, but not saved"),
    ],
)
def test_what_would_be_lost_is_refused(value_type: Any, words: str) -> None:
    with pytest.raises(UnserialisableTypeError, match=rf"The setting 'Lab\.x' .*{words}"):
        thing_with(value_type)


@pytest.mark.parametrize(
    ("value_type", "default"),
    [(InVolts, InVolts(volts=2)), (Annotated[float, PlainSerializer(lambda value: [value])], 2.0)],
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


def test_properties_may_have_all_that() -> None:
    class Lab(lt.Thing):
        key: SecretStr = lt.property(default=SecretStr(""))
        axes: dict[Axis, float] = lt.property(default_factory=dict)
        state: Forgetful = lt.property(default_factory=Forgetful)


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
