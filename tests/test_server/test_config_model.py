"""A configuration says what it means, and each fault in one names its key and the remedy."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from labthings.exceptions import ConfigurationError
from labthings.server.config_model import ThingConfig, ThingServerConfig
from labthings.thing import Thing


class Anything(Thing):
    """A Thing that takes whatever it is given."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(kwargs["thing_server_interface"])


class Group:
    class Lamp(Thing):
        pass


def any_thing(**config: Any) -> dict[str, Any]:
    return {"things": {"any": {"class": f"{__name__}:Anything", **config}}}


def fault(data: Mapping[str, Any]) -> str:
    """The error's message, as one line."""
    with pytest.raises(ConfigurationError) as caught:
        ThingServerConfig.from_mapping(data)
    header, *lines = str(caught.value).splitlines()
    assert header == "The server's configuration cannot be used:"
    return " ".join(line.strip() for line in lines)


# --- what is accepted ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "declaration",
    [
        Anything,
        {"cls": Anything},
        {"class": Anything},
        ThingConfig(cls=Anything),
        f"{__name__}:Anything",
        f"{__name__}.Anything",
        {"class": f"{__name__}:Anything"},
    ],
    ids=str,
)
def test_a_thing_is_given_by_its_class_an_import_string_or_a_config(declaration: Any) -> None:
    config = ThingServerConfig.from_mapping({"things": {"any": declaration}})
    assert config.thing_configs["any"] == ThingConfig(cls=Anything)


def test_a_thing_config_keeps_its_arguments_and_slots() -> None:
    slots = {"one": "a", "many": ("a", "b"), "none": None}
    config = ThingConfig(cls=Anything, args=[1], kwargs={"x": {"y": 2}}, thing_slots=slots)
    assert config.args == [1]
    assert config.kwargs == {"x": {"y": 2}}
    assert config.thing_slots == {"one": "a", "many": ["a", "b"], "none": None}


def test_a_class_may_be_inside_another() -> None:
    config = ThingServerConfig.from_mapping({"things": {"lamp": f"{__name__}:Group.Lamp"}})
    assert config.thing_configs["lamp"].cls is Group.Lamp


def test_the_defaults() -> None:
    config = ThingServerConfig(things={})
    assert config.model_dump() == {
        "things": {},
        "settings_folder": "./settings",
        "api_prefix": "",
        "enable_global_lock": False,
        "global_lock_log_level": logging.ERROR,
        "application_config": None,
        "switch_interval": 0.0005,
        "allowed_origins": [],
        "discovery": None,
        "maximum_body_size": 16 * 1024 * 1024,
        "start_timeout": 30,
        "stop_timeout": 5,
        "maximum_invocations": 10_000,
        "maximum_kept_memory": 2**28,
        "maximum_kept_files": 2**34,
        "spool_size": 2**22,
        "spool_folder": None,
        "maximum_upload_size": 2**34,
        "upload_retention": 600,
    }


def test_a_schema_reference_is_ignored() -> None:
    assert ThingServerConfig.from_mapping({"$schema": "./config.schema.json", "things": {}}).things == {}


def test_a_settings_folder_may_be_a_path() -> None:
    config = ThingServerConfig.from_mapping({"things": {}, "settings_folder": Path("here") / "there"})
    assert config.settings_folder == str(Path("here") / "there")


@pytest.mark.parametrize(("level", "number"), [("warning", 30), ("DEBUG", 10), (25, 25)])
def test_a_log_level_is_a_name_or_a_number(level: str | int, number: int) -> None:
    config = ThingServerConfig.from_mapping({"things": {}, "global_lock_log_level": level})
    assert config.global_lock_log_level == number


