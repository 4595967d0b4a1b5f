"""URLs of what a server makes available, for values that mention them, such as blobs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, TypeAlias

from labthings.exceptions import NoUrlForContextError

PLACEHOLDER = f"urn:uuid:{uuid.uuid4()}"
"""Stands for the server's address in a document that is kept: not every client reaches the server by the same one."""

UrlMaker: TypeAlias = Callable[[Any, str, object], str]
"""Makes a URL for whoever asks for it, of a path below the server's prefix; it is told what is found there."""

asking: ContextVar[tuple[UrlMaker, Any]] = ContextVar("labthings_asking")
"""How URLs are made in the code that runs, and for whom: `use_url_for` sets it, and the server for each request."""


def url_for(path: str, resource: object = None) -> str:
    """The URL of something on the server.

    :param path: its path below the server's prefix, as in ``blob/1234``.
    :param resource: what is found there, for whoever keeps the document that mentions it.
    :raises NoUrlForContextError: outside requests and actions, where nobody asks for the URL.
    """
    found = asking.get(None)
    if found is None:
        raise NoUrlForContextError(
            f"'{path}' has a URL only in an answer to a client, so it cannot be saved in a setting, for example. "
            "In a test, use `labthings.testing.use_dummy_url_for()`."
        )
    make, asker = found
    return make(asker, path, resource)


class use_url_for:
    """Run a block's code where URLs are made in a certain way.

    :param make: makes a URL of a path.
    :param resources: a list that is given all resources whose URLs are made.
    """

    __slots__ = ("_make", "_resources", "_token")

    def __init__(self, make: Callable[[str], str], resources: list[object] | None = None) -> None:
        self._make, self._resources = make, resources

    def __enter__(self) -> None:
        self._token: Token[tuple[UrlMaker, Any]] = asking.set((_make_noting, self))

    def __exit__(self, *exception: object) -> None:
        asking.reset(self._token)


def _make_noting(use: use_url_for, path: str, resource: object) -> str:
    if use._resources is not None:
        use._resources.append(resource)
    return use._make(path)


def placeholder_url(path: str) -> str:
    """A URL with a placeholder, for documents that are kept; `with_address` completes them."""
    return f"{PLACEHOLDER}/{path}"


def with_address(document: bytes, address: str) -> bytes:
    """A document with the server's address in place of the placeholder.

    :param address: the URL of the server, prefix included, without a slash at its end.
    """
    return document.replace(PLACEHOLDER.encode(), address.encode())


def with_address_inside(value: Any, address: str) -> Any:
    """The same for a value in mappings and lists.

    :param address: the URL of the server, prefix included, without a slash at its end.
    """
    if isinstance(value, dict):
        return {key: with_address_inside(each, address) for key, each in value.items()}
    if isinstance(value, list):
        return [with_address_inside(each, address) for each in value]
    return value.replace(PLACEHOLDER, address) if isinstance(value, str) else value
