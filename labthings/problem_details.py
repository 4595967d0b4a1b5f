"""Errors as clients see them: RFC 9457 problem details."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic_core

from labthings.exceptions import LabThingsError, RequestError

MEDIA_TYPE = "application/problem+json"


class AffordanceError(LabThingsError, RuntimeError):
    """A Thing's own code raised; the cause says what.

    :param message: which affordance of which Thing it was, and what it said.
    """


def printable(text: str) -> str:
    """Text without the half characters that JSON cannot carry, such as stand for odd bytes of file names."""
    return text.encode("utf-8", "backslashreplace").decode()


def text_of(error: BaseException) -> str:
    """What an error says; nothing if that cannot be found out."""
    try:
        return printable(str(getattr(error, "detail", None) or error))
    except Exception:  # noqa: BLE001 - the error's class is somebody else's code, and its name is told in any case
        return ""


@dataclass(frozen=True)
class ProblemDetails:
    """What went wrong, for a person and for a program.

    :param type: a URI that stays the same for each kind of error.
    :param title: the class of the error.
    :param detail: what a person can act on.
    :param errors: for invalid values, what is wrong and where.
    :param traceback: where it was raised, on a server in debug.
    """

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[Mapping[str, Any], ...] | None = None
    traceback: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The problem as JSON, without what is absent."""
        return {key: value for key, value in vars(self).items() if value is not None}

    def to_json(self) -> bytes:
        return pydantic_core.to_json(self.as_dict(), serialize_unknown=True)


def problem_details(error: BaseException, debug: bool = False) -> ProblemDetails:
    """What a client is told of an error.

    :param debug: whether to add the traceback.
    """
    shown = error.__cause__ or error if isinstance(error, AffordanceError) else error
    errors = getattr(error, "errors", None)
    return ProblemDetails(
        type=shown.type if isinstance(shown, LabThingsError) else AffordanceError.type,
        title=type(shown).__name__,
        status=_status(error),
        detail=text_of(error) or type(shown).__name__,
        errors=tuple(errors) if isinstance(errors, list) and errors else None,
        traceback=printable("".join(traceback.format_exception(shown))) if debug else None,
    )


def problem_headers(error: BaseException) -> list[tuple[bytes, bytes]]:
    """The HTTP headers that go with an error."""
    if not isinstance(error, RequestError):
        return []
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in error.headers]


def _status(error: BaseException) -> int:
    if isinstance(error, AffordanceError):
        error = error.__cause__ or error
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) and 400 <= status <= 599 else 500
