from __future__ import annotations

from http import HTTPStatus

import httpx
import pytest

from labthings.exceptions import ClientPropertyError, GlobalLockBusyError
from labthings.problem_details import ProblemDetails
from labthings.problem_reports import checked, problem_of

HTTP_422 = HTTPStatus(422).phrase  # Python 3.13 has another


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (
            httpx.Response(404, json={"type": "urn:x", "title": "Lost", "status": 410, "detail": "gone", "more": 1}),
            ProblemDetails("urn:x", "Lost", 410, "gone"),
        ),
        (httpx.Response(404, json={"detail": "gone"}), ProblemDetails("about:blank", "Not Found", 404, "gone")),
        (httpx.Response(502, text="<h1>Bad</h1>\n"), ProblemDetails("about:blank", "Bad Gateway", 502, "<h1>Bad</h1>")),
        (
            httpx.Response(500),
            ProblemDetails("about:blank", "Internal Server Error", 500, "the server does not say why"),
        ),
        (httpx.Response(599, json=[1]), ProblemDetails("about:blank", "HTTP status", 599, "[1]")),
        (httpx.Response(302), ProblemDetails("about:blank", "Found", 302, "the server does not say why")),
        (
            httpx.Response(
                422, json={"detail": [{"loc": ["body", "a", 0], "msg": "bad"}, {"loc": ["b"], "msg": "worse"}]}
            ),
            ProblemDetails(
                "about:blank",
                HTTP_422,
                422,
                "body.a.0: bad; b: worse",
                ({"loc": ["body", "a", 0], "msg": "bad"}, {"loc": ["b"], "msg": "worse"}),
            ),
        ),
    ],
)
def test_problem_in_any_format(response, expected):
    assert problem_of(response) == expected


def test_good_answer_is_no_problem():
    response = httpx.Response(204)
    assert checked(response, ClientPropertyError, "Reading x.y") is response


def test_what_the_server_says_too_is_not_said_twice():
    for detail in ("too hot", "Reading x.y failed: too hot", "x.y: too hot"):
        with pytest.raises(ClientPropertyError, match=r"^Reading x\.y failed: too hot \(500 Internal Server Error\)$"):
            checked(httpx.Response(500, json={"detail": detail}), ClientPropertyError, "Reading x.y")


@pytest.mark.parametrize("key", [{"type": "urn:labthings:error:global-lock-busy"}, {"title": "GlobalLockBusyError"}])
def test_busy_global_lock(key):
    with pytest.raises(GlobalLockBusyError, match="wait"):
        checked(httpx.Response(409, json={"detail": "wait", **key}), ClientPropertyError, "Writing x.y")


def test_traceback_is_told_of_errors_of_the_server_only():
    for status, told in ((500, True), (422, False)):
        problem = {"detail": "bad", "traceback": "Traceback: there"}
        with pytest.raises(ClientPropertyError) as caught:
            checked(httpx.Response(status, json=problem), ClientPropertyError, "Writing x.y")
        assert ("Traceback: there" in str(caught.value)) is told
        assert caught.value.problem.traceback == "Traceback: there"
