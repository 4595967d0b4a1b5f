"""JSON Patch in JavaScript is what it is in Python, which is RFC 6902."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from labthings.exceptions import InvalidPatchError
from labthings.state.json_patch import applied, difference
from tests.test_state.followers import words

FITTING = [
    ({}, {"op": "add", "path": "/a~1b~0", "value": 1}),
    ({"~1": 0}, {"op": "replace", "path": "/~01", "value": 1}),
    ({"a": 1}, {"op": "add", "path": "/a", "value": 2}),
    ({"a": 1, "b": 2}, {"op": "remove", "path": "/a"}),
    ([1], {"op": "add", "path": "/-", "value": [2]}),
    ([1], {"op": "add", "path": "/0", "value": None}),
    ([1], {"op": "add", "path": "/1", "value": 2}),
    ([[1, 2], [3]], {"op": "replace", "path": "/0/1", "value": 0.5}),
    ([1, 2, 3], {"op": "remove", "path": "/1"}),
    ({"": 1}, {"op": "remove", "path": "/"}),
    ({"": {"": 1}}, {"op": "replace", "path": "//", "value": 2}),
    ({"a": [1]}, {"op": "replace", "path": "", "value": None}),
    ({"a": [1]}, {"op": "add", "path": "", "value": [1]}),
    ({"a": [1]}, {"op": "copy", "from": "/a", "path": "/b"}),
    ({"a": [1]}, {"op": "copy", "from": "", "path": "/a/0"}),
    ({"a": {"b": 1}}, {"op": "move", "from": "/a/b", "path": "/c"}),
    ({"a": {"b": 1}}, {"op": "move", "from": "/a/b", "path": ""}),
    ([1, 2, 3], {"op": "move", "from": "/0", "path": "/2"}),
    ([1, 2, 3], {"op": "move", "from": "/1", "path": "/1"}),
    ({"a": 1}, {"op": "test", "path": "/a", "value": 1.0}),
    ({"a": [{"b": None}]}, {"op": "test", "path": "", "value": {"a": [{"b": None}]}}),
    ({"0": 1}, {"op": "replace", "path": "/0", "value": 2}),
    ({"__proto__": 1}, {"op": "replace", "path": "/__proto__", "value": {"a": 1}}),
    ({}, {"op": "add", "path": "/__proto__", "value": {"polluted": 1}}),
    ({"__proto__": {"a": [0]}}, {"op": "add", "path": "/__proto__/a/-", "value": 1}),
    ({"__proto__": {"a": 0}}, {"op": "copy", "from": "/__proto__", "path": "/__proto__/b"}),
    ({}, {"op": "add", "path": "/constructor", "value": {"__proto__": {"polluted": 1}}}),
    ({"__proto__": 1, "a": 1}, {"op": "remove", "path": "/__proto__"}),
]
NOT_FITTING = [
    ([1], {"op": "add", "path": "/2", "value": 2}),
    ([1], {"op": "remove", "path": "/-"}),
    ([1], {"op": "replace", "path": "/-", "value": 0}),
    ([1, 2], {"op": "remove", "path": "/01"}),
    ([1], {"op": "replace", "path": "/-1", "value": 2}),
    ([1], {"op": "replace", "path": "/length", "value": 0}),
    ([1], {"op": "add", "path": "/x", "value": 0}),
    ([1], {"op": "replace", "path": "/٠", "value": 2}),
    ([1], {"op": "replace", "path": "/0\n", "value": 2}),
    ([1], {"op": "replace", "path": "/1e0", "value": 2}),
    ([1], {"op": "replace", "path": "/" + "9" * 5000, "value": 2}),
    ({"a": 1}, {"op": "remove", "path": "/b"}),
    ({"a": 1}, {"op": "remove", "path": ""}),
    ({"a": 1}, {"op": "replace", "path": "a", "value": 2}),
    ({"a": 1}, {"op": "test", "path": "/a", "value": True}),
    ({"a": []}, {"op": "test", "path": "/a", "value": {}}),
    ({"a": [1]}, {"op": "test", "path": "/a", "value": [1, 2]}),
    ({"a": {}}, {"op": "test", "path": "/a", "value": {"__proto__": None}}),
    ({"a": {}}, {"op": "move", "from": "/a", "path": "/a/b"}),
    ([{}, {}], {"op": "move", "from": "/0", "path": "/0/a"}),
    ({"a": {}}, {"op": "move", "path": "/a/b"}),
    ({"a": 1}, {"op": "add", "path": 5, "value": 1}),
    ({"a": 1}, {"op": "add", "path": "/a"}),
    ({"a": 1}, {"op": "fly", "path": "/a"}),
    ("text", {"op": "add", "path": "/0", "value": 1}),
    ("text", {"op": "replace", "path": "/length", "value": 1}),
    (None, {"op": "add", "path": "/a", "value": 1}),
    ({"a": None}, {"op": "add", "path": "/a/b", "value": 1}),
    ({}, {"op": "add", "path": "/__proto__/polluted", "value": 1}),
    ({}, {"op": "replace", "path": "/__proto__", "value": 1}),
    ({}, {"op": "add", "path": "/constructor/prototype/polluted", "value": 1}),
    ([], {"op": "add", "path": "/__proto__/polluted", "value": 1}),
    ({}, {"op": "remove", "path": "/toString"}),
]
PATCHED = """
    const outcomes = [];
    for (const [text, operations] of cases) {
        const data = JSON.parse(text);
        try { outcomes.push(JSON.stringify(patched(data, operations))); } catch (error) { outcomes.push(error.name); }
        if (JSON.stringify(data) !== JSON.stringify(JSON.parse(text))) outcomes.push("it has changed");
    }
    if ({}.polluted !== undefined || [].polluted !== undefined) outcomes.push("polluted");
    return outcomes;
