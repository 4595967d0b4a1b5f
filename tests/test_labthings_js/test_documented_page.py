"""The page in the documentation works as it stands there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import labthings as lt
from tests.live_server import served
from tests.test_docs import CHECKOUT, blocks

BIAS = "document.querySelector('#channels li')?.textContent"


def test_the_documented_page(browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {each.file: each.text for each in blocks(CHECKOUT / "docs/how-to/web_pages.md") if each.file}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "supply", raising=False)
    server = lt.ThingServer.from_things({"supply": "supply:Supply"}, settings_folder=str(tmp_path))
    thing: Any = server.things["supply"]
    with served(server.app, timeout_graceful_shutdown=1) as port:
        browser.open(f"http://127.0.0.1:{port}/supply/panel")
        browser.until("document.title === 'Supply' && !document.getElementById('panel').disabled")
        thing.state.channels[0].bias = 1.25
        browser.until(f"{BIAS} === '1.25 V'")
        browser.run("document.getElementById('enabled').click()")
        browser.until("document.getElementById('enabled').checked")
        thing.state.channels[0].bias = 2
        browser.until(f"{BIAS} === '2 V'")
        assert thing.state.enabled
    browser.until("document.getElementById('panel').disabled")
    assert "Connected" not in browser.run("return document.getElementById('line').textContent")
    monkeypatch.delitem(sys.modules, "supply")
