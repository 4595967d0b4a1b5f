"""Every error that LabThings raises on purpose.

LabThingsError
 x NotConnectedToServerError            a Thing was used before its server adopted it
 x ServerNotRunningError                there is no event loop to run things in
 x ThingFailedError                     the Thing that was asked could not start
 x BusyError                            too many calls are waiting already
 x ConfigurationError, LogConfigurationError, InvalidClassSettingsError, FeatureNotEnabledError
 x DescriptorNotAddedToClassError
 x DescriptorAddedToClassTwiceError
 x NotBoundToInstanceError
 x ReadOnlyPropertyError
 x PropertyNotObservableError
 x PropertyRedefinitionError, ReservedNameError
 x FeatureNotAvailableError
 x MissingTypeError, InconsistentTypeError, UnserialisableTypeError, UnsupportedConstraintError
 x MissingDefaultError, OverspecifiedDefaultError
 x InvalidValueError                    what was sent or set does not fit the type
 x InvalidReturnValueError              what a Thing's own code returned does not fit its annotation
 x SettingsNotSavedError
 x ThingSlotError, ThingNotConnectedError
 x GlobalLockBusyError
 x InvocationError                      raise it (or a subclass) in an action to end it without a traceback
 x NoInvocationContextError
 x MediaTypeMismatchError, NoUrlForContextError, StorageFullError, BlobTransferError
 x InvalidFrameError, NoFrameError, StreamEndedError
 x RequestError                         an HTTP request that cannot be served
    - NotFoundError, MethodNotAllowedError, InvocationEndedError, InvocationNotEndedError, BlobGoneError,
      UnsupportedMediaTypeError, NotAcceptableError, BodyTooLargeError, RangeNotSatisfiableError, ForbiddenOriginError
 x ClientPropertyError                  raised by ThingClient, as are the next three
    - ReadOnlyClientPropertyError
 x FailedToInvokeActionError, ServerActionError, ThingUnavailableError

``InvocationCancelledError`` alone is a ``BaseException``, so that ``except Exception`` in an action does not
swallow a cancellation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar


class LabThingsError(Exception):
    """The root of LabThings' errors.

    ``status_code`` is the HTTP status that tells a client of it, ``type`` the stable URI of its class.
    """

    status_code: ClassVar[int] = 500
    type: ClassVar[str] = "urn:labthings:error:lab-things"
    problem: Any = None
    """What the server said of it, if a client raises it: `labthings.problem_details.ProblemDetails`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__.removesuffix("Error"))
        cls.type = f"urn:labthings:error:{words.lower()}"


# --- the server and its Things ------------------------------------------------------------------------------


class NotConnectedToServerError(LabThingsError, RuntimeError):
    """The Thing is not connected to a server."""


class ServerNotRunningError(LabThingsError, RuntimeError):
    """The server is not running, so it has no event loop."""

    status_code = 503


class ThingFailedError(LabThingsError, RuntimeError):
    """The Thing is not running: it failed to start, or it is still starting, or it has stopped."""

    status_code = 503


class BusyError(LabThingsError, RuntimeError):
    """More calls are waiting for a Thing than it accepts."""

    status_code = 503


