"""Answers to requests in the Web Thing Protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from labthings.websockets.requests import Request, head_of
from labthings.websockets.texts import to_text
from labthings.websockets.web_thing_protocol import response

Texts: TypeAlias = Sequence[str]
"""What to send to a client, in this order."""
Methods: TypeAlias = Mapping[str, Callable[[Request], Awaitable[Texts]]]
"""What does each operation, by its name."""


def answer(request: Request, members: str = "") -> Texts:
    """The response to a request.

    :param members: what there is to tell, as JSON without braces.
    """
    return [response(head_of(request.members, request.thing_id), members)]


def subscribed(request: Request, epoch: str, **members: Any) -> Texts:
    """The response to a request for notifications.

    :param epoch: tells this run of the server from others.
    """
    return answer(request, to_text({"epoch": epoch, **members})[1:-1])
