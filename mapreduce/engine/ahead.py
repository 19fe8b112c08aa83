"""How many tasks a worker may have waiting beside those that run.

A worker that asks for its next task when one has ended stands still for the time of the question.
That matters only for short tasks, so a worker asks for so many more that they last for a short
while: `AHEAD_S` of work, by the longest of the last tasks. What waits is given back as soon as what
runs turns out to be long: nothing waits behind a long task while another worker is free.
"""

AHEAD_S = 0.1
"""So much work waits in a slot: about two questions and answers under load."""
MOST = 64
"""At most so many tasks wait for each slot."""
STUCK_S = 0.25
"""A task that runs for so long is no short one, whatever the others were."""
_FADING = 0.9
"""Of the time of a long task this part counts after each shorter one."""


class Pace:
    """How long tasks take, lately.

    >>> pace = Pace()
    >>> pace.ahead(slots=2)
    0
    >>> for _ in range(3):
    ...     pace.took(0.002)
    >>> pace.ahead(slots=2)
    100
    >>> pace.took(1.0)
    >>> pace.ahead(slots=2)
    0
    """

    def __init__(self) -> None:
        self._seconds: float | None = None

    def took(self, seconds: float) -> None:
        """A task has ended."""
        self._seconds = max(seconds, (self._seconds or 0.0) * _FADING)

    def ahead(self, slots: int) -> int:
        """How many tasks are to wait, for all slots together."""
        if self._seconds is None:
            return 0
        return slots * min(MOST, int(AHEAD_S / max(self._seconds, 1e-6)))
