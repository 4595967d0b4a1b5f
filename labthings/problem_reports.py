"""Problems as servers report them, as exceptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import pydantic_core

from labthings.exceptions import GlobalLockBusyError, LabThingsError
from labthings.http_client import Response
from labthings.problem_details import ProblemDetails

LONGEST_TEXT = 500  # characters of an answer that is no JSON


def checked(response: Response, kind: type[LabThingsError], attempt: str) -> Response:
    """Return the answer, if it is a good one.

    :param kind: what to raise if it is not.
    :param attempt: what it answers, to begin a sentence about its failure.
    """
    if response.status_code < 300:
        return response
    raise failed_attempt(kind, attempt, problem_of(response))


def failed_attempt(kind: type[LabThingsError], attempt: str, problem: ProblemDetails) -> LabThingsError:
    """The exception for an attempt that failed.

    :param attempt: what was attempted, as in ``"Reading camera.exposure"``.
    """
    label = attempt.partition(" ")[2]
    detail = problem.detail.removeprefix(f"{attempt} failed: ").removeprefix(f"{label}: ")  # a server may say it too
    return exception(kind, f"{attempt} failed: {detail} ({problem.status} {problem.title})", problem)


def exception(kind: type[LabThingsError], message: str, problem: ProblemDetails) -> LabThingsError:
    """The exception for a problem, which it keeps as ``problem``.

    :param kind: its class, unless the global lock was busy: that is always a `GlobalLockBusyError`.
    """
    if GlobalLockBusyError.type == problem.type or problem.title == GlobalLockBusyError.__name__:
        kind = GlobalLockBusyError
    if problem.traceback and problem.status >= 500:
        message += f"\n\nOn the server:\n{problem.traceback.rstrip()}"
    error = kind(message)
    error.problem = problem
    return error


def problem_of(response: Response) -> ProblemDetails:
    """The problem that an answer reports: problem details, FastAPI's ``detail``, or text."""
    try:
        told = pydantic_core.from_json(response.content)
    except ValueError:
        told = response.content.decode(errors="replace").strip()[:LONGEST_TEXT]
    return problem_from(told, response.status_code)


def problem_from(told: Any, status: int) -> ProblemDetails:
    """The problem that a server describes.

    :param told: JSON in whatever format.
    :param status: the HTTP status it came with.
    """
    members = told if isinstance(told, Mapping) else {"detail": told}
    errors = _errors(members)
    return ProblemDetails(
        type=str(members.get("type", "about:blank")),
        title=str(members.get("title") or _phrase(status)),
        status=members["status"] if isinstance(members.get("status"), int) else status,
        detail=_detail(members, errors) or "the server does not say why",
        errors=errors or None,
        traceback=str(members["traceback"]) if members.get("traceback") else None,
    )


def _errors(members: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """What is wrong with a value: FastAPI tells it in ``detail``."""
    listed = members.get("errors") or members.get("detail")
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        return ()
    return tuple(each for each in listed if isinstance(each, Mapping))


def _detail(members: Mapping[str, Any], errors: Sequence[Mapping[str, Any]]) -> str:
    detail = members.get("detail")
    if isinstance(detail, str):
        return detail
    if errors:
        return "; ".join(f"{'.'.join(map(str, each.get('loc', ())))}: {each.get('msg')}" for each in errors)
    return "" if detail is None else pydantic_core.to_json(detail).decode()


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "HTTP status"
