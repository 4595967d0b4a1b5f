from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import given, settings
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from labthings.exceptions import UnsupportedConstraintError
from labthings.types.markers import holds_arrays, kind_of
from labthings.types.numpy import ArrayType, DenumpifyingDict, NDArray
from labthings.types.plain_values import plain
from tests.test_types.strategies import arrays, same

Table = Annotated[NDArray, ArrayType(dtype="uint16", shape=(None, 3))]


class Spectrum(BaseModel):
    counts: NDArray
    label: str = ""


def adapter(dtype: Any = None, shape: Any = None) -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[NDArray, ArrayType(dtype=dtype, shape=shape)])


def fault(function: Any, value: Any, **options: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        function(value, **options)
    return str(caught.value.errors()[0]["msg"])


def from_json(kind: TypeAdapter[Any], text: str) -> Any:
    return kind.validate_json(text, strict=True)


@given(array=arrays())
@settings(max_examples=60, deadline=None)
def test_json_comes_back_with_its_declared_type(array):
    kind = adapter(array.dtype.newbyteorder("="), array.shape)
    back = from_json(kind, kind.dump_json(array, warnings="error").decode())
    assert back.shape == array.shape
    finite = np.isfinite(array)
    assert np.array_equal(back[finite], array[finite])
    assert np.isnan(back[~finite]).all()


@given(array=arrays())
@settings(max_examples=60, deadline=None)
def test_an_array_is_its_own_python_form_and_is_not_copied(array):
    kind = TypeAdapter(NDArray)
    assert kind.validate_python(array) is array
    assert kind.dump_python(array) is array
    assert plain(kind, array) is array


@pytest.mark.parametrize("value", [[[1, 2, 3]], ((1, 2, 3),), [np.array([1, 2, 3])], np.array([[1.0, 2.0, 3.0]])])
def test_python_code_may_give_sequences(value):
    found = TypeAdapter(Table).validate_python(value)
    assert same(found, np.array([[1, 2, 3]], "uint16"))


@pytest.mark.parametrize(
    ("dtype", "value", "words"),
    [
        ("uint16", [70000], "expected an array of uint16 (from 0 to 65535), found 70000 among values of int64"),
        ("uint16", [-1], "found -1 among"),
        ("int64", np.array([2**63], "u8"), "found 9223372036854775808 among"),
        ("int32", [1.5], "found 1.5 among values of float64"),
        ("int32", [float("nan")], "found nan among"),
        ("int32", [float("inf")], "found inf among"),
        ("uint64", [2.0**60], "among values of float64"),
        ("float32", np.array([0.1]), "use `array.astype('float32')` if they may be rounded"),
        ("float32", [1e300], "found 1e+300"),
        ("float64", np.array([2**53 + 1]), "found 9007199254740993"),
        ("bool", [2], "found 2 among"),
        (None, [[1], [2, 3]], "unequal lengths"),
        (None, [1j], "complex numbers have no JSON form"),
        (None, ["a"], "found str"),
        (None, [None], "no numbers of up to 64 bits"),
        (None, None, "found a NoneType"),
        (None, "abc", "found a str"),
        (None, b"abc", "`Array-DType`"),
        (None, [2**70], "no numbers of up to 64 bits"),
        (None, [2**63, -1], "no numbers of up to 64 bits"),
        (None, np.ma.array([1, 2], mask=[0, 1]), "`filled`"),
        (None, np.zeros(2, "M8[s]"), "datetime64"),
    ],
)
def test_what_would_change_is_refused_from_python(dtype, value, words):
    assert words in fault(adapter(dtype).validate_python, value)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("float32", [0.1]), ("uint8", np.array([255], "i8")), ("int16", [3.0]), ("float64", np.array([1], ">i2"))],
)
def test_what_does_not_change_is_converted(dtype, value):
    found = adapter(dtype).validate_python(value)
    assert found.dtype == dtype
    assert found.tolist() == np.asarray(value, dtype).tolist()


@pytest.mark.parametrize(
    ("dtype", "text", "words"),
    [
        ("uint16", "[70000]", "found 70000"),
        ("int16", "[1.5]", "found 1.5"),
        ("int16", "[null]", "found null in it"),
        ("int16", "[1, true]", "booleans beside numbers"),
        ("int16", "[true]", "found a boolean in it"),
        ("bool", "[1]", "found a number in it"),
        ("float64", '["1"]', "found a string in it"),
        (None, "[true, null]", "found null in it"),
        (None, "[[1], 2]", "lists beside other values"),
        (None, "[[1], [2, 3]]", "unequal lengths"),
        (None, "[[1], {}]", "lists beside other values"),
        (None, "[123456789012345678901234567890]", "more than 64 bits"),
        (None, "[9223372036854775808, -1]", "more than 64 bits"),
        (None, '"abc"', "found a string"),
        (None, "3", "found a number"),
        (None, "null", "found null"),
        (None, "[" * 100 + "]" * 100, "too deep"),
    ],
)
def test_json_that_does_not_fit_is_refused(dtype, text, words):
    assert words in fault(lambda given: from_json(adapter(dtype), given), text)


