"""Live state at one version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import pydantic_core
from pydantic import BaseModel
from typing_extensions import Self

from labthings.state import ReactiveModel, Replica
from labthings.state.belonging import made_read_only

Model = TypeVar("Model", bound=BaseModel)

REMEDY = "Change the property with `patch_property`, or set it, or call an action of the Thing."
ETAG = re.compile(r'(?:W/)?"(.+)-(0|[1-9][0-9]{0,18})"')


class StateVersion(int):
    """A version of live state: a number that knows which run of the server it is of.

    :param epoch: tells that run from others.
    """

    epoch: str

    def __new__(cls, number: int, epoch: str = "") -> Self:
        version = super().__new__(cls, number)
        version.epoch = epoch
        return version

    @classmethod
    def from_etag(cls, tag: str) -> Self | None:
        """The version that HTTP tells of by a tag; none if that is a tag of something else."""
        found = ETAG.fullmatch(tag)
        return cls(int(found[2]), found[1]) if found else None

    @property
    def etag(self) -> str:
        """The version as HTTP has it."""
        return f'"{self.epoch}-{int(self)}"'


@dataclass(frozen=True, eq=False)
class Moment:
    """Live state at one version, which it always was and will be."""

    version: StateVersion
    _json: bytes = field(repr=False)
    _model: type[BaseModel] | None = field(repr=False)

    def is_same(self, other: Moment) -> bool:
        """Whether another one is of the same version, of which the state was encoded once."""
        return self._json is other._json

    @property
    def data(self) -> Any:
        """The state as plain data, which is a copy."""
        return pydantic_core.from_json(self._json)

    @property
    def value(self) -> Any:
        """The state as the model that ``live`` was given, or else as plain data, which is a copy.

        A `ReactiveModel` refuses to be changed, as that would not change what the server has.
        """
        if self._model is not None and issubclass(self._model, ReactiveModel):
            return self._read_only
        return self.data if self._model is None else self.read(self._model)

    @cached_property
    def _read_only(self) -> Any:
        model: Any = self._model
        return made_read_only(self.read(model), REMEDY)

    def read(self, model: type[Model]) -> Model:
        """The state as a model, which is a copy.

        :raises pydantic.ValidationError: if the state is nothing for that model.
        """
        return Replica({"epoch": "", "version": 0, "data": self.data}).read(model)


@dataclass(frozen=True, eq=False)
class StateChange(Moment):
    """What live state has become, at ``version``.

    :param operations: the JSON Patch (RFC 6902) that made this of what the change before it told; None if all may be
        different, as it is at first, after the connection was lost, and for a reader that was too slow.
    :param origin: what caused it, such as ``{"invocation": "<its id>"}``, if all of it has one known cause.
    """

    operations: tuple[Mapping[str, Any], ...] | None
    origin: Mapping[str, Any] | None
    snapshot: int = field(repr=False)
    """Which of the snapshots that the client was given this goes back to."""
