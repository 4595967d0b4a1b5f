"""A counter: the smallest Thing that has a property, a setting and actions."""

from threading import Lock

import labthings as lt


class Counter(lt.Thing):
    """Counts up, one step at a time."""

    count: int = lt.property(default=0, readonly=True)
    """How far it has counted.

    A property can be read over the network, and observed. This one is read-only: only the Thing's own code sets it.
    """

    step: int = lt.setting(default=1, ge=1, le=100)
    """How much is added at a time.

    A setting is a property that is saved to disk, so it has the same value after a restart.
    """

    def __init__(self, thing_server_interface: lt.ThingServerInterface) -> None:
        super().__init__(thing_server_interface)
        self._counting = Lock()

    @lt.action
    def increment(self) -> int:
        """Add a step, and return the new count."""
        with self._counting:  # actions run in threads: without a lock, two at once could count as one
            self.count += self.step
            return self.count

    @lt.action
    def reset(self) -> None:
        """Start at zero again."""
        with self._counting:
            self.count = 0
