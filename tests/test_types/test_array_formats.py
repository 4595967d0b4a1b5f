from __future__ import annotations

import io
import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import cbor2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labthings.exceptions import InvalidValueError
from labthings.types import cbor
from labthings.types.array_formats import decode, encode, media_types_for
from labthings.types.media_types import CBOR, NPY, OCTETS
from tests.test_types.strategies import arrays, same

FORMATS = [NPY, OCTETS, CBOR]


@pytest.mark.parametrize("media_type", FORMATS)
@given(array=arrays())
@settings(max_examples=60, deadline=None)
def test_an_array_comes_back_as_it_was(media_type, array):
    headers, body = encode(array, media_type)
    back = decode(body, media_type, headers)
    assert same(array, back)
    assert back.flags.writeable


@given(array=arrays())
@settings(max_examples=60, deadline=None)
def test_numpy_reads_and_writes_the_same_format(array):
    assert same(array, np.load(io.BytesIO(encode(array, NPY)[1]), allow_pickle=False))
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    assert same(array, decode(file.getvalue(), NPY, {}))


def test_the_byte_order_is_kept_where_the_format_has_one():
    array = np.array([1, 2], ">u2")
    assert decode(encode(array, NPY)[1], NPY, {}).dtype == array.dtype
    assert decode(encode(array, CBOR)[1], CBOR, {}).dtype == array.dtype
    assert encode(array, OCTETS) == ({"array-dtype": "<u2", "array-shape": "[2]"}, b"\x01\x00\x02\x00")


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_other_values_come_back_from_cbor(value):
    assert cbor.loads(cbor.dumps(value)) == value


def test_arrays_inside_others_come_back_from_cbor():
    array = np.arange(6.0).reshape(2, 3)
    back = cbor.loads(cbor.dumps({"a": [array, {"b": array > 2}], "n": np.float32(1.5)}))
    assert same(back["a"][0], array)
    assert same(back["a"][1]["b"], array > 2)
    assert back["n"] == 1.5


# RFC 8746, section 2.1; the values are 1 and 2
TAGS = {
    64: (">B", "uint8"), 65: (">H", "uint16"), 66: (">I", "uint32"), 67: (">Q", "uint64"),
    68: (">B", "uint8"), 69: ("<H", "uint16"), 70: ("<I", "uint32"), 71: ("<Q", "uint64"),
    72: (">b", "int8"), 73: (">h", "int16"), 74: (">i", "int32"), 75: (">q", "int64"),
    77: ("<h", "int16"), 78: ("<i", "int32"), 79: ("<q", "int64"),
    80: (">e", "float16"), 81: (">f", "float32"), 82: (">d", "float64"),
    84: ("<e", "float16"), 85: ("<f", "float32"), 86: ("<d", "float64"),
}  # fmt: skip


@pytest.mark.parametrize("tag", TAGS)
def test_typed_arrays_of_others_are_read(tag):
    code, name = TAGS[tag]
    octets = struct.pack(code, 1) + struct.pack(code, 2)
    found = cbor.loads(cbor2.dumps(cbor2.CBORTag(tag, octets)))
    assert found.tolist() == [1, 2]
    assert found.dtype.name == name


def test_column_major_and_plain_lists_are_read():
    assert cbor.loads(cbor2.dumps(cbor2.CBORTag(1040, [[2, 2], [1, 2, 3, 4]]))).tolist() == [[1, 3], [2, 4]]
    assert cbor.loads(cbor2.dumps(cbor2.CBORTag(40, [[2, 2], [1, 2, 3, 4]]))).tolist() == [[1, 2], [3, 4]]


def test_which_forms_a_value_has():
    assert media_types_for(np.zeros(2)) == (NPY, OCTETS, CBOR)
    assert media_types_for(b"abc") == (OCTETS, CBOR)
    assert media_types_for({"a": 1}) == (CBOR,)


@pytest.mark.parametrize("media_type", [OCTETS, CBOR])
def test_bytes_come_back(media_type):
    headers, body = encode(b"\x00\xff", media_type)
    assert decode(body, media_type, headers) == b"\x00\xff"


@pytest.mark.parametrize("array", [np.array([1j]), np.array(["a"]), np.array([None]), np.zeros(2, "M8[s]")])
@pytest.mark.parametrize("media_type", FORMATS)
def test_what_is_no_number_is_not_sent(array, media_type):
    with pytest.raises(ValueError, match="form"):
        encode(array, media_type)


@pytest.mark.parametrize("array", [np.ma.array([1, 2], mask=[0, 1]), [np.ma.array([True], mask=[1])]])
def test_a_mask_is_not_dropped(array):
    for media_type in FORMATS if isinstance(array, np.ndarray) else [CBOR]:
        with pytest.raises(ValueError, match="masked"):
            encode(array, media_type)


