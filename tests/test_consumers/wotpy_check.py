"""Uses what wotpy can use of the example Things on a server: ``python wotpy_check.py http://127.0.0.1:5000``.

wotpy 0.18 cannot read a Thing Description in which anything may be of several types (``oneOf``), as optional properties
and arrays of any shape are, so Things with such a value are left out, and said to be. What is written is put back.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable
from typing import Any
from urllib.request import urlopen

from tornado.httpclient import AsyncHTTPClient
from wotpy.protocols.http.client import HTTPClient
from wotpy.wot.servient import Servient
from wotpy.wot.wot import WoT

PATIENCE = 15  # seconds that anything may take
INPUTS: dict[str, Any] = {  # what actions are given, if not nothing
    "ramp": {"channel": 1, "voltage": 0.1},
    "ramp_to": {"temperature": 20.5},
    "move_to": {"x": 200, "z": 50},
    "move_by": {"x": 10},
    "capture_sequence": {"count": 2, "interval": 0},
}


class Checked:
    """One Thing, of which everything is tried."""

    def __init__(self, thing: Any, description: dict[str, Any]) -> None:
        self.thing, self.description = thing, description
        self.count = dict.fromkeys(("read", "written", "observed", "subscribed", "invoked"), 0)
        self.has_failed = False
        self.heard: dict[str, list[Any]] = {}
        self._news = asyncio.Condition()
        self._loop = asyncio.get_running_loop()

    async def check_all(self) -> None:
        properties, events = self.description["properties"], self.description["events"]
        for name in properties:
            await self.attempt("read", name, self.thing.read_property(name))
        for name in (each for each in properties if properties[each]["observable"]):
            self.listen(name, self.thing.on_property_change(name))
        for name in events:
            self.listen(name, self.thing.on_event(name))
        await asyncio.sleep(0.2)  # wotpy does not say when it has begun to listen
        for name in (each for each in properties if not properties[each]["readOnly"]):
            await self.attempt("written", name, self.write(name, properties[name]))
        for name in self.description["actions"]:
            await self.attempt("invoked", name, self.invoke(name))
        for name in self.heard:
            heard = self.overheat() if name == "overheated" else self.until_heard(name)
            await self.attempt("subscribed" if name in events else "observed", name, heard)

    async def attempt(self, what: str, name: str, act: Awaitable[Any]) -> None:
        try:
            await asyncio.wait_for(act, PATIENCE)
            self.count[what] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            self.fail(f"{name} was not {what}: {error!r}")

    def fail(self, message: str) -> None:
        print(f"FAILED  {self.description['title']}: {message}", flush=True)
        self.has_failed = True

    def listen(self, name: str, observable: Any) -> None:
        self.heard[name] = []
        observable.subscribe(
            on_next=lambda emitted: self.hear(name, emitted.data),
            on_error=lambda error: self.fail(f"{name} was not told of: {error!r}"),
        )

    def hear(self, name: str, data: Any) -> None:
        self.heard[name].append(getattr(data, "value", data))
        self._loop.create_task(self._tell())

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until_heard(self, name: str, value: Any = None) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self.heard[name] and (value is None or self.heard[name][-1] == value))

    async def write(self, name: str, schema: dict[str, Any]) -> None:
        before = await self.thing.read_property(name)
        other = another(schema, before)
        for value in (other, before):
            await self.thing.write_property(name, value)
            assert await self.thing.read_property(name) == value
            await self.until_heard(name, value)

    async def overheat(self) -> None:
        before = await self.thing.read_property("alarm_temperature")
        await self.thing.write_property("alarm_temperature", 15)
        try:
            await self.until_heard("overheated")
        finally:
            await self.thing.write_property("alarm_temperature", before)

    async def invoke(self, name: str) -> None:
        started = await self.thing.invoke_action(name, INPUTS.get(name))
        ended = await asyncio.to_thread(fetched, f"{started['href']}?wait={PATIENCE}")
        assert ended["status"] == "completed", ended


def another(schema: dict[str, Any], value: Any) -> Any:
    """Another value that a schema allows."""
    if "enum" in schema:
        return next(each for each in schema["enum"] if each != value)
    if schema["type"] == "boolean":
        return not value
    if schema["type"] == "object":
        name = next(name for name, each in schema["properties"].items() if each.get("type") == "boolean")
        return {**value, name: not value[name]}
    return schema["minimum"] if schema["minimum"] != value else schema["maximum"]


def fetched(url: str) -> Any:
    """The JSON at a URL."""
    with urlopen(url) as answer:
        return json.load(answer)


async def main(url: str) -> int:
    AsyncHTTPClient.configure(
        None, max_clients=100
    )  # each observation takes one, for good, and there are 10 by default
    has_failed = False
    servient = Servient(hostname="127.0.0.1", catalogue_port=None, clients=[HTTPClient()])
    for description in await asyncio.to_thread(fetched, f"{url}/things"):
        if "oneOf" in json.dumps(description):
            print(f"{description['title']:24} left out")
            continue
        checked = Checked(WoT(servient).consume(json.dumps(description)), description)
        await checked.check_all()
        has_failed = has_failed or checked.has_failed
        counts = ", ".join(f"{what} {count}" for what, count in checked.count.items())
        print(f"{description['title']:24} {counts}", flush=True)
    return 1 if has_failed else 0


sys.exit(asyncio.run(main(sys.argv[1].rstrip("/"))))
