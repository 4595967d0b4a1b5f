"""Files and other binary data, as outputs and inputs of actions.

In JSON a blob is a link, and its bytes are downloaded from there. It lives as long as something on the server refers to
it: usually, that is the invocation that made it.
"""

from __future__ import annotations

import mimetypes
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, SchemaSerializer, core_schema
from typing_extensions import Self

from labthings.exceptions import BlobGoneError, MediaTypeMismatchError
from labthings.outputs.blob_data import BlobData, BytesData, FileData, LocalData, link_of, local_data
from labthings.outputs.download import Progress
from labthings.outputs.remote_data import HTTPClient, RemoteData
from labthings.outputs.storage import room_in
from labthings.types.markers import BLOB
from labthings.url_for import url_for

OCTETS = "application/octet-stream"
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)
_MEDIA_TYPES = re.compile(rf"{_MEDIA_TYPE.pattern}|\*/\*|[\w!#$&^.+-]+/\*", re.ASCII)
_PARAMETERS = re.compile(r"[^\x00-\x1f\x7f]*")  # not what would end a header


class Blob:
    """Binary data of a media type. Use `from_bytes` and its like to make one.

    A subclass says which media type it has, as in ``media_type = "image/png"``, or which ones, as in ``"image/*"``.

    :param data: the bytes, wherever they are.
    :param description: what they are, for people.
    :raises MediaTypeMismatchError: if their media type is not one that the class has.
    """

    media_type: str = "*/*"
    """The media type; of a class, the one that its instances must have, perhaps with wildcards."""

    description: str | None = None
    """What the data is, for people."""

    def __init__(self, data: BlobData, description: str | None = None) -> None:
        expected = type(self).media_type
        if not fits(data.media_type, expected):
            raise MediaTypeMismatchError(
                f"A {type(self).__name__} is {expected}, but this is {_shown(data.media_type)}."
            )
        self.data = data
        self.media_type = data.media_type
        if description is not None:
            self.description = description

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not isinstance(cls.media_type, str) or not _MEDIA_TYPES.fullmatch(cls.media_type):
            raise MediaTypeMismatchError(
                f"'{cls.__name__}.media_type' must be a media type, as in 'image/png' or 'image/*', "
                f"not {cls.media_type!r}."
            )

    # --- making one ---------------------------------------------------------------------------------------------

    @classmethod
    def from_bytes(cls, data: bytes, media_type: str | None = None, description: str | None = None) -> Self:
        """Make a blob of bytes in memory.

        :param media_type: needed where the class has wildcards only.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"{cls.__name__}.from_bytes takes bytes, not {type(data).__name__}.")
        return cls(BytesData(bytes(data), cls._media_type(media_type, None)), description)

    @classmethod
    def from_file(
        cls, file: str | os.PathLike[str], media_type: str | None = None, description: str | None = None
    ) -> Self:
        """Make a blob of a file, which must stay there as it is. It is read each time that somebody asks for it.

        :param media_type: by default, the class's, or what the file's name tells.
        :raises BlobGoneError: if there is no such file.
        """
        path = Path(file).absolute()
        return cls(FileData(path, cls._media_type(media_type, path.name)), description)

    @classmethod
    def from_temporary_directory(
        cls,
        folder: TemporaryDirectory[str],
        file: str,
        media_type: str | None = None,
        description: str | None = None,
    ) -> Self:
        """Make a blob of a file in a temporary folder, which goes when the blob does.

        :param file: its path below the folder.
        :param media_type: by default, the class's, or what the file's name tells.
        :raises BlobGoneError: if there is no such file.
        """
        path = Path(folder.name) / file
        return cls(FileData(path, cls._media_type(media_type, path.name), folder), description)

    @classmethod
    def from_url(
        cls,
        href: str,
        client: HTTPClient | None = None,
        *,
        media_type: str | None = None,
        description: str | None = None,
        size: int | None = None,
    ) -> Self:
        """Make a blob of something on a server, which is downloaded when it is needed.

        :param client: makes the requests; by default, one is opened.
        :param media_type: by default, the server is asked.
        :param size: how many bytes there are, if that is known.
        """
        return cls(RemoteData(href, client, media_type, size), description)

    # --- using it -----------------------------------------------------------------------------------------------

    @property
    def size(self) -> int | None:
        """How many bytes there are, if that is known."""
        return self.data.size

    @property
    def content(self) -> bytes:
        """All the bytes. For large ones, `open` or `save` takes less memory.

        :raises BlobGoneError: if they are no longer there.
        """
        with self.open() as file:
            return file.read()

    def open(self) -> BinaryIO:
        """Open it for reading, as a file is: use it in a ``with`` statement.

        :raises BlobGoneError: if the bytes are no longer there.
        """
        return self.data.open()

    def save(self, file: str | os.PathLike[str], progress: Progress | None = None) -> None:
        """Write the bytes to a file, which has its name only once it is complete.

        :param progress: is called now and then with the number of bytes that are there, and of those that will be, or
            ``None`` if that is unknown.
        :raises BlobGoneError: if the bytes are no longer there.
        :raises BlobTransferError: if they cannot be downloaded.
        :raises StorageFullError: if there is no room for them.
        """
        path = Path(file)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder. Say what the file in it is to be called.")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"There is no folder {path.parent} to save the blob in.")
        partial = path.with_name(f".{path.name[:50]}.{uuid.uuid4().hex}.part")
        try:
            with room_in(path.parent), partial.open("xb") as target:
                self.data.write_to(target, progress)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def __repr__(self) -> str:
        try:
            size = "" if self.size is None else f", {self.size} bytes"
        except BlobGoneError:
            size = ", gone"
        return f"<{type(self).__name__} {self.media_type}{size}>"

    def __deepcopy__(self, memo: object) -> Self:
        return self  # such as a default value: a copy of the bytes could not be found by their id

    def link(self) -> Mapping[str, Any]:
        """What JSON tells of it.

        :raises NoUrlForContextError: outside requests and actions, where it has no URL.
        """
        make_href = _href_maker.get(None)
        if make_href is not None:
            return {"href": make_href(self), "media_type": self.media_type, "rel": "output"}
        href = self.data.url
        if href is None:
            assert isinstance(self.data, LocalData)
            href = url_for(f"blob/{self.data.id}", self.data)
        return link_of(href, self.data, self.description)

    # --- for pydantic -------------------------------------------------------------------------------------------

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validated,
            serialization=core_schema.plain_serializer_function_ser_schema(Blob.link, when_used="json"),
            metadata={BLOB: True},
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        concrete = {} if "*" in cls.media_type else {"const": cls.media_type}
        return {
            "type": "object",
            "title": cls.__name__,
            "properties": {
                "href": {"type": "string", "format": "uri", "description": "Where the bytes are."},
                "media_type": {"type": "string", **concrete},
                "rel": {"type": "string", "const": "output"},
                "description": {"type": "string"},
                "size": {"type": "integer", "minimum": 0, "description": "How many bytes there are."},
            },
            "required": ["href"],
        }

    @classmethod
    def _validated(cls, value: Any) -> Self:
        if isinstance(value, cls):
            return value
        if isinstance(value, Blob):
            return cls(value.data, value.description)
        if isinstance(value, bytes):
            raise PydanticCustomError("blob_bytes", f"Bytes are no blob. Make one with `{cls.__name__}.from_bytes`.")
        href = value.get("href") if isinstance(value, Mapping) else None
        if not isinstance(href, str):
            raise PydanticCustomError(
                "blob_link", 'A blob is given by its link, as in {"href": "..."}. Send its bytes to /blob/ to get one.'
            )
        try:
            return cls(local_data(href.rpartition("/")[2]))
        except BlobGoneError as error:
            raise PydanticCustomError("blob_gone", "{text}", {"text": str(error)}) from error

    @classmethod
    def _media_type(cls, given: str | None, file_name: str | None) -> str:
        """What is said, or else what the class says, or else what the file's name tells."""
        if given is not None:
            return given
        if "*" not in cls.media_type:
            return cls.media_type
        guess = (mimetypes.guess_type(file_name)[0] if file_name else None) or OCTETS
        if not fits(guess, cls.media_type):
            example = cls.media_type.replace("*", "png")
            raise MediaTypeMismatchError(
                f"A {cls.__name__} is {cls.media_type}. Say what this one is, as in `media_type={example!r}`."
            )
        return guess


