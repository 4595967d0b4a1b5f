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
 x PropertyNotObservableError, PropertyNotLiveError
 x PropertyRedefinitionError, ReservedNameError, DependencyError
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
 x StateError                           live state: a document, or what is in it
    - UntrackableTypeError, AlreadyInStateError, InvalidPatchError, VersionConflictError, UnknownFieldError,
      OutdatedPatchError, UnfinishedBatchError, SnapshotNeededError
 x CommandError                         raise it in a command of a LabSync to tell the client what went wrong
 x RequestError                         an HTTP request that cannot be served
    - NotFoundError, MethodNotAllowedError, InvocationEndedError, InvocationNotEndedError, BlobGoneError,
      UnsupportedMediaTypeError, NotAcceptableError, BodyTooLargeError, RangeNotSatisfiableError, ForbiddenOriginError
 x ClientPropertyError                  raised by ThingClient, as are the next four
    - ReadOnlyClientPropertyError, UnobservableClientPropertyError, StaleStateError, StateTimeoutError
 x FailedToInvokeActionError, ServerActionError, FailedToSubscribeError, ThingUnavailableError
 x DiscoveryError                       servers on the network cannot be looked for, or told of

``InvocationCancelledError`` alone is a ``BaseException``, so that ``except Exception`` in an action does not
swallow a cancellation.
"""

from __future__ import annotations

from labthings.exceptions.client import (
    ClientPropertyError,
    DiscoveryError,
    FailedToInvokeActionError,
    FailedToSubscribeError,
    ReadOnlyClientPropertyError,
    ServerActionError,
    StaleStateError,
    StateTimeoutError,
    ThingUnavailableError,
    UnobservableClientPropertyError,
)
from labthings.exceptions.requests import (
    BlobGoneError,
    BodyTooLargeError,
    ForbiddenOriginError,
    InvocationEndedError,
    InvocationNotEndedError,
    MethodNotAllowedError,
    NotAcceptableError,
    NotFoundError,
    RangeNotSatisfiableError,
    RequestError,
    UnsupportedMediaTypeError,
)
from labthings.exceptions.root import LabThingsError
from labthings.exceptions.state import (
    AlreadyInStateError,
    InvalidPatchError,
    OutdatedPatchError,
    SnapshotNeededError,
    StateError,
    UnfinishedBatchError,
    UnknownFieldError,
    UntrackableTypeError,
    VersionConflictError,
)
from labthings.exceptions.sync import CommandError
from labthings.exceptions.things import (
    BlobTransferError,
    BusyError,
    ConfigurationError,
    DefaultWillChangeWarning,
    DependencyError,
    DescriptorAddedToClassTwiceError,
    DescriptorNotAddedToClassError,
    FeatureNotAvailableError,
    FeatureNotEnabledError,
    GlobalLockBusyError,
    InconsistentTypeError,
    InvalidClassSettingsError,
    InvalidFrameError,
    InvalidReturnValueError,
    InvalidValueError,
    InvocationCancelledError,
    InvocationError,
    LogConfigurationError,
    MediaTypeMismatchError,
    MessageDroppedWarning,
    MissingDefaultError,
    MissingTypeError,
    NoFrameError,
    NoInvocationContextError,
    NotBoundToInstanceError,
    NotConnectedToServerError,
    NoUrlForContextError,
    OverspecifiedDefaultError,
    PropertyNotLiveError,
    PropertyNotObservableError,
    PropertyRedefinitionError,
    ReadOnlyPropertyError,
    ReservedNameError,
    ServerNotRunningError,
    SettingNotSavedWarning,
    SettingsNotSavedError,
    StorageFullError,
    StreamEndedError,
    ThingFailedError,
    ThingNotConnectedError,
    ThingSlotError,
    UnserialisableTypeError,
    UnsupportedConstraintError,
)

__all__ = [
    "AlreadyInStateError",
    "BlobGoneError",
    "BlobTransferError",
    "BodyTooLargeError",
    "BusyError",
    "ClientPropertyError",
    "CommandError",
    "ConfigurationError",
    "DefaultWillChangeWarning",
    "DependencyError",
    "DescriptorAddedToClassTwiceError",
    "DescriptorNotAddedToClassError",
    "DiscoveryError",
    "FailedToInvokeActionError",
    "FailedToSubscribeError",
    "FeatureNotAvailableError",
    "FeatureNotEnabledError",
    "ForbiddenOriginError",
    "GlobalLockBusyError",
    "InconsistentTypeError",
    "InvalidClassSettingsError",
    "InvalidFrameError",
    "InvalidPatchError",
    "InvalidReturnValueError",
    "InvalidValueError",
    "InvocationCancelledError",
    "InvocationEndedError",
    "InvocationError",
    "InvocationNotEndedError",
    "LabThingsError",
    "LogConfigurationError",
    "MediaTypeMismatchError",
    "MessageDroppedWarning",
    "MethodNotAllowedError",
    "MissingDefaultError",
    "MissingTypeError",
    "NoFrameError",
    "NoInvocationContextError",
    "NoUrlForContextError",
    "NotAcceptableError",
    "NotBoundToInstanceError",
    "NotConnectedToServerError",
    "NotFoundError",
    "OutdatedPatchError",
    "OverspecifiedDefaultError",
    "PropertyNotLiveError",
    "PropertyNotObservableError",
    "PropertyRedefinitionError",
    "RangeNotSatisfiableError",
    "ReadOnlyClientPropertyError",
    "ReadOnlyPropertyError",
    "RequestError",
    "ReservedNameError",
    "ServerActionError",
    "ServerNotRunningError",
    "SettingNotSavedWarning",
    "SettingsNotSavedError",
    "SnapshotNeededError",
    "StaleStateError",
    "StateError",
    "StateTimeoutError",
    "StorageFullError",
    "StreamEndedError",
    "ThingFailedError",
    "ThingNotConnectedError",
    "ThingSlotError",
    "ThingUnavailableError",
    "UnfinishedBatchError",
    "UnknownFieldError",
    "UnobservableClientPropertyError",
    "UnserialisableTypeError",
    "UnsupportedConstraintError",
    "UnsupportedMediaTypeError",
    "UntrackableTypeError",
    "VersionConflictError",
]

for _name in __all__:
    globals()[_name].__module__ = __name__  # so that tracebacks name the module to import it from
