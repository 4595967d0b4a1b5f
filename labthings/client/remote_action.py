"""An action of a Thing on a server."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Mapping
from typing import Any

from labthings.client.addresses import Addresses
from labthings.client.binary_forms import BinaryForms
from labthings.client.blobs import Blobs
from labthings.client.connection import Connection, from_json
from labthings.client.log_relay import LogRelay
from labthings.client.remote_invocation import RemoteInvocation
from labthings.exceptions import FailedToInvokeActionError, ServerActionError
from labthings.http_client import Response
from labthings.problem_reports import checked
from labthings.thing_description.model import ActionAffordance


class RemoteAction:
    """Invokes an action.

    :param label: the names of the Thing and the action.
    :param url_type: what the HTTP client makes of URLs, to be made once instead of for each request.
    :param logger: handles what the action logs.
    """

    def __init__(
        self,
        label: str,
        affordance: ActionAffordance,
        addresses: Addresses,
        connection: Connection,
        url_type: type[Any],
        logger: logging.Logger,
    ) -> None:
        self._label = label
        self._addresses, self._connection, self._logger = addresses, connection, logger
        self._target = addresses.target(affordance, "invokeaction", "POST")
        self._url = url_type(self._target.url) if self._target else None
        self._blobs = Blobs(addresses, connection)
        self._answers_output = affordance.synchronous is True
        self._output_forms = BinaryForms.of_output(affordance)
        minimal = ", return=minimal" if self._output_forms else ""  # the output is then asked for in a binary form
        self._headers = {"content-type": "application/json", "prefer": f"wait={connection.wait:g}{minimal}"}
        self._invoking = f"Invoking {label}"

    async def invoke(self, arguments: Mapping[str, Any]) -> Any:
        """Run it, and return its output.

        :raises FailedToInvokeActionError: if the server refuses to start it.
        :raises ServerActionError: if it ends in an error.
        :raises InvocationCancelledError: if somebody cancels it.
        :raises GlobalLockBusyError: if something else holds the server's global lock.
        :raises BlobTransferError: if a blob among the arguments cannot be uploaded.
        """
        body = await self._blobs.to_json(arguments)
        if self._answers_output:
            response = await self._start(body)
            return self._blobs.received(from_json(response, ServerActionError, self._invoking), response)
        invocation = RemoteInvocation(
            self._label, self._addresses, self._connection, LogRelay(self._logger), self._output_forms
        )
        try:
            # what is interrupted while the answer is on its way would lose sight of the invocation
            await self._connection.uninterrupted(invocation.start(self._start(body)))
            await invocation.wait()
        except (KeyboardInterrupt, CancelledError):
            await self._connection.uninterrupted(invocation.cancel())
            raise
        return await invocation.output()

    async def _start(self, body: bytes) -> Response:
        if self._target is None:
            raise FailedToInvokeActionError(f"{self._label} has no form that says how to invoke it over HTTP.")
        response = await self._connection.send(
            self._target.method, self._url, self._invoking, FailedToInvokeActionError, body, self._headers
        )
        return checked(response, FailedToInvokeActionError, self._invoking)
