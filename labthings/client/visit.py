"""Ask a server that was found for its Things.

Whoever is there can say anything. So what is read is limited in size, and only the server that was found is asked, over
HTTP, without credentials: nothing is followed elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import pydantic_core
from pydantic import ValidationError

from labthings.client.found_server import FoundServer, FoundThing, found_thing, is_web_url
from labthings.exceptions import ThingUnavailableError
from labthings.problem_reports import checked
from labthings.thing_description.model import ThingDescription

LARGEST_ANSWER = 8 * 2**20
MOST_THINGS = 1000
HEADERS = {"accept": "application/td+json, application/ld+json, application/json", "accept-encoding": "identity"}


@dataclass(frozen=True)
class Answer:
    """What a server has answered."""

    status_code: int
    url: str
    headers: Mapping[str, str]
    content: bytes


class Visit:
    """Asks a server for its Things.

    :param client: an ``httpx.AsyncClient``.
    :param name: how the server calls itself.
    :param url: where it is, ending in a slash.
    """

    def __init__(self, client: Any, name: str, url: str) -> None:
        self._client, self._name, self._url = client, name, url

    async def found(self, path: str) -> FoundServer:
        """The server with its Things.

        :param path: where the server says that its description is.
        :raises ThingUnavailableError: if it has none, or does not answer.
        """
        url = self._own(path)
        document = await self._read(url)
        description = _parsed(document, url)
        try:
            if "things" not in description.properties:
                return FoundServer(self._name, self._url, (found_thing(description, (), url),))
            return await self._with_directory(description)
        except ValueError as cause:
            raise ThingUnavailableError(f"What is at {url} has a URL in it that is none: {cause}") from cause

    async def _with_directory(self, directory: ThingDescription) -> FoundServer:
        links = [directory.resolve(link.href, self._url) for link in directory.links if link.rel == "item"]
        items = {url if url.endswith("/") else f"{url}/" for url in links[:MOST_THINGS] if is_web_url(url)}
        url = self._url_of_things(directory)
        documents = await self._read(url)
        if not isinstance(documents, list):
            raise ThingUnavailableError(f"{url} is not a list of Thing Descriptions.")
        things = [_thing(document, items, url) for document in documents[:MOST_THINGS]]
        known = tuple(sorted((each for each in things if each is not None), key=lambda thing: (thing.name, thing.url)))
        error = f"{len(documents) - len(known)} of its Things cannot be shown." if len(known) < len(documents) else ""
        return FoundServer(self._name, self._url, known, error)

    def _url_of_things(self, directory: ThingDescription) -> str:
        """Where the directory lists its Things: at whatever path, but on the server that was found."""
        forms = directory.properties["things"].forms_for("readproperty")
        href = directory.resolve(forms[0].href.partition("{")[0], self._url) if forms else "/things"
        return self._own(quote(urlsplit(href).path, safe="/%~"))

    def _own(self, path: str) -> str:
        return self._url.rstrip("/") + path  # not joined as URLs are: a path like "//there" would lead elsewhere

    async def _read(self, url: str) -> Any:
        attempt = f"Reading {url}"
        try:
            answer = await self._get(url)
        except ThingUnavailableError:
            raise
        except Exception as cause:  # of httpx, of names that cannot be, of half an answer
            reason = f"{cause} ({type(cause).__name__})" if str(cause) else type(cause).__name__
            raise ThingUnavailableError(f"{attempt} failed: {reason}") from cause
        try:
            return pydantic_core.from_json(checked(answer, ThingUnavailableError, attempt).content)
        except ValueError as cause:
            raise ThingUnavailableError(f"{attempt} failed: what is there is not JSON.") from cause

    async def _get(self, url: str) -> Answer:
        content = bytearray()
        async with self._client.stream("GET", url, headers=HEADERS, follow_redirects=False) as response:
            async for piece in response.aiter_raw():  # which is not unpacked: a little could become a lot
                content += piece
                if len(content) > LARGEST_ANSWER:
                    raise ThingUnavailableError(f"{url} sends more than {LARGEST_ANSWER} bytes.")
            return Answer(response.status_code, url, response.headers, bytes(content))


def _parsed(document: Any, url: str) -> ThingDescription:
    try:
        return ThingDescription.model_validate(document)
    except ValidationError as error:
        raise ThingUnavailableError(f"What is at {url} is not a Thing Description.") from error


def _thing(document: Any, items: set[str], url: str) -> FoundThing | None:
    """The Thing that a directory has a description of, if it is one."""
    try:
        description = ThingDescription.model_validate(document)
        return found_thing(description, items, f"{url}/{quote(description.id or '', safe=':')}")
    except ValueError:  # pydantic's too; such as of URLs that are none
        return None
