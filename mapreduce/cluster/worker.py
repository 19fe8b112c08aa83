"""The worker, a task server: asks the master for work, has it done in child processes, reports.

One greenlet decides when to report. A report is always under way, and the master holds it until it
has orders; as soon as an attempt ends, a further report tells of it, and of all that ended since.
Results are kept until the master has taken them, however often it is away.
"""

import contextlib
import logging
import queue
import secrets
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence

import gevent
import msgspec
import zerorpc
from gevent.event import Event

from dynamo.errors import DynamoError
from dynamo.store import Store
from mapreduce.cluster import serverlog
from mapreduce.cluster.clients import client_of
from mapreduce.cluster.logs import LogKeeper
from mapreduce.cluster.messages import Orders, Report, decode_orders, encode
from mapreduce.cluster.serverlog import ServerLog
from mapreduce.engine.allowance import UNLIMITED, Allowance
from mapreduce.engine.events import AttemptId
from mapreduce.engine.executor import Executor, Outcome
from mapreduce.engine.process import OpenGate

ANSWER_TIMEOUT_S = 1.5
"""The master answers within its hold of half a second, if it lives."""
SILENT_TIMEOUT_S = 0.8
"""One that did not answer the last time is not waited for so long: another may lead by now."""
RETRY_S = 0.3
LOOK_S = 0.25
"""So often it looks whether what waits for a slot has to wait too long."""
GOODBYE_TIMEOUT_S = 1.0
REPORTS_AT_ONCE = 2
"""One that the master holds, and one that brings news."""


def serve(
    name: str,
    node: str,
    slots: int,
    masters: Sequence[str],
    open_store: Callable[[], Store],
    ready: Callable[[], None] = lambda: None,
    host: str = "",
    allowance: Allowance = UNLIMITED,
    open_store_inside: Callable[[], Store] | None = None,
    open_gate: OpenGate | None = None,
) -> None:
    """Run the worker `name` in this process until SIGTERM or SIGINT.

    `node` is the store node beside it, `host` its machine's address, `masters` the addresses of all
    masters. `ready` is called when the one that leads has first heard of it; until there is one it
    goes on asking. `open_store` is pickled for the child processes, or `open_store_inside` where
    they have another way to the store: a gate that `open_gate` opens for each. `allowance` is what
    tasks may take of this machine.
    """
    logging.getLogger("zerorpc").setLevel(logging.CRITICAL)  # it logs what is repeated anyway
    worker = TaskServer(
        name, node, slots, masters, open_store, ready, host, allowance, open_store_inside, open_gate
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, worker.stop)
    worker.run()


