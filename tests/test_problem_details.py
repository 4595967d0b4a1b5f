"""Every error becomes a problem document that says which kind it is and what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from labthings.exceptions import (
    BusyError,
    GlobalLockBusyError,
    InvalidValueError,
    InvocationCancelledError,
    MethodNotAllowedError,
    NotFoundError,
    ReadOnlyPropertyError,
)
from labthings.problem_details import MEDIA_TYPE, AffordanceError, ProblemDetails, problem_details, problem_headers


class OvenError(RuntimeError):
    def __init__(self, message: str, **attributes: Any) -> None:
        super().__init__(message)
        vars(self).update(attributes)


def wrapped(cause: Exception) -> AffordanceError:
    """What routes make of an error of a Thing's own code."""
    error = AffordanceError(f"Reading oven.heat failed: {cause}")
    error.__cause__ = cause
    return error


def test_the_media_type_is_that_of_rfc_9457() -> None:
    assert MEDIA_TYPE == "application/problem+json"


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (NotFoundError("x"), 404, "not-found"),
        (MethodNotAllowedError("x"), 405, "method-not-allowed"),
        (ReadOnlyPropertyError("x"), 405, "read-only-property"),
        (GlobalLockBusyError("x"), 409, "global-lock-busy"),
        (InvalidValueError("x"), 422, "invalid-value"),
        (BusyError("x"), 503, "busy"),
        (OvenError("x"), 500, "affordance"),
        (InvocationCancelledError("x"), 500, "affordance"),
    ],
)
def test_each_class_of_error_has_its_status_type_and_title(error: BaseException, status: int, kind: str) -> None:
    problem = problem_details(error)
    assert problem == ProblemDetails(f"urn:labthings:error:{kind}", type(error).__name__, status, "x")


def test_what_is_absent_is_left_out() -> None:
    assert problem_details(NotFoundError("gone")).as_dict() == {
        "type": "urn:labthings:error:not-found",
        "title": "NotFoundError",
        "status": 404,
        "detail": "gone",
    }


def test_an_error_of_a_things_own_code_is_named_by_its_class_and_says_where() -> None:
    problem = problem_details(wrapped(OvenError("too hot")))
    assert (problem.title, problem.status) == ("OvenError", 500)
    assert problem.detail == "Reading oven.heat failed: too hot"
    assert problem_details(wrapped(OvenError("gone", status_code=410))).status == 410


@pytest.mark.parametrize("status", [399, 600, "404", None])
def test_a_status_that_is_no_error_is_not_used(status: Any) -> None:
    assert problem_details(OvenError("x", status_code=status)).status == 500


@pytest.mark.parametrize("status", [400, 418, 599])
def test_an_error_may_bring_its_status(status: int) -> None:
    assert problem_details(OvenError("x", status_code=status)).status == status


def test_what_is_wrong_with_a_value_is_listed() -> None:
    faults = [{"loc": ["a", 1], "msg": "no", "type": "int"}]
    assert problem_details(InvalidValueError("x", faults)).as_dict()["errors"] == tuple(faults)
    assert problem_details(InvalidValueError("x")).errors is None


@pytest.mark.parametrize("errors", [[], (), "text", lambda: 1])
def test_what_is_no_list_of_errors_is_passed_over(errors: Any) -> None:
    assert problem_details(OvenError("x", errors=errors)).errors is None


def test_an_error_without_words_says_its_class() -> None:
    assert problem_details(OvenError("")).detail == "OvenError"


def test_a_traceback_is_told_in_debug_only() -> None:
    def heat() -> None:
        raise OvenError("too hot")

    with pytest.raises(OvenError) as caught:
        heat()
    assert problem_details(caught.value).traceback is None
    assert "traceback" not in problem_details(caught.value).as_dict()
    assert "in heat" in str(problem_details(caught.value, debug=True).traceback)
    assert "in heat" in str(problem_details(wrapped(caught.value), debug=True).traceback)


def test_it_becomes_json_whatever_is_in_it() -> None:
    problem = problem_details(OvenError("größe \ud83d", errors=[{"loc": [object()], "msg": "no", "type": "x"}]))
    assert json.loads(ProblemDetails("t", "T", 400, "größe", ({"loc": [object()]},)).to_json())["detail"] == "größe"
    assert problem.status == 500


def test_a_detail_that_is_no_unicode_becomes_json_too() -> None:
    assert json.loads(problem_details(OvenError("lone \ud83d surrogate")).to_json())["title"] == "OvenError"


def test_headers_of_a_request_error_go_with_it() -> None:
    error = MethodNotAllowedError("x", [("Allow", "GET, HEAD")])
    assert problem_headers(error) == [(b"allow", b"GET, HEAD")]
    assert problem_headers(NotFoundError("x")) == []
    assert problem_headers(OvenError("x", headers=[("a", "b")])) == []
