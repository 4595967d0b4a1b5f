"""The JSON Schema of a server's configuration."""

from __future__ import annotations

from typing import Any

from labthings.server.config_model import ThingServerConfig


def config_schema() -> dict[str, Any]:
    """The JSON Schema that configuration files fit."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ThingServerConfig.model_json_schema()}
