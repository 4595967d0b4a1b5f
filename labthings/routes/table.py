"""Find what answers a request with one look into a dictionary, however many Things there are."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any, NamedTuple

from labthings.exceptions import ConfigurationError, MethodNotAllowedError
from labthings.routes.http import Handler, Receive, Route, Scope, Send, send_nothing


class Pattern(NamedTuple):
    """A path with a variable part."""

    before: str
    after: str
    resource: Resource

    def variable_part(self, path: str) -> str | None:
        """What stands for the variable part in a path, if the path fits."""
        path = path.removesuffix("/")
        if not path.startswith(self.before) or not path.endswith(self.after):
            return None
        found = path[len(self.before) : len(path) - len(self.after)]
        return found if found and "/" not in found else None


class Resource(dict[str, Handler]):
    """What answers at one path, by HTTP method."""

    @property
    def allowed(self) -> str:
        return ", ".join(sorted({*self, "OPTIONS"}))

    def add(self, route: Route) -> None:
        if route.method in self:
            raise ConfigurationError(f"Two things would answer {route.method} {route.path}. Give one another name.")
        self[route.method] = route.handler
        if route.method == "GET":
            self["HEAD"] = _without_body(route.handler)

    def handler_for(self, method: str, path: str) -> Handler:
        if method == "OPTIONS":
            return self._tell_options
        raise MethodNotAllowedError(
            f"{path} does not take {method}. It takes: {self.allowed}.", [("Allow", self.allowed)]
        )

    async def _tell_options(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_nothing(send, headers=[(b"allow", self.allowed.encode())])


class Table:
    """The handlers of a server, by path and method."""

    def __init__(self) -> None:
        self._resources: dict[str, Resource] = {}
        self._patterns: list[Pattern] = []

    def add(self, routes: Iterable[Route]) -> None:
        """Add handlers.

        :raises ConfigurationError: if there is one for the same path and method.
        """
        for route in routes:
            self._resource(route.path).add(route)

    def has(self, path: str, method: str) -> bool:
        """Whether something answers a method at a path."""
        return method in self._resources.get(path, ())

    def has_path(self, path: str) -> bool:
        """Whether something answers at a path, by whatever method."""
        return path in self._resources

    def names_beside(self, path: str) -> list[str]:
        """What there is in the same place, if that is a Thing's."""
        parent = path.rstrip("/").rpartition("/")[0] + "/"
        if parent not in self._resources:
            return []
        below = (each.removeprefix(parent) for each in self._resources if each.startswith(parent))
        return sorted({each.partition("/")[0] for each in below if each})

    def find(self, scope: Scope) -> Handler | None:
        """What answers a request, if the path is in the table.

        :raises MethodNotAllowedError: if it is, but not with that method.
        """
        path: str = scope["path"]
        root_path = scope.get("root_path")
        if root_path:
            path = path.removeprefix(root_path)
        resource = self._resources.get(path)
        if resource is None:
            resource = self._find_slowly(path, scope)
            if resource is None:
                return None
        method: str = scope["method"]
        return resource.get(method) or resource.handler_for(method, path)

    def _find_slowly(self, path: str, scope: Scope) -> Resource | None:
        for pattern in self._patterns:
            id = pattern.variable_part(path)
            if id is not None:
                scope["path_params"] = {"id": id}
                return pattern.resource
        return self._resources.get(path[:-1] if path.endswith("/") else path + "/")

    def _resource(self, path: str) -> Resource:
        before, variable, after = path.partition("{id}")
        if not variable:
            return self._resources.setdefault(path, Resource())
        known = next((each for each in self._patterns if (each.before, each.after) == (before, after)), None)
        if known is None:
            known = Pattern(before, after, Resource())
            self._patterns.append(known)
        return known.resource


def _without_body(handler: Handler) -> Handler:
    async def head(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_head(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await handler(scope, receive, send_head)

    return head
