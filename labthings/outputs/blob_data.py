"""Where the bytes of a blob are: in memory, or in a file."""

from __future__ import annotations

import io
import os
import stat
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any, BinaryIO, Protocol
from weakref import WeakValueDictionary, finalize

from labthings.exceptions import BlobGoneError
from labthings.outputs.download import Progress
from labthings.outputs.storage import require_room

WRITTEN_AT_ONCE = 2**20  # bytes


class BlobData(Protocol):
    """The bytes of a blob, wherever they are."""

    @property
    def media_type(self) -> str: ...
    @property
    def name(self) -> str | None:
        """The name of the file, if it has one."""

    @property
    def size(self) -> int | None:
        """How many bytes there are, if that is known."""

    @property
    def url(self) -> str | None:
        """Where clients get it, if that is another server."""

    def open(self) -> BinaryIO:
        """Open it for reading.

        :raises BlobGoneError: if it is no longer there.
        """

    def write_to(self, file: BinaryIO, progress: Progress | None = None) -> None:
        """Write all of it to a file, which is empty.

        :param progress: is called with the number of bytes that there are and that there will be.
        :raises BlobGoneError: if it is no longer there.
        """


class LocalData(ABC):
    """Bytes in this process's memory, or in a file of this computer, which a server may make available.

    It can be found by its ``id`` as long as something refers to it.
    """

    media_type: str
    name: str | None = None
    url: str | None = None
    size: int

    def __init__(self) -> None:
        self.id = str(uuid.uuid4())
        _known[self.id] = self

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process gets the bytes."""
        with self.open() as file:
            return BytesData, (file.read(), self.media_type)

    @property
    def in_memory(self) -> int:
        """How many bytes of memory it takes."""
        return 0

    @property
    def in_files(self) -> int:
        """How many bytes of files it takes that go when it does."""
        return 0

    @property
    def open_files(self) -> int:
        """How many files it holds open."""
        return 0

    @property
    def version(self) -> str:
        """What tells its content from others, as in an ``ETag``."""
        return self.id

    @abstractmethod
    def open(self) -> BinaryIO:
        """Open it for reading.

        :raises BlobGoneError: if it is no longer there.
        """

    def write_to(self, file: BinaryIO, progress: Progress | None = None) -> None:
        size, written = self.size, 0
        with self.open() as source:
            while chunk := source.read(WRITTEN_AT_ONCE):
                written += file.write(chunk)
                if progress is not None:
                    progress(written, size)

    def move_to_file(self, folder: str | None) -> None:
        """Free the memory that it takes.

        :param folder: where to make a temporary file; by default, where the system has them.
        :raises OSError: if that cannot be done.
        """
        return  # it takes none, unless a subclass says otherwise


_known: WeakValueDictionary[str, LocalData] = WeakValueDictionary()


def local_data(id: str) -> LocalData:
    """The bytes with an id.

    :raises BlobGoneError: if nothing holds them any more.
    """
    found = _known.get(id)
    if found is None:
        raise BlobGoneError(
            f"There is no blob '{id}'. The server may have forgotten it: it keeps them for a while only."
        )
    return found


class BytesData(LocalData):
    """Bytes in memory, until they are moved to a file."""

    def __init__(self, content: bytes, media_type: str) -> None:
        super().__init__()
        self.media_type, self.size = media_type, len(content)
        self._content: bytes | None = content
        self._file: _SharedFile | None = None

    @property
    def in_memory(self) -> int:
        return self.size if self._content is not None else 0

    @property
    def in_files(self) -> int:
        return 0 if self._content is not None else self.size

    @property
    def open_files(self) -> int:
        return 0 if self._content is not None else 1

    @property
    def content(self) -> bytes | None:
        """The bytes, while they are in memory."""
        return self._content

    def open(self) -> BinaryIO:
        content = self._content
        if content is not None:
            return io.BytesIO(content)
        assert self._file is not None
        return self._file.open()

    def move_to_file(self, folder: str | None) -> None:
        content = self._content
        if content is None:
            return
        require_room(folder, self.size)
        file = TemporaryFile(dir=folder, prefix="labthings-")  # noqa: SIM115 - it stays open
        try:
            file.write(content)
            file.flush()
        except BaseException:
            file.close()
            raise
        self._file = _SharedFile(file)
        self._content = None


class TemporaryFileData(LocalData):
    """Bytes in a file without a name, which goes when nothing refers to it, even if the process is killed.

    :param file: the file, which is closed then.
    """

    def __init__(self, file: IO[bytes], media_type: str) -> None:
        super().__init__()
        self.media_type, self.size = media_type, file.seek(0, os.SEEK_END)
        self._file = _SharedFile(file)

    @property
    def in_files(self) -> int:
        return self.size

    @property
    def open_files(self) -> int:
        return 1

    def open(self) -> BinaryIO:
        return self._file.open()


class FileData(LocalData):
    """Bytes in a file that has a name.

    :param folder: a temporary folder, which goes when nothing refers to this.
    """

    def __init__(self, path: Path, media_type: str, folder: TemporaryDirectory[str] | None = None) -> None:
        super().__init__()
        self.path, self.media_type, self.name = path, media_type, path.name
        self._is_temporary = folder is not None
        if folder is not None:
            finalize(self, folder.cleanup)
        self._status()

    @property
    def size(self) -> int:  # type: ignore[override]
        return self._status().st_size

    @property
    def in_files(self) -> int:
        return self.size if self._is_temporary and self.path.exists() else 0

    @property
    def version(self) -> str:
        status = self._status()
        return f"{self.id}-{status.st_mtime_ns:x}-{status.st_size:x}"

    def open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise self._gone(error) from error

    def _status(self) -> os.stat_result:
        try:
            status = self.path.stat()
        except OSError as error:
            raise self._gone(error) from error
        if not stat.S_ISREG(status.st_mode):
            raise BlobGoneError(f"The blob '{self.name}' cannot be read: it is not a file.")
        return status

    def _gone(self, error: OSError) -> BlobGoneError:
        return BlobGoneError(f"The file of the blob '{self.name}' cannot be read: {error.strerror or error}.")


class _SharedFile:
    """An open file that several readers read, each at its own place."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._lock = file, threading.Lock()
        finalize(self, file.close)

    def open(self) -> BinaryIO:
        return io.BufferedReader(_SharedReader(self), 2**18)

    def read_at(self, position: int, buffer: Any) -> int:
        with self._lock:
            self._file.seek(position)
            return self._file.readinto(buffer)  # type: ignore[attr-defined, no-any-return]

    def size(self) -> int:
        with self._lock:
            return self._file.seek(0, os.SEEK_END)


class _SharedReader(io.RawIOBase):
    def __init__(self, shared: _SharedFile) -> None:
        self._shared, self._position = shared, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._shared.size()}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        count = self._shared.read_at(self._position, buffer)
        self._position += count
        return count


def link_of(href: str, data: BlobData, description: str | None) -> Mapping[str, Any]:
    """What JSON tells of a blob."""
    link = {"href": href, "media_type": data.media_type, "rel": "output", "description": description, "size": data.size}
    return {key: value for key, value in link.items() if value is not None}
