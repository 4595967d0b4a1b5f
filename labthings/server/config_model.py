"""What a server is made of: its Things, and how it serves them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PlainValidator, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from typing_extensions import Self

from labthings.exceptions import ConfigurationError
from labthings.server.config_faults import explained
from labthings.server.config_values import (
    API_PREFIX,
    RESERVED_NAMES,
    THING_NAME,
    ApiPrefix,
    Folder,
    LogLevel,
    Origin,
    SlotTarget,
    ThingClass,
    ThingName,
)
from labthings.server.thing_arguments import argument_faults
from labthings.server.thing_class import thing_class
from labthings.thing import Thing


def _allow_either_name_of_the_class(schema: dict[str, Any]) -> None:
    schema["properties"]["cls"] = {**schema["properties"]["class"], "description": "The same as 'class'."}
    schema["oneOf"] = [{"required": ["class"]}, {"required": ["cls"]}]
    del schema["required"]


def _allow_schema_reference(schema: dict[str, Any]) -> None:
    description = "Where an editor finds this schema. The server ignores it."
    schema["properties"]["$schema"] = {"type": "string", "description": description}


class ThingConfig(BaseModel):
    """How to make one Thing."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_allow_either_name_of_the_class)

    cls: ThingClass = Field(validation_alias=AliasChoices("class", "cls"), serialization_alias="class")
    args: list[Any] = Field(default=[], description="Positional arguments for the class.")
    kwargs: dict[str, Any] = Field(default={}, description="Keyword arguments for the class.")
    thing_slots: Mapping[str, SlotTarget] = Field(
        default={},
        description="Which Things fill this Thing's slots, by the slot's name: one name, a list of names, or null. "
        "A slot that is not mentioned uses its default.",
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_two_classes(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and {"class", "cls"} <= data.keys():
            raise ConfigurationError("`class` and `cls` mean the same. Remove one of the two.")
        return data

    @model_validator(mode="after")
    def _match_arguments(self) -> Self:
        faults = [
            InitErrorDetails(type=PydanticCustomError("argument", "{text}", {"text": text}), loc=location, input=None)
            for location, text in argument_faults(self.cls, self.args, self.kwargs)
        ]
        if faults:
            raise ValidationError.from_exception_data("ThingConfig", faults)
        return self


def _thing_config(value: Any) -> ThingConfig:
    if isinstance(value, str | type):
        value = {"class": thing_class(value)}
    return ThingConfig.model_validate(value)


AnyThingConfig = Annotated[
    ThingConfig | type[Thing] | str,
    PlainValidator(_thing_config, json_schema_input_type=ThingClass | ThingConfig),
]


_NAMES_OF_THINGS: dict[str, Any] = {"propertyNames": {"pattern": THING_NAME, "not": {"enum": sorted(RESERVED_NAMES)}}}


class ThingServerConfig(BaseModel):
    """How to make a server."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_allow_schema_reference)

    things: Mapping[ThingName, AnyThingConfig] = Field(
        description="The Things, by name. A Thing is given by its class, like 'package.module:ClassName', "
        "or by an object that has more to say.",
        json_schema_extra=_NAMES_OF_THINGS,
    )
    settings_folder: Folder = Field(
        default="./settings",
        min_length=1,
        description="The folder for Things' settings, relative to the folder that the server is started in.",
    )
    api_prefix: ApiPrefix = Field(
        default="",
        description="A path before the URLs of all Things, like '/api/v1'.",
        json_schema_extra={"pattern": API_PREFIX},
    )
    enable_global_lock: bool = Field(
        default=False,
        strict=True,
        description="Whether only one action, or one change of a property, runs at a time on the whole server.",
    )
    global_lock_log_level: LogLevel = Field(
        default=logging.ERROR,
        description="The level at which it is logged that an action could not run because of the global lock.",
    )
    application_config: dict[str, Any] | None = Field(
        default=None, description="Anything else that the Things want to know. The server does not use it."
    )
    switch_interval: float = Field(
        default=0.0005,
        gt=0,
        le=1,
        strict=True,
        description="How long, in seconds, a busy thread may keep Python to itself. "
        "A shorter time makes the server answer faster, a longer one makes the thread compute faster.",
    )
    allowed_origins: list[Origin] = Field(
        default=[],
        description="Which web pages of other servers may use this one, as origins like "
        "'https://lab.example.org:8080'. '*' allows every web page in the world.",
    )
    discovery: bool | None = Field(
        default=None,
        strict=True,
        description="Whether to announce the server on the network (by DNS-SD), where 'labthings-server discover' "
        "finds it. By default, it is announced if it listens to other computers.",
    )
    maximum_body_size: int = Field(
        default=16 * 2**20, gt=0, strict=True, description="The largest request that is accepted, in bytes."
    )
    start_timeout: float = Field(
        default=30,
        gt=0,
        strict=True,
        allow_inf_nan=False,
        description="How long, in seconds, a start waits for one Thing before serving without it.",
    )
    stop_timeout: float = Field(
        default=5,
        ge=0,
        strict=True,
        allow_inf_nan=False,
        description="How long, in seconds, a stop waits for running actions, and for each Thing to close.",
    )
    maximum_invocations: int = Field(
        default=10_000, ge=0, strict=True, description="How many ended invocations of actions are kept at most."
    )
    maximum_kept_memory: int = Field(
        default=256 * 2**20,
        gt=0,
        strict=True,
        description="How many bytes of memory the outputs of ended actions, and uploads, may take. "
        "If they take more, the oldest are forgotten.",
    )
    maximum_kept_files: int = Field(
        default=16 * 2**30,
        gt=0,
        strict=True,
        description="How many bytes the temporary files of ended actions, and of uploads, may take. "
        "If they take more, the oldest are forgotten.",
    )
    spool_size: int = Field(
        default=4 * 2**20,
        ge=0,
        strict=True,
        description="Binary data that is kept and has more bytes than this is moved from memory to a temporary file.",
    )
    spool_folder: Folder | None = Field(
        default=None,
        min_length=1,
        description="The folder for such temporary files. By default, it is the system's, which may be in memory too.",
    )
    maximum_upload_size: int = Field(
        default=16 * 2**30, gt=0, strict=True, description="The largest blob that clients may upload, in bytes."
    )
    upload_retention: float = Field(
        default=600,
        ge=0,
        strict=True,
        allow_inf_nan=False,
        description="How long, in seconds, an upload is kept for an action to use it.",
    )

    @property
    def thing_configs(self) -> Mapping[str, ThingConfig]:
        """The Things, each as a full ``ThingConfig``."""
        return cast("Mapping[str, ThingConfig]", self.things)

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], source: str = "The server's configuration") -> Self:
        """Validate what a dictionary or a file says.

        :param source: where it comes from, for the error's message.
        :raises ConfigurationError: which names every key that is wrong, and the remedy.
        """
        with explained(source, _known_keys):
            return cls.model_validate(data)

    @model_validator(mode="before")
    @classmethod
    def _ignore_schema_reference(cls, data: Any) -> Any:
        return {key: data[key] for key in data if key != "$schema"} if isinstance(data, Mapping) else data


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    model = ThingConfig if location[:1] == ("things",) else ThingServerConfig
    return ["class" if name == "cls" else name for name in model.model_fields]
