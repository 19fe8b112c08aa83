"""How much processor time tasks may take at the moment: a bucket that is filled at a steady rate.

While there is something in it they run; when it is empty they are stopped until it is full again.
What they have taken too much meanwhile is remembered and paid back. Pure: time is an argument.
"""

PERIOD_S = 0.25
"""The bucket holds what comes in within this time: about so often tasks stop and go on."""
SLICE_S = 0.01
"""They run at least so long: the kernel counts their time in units of this size."""
LOOK_S = 0.1
"""So often somebody looks at tasks that do nothing."""
LONGEST_STOP_S = 1.0
"""After that they run for a slice, whatever they owe: their connections would be given up."""
EVADED_S = 2.0
"""Who owes all the machine's processors for so long has not let itself be stopped."""


class Throttle:
    """Bounds processor time to `share` (a part of 1) of `cpus` processors.

    >>> throttle = Throttle(share=0.1, cpus=2)
    >>> throttle.spend(0.0, passed_s=1.0)
    >>> throttle.stopped
    False
    >>> throttle.spend(0.09, passed_s=0.05)  # of the 0.05 + 0.01 that there were
    >>> throttle.stopped, round(throttle.pause_s, 3)
    (True, 0.4)
    >>> throttle.spend(0.0, passed_s=0.41)
    >>> throttle.stopped
    False
    """

    def __init__(self, share: float, cpus: int) -> None:
        self._cpus = cpus
        self._rate = share * cpus
        """Seconds of processor time in a second."""
        self._full = self._level = self._rate * PERIOD_S
        self._stopped_s = 0.0
        self._idle = True
        self.stopped = False

    def spend(self, used_s: float, passed_s: float) -> None:
        """Within `passed_s` the tasks have taken `used_s`: see whether they are to be stopped."""
        self._idle = used_s == 0 and not self.stopped
        self._level = min(self._full, self._level + self._rate * passed_s - used_s)
        if not self.stopped:
            self.stopped, self._stopped_s = self._level <= 0, 0.0
        else:
            self._stopped_s += passed_s
            self.stopped = self._level < self._full and self._stopped_s < LONGEST_STOP_S

    @property
    def owed_s(self) -> float:
        """What they have taken too much."""
        return max(0.0, -self._level)

    @property
    def evaded(self) -> bool:
        return self.owed_s > EVADED_S * self._cpus

    @property
    def pause_s(self) -> float:
        """When to look again: no later than the bucket may be empty, or is full."""
        if self.stopped:
            full_s = (self._full - self._level) / self._rate
            return max(SLICE_S, min(full_s, LONGEST_STOP_S - self._stopped_s))
        return LOOK_S if self._idle else max(SLICE_S, self._level / self._cpus)
