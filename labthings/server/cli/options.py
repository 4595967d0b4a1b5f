"""The options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="A JSON file that says what to serve.")
]
JsonOption = Annotated[
    str | None,
    typer.Option("--json", "-j", metavar="JSON", help="The same as text. With both, its keys replace those of FILE."),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Log more, and show the traceback of a failed import.")]


def require_config(context: typer.Context, config: Path | None, json_text: str | None) -> None:
    """End the command with a usage error unless there is a configuration."""
    if config is None and json_text is None:
        context.fail(
            "What should be served? Give a configuration file with -c FILE, or its content with -j JSON. "
            "'labthings-server init DIR' writes one to start from."
        )