class ConfigurationError(LabThingsError, ValueError):
    """The configuration of a server cannot be used.

    :param errors: what is wrong and where: dictionaries with ``loc``, ``msg`` and ``type``.
    """

    def __init__(self, message: str, errors: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.errors = list(errors)


class LogConfigurationError(LabThingsError, RuntimeError):
    """The Things' logger has lost the handler that collects invocations' logs."""


class InvalidClassSettingsError(LabThingsError, ValueError):
    """``_class_settings`` has unknown keys or values of the wrong type."""


class FeatureNotEnabledError(LabThingsError, RuntimeError):
    """An optional feature, such as the global lock, was used but is not enabled."""


class FeatureNotAvailableError(LabThingsError, NotImplementedError):
    """A feature does not apply to this affordance, such as resetting a property without a default."""

    status_code = 405


# --- descriptors and their types ----------------------------------------------------------------------------


class DescriptorNotAddedToClassError(LabThingsError, RuntimeError):
    """A descriptor was used that has not been assigned to an attribute of a class."""


class DescriptorAddedToClassTwiceError(LabThingsError, RuntimeError):
    """One descriptor was assigned to two attributes."""


class NotBoundToInstanceError(LabThingsError, RuntimeError):
    """An affordance of a class was asked for what only an instance has."""


class ReadOnlyPropertyError(LabThingsError, AttributeError):
    """The property cannot be set."""

    status_code = 405


class PropertyNotObservableError(LabThingsError, RuntimeError):
    """The property cannot be observed."""

    status_code = 403


class ReservedNameError(LabThingsError, AttributeError):
    """An affordance has a name that LabThings uses itself."""


class PropertyRedefinitionError(LabThingsError, AttributeError):
    """A property was defined twice in one class."""


class MissingTypeError(LabThingsError, TypeError):
    """An attribute has no type annotation."""


class InconsistentTypeError(LabThingsError, TypeError):
    """An attribute has two types that disagree."""


class UnserialisableTypeError(LabThingsError, TypeError):
    """A type cannot be described or converted to and from JSON."""


class UnsupportedConstraintError(LabThingsError, ValueError):
    """A constraint is unknown, or does not apply to the type."""


class MissingDefaultError(LabThingsError, ValueError):
    """A data property has no default value."""


class OverspecifiedDefaultError(LabThingsError, ValueError):
    """A data property has both a default and a default factory."""


class InvalidValueError(LabThingsError, ValueError):
    """A value does not fit its type or constraints.

    :param errors: what is wrong and where: dictionaries with ``loc``, ``msg`` and ``type``.
    """

    status_code = 422

    def __init__(self, message: str, errors: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.errors = list(errors)


class InvalidReturnValueError(LabThingsError, RuntimeError):
    """A getter or an action returned something that does not fit its return type."""


class SettingsNotSavedError(LabThingsError, RuntimeError):
    """A setting is in force, but could not be written to disk."""


# --- thing slots --------------------------------------------------------------------------------------------


class ThingSlotError(LabThingsError, RuntimeError):
    """A thing slot cannot be filled."""


class ThingNotConnectedError(LabThingsError, RuntimeError):
    """A thing slot was used before it was filled."""


# --- actions ------------------------------------------------------------------------------------------------


class InvocationCancelledError(BaseException):
    """The invocation was cancelled."""


class InvocationError(LabThingsError, RuntimeError):
    """An action cannot go on, for a reason that needs no traceback."""


class NoInvocationContextError(LabThingsError, RuntimeError):
    """The code is not running in an invocation of an action."""


class GlobalLockBusyError(LabThingsError, TimeoutError):
    """Something else holds the global lock."""

    status_code = 409


# --- outputs ------------------------------------------------------------------------------------------------


class MediaTypeMismatchError(LabThingsError, ValueError):
    """Data has another media type than its class declares."""

    status_code = 415


class NoUrlForContextError(LabThingsError, RuntimeError):
    """A URL was asked for outside a request."""


class StorageFullError(LabThingsError, OSError):
    """There is no room on the disk: the server's for what was sent, or this computer's for what is downloaded."""

    status_code = 507


class BlobTransferError(LabThingsError, ConnectionError):
    """The bytes of a blob could not be downloaded or uploaded."""


class InvalidFrameError(LabThingsError, ValueError):
    """What was added to a stream is not a JPEG, or cannot be made one."""


class NoFrameError(LabThingsError, LookupError):
    """A stream does not have that frame any more, or not yet."""


class StreamEndedError(LabThingsError, RuntimeError):
    """No more frames come, because the stream or its server has stopped."""

    status_code = 503


# --- requests -----------------------------------------------------------------------------------------------


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


# --- the client ---------------------------------------------------------------------------------------------


class ClientPropertyError(LabThingsError, RuntimeError):
    """A property could not be read or written."""


class ReadOnlyClientPropertyError(ClientPropertyError, ReadOnlyPropertyError):
    """The property of a ThingClient cannot be set."""


class FailedToInvokeActionError(LabThingsError, RuntimeError):
    """The server refused to start an action."""


class ServerActionError(LabThingsError, RuntimeError):
    """An action ended in an error on the server."""


class ThingUnavailableError(LabThingsError, ConnectionError):
    """There is no Thing at the URL, or the URL cannot be reached."""


# --- warnings -----------------------------------------------------------------------------------------------


class MessageDroppedWarning(RuntimeWarning):
    """A subscriber was too slow, and a message for it was dropped."""


class DefaultWillChangeWarning(FutureWarning):
    """Code relies on a default that is going to change."""
