"""Versions of live state as HTTP tells of them: RFC 9110, section 8.8.3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labthings.exceptions import VersionConflictError
from labthings.routes.http import Scope
from labthings.state import Document


def entity_tag(epoch: str, version: int) -> bytes:
    """The tag of a version."""
    return b'"%b-%d"' % (epoch.encode(), version)


def is_known(scope: Scope, tag: bytes) -> bool:
    """Whether a client has the version that a tag is of already: ``If-None-Match``."""
    return any(each in (tag, b"*") for each in _tags(scope, b"if-none-match"))


def wanted_version(scope: Scope, document: Document[Any]) -> int | None:
    """The version at which a client wants live state to be changed, by ``If-Match``; none if it does not say.

    :raises VersionConflictError: if the present version is another one.
    """
    tags = list(_tags(scope, b"if-match"))
    if not tags or b"*" in tags:
        return None
    document.tell()
    version = document.version
    if entity_tag(document.epoch, version) not in tags:
        told = b", ".join(tags).decode("latin-1")
        raise VersionConflictError(
            f"This was to be done to the version {told}, but now there is version {version} of {document.epoch}. "
            "Read what that is, and decide again."
        )
    return version


def _tags(scope: Scope, header: bytes) -> Iterator[bytes]:
    for name, value in scope["headers"]:
        if name == header:
            for each in value.split(b","):
                yield each.strip().removeprefix(b"W/")  # which proxies add when they compress an answer
