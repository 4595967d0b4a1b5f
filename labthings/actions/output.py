"""What an invocation keeps of what it was given and what it returned."""

from __future__ import annotations

from typing import Any

import pydantic_core

from labthings.actions.info import ActionInfo
from labthings.introspection import MISSING
from labthings.outputs.blob import Blob
from labthings.outputs.blob_data import BlobData, LocalData
from labthings.retention import Sizes
from labthings.url_for import placeholder_url, use_url_for


class Document:
    """JSON that is kept, and the blobs that it mentions. Their URLs have a placeholder: see `labthings.url_for`.

    :param json: the document.
    :param resources: what it mentions.
    """

    __slots__ = ("__weakref__", "_json", "blobs")

    def __init__(self, json: bytes, resources: list[object]) -> None:
        self._json = json
        self.blobs = tuple({each.id: each for each in resources if isinstance(each, LocalData)}.values())

    @property
    def json(self) -> bytes:
        """The document."""
        return self._json

    @property
    def sizes(self) -> Sizes:
        """How much room it takes, blobs included."""
        if not self.blobs:
            return Sizes(len(self._json))
        return Sizes(
            len(self._json) + sum(each.in_memory for each in self.blobs),
            sum(each.in_files for each in self.blobs),
            sum(each.open_files for each in self.blobs),
        )


_NO_INPUT = Document(b"{}", [])


class Output(Document):
    """What an action returned, as it was then: what the Thing does to it later makes no difference.

    :param json: the document, unless there are arrays.
    :param resources: what it mentions.
    :param value: it in mappings, lists, strings, numbers, arrays, if there are arrays.
    :param blob: the bytes, if it is nothing but a blob.
    """

    __slots__ = ("blob", "value")

    def __init__(
        self, json: bytes, resources: list[object], value: Any = MISSING, blob: BlobData | None = None
    ) -> None:
        super().__init__(json, resources)
        self.value, self.blob = value, blob

    @property
    def holds_arrays(self) -> bool:
        """Whether there are arrays in it, so that it is large, and its JSON is made anew each time."""
        return self.value is not MISSING

    @property
    def json(self) -> bytes:
        return _to_json(self.value) if self.holds_arrays else self._json

    @property
    def sizes(self) -> Sizes:
        sizes = super().sizes
        return sizes._replace(in_memory=sizes.in_memory + _size(self.value)) if self.holds_arrays else sizes


_NO_OUTPUT = Output(b"null", [])


def input_of(info: ActionInfo, arguments: dict[str, Any]) -> Document:
    """What an action was given."""
    if info.input_adapter is None:
        return _NO_INPUT
    resources: list[object] = []
    with use_url_for(placeholder_url, resources):
        return Document(info.input_to_json(arguments), resources)


def output_of(info: ActionInfo, value: Any) -> Output:
    """What an action returned.

    :raises InvalidReturnValueError: if it does not fit the type, or has no JSON form.
    """
    if value is None and info.output_adapter is None:
        return _NO_OUTPUT
    resources: list[object] = []
    with use_url_for(placeholder_url, resources):
        if info.returns_arrays:
            return Output(b"", resources, _snapshot(info.output_to_plain(value)))
        return Output(info.output_to_json(value), resources, blob=value.data if isinstance(value, Blob) else None)


def _to_json(snapshot: Any) -> bytes:
    if hasattr(snapshot, "__array__"):
        from labthings.types.array_json import array_to_json  # imports numpy

        return array_to_json(snapshot)
    return pydantic_core.to_json(snapshot, inf_nan_mode="null", fallback=lambda array: array.tolist())


def _snapshot(value: Any) -> Any:
    """The same with copies of the arrays."""
    if isinstance(value, dict):
        return {key: _snapshot(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_snapshot(each) for each in value]
    return value.copy() if hasattr(value, "__array__") else value


def _size(value: Any) -> int:
    """How many bytes the arrays in a snapshot take."""
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    if isinstance(value, list):
        return sum(map(_size, value))
    return getattr(value, "nbytes", 0)
