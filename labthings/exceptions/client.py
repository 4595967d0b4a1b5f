"""What clients raise."""

from __future__ import annotations

from labthings.exceptions.root import LabThingsError
from labthings.exceptions.things import PropertyNotObservableError, ReadOnlyPropertyError


class ClientPropertyError(LabThingsError, RuntimeError):
    """A property could not be read, written or observed."""


class ReadOnlyClientPropertyError(ClientPropertyError, ReadOnlyPropertyError):
    """The property of a ThingClient cannot be set."""


class UnobservableClientPropertyError(ClientPropertyError, PropertyNotObservableError):
    """The server does not tell of changes of that property."""


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
