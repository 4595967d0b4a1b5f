"""One state, many browsers: live state, commands and streams over a WebSocket, in any Starlette or FastAPI app.

.. code-block:: python

    sync = LabSync()
    state = sync.bind_state(State())

    @sync.command
    def set_bias(channel: int, volts: float) -> None:
        state.channels[channel].bias = volts

    app = sync.create_app()
"""

from __future__ import annotations

from labthings.exceptions import CommandError
from labthings.state import ReactiveModel
from labthings.sync.commands import CommandContext
from labthings.sync.lab_sync import LabSync
from labthings.sync.streams import Stream

__all__ = ["CommandContext", "CommandError", "LabSync", "ReactiveModel", "Stream"]
