"""An action of a Thing on a server."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from labthings.client.addresses import Addresses
from labthings.client.connection import Connection, Response, from_json, to_json
from labthings.client.errors import checked
from labthings.client.held_interrupt import HeldInterrupt
from labthings.client.log_relay import LogRelay
from labthings.client.remote_invocation import RemoteInvocation
from labthings.exceptions import FailedToInvokeActionError, ServerActionError
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
        self._answers_output = affordance.synchronous is True
        self._headers = {"content-type": "application/json", "prefer": f"wait={connection.wait:g}"}
        self._invoking = f"Invoking {label}"

    def invoke(self, arguments: Mapping[str, Any]) -> Any:
        """Run it, and return its output.

        :raises FailedToInvokeActionError: if the server refuses to start it.
        :raises ServerActionError: if it ends in an error.
        :raises InvocationCancelledError: if somebody cancels it.
        :raises GlobalLockBusyError: if something else holds the server's global lock.
        """
        invocation = None
        body = to_json(arguments)
        try:
            with HeldInterrupt():  # an interrupt while the answer is on its way would lose sight of the invocation
                response = self._start(body)
                if self._answers_output or not response.content:
                    return from_json(response, ServerActionError, self._invoking)
                invocation = RemoteInvocation(
                    self._label, response, self._addresses, self._connection, LogRelay(self._logger)
                )
            invocation.wait()
        except KeyboardInterrupt:
            if invocation is not None:
                invocation.cancel()
            raise
        return invocation.output()

    def _start(self, body: bytes) -> Response:
        if self._target is None:
            raise FailedToInvokeActionError(f"{self._label} has no form that says how to invoke it over HTTP.")
        response = self._connection.send(
            self._target.method, self._url, self._invoking, FailedToInvokeActionError, body, self._headers
        )
        return checked(response, FailedToInvokeActionError, self._invoking)