@pytest.mark.parametrize(
    ("origin", "kept"),
    [
        ("*", "*"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("HTTPS://Lab.Example.org:443", "https://lab.example.org"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://localhost:443", "http://localhost:443"),
    ],
)
def test_origins_are_kept_as_browsers_send_them(origin: str, kept: str) -> None:
    config = ThingServerConfig.from_mapping({"things": {}, "allowed_origins": [origin]})
    assert config.allowed_origins == [kept]


@pytest.mark.parametrize("prefix", ["", "/api", "/api/v1.0", "/~lab/a-b_c"])
def test_prefixes_that_are_paths_are_accepted(prefix: str) -> None:
    assert ThingServerConfig.from_mapping({"things": {}, "api_prefix": prefix}).api_prefix == prefix


def test_a_config_survives_being_written_as_json() -> None:
    config = ThingServerConfig.from_mapping(any_thing(args=[1], thing_slots={"a": ["any"]}))
    assert ThingServerConfig.model_validate_json(config.model_dump_json(by_alias=True)) == config


# --- keys and values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, "things: This key is missing."),
        ({"things": []}, "things: Should be an object, {...}, not []."),
        ({"things": {"a": {}}}, "things.a.class: This key is missing."),
        (
            {"things": {"a": {"class": Anything, "cls": Anything}}},
            "things.a: `class` and `cls` mean the same. Remove one of the two.",
        ),
        (
            {"things": {}, "seting_folder": "x"},
            "seting_folder: There is no such key. Did you mean 'settings_folder'?",
        ),
        (
            {"things": {"a": {"class": Anything, "settings": 3}}},
            "things.a.settings: There is no such key. The keys here are class, args, kwargs, thing_slots.",
        ),
        (
            {"things": {"a": {"Class": Anything}}},
            "things.a.class: This key is missing. things.a.Class: There is no such key. Did you mean 'class'?",
        ),
        ({"things": {}, "enable_global_lock": "yes"}, 'enable_global_lock: Should be true or false, not "yes".'),
        ({"things": {}, "settings_folder": ""}, "settings_folder: String should have at least 1 character"),
        ({"things": {}, "settings_folder": 3}, "settings_folder: Should be a string, not 3."),
        ({"things": {}, "switch_interval": 0}, "switch_interval: Should be greater than 0, not 0."),
        ({"things": {}, "switch_interval": 2}, "switch_interval: Should be less than or equal to 1, not 2."),
        ({"things": {}, "start_timeout": True}, "start_timeout: Should be a number, not true."),
        ({"things": {}, "start_timeout": float("inf")}, "start_timeout: Should be a finite number, not Infinity."),
        ({"things": {}, "maximum_body_size": 1.5}, "maximum_body_size: Should be a whole number, not 1.5."),
        ({"things": {}, "maximum_invocations": -1}, "maximum_invocations: Should be greater than or equal to 0"),
        ({"things": {}, "application_config": []}, "application_config: Should be an object, {...}, not []."),
        ({"things": {}, "allowed_origins": "*"}, "allowed_origins: Should be a list, [...], not"),
        ({"things": {}, "allowed_origins": ["*", "http://a/"]}, "allowed_origins[1]: Should be '*', or a web origin"),
        ({"things": {}, "allowed_origins": ["null"]}, "allowed_origins[0]: Should be '*', or a web origin"),
        ({"things": {}, "global_lock_log_level": "LOUD"}, "global_lock_log_level: Should be one of CRITICAL, ERROR"),
        ({"things": {}, "global_lock_log_level": True}, "global_lock_log_level: Should be one of CRITICAL, ERROR"),
        ({"things": {"a": {"class": Anything, "args": "x"}}}, 'things.a.args: Should be a list, [...], not "x".'),
        (
            {"things": {"a": {"class": Anything, "thing_slots": {"s": ["b", 3]}}}},
            "things.a.thing_slots.s: Should be the name of a Thing, a list of such names, or null.",
        ),
    ],
)
def test_a_fault_names_its_key_and_the_remedy(data: dict[str, Any], expected: str) -> None:
    assert fault(data).startswith(expected)


@pytest.mark.parametrize("prefix", ["/", "api", "/api/", "//api", "/../api", "/a b", "/{x}", "/api?x", "/api\n"])
def test_a_prefix_that_is_not_a_path_is_refused(prefix: str) -> None:
    assert fault({"things": {}, "api_prefix": prefix}).startswith("api_prefix: Should be empty or a path like")


@pytest.mark.parametrize("name", ["", "my stage", "étage", "a/b", "a.b", "stage\n"])
def test_a_name_that_would_not_be_part_of_a_url_is_refused(name: str) -> None:
    assert "The name of a Thing is part of its URL" in fault({"things": {name: Anything}})


@pytest.mark.parametrize("name", ["things", "docs", "health", "action_invocations"])
def test_a_name_that_the_server_uses_is_refused(name: str) -> None:
    message = fault({"things": {name: Anything}, "api_prefix": "/api"})
    assert message == f"things.{name}: The server itself uses '{name}' in its URLs. Give the Thing another name."


def test_every_fault_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        ThingServerConfig.from_mapping({"things": {"docs": Anything}, "api_prefix": 3, "port": 80})
    assert len(str(caught.value).splitlines()) == 4


# --- the JSON Schema ----------------------------------------------------------------------------------------


def test_the_schema_is_one() -> None:
    schema = ThingServerConfig.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"$schema": "x", **any_thing(args=[1], thing_slots={"a": None})})
    assert validator.is_valid({"things": {"a": {"cls": "b:C"}, "b": "b:C"}, "global_lock_log_level": "INFO"})
    assert validator.is_valid({"things": {}, **dict(_defaults(schema))})


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"things": {"a b": "b:C"}},
        {"things": {"docs": "b:C"}},
        {"things": {"a": "Stage"}},
        {"things": {"a": {"class": "b:C", "cls": "b:C"}}},
        {"things": {"a": {}}},
        {"things": {}, "port": 80},
        {"things": {}, "api_prefix": "/api/"},
        {"things": {}, "switch_interval": 0},
        {"things": {}, "global_lock_log_level": "LOUD"},
        {"things": {"a": {"class": "b:C", "thing_slots": {"x": 3}}}},
    ],
)
def test_the_schema_refuses_what_the_server_refuses(data: Any) -> None:
    assert not jsonschema.Draft202012Validator(ThingServerConfig.model_json_schema()).is_valid(data)


def _defaults(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((key, value["default"]) for key, value in schema["properties"].items() if "default" in value)


def test_every_key_of_the_schema_is_described() -> None:
    schema = ThingServerConfig.model_json_schema()
    keys = {**schema["properties"], **schema["$defs"]["ThingConfig"]["properties"]}
    assert [key for key, value in keys.items() if "description" not in value] == []
