"""What tests of routes use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, Tab, opened_tab


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    """A page in a real browser."""
    if CHROMIUM is None:
        pytest.skip("There is no Chromium here, so NOBODY HAS SEEN whether this works in a browser.")
    with opened_tab(tmp_path / "browser") as tab:
        yield tab
