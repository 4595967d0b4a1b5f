"""A server made from the configuration that a command was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labthings.exceptions import ConfigurationError, ThingSlotError
from labthings.server import ThingServer
from labthings.server.config_file import load_config, source_of


def configured_server(
    config: Path | None, json_text: str | None, *, debug: bool = False, **changes: Any
) -> ThingServer:
    """Make a server, without starting it.

    :param changes: values that replace those of the configuration.
    :raises ConfigurationError: which names the file, the key and the remedy.
    """
    loaded = load_config(config, json_text)
    try:
        return ThingServer(loaded.model_copy(update=changes), debug=debug)
    except (ConfigurationError, ThingSlotError) as error:
        raise ConfigurationError(f"{source_of(config, json_text)} cannot be used:\n  {error}") from error.__cause__
