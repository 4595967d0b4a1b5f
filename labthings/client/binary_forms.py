"""Forms of a value other than JSON: numpy's for arrays, CBOR for values with arrays inside, and raw bytes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from labthings.client.addresses import Addresses, Target
from labthings.client.connection import from_json
from labthings.exceptions import InvalidValueError, LabThingsError, UnserialisableTypeError
from labthings.http_client import Response
from labthings.thing_description.model import Affordance
from labthings.types.media_types import BINARY, CBOR, JSON, NPY, OCTETS, bare


class BinaryForms:
    """The binary forms that a server offers for an operation, at one URL.

    :param media_types: of these forms, in the server's order.
    """

    def __init__(self, *media_types: str) -> None:
        self.media_types = media_types
        weights = (f"{each};q={0.9 - place / 10:.1f}" for place, each in enumerate(media_types))
        self.headers = {"accept": ", ".join([*weights, f"{JSON};q=0.1"])} if media_types else None
        """Of a request that asks for one of them."""

    def __bool__(self) -> bool:
        return bool(self.media_types)

    @classmethod
    def of_property(
        cls, affordance: Affordance, operation: str, addresses: Addresses, target: Target | None
    ) -> BinaryForms:
        """Those of an operation with a property, at the URL where it is carried out with JSON."""
        url = target.url if target else None
        return cls(*_media_types(affordance, operation, lambda href: addresses.absolute(href) == url))

    @classmethod
    def of_output(cls, affordance: Affordance) -> BinaryForms:
        """Those of what an action returns. There are some only where it has arrays in it."""
        return cls(*_media_types(affordance, "queryaction", lambda href: href.endswith("/output")))

    def encoded(self, value: Any) -> tuple[dict[str, str], bytes] | None:
        """The headers and the body of a request that sends a value; nothing if it should be sent as JSON.

        :raises UnserialisableTypeError: if it is an array that no server takes.
        """
        numpy: Any = sys.modules.get("numpy")  # without which there are no arrays
        if isinstance(value, bytes):
            return _encode(value, OCTETS) if OCTETS in self.media_types else None
        if not self or numpy is None or not _has_array(value, numpy.ndarray):
            return None
        if not isinstance(value, numpy.ndarray):
            return _encode(value, CBOR) if CBOR in self.media_types else None
        return next((_encode(value, each) for each in (NPY, CBOR) if each in self.media_types), None)


def value_of(response: Response, error: type[LabThingsError], attempt: str) -> Any:
    """The value that an answer carries, in whichever form.

    :param error: what to raise if it is not what its media type says.
    :param attempt: what it answers, to begin a sentence about its failure.
    """
    media_type = bare(response.headers.get("content-type", JSON))
    if media_type not in BINARY:
        return from_json(response, error, attempt)
    from labthings.types import array_formats  # imports numpy

    try:
        return array_formats.decode(response.content, media_type, response.headers)
    except InvalidValueError as cause:
        raise error(f"{attempt} failed: {response.url} sent something that cannot be read: {cause}") from cause


def _media_types(affordance: Affordance, operation: str, is_there: Any) -> list[str]:
    forms = (form for form in affordance.forms_for(operation) if form.subprotocol is None and is_there(form.href))
    return [media_type for form in forms if (media_type := bare(form.content_type)) in BINARY]


def _encode(value: Any, media_type: str) -> tuple[dict[str, str], bytes] | None:
    from labthings.types import array_formats  # imports numpy

    try:
        headers, body = array_formats.encode(value, media_type)
    except ValueError as error:
        if hasattr(value, "dtype"):
            raise UnserialisableTypeError(f"This cannot be sent: {error}.") from error
        return None  # there are other things in it, which JSON may have a form for
    return {**headers, "content-type": media_type}, body


def _has_array(value: Any, kind: type) -> bool:
    if isinstance(value, Mapping):
        return any(_has_array(each, kind) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_has_array(each, kind) for each in value)
    return isinstance(value, kind)
