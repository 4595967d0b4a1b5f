"""Tests of the pump, as its users see it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pump import SyringePump

import labthings as lt
from labthings.exceptions import ServerActionError


@pytest.fixture
def pump(tmp_path: Path) -> Iterator[lt.ThingClient]:
    """A client of a pump, on a server that keeps its settings in a temporary folder."""
    things = {"pump": {"cls": SyringePump, "kwargs": {"syringe_volume": 10}}}
    server = lt.ThingServer.from_things(things, settings_folder=str(tmp_path))
    with server.test_client() as client:
        yield lt.ThingClient.from_url("/pump/", client)


def test_dispensing_takes_liquid_from_the_syringe(pump: lt.ThingClient) -> None:
    pump.flow_rate = 60
    assert pump.dispense(volume=0.1) == pytest.approx(9.9)
    assert pump.volume_left == pytest.approx(9.9)


def test_no_more_can_be_dispensed_than_is_left(pump: lt.ThingClient) -> None:
    with pytest.raises(ServerActionError, match="at most 10 mL"):
        pump.dispense(volume=11)
