"""What is wrong with live state."""

from __future__ import annotations

from labthings.exceptions.root import LabThingsError


class StateError(LabThingsError, RuntimeError):
    """Something cannot be done with live state."""


class UntrackableTypeError(StateError, TypeError):
    """Changes of a value of that type could not be told of, so it cannot be part of live state."""


class AlreadyInStateError(StateError, ValueError):
    """An object would be at two places of live state at once."""


class InvalidPatchError(StateError, ValueError):
    """A patch does not fit the data that it is for."""

    status_code = 409


class SnapshotNeededError(StateError, LookupError):
    """A replica has missed a patch, so it needs a snapshot to go on."""

    status_code = 409
