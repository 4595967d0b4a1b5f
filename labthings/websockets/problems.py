"""Errors as clients of a WebSocket are told of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

from labthings.exceptions import PropertyNotLiveError, RequestError
from labthings.problem_details import problem_details

MOST_NAMES = 20
ERRORS = "https://w3c.github.io/web-thing-protocol/errors"
STANDARD = {
    400: (f"{ERRORS}#bad-request", "Bad Request"),
    403: (f"{ERRORS}#not-observable", "Not Observable"),
    404: (f"{ERRORS}#not-found", "Not Found"),
}
"""The types and titles of the errors that the Web Thing Protocol names, by their status."""

OWN_TITLES: Mapping[type, str] = {PropertyNotLiveError: "Not Live State"}
"""The titles of errors that have such a status, but mean something else."""


def problem_members(error: BaseException, debug: bool = False) -> dict[str, Any]:
    """The members of an error.

    :param debug: whether to add where it was raised.
    """
    problem = problem_details(error, debug)
    own = (problem.type, OWN_TITLES.get(type(error), problem.title))
    kind, title = own if type(error) in OWN_TITLES else STANDARD.get(problem.status, own)
    detail = str(error) if isinstance(error, RequestError) else problem.detail  # which may quote half a character
    return {**problem.as_dict(), "status": str(problem.status), "type": kind, "title": title, "detail": detail}


def worded(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Problem details, with their status as the Web Thing Protocol writes it."""
    return {**problem, "status": str(problem.get("status", 500))}


def remedy(there: Collection[str]) -> str:
    """A sentence that tells what there is, for a client that has asked for something else."""
    names = list(islice(there, MOST_NAMES))
    return f"There is: {', '.join(names)}{', ...' if len(there) > len(names) else ''}." if names else "There is none."
