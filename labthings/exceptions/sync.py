"""What goes wrong with commands."""

from __future__ import annotations

from typing import Any

from labthings.exceptions.root import LabThingsError

OTHER_MEMBERS = {"type", "requestId", "command", "version"}


class CommandError(LabThingsError, RuntimeError):
    """A command has failed, and its client is to be told why.

    :param code: what a program can tell it from other failures by, such as ``"out_of_range"``.
    :param message: what a person can act on.
    :param severity: how bad it is: ``"info"``, ``"warning"``, ``"error"`` or whatever the clients know.
    :param display: how clients are to show it: ``"toast"``, ``"inline"``, ``"modal"`` or whatever they know.
    :param recoverable: whether to try again makes sense.
    :param details: more members for the client, which can be made JSON. ``type``, ``requestId``, ``command`` and
        ``version`` are there already.
    :raises TypeError: if one of the details has such a name.
    """

    def __init__(
        self,
        code: str,
        message: str,
        severity: str = "error",
        display: str = "toast",
        recoverable: bool = True,
        **details: Any,
    ) -> None:
        taken = OTHER_MEMBERS & details.keys()
        if taken:
            raise TypeError(
                f"No detail of a CommandError can be called '{min(taken)}': clients are told something else so."
            )
        super().__init__(message)
        self.code, self.message = code, message
        self.severity, self.display, self.recoverable = severity, display, recoverable
        self.details = details
