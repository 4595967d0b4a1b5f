"""Use a Thing from Python, over HTTP: its properties are attributes, its actions are methods."""

from labthings.client.async_observation import AsyncObservation
from labthings.client.async_thing_client import AsyncThingClient
from labthings.client.discovery import discover
from labthings.client.found_server import FoundServer, FoundThing
from labthings.client.observation import Observation
from labthings.client.thing_client import ThingClient
from labthings.exceptions import ReadOnlyClientPropertyError, ThingUnavailableError
from labthings.http_client import AsyncHTTPClient, HTTPClient

__all__ = [
    "AsyncHTTPClient",
    "AsyncObservation",
    "AsyncThingClient",
    "FoundServer",
    "FoundThing",
    "HTTPClient",
    "Observation",
    "ReadOnlyClientPropertyError",
    "ThingClient",
    "ThingUnavailableError",
    "discover",
]
