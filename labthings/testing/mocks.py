"""Stand-ins for Things."""

from __future__ import annotations

from types import MethodType
from typing import Any
from unittest.mock import MagicMock, create_autospec

from labthings.logs import get_thing_logger
from labthings.thing import Thing


def mock_thing_instance(spec: type[Thing], *, name: str | None = None) -> Any:
    """A mock that passes for a Thing: it is an instance of the class, and has no attributes that the class lacks.

    Its properties have their defaults, where they have any. Its actions are mocks that take the actions' arguments.

    :param name: the Thing's name; by default, that of the class in lower case.
    """
    mock = MagicMock(spec=spec)
    mock.name = name or spec.__name__.lower()
    mock.path, mock.title = f"/{mock.name}/", spec.title
    mock.logger, mock.thing_state = get_thing_logger(mock.name), {}
    mock.__enter__.return_value = mock
    for property_name, info in spec.properties.items():
        if info.has_default:
            setattr(mock, property_name, info.default)
    for action_name, action in spec.actions.items():
        setattr(mock, action_name, create_autospec(MethodType(action.descriptor.function, mock)))
    return mock
