"""Receive bytes that a client uploads, however many."""

from __future__ import annotations

import asyncio
import re
from tempfile import TemporaryFile
from typing import IO

from labthings.client_blobs import BlobLimits
from labthings.exceptions import BodyTooLargeError, StorageFullError, UnsupportedMediaTypeError
from labthings.outputs.blob import OCTETS
from labthings.outputs.blob_data import BytesData, LocalData, TemporaryFileData
from labthings.outputs.storage import require_room
from labthings.routes.http import ClientDisconnectedError, Receive, Scope

_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+\s*(;.*)?", re.ASCII)
WRITTEN_AT_ONCE = 2**20  # bytes


class Upload:
    """The body of a request, which becomes a blob's data: in memory if it is small, in a temporary file if it is not.

    :raises BodyTooLargeError: if the client says that it sends too much.
    :raises UnsupportedMediaTypeError: if it sends a form.
    """

    def __init__(self, scope: Scope, limits: BlobLimits) -> None:
        headers = dict(scope["headers"])
        self._limits = limits
        self._media_type = _media_type(headers.get(b"content-type", b"").decode("latin-1").strip())
        self._received = 0
        self._unwritten = bytearray()
        self._file: IO[bytes] | None = None
        length = headers.get(b"content-length", b"")
        if length.isdigit():
            self._require_room(int(length))

    async def receive(self, receive: Receive) -> LocalData:
        """Receive all of it.

        :raises ClientDisconnectedError: if the client goes before it has sent everything.
        :raises StorageFullError: if there is no room for it.
        """
        try:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnectedError("The client disconnected before it had uploaded everything.")
                await self._take(message.get("body", b""))
                more = message.get("more_body", False)
            return await self._finish()
        except BaseException:
            if self._file is not None:
                self._file.close()
            raise

    async def _take(self, chunk: bytes) -> None:
        self._received += len(chunk)
        self._require_room(self._received)
        self._unwritten += chunk
        if len(self._unwritten) >= WRITTEN_AT_ONCE and self._received > self._limits.spool_size:
            await self._write()

    async def _finish(self) -> LocalData:
        if self._received <= self._limits.spool_size:
            return BytesData(bytes(self._unwritten), self._media_type)
        await self._write()
        assert self._file is not None
        return TemporaryFileData(self._file, self._media_type)

    async def _write(self) -> None:
        written, self._unwritten = self._unwritten, bytearray()
        await asyncio.to_thread(self._append, written)

    def _append(self, written: bytearray) -> None:
        try:
            require_room(self._limits.spool_folder, len(written))
            if self._file is None:
                self._file = TemporaryFile(dir=self._limits.spool_folder, prefix="labthings-")  # noqa: SIM115
            self._file.write(written)
            self._file.flush()
        except OSError as error:
            raise StorageFullError(
                f"What was uploaded cannot be kept on the server's disk: {error.strerror or error}."
            ) from error

    def _require_room(self, size: int) -> None:
        if size > self._limits.upload_size:
            raise BodyTooLargeError(
                f"An upload may have {self._limits.upload_size} bytes, "
                "the `maximum_upload_size` of the server's configuration.",
                [("connection", "close")],
            )


def _media_type(content_type: str) -> str:
    if not content_type:
        return OCTETS
    if content_type.lower().startswith(("multipart/form-data", "application/x-www-form-urlencoded")):
        raise UnsupportedMediaTypeError(
            "Send the bytes of the file as they are, not as a form, with their media type as 'Content-Type'. "
            "With curl: --data-binary @FILE -H 'Content-Type: image/png'."
        )
    if not _MEDIA_TYPE.fullmatch(content_type):
        raise UnsupportedMediaTypeError(f"'Content-Type: {content_type}' is not a media type, such as 'image/png'.")
    return content_type
