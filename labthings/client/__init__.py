"""Use a Thing from Python, over HTTP: its properties are attributes, its actions are methods."""

from labthings.client.thing_client import ThingClient
from labthings.exceptions import ReadOnlyClientPropertyError, ThingUnavailableError
from labthings.http_client import HTTPClient

__all__ = ["HTTPClient", "ReadOnlyClientPropertyError", "ThingClient", "ThingUnavailableError"]
