from __future__ import annotations

import json
import uuid

import pytest

from labthings.exceptions import InvalidValueError
from labthings.thing_description import (
    build_directory_description,
    directory_page,
    validate_thing_description,
)

BASE = "http://127.0.0.1:8873/"
IDENTITY = uuid.UUID("9e126cf4-1064-5ace-a40a-bdd777b5a35c")
THINGS = {"spectro": f"{BASE}spectro/", "union": f"{BASE}union/"}


def test_the_directory_is_that_of_the_design(request: pytest.FixtureRequest) -> None:
    example = request.config.rootpath.parent / "shared" / "design" / "example_directory_td.json"
    if not example.exists():
        pytest.skip(f"the design's example is not at {example}: the directory is not compared with it")
    designed = json.loads(example.read_text())
    designed["properties"]["things"]["observable"] = False  # always present, http-api.md says

    assert build_directory_description(BASE, IDENTITY, THINGS) == designed


def test_the_directory_is_a_thing_description() -> None:
    td = build_directory_description(BASE, IDENTITY, THINGS)

    validate_thing_description(td)
    assert [link["href"] for link in td["links"]] == list(THINGS.values())


def test_an_api_prefix_is_part_of_the_urls() -> None:
    td = build_directory_description("http://lab.example/proxy/", IDENTITY, {}, prefix="/api")

    assert td["properties"]["things"]["forms"][0]["href"] == "http://lab.example/proxy/api/things{?offset,limit}"
    assert td["actions"]["retrieveThing"]["forms"][0]["href"] == "http://lab.example/proxy/api/things/{id}"


@pytest.mark.parametrize(
    ("offset", "limit", "ids", "next_offset"),
    [
        (0, None, ["a", "b", "c"], None),
        (1, None, ["b", "c"], None),
        (0, 2, ["a", "b"], 2),
        (1, 2, ["b", "c"], None),
        (5, 1, [], None),
    ],
)
def test_a_page_has_things_in_order_of_their_ids(
    offset: int, limit: int | None, ids: list[str], next_offset: int | None
) -> None:
    page = directory_page([{"id": "c"}, {"id": "a"}, {"id": "b"}], offset, limit)

    assert [td["id"] for td in page.thing_descriptions] == ids
    assert page.next_offset == next_offset


@pytest.mark.parametrize(("offset", "limit"), [(-1, None), (0, 0), (0, -3)])
def test_a_page_that_cannot_be_is_refused(offset: int, limit: int | None) -> None:
    with pytest.raises(InvalidValueError, match="offset"):
        directory_page([], offset, limit)
