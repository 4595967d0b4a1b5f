"""Tests of the pump, as its users see it. LabThings provides `thing_client`, which runs a server for each test."""

import pytest
from pump import SyringePump

from labthings.exceptions import ServerActionError


def test_dispensing_takes_liquid_from_the_syringe(thing_client):
    pump = thing_client(SyringePump, syringe_volume=10)
    pump.flow_rate = 60
    assert pump.dispense(volume=0.1) == pytest.approx(9.9)
    assert pump.volume_left == pytest.approx(9.9)


def test_no_more_can_be_dispensed_than_is_left(thing_client):
    pump = thing_client(SyringePump, syringe_volume=10)
    with pytest.raises(ServerActionError, match="at most 10 mL"):
        pump.dispense(volume=11)
