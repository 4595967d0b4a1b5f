"""The media types in which values travel, and the headers that raw octets of an array need."""

from __future__ import annotations

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
NPY = "application/x-npy"
OCTETS = "application/octet-stream"
CBOR = "application/cbor"
BINARY = (NPY, CBOR, OCTETS)  # the best for an array first

FORMS = {"array": BINARY, "arrays": (CBOR,), "bytes": (OCTETS, CBOR), "json": ()}
"""The binary forms that all values of a type have, by the type's kind: see `labthings.types.markers.kind_of`."""

ARRAY_DTYPE, ARRAY_SHAPE = "array-dtype", "array-shape"
"""Headers: ``Array-DType: <u2`` and ``Array-Shape: [1000, 1000]``."""


def bare(content_type: str) -> str:
    """A media type without its parameters."""
    return content_type.partition(";")[0].strip().lower()
