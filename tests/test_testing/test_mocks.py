"""Mocks that pass for Things."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import labthings as lt
from labthings.testing import mock_thing_instance


class Stage(lt.Thing):
    x: int = lt.property(default=3)
    limits: list[int] = lt.setting(default_factory=lambda: [0, 10])

    @lt.property
    def busy(self) -> bool:
        return False

    @lt.action
    def move(self, x: int, fast: bool = False) -> int:
        """Move."""
        return x

    @lt.action
    async def home(self) -> str:
        """Go home."""
        return "home"

    def helper(self) -> int:
        return 1


def test_it_is_an_instance_of_the_class() -> None:
    mock = mock_thing_instance(Stage)
    assert isinstance(mock, Stage)
    assert (mock.name, mock.path, mock.title, mock.thing_state) == ("stage", "/stage/", "Stage", {})
    assert mock.logger.name == "labthings.things.stage"
    assert mock_thing_instance(Stage, name="coarse").path == "/coarse/"


def test_properties_have_their_defaults_and_can_be_set() -> None:
    mock, other = mock_thing_instance(Stage), mock_thing_instance(Stage)
    assert (mock.x, mock.limits) == (3, [0, 10])
    mock.limits.append(20)
    mock.x = 5
    assert (mock.x, other.x, other.limits) == (5, 3, [0, 10])


def test_actions_take_what_the_actions_take() -> None:
    mock = mock_thing_instance(Stage)
    mock.move.return_value = 4
    assert mock.move(1, fast=True) == 4
    mock.move.assert_called_once_with(1, fast=True)
    with pytest.raises(TypeError):
        mock.move()
    with pytest.raises(TypeError):
        mock.move(1, slow=True)


def test_async_actions_are_awaited() -> None:
    mock = mock_thing_instance(Stage)
    mock.home.return_value = "there"
    assert asyncio.run(mock.home()) == "there"


def test_other_methods_are_mocks_and_other_names_errors() -> None:
    mock: Any = mock_thing_instance(Stage)
    mock.helper.return_value = 2
    assert mock.helper() == 2
    with pytest.raises(AttributeError, match="mvoe"):
        _ = mock.mvoe


def test_it_can_be_entered() -> None:
    mock = mock_thing_instance(Stage)
    with mock as entered:
        assert entered is mock
