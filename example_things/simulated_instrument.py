"""A simulated multimeter as a Thing of its own, so that it runs when the server does, and can be made to fail."""

from typing_extensions import Self

import labthings as lt
from example_things.scpi_simulator import Fault, ScpiSimulator


class SimulatedInstrument(lt.Thing):
    """A bench multimeter that speaks SCPI over TCP. It has 1.25 V, 4.2 mA or 1098 Ω at its terminals."""

    def __init__(self, thing_server_interface: lt.ThingServerInterface, port: int = 5025) -> None:
        """Listen to nothing yet: that is done in `__enter__`.

        :param port: where other Things find it, on this computer.
        """
        super().__init__(thing_server_interface)
        self._simulator = ScpiSimulator(port)

    def __enter__(self) -> Self:
        self._simulator.switch_on()
        return self

    def __exit__(self, *error: object) -> None:
        self._simulator.switch_off()

    @lt.property
    def address(self) -> str:
        """Its VISA resource name."""
        return self._simulator.address

    @lt.property(observable=True)
    def is_on(self) -> bool:
        """Whether the power is on. Switching it off and on again brings all its settings back to their defaults."""
        return self._simulator.is_on

    @is_on.setter
    def _set_is_on(self, value: bool) -> None:
        if value:
            self._simulator.switch_on()
        else:
            self._simulator.switch_off()

    @lt.property(observable=True)
    def fault(self) -> Fault:
        """What goes wrong with its answers."""
        return self._simulator.fault

    @fault.setter
    def _set_fault(self, value: Fault) -> None:
        self._simulator.fault = value
