"""Downloads that go on where they were when a connection is lost."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, BinaryIO, NoReturn, TypeAlias

from labthings.exceptions import BlobGoneError, BlobTransferError
from labthings.http_client import HTTPClient, pieces, read, streamed
from labthings.problem_reports import checked

LOGGER = logging.getLogger(__name__)

PAUSES = (0.1, 0.3, 1.0, 3.0, 6.0)  # seconds before each further attempt, since one that has brought something new
Progress: TypeAlias = Callable[[int, int | None], object]

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_NOT_NOW = {502, 503, 504}  # what a proxy says while the server behind it is away


class Download:
    """Writes what is at a URL to a file.

    When the connection is lost, it asks for the rest, or for everything if the content may be another by then.

    :param client: makes the requests; by default, one is opened for each.
    :param file: can be sought, and is empty.
    :param progress: is called with the number of bytes that there are and that there will be, which may be unknown.
    """

    def __init__(self, client: HTTPClient | None, url: str, file: BinaryIO, progress: Progress | None = None) -> None:
        self._client, self._url, self._file, self._progress = client, url, file, progress
        self._attempt = f"Downloading {url}"
        self._has_begun = False
        self._received = self._furthest = 0
        self._total: int | None = None
        self._etag: str | None = None

    def run(self) -> int:
        """Write all of it, and return how many bytes there were.

        :raises BlobGoneError: if it is no longer there.
        :raises BlobTransferError: if the server cannot be reached, or sends something else.
        """
        pauses = iter(PAUSES)
        while True:
            furthest = self._furthest
            try:
                self._receive()
                return self._received
            except _ConnectionLostError as lost:
                pauses = iter(PAUSES) if self._furthest > furthest else pauses
                pause = next(pauses, None)
                if pause is None or not self._has_begun:
                    raise BlobTransferError(f"{self._attempt} failed{self._so_far}: {lost}") from lost.__cause__
                LOGGER.info("%s was interrupted%s: %s (going on)", self._attempt, self._so_far, lost)
                time.sleep(pause)

    def _receive(self) -> None:
        with self._answer() as response:
            self._accept(response)
            for piece in _arriving(response):
                self._file.write(piece)
                self._received += len(piece)
                self._furthest = max(self._furthest, self._received)
                if self._progress is not None:
                    self._progress(self._received, self._total)
        if self._total not in (None, self._received):
            raise _ConnectionLostError("the server has not sent as much as it said")

    def _answer(self) -> AbstractContextManager[Any]:
        rest = {"range": f"bytes={self._received}-", "if-range": self._etag} if self._received and self._etag else {}
        return _answer(self._client, "GET", self._url, rest)

    def _accept(self, response: Any) -> None:
        """Get ready for the content of an answer, be it all or the rest."""
        status = response.status_code
        if status == 200:
            self._begin(response)
        elif status == 206 and self._is_the_rest(response):
            return
        elif self._has_begun and status in {206, 416}:
            self._etag = None
            raise _ConnectionLostError(f"the server does not send the rest (HTTP status {status})")
        elif self._has_begun and status in _NOT_NOW:
            raise _ConnectionLostError(f"the server is away (HTTP status {status})")
        else:
            _refuse(response, self._attempt)

    def _begin(self, response: Any) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._has_begun, self._received = True, 0
        headers = response.headers
        is_encoded = headers.get("content-encoding", "identity") != "identity"  # then its size and parts are others
        length, etag = headers.get("content-length", ""), headers.get("etag", "")
        self._total = int(length) if length.isdigit() and not is_encoded else None
        self._etag = etag if etag.startswith('"') and not is_encoded else None

    def _is_the_rest(self, response: Any) -> bool:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if found is None or self._etag is None or int(found[1]) != self._received:
            return False
        if response.headers.get("etag", self._etag) != self._etag:
            return False
        total = self._total if found[2] == "*" else int(found[2])
        is_same = self._total in (None, total)
        self._total = total
        return is_same

    @property
    def _so_far(self) -> str:
        if not self._has_begun:
            return ""
        return f" after {self._received} of {'?' if self._total is None else self._total} bytes"


def headers_of(client: HTTPClient | None, url: str) -> Mapping[str, str]:
    """What a server tells of something without sending it: headers with names in lower case.

    :raises BlobGoneError: if there is nothing.
    :raises BlobTransferError: if the server cannot be reached, or does not answer as it should.
    """
    attempt = f"Asking what is at {url}"
    try:
        with _answer(client, "HEAD", url) as response:
            if response.status_code == 200:
                return dict(response.headers)
        with _answer(client, "GET", url) as response:  # not all servers know HEAD, and it does not tell what is wrong
            return dict(response.headers) if response.status_code == 200 else _refuse(response, attempt)
    except _ConnectionLostError as lost:
        raise BlobTransferError(f"{attempt} failed: {lost}") from lost.__cause__


class _ConnectionLostError(Exception):
    """An attempt has failed, and another one may bring more."""


def _arriving(response: Any) -> Iterator[bytes]:
    content = pieces(response)
    while True:
        try:
            piece = next(content, None)
        except Exception as error:
            raise _ConnectionLostError(f"{type(error).__name__}: {error}") from error
        if piece is None:
            return
        yield piece


@contextmanager
def _answer(
    client: HTTPClient | None, method: str, url: str, headers: Mapping[str, str] | None = None
) -> Iterator[Any]:
    with ExitStack() as stack:
        try:
            plain = {"accept-encoding": "identity", **(headers or {})}
            response = stack.enter_context(streamed(client, method, url, plain))
        except Exception as error:
            raise _ConnectionLostError(f"no answer: {type(error).__name__}: {error}") from error
        yield response


def _refuse(response: Any, attempt: str) -> NoReturn:
    """Raise what an answer means that is not the content of a blob."""
    kind = BlobGoneError if response.status_code in {404, 410} else BlobTransferError
    checked(read(response), kind, attempt)
    raise BlobTransferError(f"{attempt} failed: the server has answered with the HTTP status {response.status_code}.")
