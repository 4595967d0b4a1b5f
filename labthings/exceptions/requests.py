"""What is wrong with requests."""

from __future__ import annotations

from collections.abc import Sequence

from labthings.exceptions.root import LabThingsError


class RequestError(LabThingsError):
    """An HTTP request that cannot be served.

    :param headers: headers for the answer, such as ``Allow``.
    """

    status_code = 400

    def __init__(self, message: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.headers = list(headers)


class NotFoundError(RequestError, LookupError):
    """There is nothing of that name."""

    status_code = 404


class BlobGoneError(RequestError, LookupError):
    """The bytes of a blob are no longer there."""

    status_code = 404


class MethodNotAllowedError(RequestError):
    """The resource does not take that HTTP method."""

    status_code = 405


class InvocationEndedError(RequestError):
    """The invocation has already ended, so it cannot be cancelled."""

    status_code = 409


class InvocationNotEndedError(RequestError):
    """The invocation has not ended, so it has no output yet."""

    status_code = 409


class BodyTooLargeError(RequestError):
    """The request's body is larger than the server accepts."""

    status_code = 413


class RangeNotSatisfiableError(RequestError):
    """A client asks for a part of some bytes that is not there."""

    status_code = 416


class UnsupportedMediaTypeError(RequestError):
    """The request's body is of a media type that is not taken there."""

    status_code = 415


class NotAcceptableError(RequestError):
    """The value has no form that the client accepts."""

    status_code = 406


class ForbiddenOriginError(RequestError):
    """The request comes from a web page of another site."""

    status_code = 403
