"""URLs where there is no server."""

from __future__ import annotations

from contextlib import AbstractContextManager

from labthings.url_for import use_url_for

DUMMY_SERVER = "http://dummy.invalid"


def use_dummy_url_for() -> AbstractContextManager[None]:
    """Run a block's code where there are URLs, though nothing is found at them: ``with use_dummy_url_for():``."""
    return use_url_for(lambda path: f"{DUMMY_SERVER}/{path.lstrip('/')}")