def npy(header: str, rest: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + rest


def described(descr: str = "'<u2'", shape: str = "(2,)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


WHOLE = encode(np.arange(6, dtype="u2").reshape(2, 3), NPY)[1]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (WHOLE[:-1], r"uint16 of shape \(2, 3\) takes 12 bytes, but there are 11"),
        (WHOLE + b"x", "takes 12 bytes, but there are 13"),
        (WHOLE[:20], "header"),
        (b"", "not the .npy format"),
        (b"\x93NUMPY\x09\x00" + WHOLE[8:], "not the .npy format, version 1 or 2"),
        (npy(described(shape="(1000000, 1000000)")), "takes 2000000000000 bytes, but there are 0"),
        (npy(described(shape="(-1, -2)")), "is not the shape"),
        (npy(described(shape="(True,)")), "is not the shape"),
        (npy(described(shape=f"(0, {'9' * 100})")), "no arrays of shape"),
        (npy(described(shape=str((1,) * 100)), b"xx"), "no arrays of shape"),
        (npy(described("'|O'"), b"x" * 16), "no arrays of the type"),
        (npy(described("[('a', '<u2')]"), b"x" * 4), "no arrays of the type"),
        (npy(described("'<f1'"), b"x" * 2), "header"),
        (npy("(" * 5000), "header"),
        (npy("__import__('os').getcwd()"), "header"),
        (npy("{}" + " " * 20), "header"),
    ],
)
def test_bad_npy_is_refused_in_little_memory(body, words):
    with little_memory(), pytest.raises(InvalidValueError, match=words):
        decode(body, NPY, {})


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"array-dtype": "<u2", "array-shape": "[1000000000, 1000]"}, "takes 2000000000000 bytes"),
        ({"array-dtype": "<u2", "array-shape": "[-1]"}, "is not the shape"),
        ({"array-dtype": "<u2", "array-shape": "many"}, "is not the shape"),
        ({"array-dtype": "O"}, "no arrays of the type"),
        ({"array-dtype": "<u8"}, "takes 0 bytes, but there are 6"),
    ],
)
def test_bad_headers_are_refused_in_little_memory(headers, words):
    with little_memory(), pytest.raises(InvalidValueError, match=words):
        decode(b"123456", OCTETS, headers)


@pytest.mark.parametrize("shape", ["[3, 1]", "3,1", "(3, 1)"])
def test_headers_may_be_written_in_several_ways(shape):
    assert decode(b"123456", OCTETS, {"array-dtype": "uint16", "array-shape": shape}).shape == (3, 1)
    assert decode(b"123456", OCTETS, {"array-dtype": "<u2"}).shape == (3,)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (cbor2.dumps(cbor2.CBORTag(69, b"123")), "whole elements"),
        (cbor2.dumps(cbor2.CBORTag(69, "text")), "whole elements"),
        (cbor2.dumps(cbor2.CBORTag(87, b"x" * 16)), "tag 87 is not understood"),
        (cbor2.dumps(cbor2.CBORTag(40, [[2, 2], cbor2.CBORTag(64, b"abc")])), "4 elements, but there are 3"),
        (cbor2.dumps(cbor2.CBORTag(40, [[2**40, 2**40], cbor2.CBORTag(64, b"abc")])), "elements, but there are 3"),
        (cbor2.dumps(cbor2.CBORTag(40, [[-1], cbor2.CBORTag(64, b"")])), "shape and its elements"),
        (cbor2.dumps(cbor2.CBORTag(40, 3)), "shape and its elements"),
        (cbor2.dumps(cbor2.CBORTag(41, ["a", 1])), "numbers or booleans"),
        (b"\xd8\x1c\x81\xd8\x1d\x00", "references"),
        (b"\x81" * 100_000, "CBOR"),
        (b"\x5b\x00\x00\x00\xff\x00\x00\x00\x00", "CBOR"),
        (b"\x9b\x00\x00\x00\xff\x00\x00\x00\x00\x01", "CBOR"),
        (b"\xc5\x82\x1b\x10\x00\x00\x00\x00\x00\x00\x00\x01", "CBOR"),
        (b"", "CBOR"),
        (b"\xff", "CBOR"),
    ],
)
def test_bad_cbor_is_refused_in_little_memory(document, words):
    with little_memory(), pytest.raises(InvalidValueError, match=words):
        cbor.loads(document)


@given(document=st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_octets_are_read_or_refused(document):
    for media_type in FORMATS:
        with suppress(InvalidValueError):
            decode(document, media_type, {"array-dtype": "<u2", "array-shape": "[2, 2]"})
