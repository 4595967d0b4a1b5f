"""What is wrong with live state."""

from __future__ import annotations

from typing import Any

from labthings.exceptions.root import LabThingsError
from labthings.suggestions import did_you_mean


class StateError(LabThingsError, RuntimeError):
    """Something cannot be done with live state."""


class UntrackableTypeError(StateError, TypeError):
    """Changes of a value of that type could not be told of, so it cannot be part of live state."""


class AlreadyInStateError(StateError, ValueError):
    """An object would be at two places of live state at once."""


class InvalidPatchError(StateError, ValueError):
    """A patch does not fit the data that it is for."""

    status_code = 409


class UnfinishedBatchError(StateError):
    """Live state cannot be saved in the middle of a batch."""


class VersionConflictError(StateError, ValueError):
    """The state is at another version than the one that it was to be changed at."""

    status_code = 412


class OutdatedPatchError(InvalidPatchError, VersionConflictError, StateError):
    """A patch has a test of the version, and that is another one."""

    status_code = 409


class UnknownFieldError(StateError, ValueError):
    """Data has something in it that is no field of the model.

    :param place: where it is: the keys and indices that lead to it.
    :param model: the model's name.
    :param known: what there could be.
    """

    status_code = 422

    def __init__(self, place: tuple[Any, ...], model: str, known: list[str]) -> None:
        *above, name = map(str, place)
        where = f"{'.'.join(above)}: " if above else ""
        hint = did_you_mean(name, known) or f" There is: {', '.join(known)}."
        super().__init__(f"{where}A {model} has no field '{name}'.{hint}")
        self.place = place


class SnapshotNeededError(StateError, LookupError):
    """A replica has missed a patch, so it needs a snapshot to go on."""

    status_code = 409
