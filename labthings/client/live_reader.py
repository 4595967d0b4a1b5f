"""What can be read of live state that a client follows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from labthings.client.latest_state import LatestState
from labthings.client.live_property import LiveProperty
from labthings.client.mailbox import Connected, Failure
from labthings.client.moment import Moment, StateChange, StateVersion
from labthings.client.observation import OnConnection, OnError, Told
from labthings.exceptions import StateTimeoutError

Model = TypeVar("Model", bound=BaseModel)


class LiveReader(Told):
    """Live state, as the server has it, and as no older version is taken for.

    It is a base class after that of observations, which call its constructor.
    """

    _mailbox: LatestState
    _moment: Moment | None = None
    _change: StateChange | None = None

    def __init__(
        self,
        topic: LiveProperty,
        mailbox: LatestState,
        on_error: OnError | None,
        on_connection: OnConnection | None,
    ) -> None:
        super().__init__(topic, mailbox, on_error, on_connection)
        self._model = topic.model

    @property
    def data(self) -> Any:
        """The state as plain data, which is a copy.

        :raises StaleStateError: if it is not current.
        """
        return self._now().data

    @property
    def value(self) -> Any:
        """The state as the model that ``live`` was given, or else as plain data. It is made once for each version.

        :raises StaleStateError: if it is not current.
        """
        return self._now().value

    def read(self, model: type[Model]) -> Model:
        """The state as a model, which is a copy.

        :raises StaleStateError: if it is not current.
        """
        return self._now().read(model)

    @property
    def last_known(self) -> Any:
        """The newest state that is known, as plain data, which is a copy. It may be an old one."""
        return self._mailbox.copy.newest(None).data

    @property
    def version(self) -> StateVersion:
        """The version of `last_known`: a number that also has an ``epoch``."""
        return self._mailbox.copy.version

    @property
    def epoch(self) -> str:
        """Tells the run of the server that `version` is of from others."""
        return self.version.epoch

    @property
    def is_current(self) -> bool:
        """Whether there is a connection, and nothing is missing."""
        return self._mailbox.gap is None

    @property
    def reason(self) -> str | None:
        """Why it is not current; None while it is."""
        gap = self._mailbox.gap
        return None if gap is None else gap.reason

    @property
    def since(self) -> datetime | None:
        """Since when it is not current; None while it is."""
        gap = self._mailbox.gap
        return None if gap is None else gap.since

    def __repr__(self) -> str:
        gap = self._mailbox.gap
        return f"<{type(self).__name__} {self._label}, version {self.version}, {'current' if gap is None else gap}>"

    def _now(self) -> Moment:
        gap = self._mailbox.gap
        if gap is not None:
            raise gap.error(self._label)
        return self._newest()

    def _now_or_later(self) -> Moment | None:
        """The state, if it is current; none if it may yet be.

        :raises StaleStateError: if it never will be, since it was closed.
        """
        gap = self._mailbox.gap
        if gap is not None and self._mailbox.is_closed:
            raise gap.error(self._label)
        return self._newest() if gap is None else None

    def _newest(self) -> Moment:
        now, kept = self._mailbox.copy.newest(self._model), self._moment
        if kept is None or not kept.is_same(now):
            self._moment = kept = now
        return kept

    def _changed(self) -> StateChange | None:
        """What has changed since this was last asked."""
        change = self._mailbox.copy.change_since(self._change, self._model)
        self._change = change or self._change
        return change

    def _tell(self, item: Failure | Connected) -> Any:
        if isinstance(item, Failure) and self._on_error is None:
            return None  # it was logged already, as it matters to whoever reads the state too
        return super()._tell(item)


class Awaited:
    """What somebody waits for live state to become.

    :param predicate: is given the state as `LiveReader.value`, once at each version, and says whether it is that.
    """

    def __init__(self, reader: LiveReader, predicate: Callable[[Any], object]) -> None:
        self._reader, self._predicate = reader, predicate
        self._seen: Moment | None = None

    def met(self) -> Moment | None:
        """The state, if it is current and what was waited for.

        :raises StaleStateError: if it never will be, since it was closed.
        """
        now = self._reader._now_or_later()
        if now is None or now is self._seen:
            return None
        self._seen = now
        return now if self._predicate(now.value) else None

    def timeout(self, seconds: float | None) -> StateTimeoutError:
        """The error that it did not become that in time."""
        return StateTimeoutError(f"What was waited for did not come within {seconds:g} s: {self._reader!r}")
