"""Serve what a configuration says."""

from __future__ import annotations

from pathlib import Path

from labthings.server.cli.configured_server import configured_server
from labthings.server.cli.log_output import show_log
from labthings.server.cli.port import require_free


def serve(config: Path | None, json_text: str | None, host: str, port: int, *, debug: bool) -> None:
    """Serve until interrupted.

    :raises LabThingsError: if the server cannot start.
    """
    show_log(debug=debug)
    require_free(host, port)
    configured_server(config, json_text, debug=debug).serve(host=host, port=port)