Blob.__pydantic_serializer__ = SchemaSerializer(  # type: ignore[attr-defined]
    core_schema.any_schema(serialization=core_schema.plain_serializer_function_ser_schema(Blob.link, when_used="json"))
)
"""Makes JSON of blobs where their type is not known, as in ``Any``."""


@contextmanager
def use_hrefs(make: Callable[[Blob], str]) -> Iterator[None]:
    """Link to blobs in a certain way, where a block's code makes JSON of them.

    :param make: makes the ``href`` of a blob.
    """
    token = _href_maker.set(make)
    try:
        yield
    finally:
        _href_maker.reset(token)


_href_maker: ContextVar[Callable[[Blob], str]] = ContextVar("labthings_href_maker")


def blob_type(media_type: str) -> type[Blob]:
    """A class of blobs of a media type."""
    name = "".join(part.title() for part in re.findall(r"\w+", media_type)) + "Blob"
    return type(name, (Blob,), {"media_type": media_type})


def fits(media_type: str, expected: str) -> bool:
    """Whether a media type is the one that is expected, which may have wildcards. Parameters do not matter."""
    essence, _, parameters = media_type.partition(";")
    if not _MEDIA_TYPE.fullmatch(essence.strip()) or not _PARAMETERS.fullmatch(parameters):
        return False
    kind, _, subtype = essence.strip().lower().partition("/")
    expected_kind, _, expected_subtype = expected.partition(";")[0].strip().lower().partition("/")
    return expected_kind in ("*", kind) and expected_subtype in ("*", subtype)


def _shown(media_type: str) -> str:
    return media_type if fits(media_type, "*/*") else f"{media_type!r}, which is no media type"
