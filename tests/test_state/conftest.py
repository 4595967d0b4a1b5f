"""What tests of live state use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labthings.state import Document, ReactiveModel
from tests.test_state.followers import Follower


@pytest.fixture
def follow() -> Callable[[ReactiveModel], Any]:
    """Put a model into a document, and give who follows that."""
    return lambda model: Follower(Document(model))
