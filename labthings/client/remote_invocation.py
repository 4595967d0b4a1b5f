"""One run of an action on a server, until its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from labthings.client.addresses import Addresses
from labthings.client.binary_forms import BinaryForms, value_of
from labthings.client.blobs import Blobs
from labthings.client.connection import Connection
from labthings.client.log_relay import LogRelay
from labthings.exceptions import (
    FailedToInvokeActionError,
    InvocationCancelledError,
    LabThingsError,
    ServerActionError,
)
from labthings.http_client import Response
from labthings.problem_reports import checked, exception, problem_from
from labthings.thing_description.model import Link

LOGGER = logging.getLogger("labthings.client")

SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.5  # seconds between questions to a server that answers them at once
PATIENCE = 10.0  # seconds that a server may be out of reach while an action is waited for


class InvocationReport(BaseModel):
    """What a server tells of an invocation."""

    model_config = ConfigDict(defer_build=True)

    status: str
    href: str | None = None
    links: list[Link] = []
    output: Any = None
    log: list[dict[str, Any]] = []
    error: Any = None

    @property
    def has_ended(self) -> bool:
        return self.status not in {"pending", "running"}

    @property
    def address(self) -> str | None:
        """Where to ask for it again."""
        return self.href or next((link.href for link in self.links if link.rel == "self"), None)


class RemoteInvocation:
    """Follows an invocation.

    :param label: the names of the Thing and the action.
    :param relay: logs what the server logs.
    :param output_forms: in which the server has its output, beside JSON.
    """

    def __init__(
        self,
        label: str,
        addresses: Addresses,
        connection: Connection,
        relay: LogRelay,
        output_forms: BinaryForms,
    ) -> None:
        self._label = label
        self._addresses, self._connection, self._output_forms = addresses, connection, output_forms
        self._blobs, self._relay = Blobs(addresses, connection), relay
        self._waiting, self._cancelling = f"Waiting for {label}", f"Cancelling {label}"
        self._report = InvocationReport(status="pending")
        self._url: str | None = None

    async def start(self, request: Awaitable[Response]) -> None:
        """Make the request that starts it."""
        started = await request
        if not started.content:
            self._report = InvocationReport(status="completed", output=None)
            return
        self._report = self._read(started, FailedToInvokeActionError)
        href = self._report.address or started.headers.get("location")
        self._url = self._addresses.absolute(href, str(started.url)) if href else None

    async def wait(self) -> None:
        """Wait until it has ended."""
        pause = SHORTEST_PAUSE
        while not self._report.has_ended:
            asked_at = time.monotonic()
            self._report = self._read(checked(await self._ask(), ServerActionError, self._waiting), ServerActionError)
            if time.monotonic() - asked_at < self._connection.wait / 2 and not self._report.has_ended:
                await self._connection.pause(pause)  # the server does not know how to wait
                pause = min(1.5 * pause, LONGEST_PAUSE)

    async def cancel(self) -> None:
        """Ask the server to end it, and log it if that fails."""
        if self._report.has_ended or self._url is None:
            return
        try:
            response = await self._connection.send("DELETE", self._url, self._cancelling, ServerActionError)
            if response.status_code != 409:  # it may have ended meanwhile
                checked(response, ServerActionError, self._cancelling)
        except LabThingsError as error:
            LOGGER.warning("%s", error)

    async def output(self) -> Any:
        """What it returned, once it has ended."""
        if self._report.status == "completed":
            is_told = "output" in self._report.model_fields_set or not self._output_forms
            return self._report.output if is_told else await self._fetched_output()
        if self._report.status == "cancelled":
            raise InvocationCancelledError(f"{self._label} was cancelled.")
        problem = problem_from(self._report.error or _logged_error(self._report.log), 500)
        raise exception(ServerActionError, f"{self._label} failed: {problem.title}: {problem.detail}", problem)

    async def _fetched_output(self) -> Any:
        attempt = f"Fetching the output of {self._label}"
        link = next((link.href for link in self._report.links if link.rel == "output"), None)
        if link is None:
            raise ServerActionError(f"{attempt} failed: the server does not tell where it is.")
        url = self._addresses.absolute(link, self._url)
        headers = self._output_forms.headers
        answer = await self._connection.send("GET", url, attempt, ServerActionError, headers=headers)
        value = value_of(checked(answer, ServerActionError, attempt), ServerActionError, attempt)
        return self._blobs.received(value, answer)

    async def _ask(self) -> Response:
        """Ask for its state, patiently: an action may take hours, a network now and then a moment."""
        if self._url is None:
            raise ServerActionError(f"The server does not tell where to ask what became of {self._label}.")
        url = f"{self._url}{'&' if '?' in self._url else '?'}wait={self._connection.wait:g}"
        headers = {"prefer": "return=minimal"} if self._output_forms else None
        lost_at = None
        while True:
            try:
                return await self._connection.send("GET", url, self._waiting, ServerActionError, headers=headers)
            except ServerActionError as error:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at >= PATIENCE:
                    raise
                LOGGER.warning("%s (trying again)", error)
                await self._connection.pause(LONGEST_PAUSE)

    def _read(self, response: Response, error: type[LabThingsError]) -> InvocationReport:
        try:
            report = InvocationReport.model_validate_json(response.content)
        except ValidationError as cause:
            raise error(f"{self._waiting} failed: {response.url} does not answer with an invocation.") from cause
        if "output" in report.model_fields_set:  # which setting it would change
            report.output = self._blobs.received(report.output, response)
        self._relay.relay(report.log)
        return report


def _logged_error(log: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The error that older servers tell of in the log alone."""
    logged: dict[str, Any] = next((each for each in reversed(log) if each.get("levelno", 0) >= logging.ERROR), {})
    return {
        "title": logged.get("exception_type") or "Error",
        "detail": logged.get("message"),
        "traceback": logged.get("traceback"),
    }
