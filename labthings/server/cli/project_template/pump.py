"""A simulated syringe pump. Replace what it does with what your instrument does."""

from typing import Any

import labthings as lt
from labthings.exceptions import InvocationError


class SyringePump(lt.Thing):
    """Dispenses liquid from a syringe.

    Everything in this class that is marked with `lt.` can be used over the network.
    """

    def __init__(self, syringe_volume: float = 10, **kwargs: Any) -> None:
        """Remember what the configuration says. Connect to hardware in `__enter__`, not here.

        :param syringe_volume: the volume of a full syringe, in mL: from "kwargs" in config.json.
        """
        super().__init__(**kwargs)
        self._syringe_volume = syringe_volume
        self._volume_left = syringe_volume

    def __enter__(self) -> "SyringePump":
        """Called when the server starts: open a serial port here, for example."""
        self.logger.info("The pump is ready.")
        return self

    def __exit__(self, *error: object) -> None:
        """Called when the server stops: close what `__enter__` has opened."""

    liquid: str = lt.property(default="water")
    """The liquid in the syringe.

    A property is a value that can be read and written. This one is simply remembered.
    """

    flow_rate: float = lt.setting(default=5, gt=0, le=60, unit="mL/min")
    """How fast liquid is dispensed.

    A setting is a property that is saved to disk, so it has the same value after a restart.
    """

    @lt.property
    def volume_left(self) -> float:
        """How much liquid is left in the syringe.

        This property runs code whenever it is read, as one that asks the hardware would. It has no setter, so it
        cannot be written.
        """
        return round(self._volume_left, 6)

    volume_left.unit = "mL"

    @lt.action
    def refill(self) -> None:
        """Fill the syringe."""
        self._volume_left = self._syringe_volume

    @lt.action
    def dispense(self, volume: float) -> float:
        """Dispense liquid, and return how much is left.

        An action runs in the background. It can be cancelled wherever it sleeps.

        :param volume: how much to dispense, in mL.
        """
        if not 0 < volume <= self._volume_left:
            raise InvocationError(f"The volume should be above 0 and at most {self.volume_left} mL.")
        target = self._volume_left - volume
        self.logger.info("Dispensing %g mL of %s.", volume, self.liquid)
        while self._volume_left > target:
            lt.cancellable_sleep(0.05)
            self._volume_left = max(target, self._volume_left - self.flow_rate / 60 * 0.05)
        self.logger.info("Done. %g mL left.", self.volume_left)
        return self.volume_left
