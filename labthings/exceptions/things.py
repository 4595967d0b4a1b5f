"""What is wrong with Things, the server that has them, and what they give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labthings.exceptions.root import LabThingsError

# --- the server and its Things --------------------------------------------------------------------------------


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


# --- descriptors and their types ------------------------------------------------------------------------------


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


class PropertyNotLiveError(LabThingsError, RuntimeError):
    """The property is not live state, so there are no patches of it."""

    status_code = 403


class DependencyError(LabThingsError, AttributeError):
    """A property depends on something that is no property, or does not say when it changes."""


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


# --- thing slots ----------------------------------------------------------------------------------------------


class ThingSlotError(LabThingsError, RuntimeError):
    """A thing slot cannot be filled."""


class ThingNotConnectedError(LabThingsError, RuntimeError):
    """A thing slot was used before it was filled."""


# --- actions --------------------------------------------------------------------------------------------------


class InvocationCancelledError(BaseException):
    """The invocation was cancelled."""


class InvocationError(LabThingsError, RuntimeError):
    """An action cannot go on, for a reason that needs no traceback."""


class NoInvocationContextError(LabThingsError, RuntimeError):
    """The code is not running in an invocation of an action."""


class GlobalLockBusyError(LabThingsError, TimeoutError):
    """Something else holds the global lock."""

    status_code = 409


# --- outputs --------------------------------------------------------------------------------------------------


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


# --- warnings -------------------------------------------------------------------------------------------------


class MessageDroppedWarning(RuntimeWarning):
    """A subscriber was too slow, and a message for it was dropped."""


class DefaultWillChangeWarning(FutureWarning):
    """Code relies on a default that is going to change."""


class SettingNotSavedWarning(UserWarning):
    """A part of a setting is not saved, so it is lost at a restart."""
