"""Which of several forms of a value a client gets, and which it may send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from labthings.exceptions import InvalidReturnValueError, NotAcceptableError, UnsupportedMediaTypeError
from labthings.routes.http import Headers, Scope
from labthings.types.media_types import CBOR, JSON, NPY, OCTETS, bare

MEDIA_TYPES = (JSON, NPY, OCTETS, CBOR)
VARY = (b"vary", b"Accept")


def represented(value: Any, accept: str, to_json: Callable[[], bytes]) -> tuple[Headers, bytes]:
    """A value in the form that a client wants most: JSON, unless it asks for another.

    Encoding large arrays takes time: call this in a thread.

    :param value: mappings, lists, strings, numbers, arrays; or bytes.
    :param accept: what the request says in ``Accept``; see `accept_of`.
    :param to_json: gives it as JSON.
    :return: headers of the answer, and its body.
    :raises NotAcceptableError: if the client wants none of its forms.
    """
    if not accept:
        return [(b"content-type", JSON.encode()), VARY], to_json()
    from labthings.types import array_formats  # imports numpy

    offers = (JSON, *array_formats.media_types_for(value))
    media_type = best_offer(accept, offers)
    if media_type is None:
        raise NotAcceptableError(f"This value comes as {_listed(offers)}, not as '{accept}'.")
    if media_type == JSON:
        return [(b"content-type", JSON.encode()), VARY], to_json()
    try:
        told, body = array_formats.encode(value, media_type)
    except ValueError as error:
        raise InvalidReturnValueError(f"This value cannot be sent as {media_type}: {error}") from error
    headers = [(name.encode(), text.encode()) for name, text in told.items()]
    return [(b"content-type", media_type.encode()), VARY, *headers], body


def accept_of(scope: Scope) -> str:
    """What a request says in ``Accept``; nothing if it takes anything."""
    wanted = ", ".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"accept")
    return "" if wanted == "*/*" else wanted


@lru_cache(maxsize=128)
def best_offer(accept: str, offers: Sequence[str]) -> str | None:
    """The media type that ``Accept`` prefers; of several, the one that it names most precisely, then the first.

    :param offers: the media types that there are.
    """
    ranges = [_range(each) for each in accept.split(",") if each.strip()]
    ranked = [(_quality(offer, ranges), -place, offer) for place, offer in enumerate(offers)]
    (quality, _), _, offer = max(ranked)
    return offer if quality > 0 else None


def decoded(body: bytes, headers: dict[bytes, bytes]) -> Any:
    """The value in a request's body, which is not JSON.

    :raises UnsupportedMediaTypeError: if it is of an unknown media type.
    :raises InvalidValueError: if it is not what its media type says.
    """
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    if bare(content_type) not in MEDIA_TYPES:
        raise UnsupportedMediaTypeError(
            f"Send {_listed(MEDIA_TYPES)}, and say so in the header 'Content-Type', which is '{content_type}'."
        )
    from labthings.types import array_formats  # imports numpy

    told = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
    return array_formats.decode(body, bare(content_type), told)


def is_json(headers: dict[bytes, bytes]) -> bool:
    """Whether a request's body is JSON, as it is if nothing is said."""
    media_type = bare(headers.get(b"content-type", b"").decode("latin-1"))
    return media_type in ("", JSON) or media_type.endswith("+json")


def _range(text: str) -> tuple[str, float]:
    name, _, parameters = text.partition(";")
    return name.strip().lower(), _weight(parameters)


def _weight(parameters: str) -> float:
    for each in parameters.split(";"):
        key, _, text = each.partition("=")
        if key.strip().lower() == "q":
            try:
                return min(max(float(text), 0.0), 1.0)
            except ValueError:  # malformed: as if it was not there
                return 1.0
    return 1.0


def _quality(offer: str, ranges: list[tuple[str, float]]) -> tuple[float, int]:
    """How much an offer is wanted, and how precisely it is named. The most precise name counts."""
    names = {"*/*": 1, offer.partition("/")[0] + "/*": 2, offer: 3}
    precision, weight = max(((names[name], weight) for name, weight in ranges if name in names), default=(0, 0.0))
    return weight, precision


def _listed(media_types: Sequence[str]) -> str:
    return " or ".join(media_types)
