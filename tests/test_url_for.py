"""URLs are made for whoever asks, and outside of that there are none."""

from __future__ import annotations

import pytest

from labthings.exceptions import NoUrlForContextError
from labthings.url_for import PLACEHOLDER, placeholder_url, url_for, use_url_for, with_address


def test_outside_a_request_there_is_no_url() -> None:
    with pytest.raises(NoUrlForContextError, match="'blob/1' has a URL only in an answer"):
        url_for("blob/1")


def test_urls_are_made_as_the_block_says_until_its_end() -> None:
    with use_url_for("http://a/{}".format):
        with use_url_for("http://b/{}".format):
            assert url_for("x") == "http://b/x"
        assert url_for("x") == "http://a/x"
    with pytest.raises(NoUrlForContextError):
        url_for("x")


def test_what_is_mentioned_is_told() -> None:
    mentioned: list[object] = []
    with use_url_for(str, mentioned):
        url_for("x", resource := object())
    assert mentioned == [resource]


def test_a_kept_document_gets_the_address_of_whoever_reads_it() -> None:
    document = f'{{"href":"{placeholder_url("blob/1")}"}}'.encode()
    assert PLACEHOLDER.encode() in document
    assert with_address(document, "http://lab:5000/api") == b'{"href":"http://lab:5000/api/blob/1"}'
