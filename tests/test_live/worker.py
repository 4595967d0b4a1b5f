"""Threads that change live state in every way there is."""

from __future__ import annotations

import threading
from contextlib import suppress
from itertools import count
from typing import Any, NamedTuple

import httpx

from labthings.state import document_of, origin
from tests.test_live.garden import KEYS, Tree, change, change_as_one
from tests.test_live.truth import Truth
from tests.test_state.followers import words

JSON_PATCH = {"Content-Type": "application/json-patch+json"}
_numbers = count()


class Step(NamedTuple):
    """Something that a thread does.

    :param how: `Worker` has a method of that name.
    :param name: the property.
    :param changes: what is to be changed in it.
    :param fails: whether that ends by an exception.
    """

    how: str
    name: str
    changes: list[tuple[str, int, Any]]
    fails: bool


class Worker:
    """A thread that takes some steps, some of them over HTTP, and checks what it is answered.

    :param garden: the Thing.
    :param truths: what the properties were at each version.
    """

    def __init__(self, url: str, garden: Any, truths: dict[str, Truth], steps: list[Step]) -> None:
        self._garden, self._truths, self._steps = garden, truths, steps
        self._client = httpx.Client(base_url=f"{url}/garden", timeout=20, verify=False)  # which makes it quickly
        self.faults: list[BaseException] = []
        self.ended: list[tuple[str, str, int]] = []
        """Invocations of actions, of which property, and the version that this had when they had ended."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()

    def check(self) -> None:
        """Make sure that all that actions have changed was there when they had ended."""
        for invocation, name, version in self.ended:
            assert all(each <= version for each in self._truths[name].caused_by(invocation))

    def _run(self) -> None:
        try:
            with self._client:
                for step in self._steps:
                    getattr(self, step.how)(step)
        except BaseException as error:  # noqa: BLE001
            self.faults.append(error)

    # --- in the Thing's own threads -----------------------------------------------------------------------------

    def direct(self, step: Step) -> None:
        change(self._tree(step), step.changes)

    def batch(self, step: Step) -> None:
        with suppress(ZeroDivisionError):
            change_as_one(self._tree(step), step.changes, step.fails)

    def origin(self, step: Step) -> None:
        with origin({"by": step.fails}):
            change(self._tree(step), step.changes)

    def load(self, step: Step) -> None:
        document = document_of(self._tree(step))
        old = document.snapshot().data
        change(self._tree(step), step.changes)
        document.load_state(old if step.fails else new_value(step))

    def assign(self, step: Step) -> None:
        setattr(self._garden, step.name, Tree(note=unique_note()))
        change(self._tree(step), step.changes)

    def flush(self, step: Step) -> None:
        for each in step.changes:
            change(self._tree(step), [each])
            document_of(self._tree(step)).flush()

    def _tree(self, step: Step) -> Tree:
        tree: Tree = getattr(self._garden, step.name)
        return tree

    # --- over HTTP ----------------------------------------------------------------------------------------------

    def read(self, step: Step) -> int:
        answer = self._client.get(f"/{step.name}")
        version = self._version(step, answer)
        assert words(answer.json()) == self._truths[step.name].states[version]
        again = self._client.get(f"/{step.name}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code == 304) == (again.headers["etag"] == answer.headers["etag"])
        return version

    def put(self, step: Step) -> None:
        value = new_value(step)
        answer = self._client.put(f"/{step.name}", json=value)
        self._check_note(step, answer, value["note"])

    def reset(self, step: Step) -> None:
        answer = self._client.post(f"/{step.name}/reset")
        assert self._truths[step.name][self._version(step, answer)] == Tree().model_dump(mode="json")

    def patch(self, step: Step) -> None:
        note = unique_note()
        answer = self._client.patch(f"/{step.name}", json=operations(step, note), headers=JSON_PATCH)
        if answer.status_code not in (409, 422):
            self._check_note(step, answer, note)

    def patch_version(self, step: Step) -> None:
        tag, note = self._client.get(f"/{step.name}").headers["etag"], unique_note()
        change(self._tree(step), step.changes[1:])
        body = operations(step._replace(changes=[]), note)
        if step.fails:
            body.insert(0, {"op": "test", "version": int(tag.strip('"').partition("-")[2])})
        headers = JSON_PATCH if step.fails else {**JSON_PATCH, "If-Match": tag}
        answer = self._client.patch(f"/{step.name}", json=body, headers=headers)
        if answer.status_code not in (409, 412):
            self._check_note(step, answer, note)
            old, new = (int(each.strip('"').partition("-")[2]) for each in (tag, answer.headers["etag"]))
            assert new == old + 1

    def act(self, step: Step) -> None:
        self._act(step, "work", 10)

    def act_in_loop(self, step: Step) -> None:
        self._act(step, "work_in_loop", 10)

    def act_and_poll(self, step: Step) -> None:
        self._act(step, "work", 0)

    def _act(self, step: Step, action: str, wait: int) -> None:
        body = {"name": step.name, "changes": step.changes, "fails": step.fails}
        answer = self._client.post(f"/{action}?wait={wait}", json=body)
        told = answer.json()
        while told["status"] in ("pending", "running"):
            told = self._client.get(told["href"]).json()
        assert told["status"] == ("error" if step.fails else "completed")
        version = self._version(step, self._client.get(f"/{step.name}"))
        self.ended.append((told["id"], step.name, version))

    def _check_note(self, step: Step, answer: httpx.Response, note: str) -> None:
        assert answer.status_code == 204, answer.text
        assert self._truths[step.name][self._version(step, answer)]["note"] == note

    def _version(self, step: Step, answer: httpx.Response) -> int:
        assert answer.is_success, answer.text
        epoch, _, version = answer.headers["etag"].strip('"').partition("-")
        assert epoch == self._truths[step.name].epoch
        return int(version)


def unique_note() -> str:
    return f"note {next(_numbers)}"


def new_value(step: Step) -> dict[str, Any]:
    leaves = [{"number": number, "tag": value} for _, number, value in step.changes[:5]]
    table = {KEYS[number % 4]: {"tag": value} for _, number, value in step.changes}
    return {"note": unique_note(), "branches": [{"leaves": leaves, "the/name~": "x"}], "table": table, "angle": "nan"}


def operations(step: Step, note: str) -> list[dict[str, Any]]:
    """A JSON Patch, which may not fit."""
    made: list[dict[str, Any]] = [{"op": "replace", "path": "/note", "value": note}]
    for _, number, value in step.changes:
        made += possible(number, value)[number % 9 : number % 9 + 1]
    return made


def possible(number: int, value: Any) -> list[dict[str, Any]]:
    return [
        {"op": "add", "path": "/matrix/-", "value": [number]},
        {"op": "remove", "path": "/matrix/0"},
        {"op": "add", "path": "/branches/0", "value": {"leaves": [{"number": number, "tag": value}]}},
        {"op": "replace", "path": "/branches/0/leaves/0/tag", "value": value},
        {"op": "move", "from": "/branches/1", "path": "/branches/0"},
        {"op": "copy", "from": "/branches/0/leaves/0", "path": "/table/a"},
        {"op": "add", "path": "/table/~00", "value": {"tag": value}},
        {"op": "replace", "path": "/limit", "value": -number},
        {"op": "replace", "path": "/flag", "value": value},
    ]
