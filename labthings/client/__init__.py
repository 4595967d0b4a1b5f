"""Use a Thing from Python, over HTTP: its properties are attributes, its actions are methods."""

from labthings.client.async_live_state import AsyncLiveState
from labthings.client.async_observation import AsyncObservation
from labthings.client.async_thing_client import AsyncThingClient
from labthings.client.discovery import discover
from labthings.client.found_server import FoundServer, FoundThing
from labthings.client.live_state import LiveState
from labthings.client.moment import StateChange
from labthings.client.observation import Observation
from labthings.client.thing_client import ThingClient
from labthings.exceptions import ReadOnlyClientPropertyError, ThingUnavailableError
from labthings.http_client import AsyncHTTPClient, HTTPClient

__all__ = [
    "AsyncHTTPClient",
    "AsyncLiveState",
    "AsyncObservation",
    "AsyncThingClient",
    "FoundServer",
    "FoundThing",
    "HTTPClient",
    "LiveState",
    "Observation",
    "ReadOnlyClientPropertyError",
    "StateChange",
    "ThingClient",
    "ThingUnavailableError",
    "discover",
]
