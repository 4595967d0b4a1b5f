"""URLs without a server."""

import pytest

from labthings.exceptions import NoUrlForContextError
from labthings.testing import use_dummy_url_for
from labthings.url_for import url_for


def test_there_are_urls_in_the_block() -> None:
    with use_dummy_url_for():
        assert url_for("blob/1") == "http://dummy.invalid/blob/1"
        assert url_for("/blob/1") == "http://dummy.invalid/blob/1"
    with pytest.raises(NoUrlForContextError, match="use_dummy_url_for"):
        url_for("blob/1")