class TaskServer:
    """One worker; lives in the hub of the thread that makes it."""

    def __init__(
        self,
        name: str,
        node: str,
        slots: int,
        masters: Sequence[str],
        open_store: Callable[[], Store],
        ready: Callable[[], None],
        host: str = "",
        allowance: Allowance = UNLIMITED,
        open_store_inside: Callable[[], Store] | None = None,
        open_gate: OpenGate | None = None,
    ) -> None:
        self._name, self._node, self._slots, self._host = name, node, slots, host
        self._masters = deque(masters)
        """Their addresses, that of the one that is asked first."""
        self._in_vain = 0
        """How many calls, one after the other, no leader has taken."""
        self._is_relayed = False
        """True while a master that stands by passes reports on: it reaches the leader."""
        self._silent: set[str] = set()
        """Those that gave no answer when they were last asked."""
        self._term = 0
        """The newest in which a master has given orders."""
        self._ready: Callable[[], None] | None = ready
        self._allowance = allowance
        self._open_store_inside = open_store_inside or open_store
        self._open_gate = open_gate
        self._store = open_store()
        self._session = secrets.token_hex(8)
        self._said = ServerLog(f"worker-{name}", self._session)
        self._number = 0
        self._client: zerorpc.Client | None = None
        self._complaint = ""
        self._active: set[AttemptId] = set()
        """What was started and has not been put into a report."""
        self._unsent: list[Outcome] = []
        self._told: dict[int, list[Outcome]] = {}
        """What the present master knows and the next one perhaps not, by the report's number."""
        self._returned: list[AttemptId] = []
        self._retell: set[AttemptId] = set()
        """Reduces that began early, and may have missed something they were told."""
        self._under_way = 0
        self._stopping = False
        self._draining = False
        self._news = Event()
        self._done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._wake = gevent.get_hub().loop.async_()
        self._wake.start(self._news.set)

    def stop(self) -> None:
        """Let `run` come to its end."""
        self._stopping = True
        self._news.set()

    def run(self) -> None:
        """Work until `stop`; then end all children and say goodbye."""
        try:
            with Executor(
                self._slots,
                self._open_store_inside,
                self._on_done,
                place=f"worker {self._name}",
                allowance=self._allowance,
                open_gate=self._open_gate,
            ) as executor:
                self._executor = executor
                self._logs = LogKeeper(self._store, executor.printed, self._said)
                self._logs.start()
                while not self._stopping:
                    self._news.clear()
                    self._collect()
                    idle, has_news = (
                        self._under_way == 0,
                        self._unsent or self._returned or self._retell,
                    )
                    if idle or (has_news and self._under_way < REPORTS_AT_ONCE):
                        self._under_way += 1
                        gevent.spawn(self._report)
                    self._news.wait(LOOK_S)
            self._say_goodbye()
            self._logs.stop()
        finally:
            if close := getattr(self._store, "close", None):
                close()
            self._wake.stop()
            self._wake.close()
            self._hang_up(self._client)

    def _on_done(self, outcome: Outcome) -> None:
        """Called in a thread of the executor."""
        self._done.put(outcome)
        self._wake.send()

    def _collect(self) -> None:
        """Take over what has ended; its log goes into the store meanwhile."""
        while not self._done.empty():
            outcome = self._done.get()
            self._active.discard(outcome.attempt)
            self._say(outcome.attempt, _how_it_ended(outcome))
            self._unsent.append(msgspec.structs.replace(outcome, output=""))
            self._logs.ended(outcome)
        recalled = self._executor.recall()
        self._active.difference_update(recalled)
        self._returned += recalled
        for attempt in recalled:
            self._say(attempt, "is given back: it would wait too long for a slot")

    # Talking to the master -----------------------------------------------------------------------

    def _report(self) -> None:
        """One report and what its answer orders; what the master did not take is told again."""
        finished, self._unsent = self._unsent, []
        report, address = self._next_report(finished), self._masters[0]
        told_before = list(self._told)
        relayed = self._is_relayed or self._asks_to_pass_on
        try:
            timeout_s = SILENT_TIMEOUT_S if address in self._silent else ANSWER_TIMEOUT_S
            orders = self._call("relay" if relayed else "report", report, timeout_s)
        except (zerorpc.TimeoutExpired, zerorpc.LostRemote):
            self._silent.add(address)
            self._not_taken(report, address, f"no master answers at {address}; asking on")
        except (zerorpc.RemoteError, DynamoError) as error:
            self._silent.discard(address)
            refusal = getattr(error, "msg", error)
            self._not_taken(report, address, f"the master refuses: {refusal}")
        else:
            if orders.term < self._term:
                self._not_taken(report, address, f"the master at {address} leads no more")
            else:
                self._complaint, self._in_vain, self._is_relayed = "", 0, relayed
                self._silent.discard(address)
                self._taken(report, orders, told_before)
                self._obey(orders)
        finally:
            self._under_way -= 1
            self._news.set()

    @property
    def _asks_to_pass_on(self) -> bool:
        """True in every other round of all masters in vain: the leader may be out of reach."""
        return len(self._masters) > 1 and self._in_vain // len(self._masters) % 2 == 1

    def _taken(self, report: Report, orders: Orders, told_before: list[int]) -> None:
        """Remember what this master has been told until it is `kept`. `told_before` are the reports
        that were answered before this one was sent: `kept` speaks of no others."""
        if orders.term > self._term:
            self._term = orders.term
            self._say_of_all(f"obeys the master of term {orders.term}")
            self._retell.update(self._executor.early)
            self._unsent[:0] = [outcome for told in self._told.values() for outcome in told]
            self._told.clear()
        for number in told_before:
            if number <= orders.kept:
                self._told.pop(number, None)
        if report.finished:
            self._told[report.number] = list(report.finished)
        if self._ready:
            ready, self._ready = self._ready, None
            ready()

    def _not_taken(self, report: Report, address: str, reason: str) -> None:
        """Keep what was to be told, and try the next master."""
        self._unsent[:0], self._returned[:0] = report.finished, report.returned
        self._retell.update(self._executor.early)
        self._complain(reason)
        self._in_vain, self._is_relayed = self._in_vain + 1, False
        if self._masters[0] == address:
            self._masters.rotate(-1)
            self._hang_up(self._client)
        gevent.sleep(RETRY_S / len(self._masters))

    def _next_report(self, finished: list[Outcome], goodbye: bool = False) -> Report:
        self._number += 1
        returned, self._returned = self._returned, []
        retell, self._retell = self._retell.intersection(self._executor.early), set()
        return Report(
            worker=self._name,
            node=self._node,
            host=self._host,
            slots=self._slots,
            session=self._session,
            number=self._number,
            running=tuple(sorted(self._active)),
            finished=tuple(finished),
            returned=tuple(returned),
            retell=tuple(retell),
            ahead=0 if goodbye else self._executor.ahead,
            notes=() if goodbye else self._executor.notes,
            draining=self._draining,
            goodbye=goodbye,
        )

    def _obey(self, orders: Orders) -> None:
        if self._stopping:
            return
        if orders.drain is not None:
            self._draining = orders.drain
        for attempt in orders.kill:
            self._executor.kill(attempt)
            self._active.discard(attempt)
            self._say(attempt, "is killed, as the master wants")
        phases = {phase.name: phase for phase in orders.phases}
        for order in orders.run:
            if order.attempt not in self._active:
                self._active.add(order.attempt)
                self._say(order.attempt, "is taken")
                self._executor.start(phases[order.attempt.task.job], order)
        missed = (more.attempt for more in orders.pieces if not self._executor.more(more))
        self._retell.update(missed)

    def _say(self, attempt: AttemptId, what: str) -> None:
        """Note what becomes of an attempt."""
        self._said.say(attempt.task.job, f"{serverlog.name(attempt)} {what}")
        if not self._active:
            self._logs.hurry()

    def _say_of_all(self, what: str) -> None:
        """Note what concerns all that runs here."""
        for phase in {attempt.task.job for attempt in self._active}:
            self._said.say(phase, what)

    def _say_goodbye(self) -> None:
        """The master need not find out by waiting."""
        self._collect()
        with contextlib.suppress(zerorpc.TimeoutExpired, zerorpc.LostRemote, zerorpc.RemoteError):
            method = "relay" if self._is_relayed else "report"
            self._call(method, self._next_report(self._unsent, goodbye=True), GOODBYE_TIMEOUT_S)

    def _call(self, method: str, report: Report, timeout_s: float) -> Orders:
        client = self._client = self._client or client_of(self._masters[0])
        try:
            return decode_orders(client(method, encode(report), timeout=timeout_s))
        except (zerorpc.TimeoutExpired, zerorpc.LostRemote):
            self._hang_up(client)  # a client that timed out once may stay wedged
            raise

    def _hang_up(self, client: zerorpc.Client | None) -> None:
        if client is not None:
            client.close()
        if client is self._client:
            self._client = None

    def _complain(self, what: str) -> None:
        """Say it once, not twice a second."""
        if what != self._complaint:
            self._complaint = what
            self._say_of_all(what)
            print(f"worker {self._name}: {what}", file=sys.stderr, flush=True)


def _how_it_ended(outcome: Outcome) -> str:
    if outcome.result is not None:
        return "is done"
    return f"failed: {serverlog.gist(outcome.error)}"
