"""Bytes on a server, which are downloaded when they are needed."""

from __future__ import annotations

from tempfile import TemporaryFile, gettempdir
from typing import Any, BinaryIO, cast

from labthings.http_client import HTTPClient
from labthings.outputs.download import Download, Progress, headers_of
from labthings.outputs.storage import room_in

__all__ = ["HTTPClient", "RemoteData"]


class RemoteData:
    """Bytes at a URL. Nothing is downloaded, let alone kept, before it is asked for.

    :param client: makes the requests; by default, one is opened for each.
    :param media_type: by default, the server is asked, when somebody wants to know it.
    :param size: how many bytes there are, if that is known.
    """

    name: str | None = None

    def __init__(
        self, url: str, client: HTTPClient | None = None, media_type: str | None = None, size: int | None = None
    ) -> None:
        self.url, self.size = url, size
        self._client, self._media_type = client, media_type

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process makes requests of its own."""
        return RemoteData, (self.url, None, self._media_type, self.size)

    @property
    def media_type(self) -> str:
        """The media type.

        :raises BlobGoneError: if the server has to be asked, and there is nothing at the URL.
        :raises BlobTransferError: if the server has to be asked, and cannot be.
        """
        if self._media_type is None:
            headers = headers_of(self._client, self.url)
            self._media_type = headers.get("content-type") or "application/octet-stream"
            length = headers.get("content-length", "")
            self.size = int(length) if length.isdigit() and self.size is None else self.size
        return self._media_type

    def open(self) -> BinaryIO:
        """Download everything to a temporary file, and open that. It goes when it is closed.

        :raises BlobGoneError: if it is no longer there.
        :raises BlobTransferError: if it cannot be downloaded.
        :raises StorageFullError: if there is no room for it on the disk.
        """
        with room_in(gettempdir()):
            file = cast(BinaryIO, TemporaryFile(prefix="labthings-"))  # noqa: SIM115
            try:
                self.write_to(file)
            except BaseException:
                file.close()
                raise
        file.seek(0)
        return file

    def write_to(self, file: BinaryIO, progress: Progress | None = None) -> None:
        """Download everything to a file, which is empty.

        :param progress: is called with the number of bytes that there are and that there will be.
        """
        self.size = Download(self._client, self.url, file, progress).run()
        file.flush()
