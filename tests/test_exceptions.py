"""The tree of errors is as it is drawn."""

from __future__ import annotations

import re

import pytest

from labthings import exceptions
from labthings.exceptions import InvalidValueError, InvocationCancelledError, LabThingsError, RequestError

ERRORS = {
    name: each
    for name, each in vars(exceptions).items()
    if isinstance(each, type) and issubclass(each, BaseException) and each.__module__ == exceptions.__name__
}


def drawn_tree() -> dict[str, str]:
    """Each error of the drawing, and what it is drawn beneath."""
    tree, parent = {"LabThingsError": "Exception"}, "LabThingsError"
    for line in str(exceptions.__doc__).splitlines():
        names = re.findall(r"\b[A-Z]\w+Error\b", re.split(r"\s{4,}(?=\S+ )", line.strip() + " ")[0])
        if line.startswith(" x "):
            parent = names[0]
            tree.update(dict.fromkeys(names, "LabThingsError"))
        elif line.startswith("    "):
            tree.update(dict.fromkeys(names, parent))
    return tree


def test_the_drawing_shows_every_error_where_it_is() -> None:
    tree = drawn_tree()
    errors = {name for name, each in ERRORS.items() if issubclass(each, LabThingsError)}
    assert tree.keys() == errors
    for name, parent in tree.items():
        assert parent in [base.__name__ for base in ERRORS[name].__bases__], f"{name} is drawn beneath {parent}"


def test_every_error_has_a_status_and_a_type_of_its_own() -> None:
    types = [each.type for each in ERRORS.values() if issubclass(each, LabThingsError)]
    assert len(set(types)) == len(types)
    assert all(re.fullmatch(r"urn:labthings:error:[a-z-]+", each) for each in types)
    assert exceptions.GlobalLockBusyError.type == "urn:labthings:error:global-lock-busy"
    assert all(400 <= each.status_code < 600 for each in ERRORS.values() if issubclass(each, LabThingsError))


def test_every_error_inherits_a_builtin_too() -> None:
    for name, each in ERRORS.items():
        if name != "LabThingsError" and issubclass(each, LabThingsError) and not issubclass(each, RequestError):
            assert any(base.__module__ == "builtins" for base in each.__mro__[1:-3]), name


def test_an_error_of_ones_own_has_a_type_and_may_have_a_status() -> None:
    class NoSampleError(exceptions.InvocationError):
        status_code = 409

    assert (NoSampleError.type, NoSampleError.status_code) == ("urn:labthings:error:no-sample", 409)


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_error_says_in_a_sentence_what_it_means(name: str) -> None:
    assert str(ERRORS[name].__doc__).split("\n")[0].endswith((".", "``."))


def test_a_cancellation_is_not_caught_by_accident() -> None:
    assert not issubclass(InvocationCancelledError, Exception)


def test_what_is_wrong_with_a_value_is_kept() -> None:
    fault = {"loc": ["a"], "msg": "no", "type": "x"}
    assert InvalidValueError("x", [fault]).errors == [fault]
    assert InvalidValueError("x").errors == []


def test_headers_for_the_answer_are_kept() -> None:
    assert RequestError("x", [("Allow", "GET")]).headers == [("Allow", "GET")]
    assert RequestError("x").headers == []
