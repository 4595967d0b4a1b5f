"""What clients raise."""

from __future__ import annotations

from datetime import datetime

from labthings.exceptions.root import LabThingsError
from labthings.exceptions.things import PropertyNotObservableError, ReadOnlyPropertyError


class ClientPropertyError(LabThingsError, RuntimeError):
    """A property could not be read, written or observed."""


class ReadOnlyClientPropertyError(ClientPropertyError, ReadOnlyPropertyError):
    """The property of a ThingClient cannot be set."""


class UnobservableClientPropertyError(ClientPropertyError, PropertyNotObservableError):
    """The server does not tell of changes of that property."""


class StaleStateError(ClientPropertyError):
    """What a client has of live state may no longer be what the server has.

    :param reason: why that is so.
    :param since: since when.
    """

    def __init__(self, message: str, reason: str = "", since: datetime | None = None) -> None:
        super().__init__(message)
        self.reason, self.since = reason, since


class StateTimeoutError(ClientPropertyError, TimeoutError):
    """Live state did not become in time what was waited for."""


class FailedToInvokeActionError(LabThingsError, RuntimeError):
    """The server refused to start an action."""


class ServerActionError(LabThingsError, RuntimeError):
    """An action ended in an error on the server."""


class FailedToSubscribeError(LabThingsError, RuntimeError):
    """The server refused to tell of an event, or cannot be reached."""


class ThingUnavailableError(LabThingsError, ConnectionError):
    """There is no Thing at the URL, or the URL cannot be reached."""


class DiscoveryError(LabThingsError, OSError):
    """Servers on the network cannot be looked for, or told of."""