"""


def outcomes(tab: Any, cases: list[tuple[Any, list[Any]]]) -> list[Any]:
    """What the browser makes of data and operations."""
    text = json.dumps(json.dumps([(json.dumps(data), operations) for data, operations in cases]))
    found: list[Any] = tab.run(f"const cases = JSON.parse({text}); {PATCHED}")
    return found


def test_what_fits_is_done(tab: Any) -> None:
    expected = [applied(json.loads(json.dumps(data)), [operation]) for data, operation in FITTING]
    found = outcomes(tab, [(data, [operation]) for data, operation in FITTING])
    assert [json.loads(each) for each in found] == expected


def test_what_does_not_fit_is_refused(tab: Any) -> None:
    for data, operation in NOT_FITTING:
        with pytest.raises(InvalidPatchError):
            applied(data, [operation])
    found = outcomes(tab, [(data, [operation]) for data, operation in NOT_FITTING])
    assert dict(enumerate(found)) == dict.fromkeys(range(len(NOT_FITTING)), "RangeError")


def test_what_a_copy_brings_is_not_shared(tab: Any) -> None:
    operations = [
        {"op": "add", "path": "/a/0/0", "value": 1},
        {"op": "copy", "from": "/a", "path": "/b"},
        {"op": "add", "path": "/b/0/-", "value": 2},
    ]
    assert outcomes(tab, [({"a": [[]]}, operations)]) == ['{"a":[[1]],"b":[[1,2]]}']


def test_a_thousand_random_patches_lead_to_what_python_has(tab: Any) -> None:
    chance = random.Random(5)
    data: Any = {"items": []}
    patches, states, start = [], [], json.dumps(data)
    for _ in range(1000):
        patch = random_patch(chance, data)
        data = applied(json.loads(json.dumps(data)), patch)
        patches.append(patch)
        states.append(words(as_in_javascript(data)))
    assert {each["op"] for patch in patches for each in patch} == {"add", "remove", "replace", "move", "copy", "test"}
    script = """let data = JSON.parse(start); const states = [];
        for (const each of patches) states.push(JSON.stringify(data = patched(data, each)));
        return states;"""
    text = json.dumps(json.dumps(patches))
    found = tab.run(f"const start = {json.dumps(start)}, patches = JSON.parse({text}); {script}")
    assert [words(json.loads(each)) for each in found] == states


NAMES = ["a", "b/c", "~", "~1", "", "__proto__", "0", "-"]


def random_data(chance: random.Random, depth: int = 3) -> Any:
    kind = chance.randrange(8 if depth else 5)
    if kind < 5:
        return chance.choice([None, True, False, 0, 1, -2.5, 1e300, "text", "ü\u2028"])
    several = [random_data(chance, depth - 1) for _ in range(chance.randrange(4))]
    return several if kind < 7 else dict(zip(chance.sample(NAMES, len(several)), several, strict=True))


def random_patch(chance: random.Random, data: Any) -> list[dict[str, Any]]:
    """Operations that fit: often several, which rely on one another."""
    if chance.random() < 0.3:
        new = json.loads(json.dumps(data))
        if chance.random() < 0.1 or len(words(new)) > 2000:
            new = {"items": random_data(chance)}
        return [json.loads(each.to_json()) for each in difference(data, changed(chance, new))]
    operations: list[dict[str, Any]] = []
    for _ in range(chance.randrange(1, 6)):
        pointers = list(places(data))
        path, source = chance.choice(pointers), chance.choice(pointers)
        if isinstance(at := places(data)[path], list):
            path = f"{path}/{chance.choice(['-', str(chance.randrange(len(at) + 1))])}"
        operation = {"op": chance.choice(["add", "remove", "replace", "move", "copy", "test"]), "path": path}
        operation |= {"value": random_data(chance, 1), "from": source}
        if operation["op"] == "test" and path in places(data):
            operation["value"] = places(data)[path]
        try:
            data = applied(json.loads(json.dumps(data)), [operation])
        except InvalidPatchError:
            continue
        if len(words(data)) > 3000:
            operation = {"op": "replace", "path": "", "value": {"items": []}}
            data = {"items": []}
        operations.append(operation)
    return operations


def changed(chance: random.Random, data: Any) -> Any:
    """Data with something else at a few places; a list may be another length, or in another order."""
    if isinstance(data, list) and data and chance.random() < 0.7:
        chance.shuffle(data)
        return [changed(chance, each) for each in data[: chance.randrange(len(data) + 1)]]
    if isinstance(data, dict) and data:
        return {name: changed(chance, value) for name, value in data.items() if chance.random() < 0.9} or {"a": 1}
    return random_data(chance) if chance.random() < 0.5 else data


def places(data: Any, pointer: str = "") -> dict[str, Any]:
    """Everything in data, by its JSON pointer."""
    found = {pointer: data}
    pairs = enumerate(data) if isinstance(data, list) else data.items() if isinstance(data, dict) else ()
    for key, value in pairs:
        found |= places(value, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")
    return found


def as_in_javascript(data: Any) -> Any:
    """The same data, with the numbers as JavaScript writes them."""
    return json.loads(
        json.dumps(data),
        parse_float=lambda text: (
            int(float(text)) if float(text).is_integer() and abs(float(text)) < 1e21 else float(text)
        ),
    )
