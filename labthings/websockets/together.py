"""Doing several things until one of them is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio


async def together(*functions: Callable[[], Awaitable[None]]) -> None:
    """Do several things at once. When one of them is done, the others are cancelled."""
    async with anyio.create_task_group() as tasks:
        for each in functions:
            tasks.start_soon(_then_cancel, each, tasks.cancel_scope)


async def _then_cancel(function: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
    await function()
    scope.cancel()
