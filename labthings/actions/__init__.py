"""Actions of Things: methods that clients can invoke, each invocation in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from labthings.actions.descriptor import ActionDescriptor
from labthings.actions.info import ActionCollection, ActionInfo
from labthings.actions.invocation import Invocation, InvocationStatus
from labthings.actions.manager import ActionManager

Params = ParamSpec("Params")
ReturnType = TypeVar("ReturnType")


@overload
def action(function: Callable[Concatenate[Any, Params], ReturnType], /) -> ActionDescriptor[Params, ReturnType]: ...
@overload
def action(
    *,
    retention_time: float = 300,
    response_timeout: float = 0,
    use_global_lock: bool | None = None,
    safe: bool = False,
    idempotent: bool = False,
) -> Callable[[Callable[Concatenate[Any, Params], ReturnType]], ActionDescriptor[Params, ReturnType]]: ...
def action(function: Any = None, /, **options: Any) -> Any:
    """Let clients invoke a method of a Thing. Use it as a decorator, with or without arguments.

    :param function: the method. What its parameters and its result are annotated with is what clients send and get.
    :param retention_time: how many seconds an invocation is kept after its end.
    :param response_timeout: how many seconds to wait for the end before answering a client that does not say.
    :param use_global_lock: whether it takes the server's global lock, if there is one. By default it does.
    :param safe: whether it leaves everything as it was.
    :param idempotent: whether invoking it twice does no more than invoking it once.
    """
    if function is not None:
        return ActionDescriptor(function, **options)
    return lambda decorated: ActionDescriptor(decorated, **options)


__all__ = [
    "ActionCollection",
    "ActionDescriptor",
    "ActionInfo",
    "ActionManager",
    "Invocation",
    "InvocationStatus",
    "action",
]
