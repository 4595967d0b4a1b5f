from __future__ import annotations

import subprocess
import sys
from copy import deepcopy
from importlib.resources import files
from typing import Any

import pytest

from labthings.exceptions import InvalidValueError
from labthings.thing_description import validate_thing_description

TD: dict[str, Any] = {
    "@context": "https://www.w3.org/2022/wot/td/v1.1",
    "title": "Lamp",
    "securityDefinitions": {"nosec_sc": {"scheme": "nosec"}},
    "security": ["nosec_sc"],
    "properties": {"on": {"type": "boolean", "forms": [{"href": "on"}]}},
}
W3C = files("labthings.thing_description") / "w3c"


def test_a_thing_description_is_accepted() -> None:
    validate_thing_description(TD)


def test_each_fault_is_named_with_its_place() -> None:
    td = deepcopy(TD)
    td["properties"]["on"]["forms"] = []
    td["properties"]["on"]["type"] = "bool"
    del td["security"]

    with pytest.raises(InvalidValueError) as caught:
        validate_thing_description(td)

    assert {tuple(fault["loc"]): fault["type"] for fault in caught.value.errors} == {
        (): "required",
        ("properties", "on", "forms"): "minItems",
        ("properties", "on", "type"): "enum",
    }
    for words in (
        "'Lamp'",
        "'security' is a required property",
        "/properties/on/forms",
        "/properties/on/type",
        "'bool'",
    ):
        assert words in str(caught.value)


def test_a_fault_within_alternatives_is_named_where_it_is() -> None:
    td = deepcopy(TD)
    td["properties"]["on"]["forms"] = [{"href": "on", "op": ["readproperty", "paint"]}]

    with pytest.raises(InvalidValueError, match=r"/properties/on/forms/0/op/1: 'paint'"):
        validate_thing_description(td)


def test_the_schema_is_that_of_w3c(request: pytest.FixtureRequest) -> None:
    shared = request.config.rootpath.parent / "shared" / "wot" / "td-1.1.schema.json"
    if not shared.exists():
        pytest.skip(f"W3C's schema is not at {shared}: the copy in the package is not compared with it")

    assert (W3C / "td-1.1.schema.json").read_bytes() == shared.read_bytes()


def test_the_licence_of_the_schema_is_beside_it() -> None:
    licence = (W3C / "LICENSE").read_text(encoding="utf-8")

    for words in ("td-1.1.schema.json", "World Wide Web Consortium", "software-license-2023", 'PROVIDED "AS IS,"'):
        assert words in licence


def test_jsonschema_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, labthings.thing_description; sys.exit('jsonschema' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