@pytest.mark.parametrize("value", [[0, 2**63], [[2**64 - 1], [1]]])
def test_large_integers_are_not_rounded(value):
    assert TypeAdapter(NDArray).validate_python(value).tolist() == value
    assert from_json(adapter("uint64"), str(value)).tolist() == value
    assert TypeAdapter(NDArray).validate_python([2.0**63, 1]).dtype == "float64"


def test_null_is_nan_where_there_are_floats():
    assert np.isnan(from_json(TypeAdapter(NDArray), "[1, null]")[1])
    assert from_json(adapter("float32"), "[1, null]").dtype == "float32"


@pytest.mark.parametrize("text", ["[[1, 2]]", "[1, 2, 3]", "[[[1, 2, 3]]]", "3"])
def test_the_shape_is_checked(text):
    assert "expected an array of uint16 of shape (*, 3), found" in fault(
        lambda given: from_json(TypeAdapter(Table), given), text
    )


def test_an_empty_list_fits_an_array_without_elements():
    assert from_json(TypeAdapter(Table), "[]").shape == (0, 3)
    assert from_json(adapter(shape=()), "3").shape == ()


def test_infinities_are_null_in_json():
    assert TypeAdapter(NDArray).dump_json(np.array([1.5, np.nan, np.inf])) == b"[1.5,null,null]"


def test_schemas():
    assert TypeAdapter(Table).json_schema() == {
        "type": "array",
        "items": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 65535},
            "minItems": 3,
            "maxItems": 3,
        },
    }
    assert adapter("float64", (2,)).json_schema() == {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 2,
        "maxItems": 2,
    }
    assert adapter("bool", ()).json_schema() == {"type": "boolean"}
    assert TypeAdapter(NDArray).json_schema()["type"] == "array"


def test_annotations_add_up():
    pixels = Annotated[NDArray, ArrayType(dtype="uint8")]
    kind = TypeAdapter(Annotated[pixels, ArrayType(shape=(2,))])
    assert "uint8 of shape (2,)" in fault(kind.validate_python, [1, 2, 3])
    assert TypeAdapter(Annotated[np.ndarray, ArrayType(dtype="uint8")]).validate_python([1]).dtype == "uint8"


@pytest.mark.parametrize("options", [{"dtype": "complex64"}, {"dtype": "O"}, {"dtype": "no such"}, {"shape": (-1,)}])
def test_there_are_no_such_arrays(options):
    with pytest.raises(UnsupportedConstraintError):
        ArrayType(**options)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (NDArray, "array"),
        (Table, "array"),
        (Annotated[NDArray, Field(description="counts")], "array"),
        (NDArray | None, "arrays"),
        (list[Spectrum], "arrays"),
        (dict[str, tuple[int, Spectrum | None]], "arrays"),
        (DenumpifyingDict, "arrays"),
        (bytes, "bytes"),
        (list[bytes], "json"),
        (list[float], "json"),
        (Any, "json"),
    ],
)
def test_types_that_hold_arrays_can_be_told(kind, expected):
    assert kind_of(TypeAdapter(kind)) == expected
    assert holds_arrays(TypeAdapter(kind)) == (expected in ("array", "arrays"))


class Node(BaseModel):
    children: list[Node] = []
    values: NDArray | None = None


def test_a_model_may_contain_itself():
    assert kind_of(TypeAdapter(Node)) == "arrays"
    node = Node(children=[Node(values=[1, 2])])
    assert plain(TypeAdapter(Node), node)["children"][0]["values"].tolist() == [1, 2]


def test_plain_values_have_arrays_and_otherwise_what_json_has():
    value = Spectrum(counts=[1, 2], label="dark")
    told = plain(TypeAdapter(Spectrum), value)
    assert told == {"counts": value.counts, "label": "dark"}
    assert told["counts"] is value.counts


def test_a_dictionary_may_hold_arrays_and_numbers_of_numpy():
    kind, counts = TypeAdapter(DenumpifyingDict), np.array([1, 2])
    value = {"a": counts, "b": [{"c": np.float32(1.5)}, (np.bool_(True),)], np.int64(3): "text", "s": np.array(["x"])}
    assert kind.validate_python(value) == value
    assert kind.dump_json(value) == b'{"a":[1,2],"b":[{"c":1.5},[true]],"3":"text","s":["x"]}'
    assert plain(kind, value)["a"] is counts
    assert kind.dump_python(value)["a"] is counts


@pytest.mark.parametrize("array", [np.array([1j]), np.array([None]), np.complex64(1), np.zeros(1, "M8[s]")])
def test_a_dictionary_refuses_what_json_has_no_form_for(array):
    assert "no JSON form" in fault(TypeAdapter(DenumpifyingDict).validate_python, {"a": [array]})
