"""What tests of Things use. For pytest there are the fixtures ``thing_client`` and ``thing_server``."""

from __future__ import annotations

from labthings.invocation_contexts import fake_invocation_context
from labthings.testing.lone_thing import create_thing_without_server
from labthings.testing.mocks import mock_thing_instance
from labthings.testing.running_servers import RunningServers
from labthings.testing.slots import manually_connect_thing_slot
from labthings.testing.urls import use_dummy_url_for

__all__ = [
    "RunningServers",
    "create_thing_without_server",
    "fake_invocation_context",
    "manually_connect_thing_slot",
    "mock_thing_instance",
    "use_dummy_url_for",
]
