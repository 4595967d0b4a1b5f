"""Blobs that a server has, and those that it is sent."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import pydantic_core

from labthings.client.addresses import Addresses
from labthings.client.connection import Connection, from_json, to_json
from labthings.exceptions import BlobTransferError
from labthings.http_client import Response
from labthings.outputs.blob import Blob, fits, use_hrefs
from labthings.problem_reports import checked

LOGGER = logging.getLogger("labthings.client")

PAUSES = (0.2, 1.0)  # seconds before each further attempt to upload a blob
PIECE = 2**20  # bytes that are uploaded at once


class Blobs:
    """Makes blobs of links that a server sends, and links of blobs that it is sent."""

    def __init__(self, addresses: Addresses, connection: Connection) -> None:
        self._addresses, self._connection = addresses, connection

    def received(self, value: Any, response: Response) -> Any:
        """A value from an answer, with blobs in place of their links."""
        if not isinstance(value, dict | list):
            return value
        if b"media_type" not in response.content:  # searching bytes is quick, searching a large value is not
            return value
        return self._with_blobs(value, str(response.url))

    def told(self, value: Any, text: str, found_at: str) -> Any:
        """A value from a message, with blobs in place of their links.

        :param text: the message.
        :param found_at: the URL that links are relative to.
        """
        return self._with_blobs(value, found_at) if "media_type" in text else value

    async def to_json(self, value: Any) -> bytes:
        """Write a value as JSON, with links in place of blobs. Those that are not on the server are uploaded to it.

        :raises UnserialisableTypeError: if it cannot be.
        :raises BlobGoneError: if the bytes of a blob are no longer there.
        :raises BlobTransferError: if they cannot be uploaded.
        """
        blobs: dict[str, Blob] = {}

        def stand_in(blob: Blob) -> str:
            known = (href for href, each in blobs.items() if each.data is blob.data)
            href = next(known, None) or f"urn:uuid:{uuid.uuid4()}"
            blobs[href] = blob
            return href

        with use_hrefs(stand_in):
            document = to_json(value)
        for href, blob in blobs.items():
            document = document.replace(f'"{href}"'.encode(), pydantic_core.to_json(await self._sent(blob)))
        return document

    def _with_blobs(self, value: Any, found_at: str) -> Any:
        if isinstance(value, list):
            return [self._with_blobs(each, found_at) for each in value]
        if not isinstance(value, dict):
            return value
        if _is_link(value):
            return self._blob(value, self._addresses.absolute(value["href"], found_at))
        return {key: self._with_blobs(each, found_at) for key, each in value.items()}

    def _blob(self, link: Mapping[str, Any], url: str) -> Blob:
        """The blob at a URL. Only the server itself is sent what the client sends to it, such as passwords."""
        client = self._connection.for_blobs if self._addresses.is_same_server(url) else None
        told = {key: link.get(key) for key in ("media_type", "description", "size")}
        return Blob.from_url(url, client, **told)

    async def _sent(self, blob: Blob) -> str:
        """The URL of a blob on the server."""
        url = blob.data.url
        return url if url is not None and self._addresses.has_blob(url) else await self._upload(blob)

    async def _upload(self, blob: Blob) -> str:
        url = self._addresses.blobs
        if url is None:
            raise BlobTransferError(
                f"{blob!r} cannot be sent: the Thing Description has no link for uploads, so this server can only be "
                "sent blobs that it has itself."
            )
        attempt = f"Uploading {blob!r}"
        with await self._connection.call(blob.open) as file:
            response = checked(await self._post(url, blob.media_type, file, attempt), BlobTransferError, attempt)
        return self._addresses.absolute(_href(response, attempt), url)

    async def _post(self, url: str, media_type: str, file: BinaryIO, attempt: str) -> Response:
        body = _Pieces(file)
        headers = {"content-type": media_type, "content-length": str(body.size)}
        for pause in PAUSES:
            try:
                return await self._connection.send("POST", url, attempt, BlobTransferError, body, headers)
            except BlobTransferError as error:
                LOGGER.info("%s (trying again)", error)
                await self._connection.pause(pause)
        return await self._connection.send("POST", url, attempt, BlobTransferError, body, headers)


class _Pieces:
    """The content of a file, from its start each time, and as much as there was at first: it may be growing."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, os.SEEK_END)

    def __iter__(self) -> Iterator[bytes]:
        left = self.size
        self._file.seek(0)
        while piece := self._file.read(min(PIECE, left)):
            left -= len(piece)
            yield piece


def _is_link(value: Mapping[str, Any]) -> bool:
    href, media_type = value.get("href"), value.get("media_type")
    is_told = isinstance(href, str) and isinstance(media_type, str) and value.get("rel") == "output"
    return is_told and fits(str(media_type), "*/*")


def _href(response: Response, attempt: str) -> str:
    location = response.headers.get("location")
    link = from_json(response, BlobTransferError, attempt) if location is None else {"href": location}
    if not isinstance(link, Mapping) or not isinstance(link.get("href"), str):
        raise BlobTransferError(f"{attempt} failed: the server does not tell where the blob is now.")
    return str(link["href"])
