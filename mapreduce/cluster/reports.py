"""What workers report to the leading master, and the orders they get. Called in the hub; see
`mapreduce.cluster.dispatcher`."""

import time

import msgspec

from dynamo.errors import RequestError
from mapreduce.cluster.dispatcher import Dispatcher
from mapreduce.cluster.mailbox import Mailbox
from mapreduce.cluster.messages import HOLD_S, Orders, Report
from mapreduce.engine.events import (
    AttemptFailed,
    AttemptReturned,
    AttemptSucceeded,
    Event,
    WorkerLost,
    WorkerReported,
)
from mapreduce.engine.executor import Outcome

SESSION_TIMEOUT_S = 2.0
"""A process that calls itself like a worker heard so recently is refused: two would share a name.
A worker that lives is heard twice a second."""


class Reports:
    """The calls of workers, for the dispatcher of one term."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._tell = dispatcher.tell

    def report(self, report: Report) -> Orders:
        """Take in a worker's report; answer with its orders as soon as there are any."""
        mailbox = self._dispatcher.mailbox(report.worker)
        self._check_session(mailbox, report)
        for outcome in report.finished:
            self._tell(_as_event(outcome, report.worker))
        for attempt in report.retell:
            self._dispatcher.retell(attempt, report.worker)
        for attempt in report.returned:
            self._tell(AttemptReturned(attempt, report.worker))
        mailbox.taken_in(report.number, self._dispatcher.journal.noted)
        self._dispatcher.notes[report.worker] = report.notes
        if report.goodbye:
            self._tell(WorkerLost(report.worker))
            return Orders(term=self._dispatcher.term)
        if report.number > mailbox.number:
            mailbox.number = report.number
            self._tell(_as_sign_of_life(report, mailbox.drains(report.draining)))
        orders = mailbox.collect(HOLD_S)
        kept = mailbox.kept(self._dispatcher.journal.kept)
        return msgspec.structs.replace(orders, term=self._dispatcher.term, kept=kept)

    def _check_session(self, mailbox: Mailbox, report: Report) -> None:
        """Know a worker that was started anew: nothing of its earlier life runs any more."""
        now = time.monotonic()
        if report.session != mailbox.session:
            if now - mailbox.heard_at < SESSION_TIMEOUT_S:
                raise RequestError(
                    f"a worker named {report.worker} is at work already; "
                    "each needs a name of its own"
                )
            self._tell(WorkerLost(report.worker))
            mailbox.begin(report.session)
        mailbox.heard_at = float("-inf") if report.goodbye else now


def _as_sign_of_life(report: Report, draining: bool) -> WorkerReported:
    return WorkerReported(
        report.worker,
        report.node,
        report.slots,
        report.running,
        host=report.host,
        draining=draining,
        progress=tuple((n.attempt, n.progress) for n in report.notes if n.progress is not None),
        ahead=report.ahead,
    )


def _as_event(outcome: Outcome, worker: str) -> Event:
    if outcome.result is not None:
        return AttemptSucceeded(outcome.attempt, worker, outcome.result)
    return AttemptFailed(outcome.attempt, worker, outcome.error, outcome.lost)
