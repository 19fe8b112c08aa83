"""Orders that wait for a worker's next report, and the report that waits for orders."""

from gevent.event import Event

from mapreduce.cluster.messages import Orders
from mapreduce.engine.events import AttemptId
from mapreduce.engine.orders import MorePieces, PhaseOrder, TaskOrder


class Mailbox:
    """One worker's orders. The newest report gets them; an older one that is held is let go."""

    def __init__(self) -> None:
        self.session = ""
        self.number = 0
        """Of the newest report in this session: what older ones say of running is out of date."""
        self.heard_at = float("-inf")
        self._last = 0
        self._not_kept: dict[int, int] = {}
        """By the number of a report, how many entries the journal has to keep for it."""
        self._run: dict[AttemptId, TaskOrder] = {}
        self._phases: dict[str, PhaseOrder] = {}
        """What orders in `_run` belong to, by name."""
        self._kill: dict[AttemptId, None] = {}
        self._more: list[MorePieces] = []
        self._drain: bool | None = None
        self._turn = 0
        self._changed = Event()

    def begin(self, session: str) -> None:
        """Another life of the worker's process begins."""
        self.session, self.number, self._last = session, 0, 0
        self._not_kept.clear()

    def taken_in(self, number: int, noted: int) -> None:
        """A report has been heard, after which the journal has `noted` entries."""
        self._not_kept[number] = noted
        self._last = max(self._last, number)

    def kept(self, entries: int) -> int:
        """Up to which number all reports are in the journal, once it has kept so many entries."""
        for number, noted in list(self._not_kept.items()):
            if noted <= entries:
                del self._not_kept[number]
        return min(self._not_kept, default=self._last + 1) - 1

    def run(self, phase: PhaseOrder, order: TaskOrder) -> None:
        self._run[order.attempt] = order
        self._phases[phase.name] = phase
        self._changed.set()

    def more(self, pieces: MorePieces) -> None:
        """Tell a reduce attempt that was started early of further pieces."""
        self._more.append(pieces)
        self._changed.set()

    def kill(self, attempt: AttemptId) -> None:
        """A kill overtakes an order that has not been sent."""
        if self._run.pop(attempt, None) is None:
            self._kill[attempt] = None
            self._changed.set()

    def drain(self, draining: bool) -> None:
        """Tell the worker whether it is to get further tasks, until it reports that it knows."""
        self._drain = draining
        self._changed.set()

    def drains(self, reported: bool) -> bool:
        """Whether the worker is to get no further tasks, after what it has `reported`."""
        if self._drain in (None, reported):
            self._drain = None
            return reported
        return not reported

    def collect(self, hold_s: float) -> Orders:
        """The orders there are, or those that come within `hold_s`."""
        self._turn += 1
        turn = self._turn
        self._changed.set()
        self._changed = changed = Event()
        if not (self._run or self._kill or self._more or self._drain is not None):
            changed.wait(hold_s)
        if turn != self._turn:
            return Orders()
        named = dict.fromkeys(attempt.task.job for attempt in self._run)
        orders = Orders(
            kill=tuple(self._kill),
            phases=tuple(self._phases[name] for name in named),
            run=tuple(self._run.values()),
            pieces=tuple(self._more),
            drain=self._drain,
        )
        self._more.clear()
        self._kill.clear()
        self._run.clear()
        self._phases.clear()
        return orders
