"""Operations on properties in the Web Thing Protocol."""

from __future__ import annotations

from labthings.exceptions import ReadOnlyPropertyError
from labthings.websockets.answers import Methods, Texts, answer, subscribed
from labthings.websockets.requests import Request
from labthings.websockets.subscriptions import Subscriptions
from labthings.websockets.web_thing_protocol import DIALECT, notification, tail


class PropertyOperations:
    """Reads, writes and observes properties for one client.

    :param subscriptions: the client's.
    :param epoch: tells this run of the server from others.
    """

    def __init__(self, subscriptions: Subscriptions, epoch: str) -> None:
        self._subscriptions, self._epoch = subscriptions, epoch
        self.methods: Methods = {
            "readproperty": self._read,
            "writeproperty": self._write,
            "readallproperties": self._read_all,
            "readmultipleproperties": self._read_several,
            "writemultipleproperties": self._write_several,
            "observeproperty": self._observe,
            "unobserveproperty": self._unobserve,
            "observeallproperties": self._observe_all,
            "unobserveallproperties": self._unobserve_all,
        }

    async def _read(self, request: Request) -> Texts:
        access = request.find_property()
        body = access.read_at_once()
        return answer(request, f'"value":{(await access.read() if body is None else body).decode()}')

    async def _write(self, request: Request) -> Texts:
        access = request.find_property()
        if access.info.readonly:
            raise ReadOnlyPropertyError(f"'{access.info}' is read-only: clients cannot write it.")
        document = request.document("value")
        if not access.write_at_once(document):
            await access.write(await access.parse(document))
        return answer(request)

    async def _read_all(self, request: Request) -> Texts:
        return answer(request, f'"values":{(await request.thing.everything.read_json()).decode()}')

    async def _read_several(self, request: Request) -> Texts:
        body = await request.thing.everything.read_json(request.find_properties())
        return answer(request, f'"values":{body.decode()}')

    async def _write_several(self, request: Request) -> Texts:
        await request.thing.everything.write_json(request.find_values())
        return answer(request)

    async def _observe(self, request: Request) -> Texts:
        info = request.find_property().info
        info.require_observable()
        self._tell_of(request, info.name)
        return subscribed(request, self._epoch)

    async def _observe_all(self, request: Request) -> Texts:
        for name, access in request.thing.properties.items():
            if access.info.is_observable:
                self._tell_of(request, name)
        return subscribed(request, self._epoch)

    async def _unobserve(self, request: Request) -> Texts:
        self._subscriptions.remove(request.thing.served.name, request.find_property().info.name, DIALECT)
        return answer(request)

    async def _unobserve_all(self, request: Request) -> Texts:
        for name in request.thing.properties:
            self._subscriptions.remove(request.thing.served.name, name, DIALECT)
        return answer(request)

    def _tell_of(self, request: Request, name: str) -> None:
        own = tail(request.thing_id, request.correlation_id)
        self._subscriptions.add(
            request.thing.served.name, name, DIALECT, lambda message: (message.encoded(notification) + own,)
        )
