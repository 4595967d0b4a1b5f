"""Describe affordances to FastAPI, for its OpenAPI document. What is described here is served by the table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import Body, FastAPI, Header
from pydantic import AnyUrl, BaseModel, Field

from labthings.actions import ActionInfo, InvocationStatus
from labthings.properties import PropertyInfo
from labthings.routes.served_thing import ServedThing, ServedThings


class ProblemDocument(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = None


class LinkDocument(BaseModel):
    """A link from an invocation."""

    rel: str
    href: AnyUrl


class LogDocument(BaseModel):
    """Something that an action logged."""

    message: str
    levelname: str
    levelno: int
    lineno: int
    filename: str
    created: datetime
    exception_type: str | None = None
    traceback: str | None = None


class ProgressDocument(BaseModel):
    """How far an action has come."""

    fraction: Annotated[float, Field(ge=0, le=1)]
    message: str | None = None


class InvocationSummary(BaseModel):
    """An invocation, as lists show it."""

    status: InvocationStatus
    id: str
    action: str
    href: AnyUrl
    timeRequested: datetime
    timeStarted: datetime | None
    timeCompleted: datetime | None
    links: list[LinkDocument]
    progress: ProgressDocument | None = None


class InvocationDocument(InvocationSummary):
    """One run of an action."""

    log: list[LogDocument]
    error: ProblemDocument | None = None
    input: Any
    output: Any


Wait = Annotated[str | None, Header(alias="Prefer", examples=["wait=60"])]
PROBLEM = {"model": ProblemDocument, "content": {"application/problem+json": {}}}


def documented(server: ServedThings) -> FastAPI:
    """An application with a route for everything that the table serves."""
    app = FastAPI()
    for served in server.served_things.values():
        for info in served.properties.values():
            _add_property(app, served, info)
        for action in served.actions.values():
            _add_action(app, served, action)
        _add_thing(app, served)
    _add_invocations(app, server.api_prefix)
    _add_directory(app, server.api_prefix)
    return app


def _add_property(app: FastAPI, served: ServedThing, info: PropertyInfo) -> None:
    kind: Any = info.descriptor.constrained_type
    add = _Adder(app, served.path + info.name, served.name, info.name, info.title, info.description)
    add("GET", _function(returns=kind), "read", response_description=info.title)
    if not info.readonly:
        add("PUT", _function(value=Annotated[kind, Body()]), "write", status_code=204)
    if info.is_resettable:
        path = f"{served.path}{info.name}/reset"
        _Adder(app, path, served.name, info.name, f"Reset {info.name}", None)(
            "POST", _function(), "reset", status_code=204
        )


def _add_action(app: FastAPI, served: ServedThing, info: ActionInfo) -> None:
    add = _Adder(app, served.path + info.name, served.name, info.name, info.title, info.description)
    arguments: dict[str, Any] = {"prefer": Wait}
    if info.input_adapter is not None:
        arguments["arguments"] = Annotated[info.descriptor.input_type, Body()]
    add("POST", _function(returns=InvocationDocument, **arguments), "invoke", status_code=201)
    add("GET", _function(returns=list[InvocationSummary]), "list")


def _add_thing(app: FastAPI, served: ServedThing) -> None:
    everything = dict[str, Any]
    _Adder(app, served.path, served.name, "thing", served.title, served.description)(
        "GET", _function(returns=everything), "describe"
    )
    properties = _Adder(app, f"{served.path}properties", served.name, "properties", "All properties", None)
    properties("GET", _function(returns=everything), "read_all")
    properties("PUT", _function(values=Annotated[everything, Body()]), "write_several", status_code=204)
    actions = _Adder(app, f"{served.path}actions", served.name, "actions", "All invocations of this Thing", None)
    actions("GET", _function(returns=list[InvocationSummary]), "list_all")


def _add_invocations(app: FastAPI, prefix: str) -> None:
    path = f"{prefix}/action_invocations"
    filters = dict.fromkeys(("thing", "action", "status"), str | None) | {"offset": int | None, "limit": int | None}
    _Adder(app, path, "invocations", "invocations", "All invocations", None)(
        "GET", _function(returns=list[InvocationSummary], **filters), "list_all"
    )
    one = _Adder(app, f"{path}/{{id}}", "invocations", "invocation", "An invocation", None)
    one("GET", _function(returns=InvocationDocument, id=str, wait=float | None), "show")
    one("DELETE", _function(id=str), "cancel", status_code=204)
    output = _Adder(app, f"{path}/{{id}}/output", "invocations", "output", "What an action returned", None)
    output("GET", _function(returns=Any, id=str, wait=float | None), "show")


def _add_directory(app: FastAPI, prefix: str) -> None:
    described = {
        f"{prefix}/things/": ("things", "The URLs of all Things", dict[str, str]),
        f"{prefix}/things": ("directory", "All Thing Descriptions, sorted by id", list[dict[str, Any]]),
        f"{prefix}/thing_descriptions/": ("descriptions", "All Thing Descriptions, by name", dict[str, Any]),
        "/.well-known/wot": ("well_known", "The directory's own Thing Description", dict[str, Any]),
        "/health": ("health", "Whether each Thing is running", dict[str, Any]),
    }
    for path, (name, title, kind) in described.items():
        _Adder(app, path, "server", name, title, None)("GET", _function(returns=kind), "show")
    _Adder(app, f"{prefix}/things/{{id}}", "server", "directory", "One Thing Description", None)(
        "GET", _function(returns=dict[str, Any], id=str), "show_one"
    )


class _Adder:
    def __init__(self, app: FastAPI, path: str, tag: str, name: str, title: str, description: str | None) -> None:
        self._app, self._path, self._tag, self._name = app, path, tag, name
        self._words: dict[str, Any] = {"summary": title, "description": description or ""}

    def __call__(self, method: str, function: Callable[..., Any], verb: str, **options: Any) -> None:
        self._app.add_api_route(
            self._path,
            function,
            methods=[method],
            tags=[self._tag],
            operation_id=f"{verb}.{self._tag}.{self._name}",
            responses={"4XX": PROBLEM, "5XX": PROBLEM},
            **self._words,
            **options,
        )


def _function(returns: Any = None, **parameters: Any) -> Callable[..., Any]:
    """A function that exists for its signature only."""

    def described(**arguments: Any) -> Any:
        raise AssertionError("This function documents a route that the table serves.")

    described.__signature__ = inspect.Signature(list(_parameters(parameters)), return_annotation=returns)  # type: ignore[attr-defined]
    return described


def _parameters(annotations: dict[str, Any]) -> Iterator[inspect.Parameter]:
    for name, annotation in annotations.items():
        optional = annotation == Wait or type(None) in getattr(annotation, "__args__", ())
        default = None if optional else inspect.Parameter.empty
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
