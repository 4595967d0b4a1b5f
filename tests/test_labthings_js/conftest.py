"""What tests in a browser use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import CHROMIUM, Tab, opened_tab
from tests.test_labthings_js.fake_server import FakeServer, Talk
from tests.test_labthings_js.pages import opened


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A page in a real browser, for all tests, since starting it takes a moment."""
    if CHROMIUM is None:
        pytest.skip("There is no Chromium here, so NOBODY HAS SEEN whether this works in a browser.")
    with opened_tab(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture(scope="session")
def _server() -> Iterator[FakeServer]:
    with FakeServer().running() as server:
        yield server


@pytest.fixture
def server(_server: FakeServer) -> FakeServer:
    """A server that says what a test has it say."""
    _server.forget()
    return _server


@pytest.fixture
def tab(browser: Tab, server: FakeServer) -> Iterator[Tab]:
    """A page of that server's, which has the module."""
    yield opened(browser, f"{server.url}/page")
    browser.run("window.state?.close()")


@pytest.fixture
def talk(tab: Tab, server: FakeServer) -> Talk:
    """The page follows the state, and has been told it."""
    tab.run("follow(live('/supply/', 'state', { silence: 60 }))")
    talk = server.next_talk()
    assert talk.heard() == {"messageType": "addPropertyObservation", "data": {"state": "patches"}}
    talk.snapshot(7, {"bias": 1, "channels": [{"on": True}, {"on": False}]})
    tab.until("state.isCurrent")
    tab.run("told.length = 0")
    return talk
