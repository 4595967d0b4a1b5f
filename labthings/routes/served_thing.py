"""What routes need of a Thing on a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from labthings.actions import ActionInfo, ActionManager
from labthings.events import Event
from labthings.exceptions import LabThingsError
from labthings.message_broker import MessageBroker
from labthings.outputs.mjpeg_stream import MJPEGStreamInfo
from labthings.problem_details import AffordanceError, text_of
from labthings.properties import PropertyInfo
from labthings.routes.watching import HeldRequests
from labthings.workers import LoopCalls, Workers


class ServedThing(Protocol):
    """A Thing on a server, which may not be running."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def description(self) -> str | None: ...
    @property
    def path(self) -> str: ...
    @property
    def properties(self) -> Mapping[str, PropertyInfo]: ...
    @property
    def actions(self) -> Mapping[str, ActionInfo]: ...
    @property
    def events(self) -> Mapping[str, Event[Any]]: ...
    @property
    def streams(self) -> Mapping[str, MJPEGStreamInfo]: ...
    @property
    def logger(self) -> Any: ...
    @property
    def workers(self) -> Workers: ...
    def require_running(self) -> None:
        """Make sure that the Thing is running.

        :raises ThingFailedError: if it is not.
        """

    async def settings_saved(self) -> None:
        """Wait until its settings are on disk.

        :raises SettingsNotSavedError: if they cannot be written.
        """


class ServedThings(Protocol):
    """A server, as far as routes know it."""

    @property
    def served_things(self) -> Mapping[str, ServedThing]: ...
    @property
    def action_manager(self) -> ActionManager: ...
    @property
    def message_broker(self) -> MessageBroker: ...
    @property
    def loop_calls(self) -> LoopCalls: ...
    @property
    def held_requests(self) -> HeldRequests: ...
    @property
    def api_prefix(self) -> str: ...
    @property
    def maximum_body_size(self) -> int: ...
    @property
    def debug(self) -> bool: ...


class FailureLog:
    """Logs that an affordance of a Thing fails: in full when that is new, and once when it works again.

    A client that polls a broken sensor ten times a second must not fill the disk. In its ``with`` block, what the
    Thing's own code raises becomes the error to tell the client of.

    :param doing: what is done, as in ``"Reading camera.exposure"``.
    """

    def __init__(self, served: ServedThing, doing: str) -> None:
        self._served, self._doing = served, doing
        self._last: str | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self.works()
        elif isinstance(error, Exception):
            told = self._failed(error)
            if told is not error:
                raise told from told.__cause__

    def works(self) -> None:
        """Note that nothing is wrong (any more)."""
        if self._last is not None:
            self._last = None
            self._served.logger.info("%s works again", self._doing)

    def _failed(self, error: Exception) -> Exception:
        """The error to tell the client of, for one that the Thing's own code raised."""
        status = getattr(error, "status_code", 500)
        if isinstance(status, int) and status < 500:
            return error
        said = text_of(error)
        text = f"{type(error).__name__}: {said}"
        if text != self._last:
            self._last = text
            self._served.logger.error("%s failed: %s", self._doing, text, exc_info=error)
        if isinstance(error, LabThingsError):
            return error
        shown = AffordanceError(f"{self._doing} failed: {said or type(error).__name__}")
        shown.__cause__ = error
        return shown
