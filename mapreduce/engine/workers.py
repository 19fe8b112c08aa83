"""The living workers, and which of them are free: have a slot, or room for a task to wait for one.

Free workers stand on shelves, one for each number of idle slots (below 0 where tasks wait already),
so that the one with most is found at once; those of a shelf take turns.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Mapping

from mapreduce.engine.events import WorkerReported
from mapreduce.engine.ledger import Worker

GONE_LIMIT = 1_000
"""So many workers are remembered that are gone."""


class Workers:
    """All living workers of a cluster; `len` counts them."""

    def __init__(self) -> None:
        self.hosts: dict[str, str] = {}
        """The machines of store nodes, as far as they are known."""
        self.usable = 0
        """Workers that may be given something, now or when they have a free slot."""
        self.free_nodes: Counter[str] = Counter()
        """Nodes with free workers beside them, and how many."""
        self.free_hosts: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        """By worker, living or not: how many of its attempts have won, and have raised."""
        self._gone: dict[str, Worker] = {}
        """The last that are no more, as they were."""
        self._by_name: dict[str, Worker] = {}
        """The one that has been silent longest is first."""
        self._shelves: dict[int, OrderedDict[str, Worker]] = {}
        self._nodes: Counter[str] = Counter()
        self._hosts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._by_name.values())

    def get(self, name: str) -> Worker | None:
        return self._by_name.get(name)

    def report(self, event: WorkerReported, now: float) -> Worker:
        """A worker has said where and what it is."""
        worker = self._by_name.pop(event.worker, None) or Worker(event.worker, draining=True)
        self._by_name[worker.name] = worker
        self._gone.pop(worker.name, None)
        worker.seen_at, worker.strikes = now, 0
        if event.node and event.host:
            self.hosts[event.node] = event.host
        host = event.host or self.hosts.get(event.node, "")
        worker.ahead = event.ahead
        told = (event.node, host, event.slots, event.draining)
        if told != (worker.node, worker.host, worker.slots, worker.draining):
            self._take_out(worker)
            worker.node, worker.host, worker.slots, worker.draining = told
            self._put_in(worker)
        return worker

    def remove(self, name: str) -> Worker | None:
        worker = self._by_name.pop(name, None)
        if worker:
            self._take_out(worker)
            self._gone[name] = worker
            while len(self._gone) > GONE_LIMIT:
                oldest = next(iter(self._gone))
                del self._gone[oldest], self.done[oldest], self.failed[oldest]
        return worker

    def strike(self, now: float, timeout_s: float, strikes: int) -> list[str]:
        """Count the strikes of those that are silent: so many make `timeout_s`. The names of those
        that have them all."""
        names = []
        limits = [now - timeout_s * number / strikes for number in range(1, strikes + 1)]
        for worker in self._by_name.values():
            counted = sum(worker.seen_at < limit for limit in limits)
            if not counted:
                break
            worker.strikes = counted
            self.changed(worker)
            if counted == strikes:
                names.append(worker.name)
        return names

    def excuse(self, seconds: float, now: float) -> None:
        """Nobody could be heard for so long."""
        for worker in self._by_name.values():
            worker.seen_at = min(now, worker.seen_at + seconds)

    def gone(self) -> Iterator[Worker]:
        """Those that were lost, and those that said goodbye, without a strike."""
        return iter(self._gone.values())

    def names(self) -> Iterator[str]:
        """Those that may be given something."""
        return (worker.name for worker in self if not worker.draining)

    def any_but(self, names: Collection[str]) -> bool:
        """True if there are others that may be given something."""
        return any(name not in names for name in self.names())

    # Where they are ------------------------------------------------------------------------------

    def learn(self, hosts: Mapping[str, str]) -> None:
        self.hosts.update(hosts)

    def any_beside(self, nodes: Collection[str]) -> bool:
        """True if a usable worker is beside one of `nodes`."""
        return any(node in self._nodes for node in nodes)

    def hosts_of(self, nodes: Collection[str]) -> tuple[str, ...]:
        """The machines of `nodes` that have a usable worker, each once."""
        known = (self.hosts.get(node) for node in nodes)
        return tuple({host: None for host in known if host and host in self._hosts})

    # Who is free ---------------------------------------------------------------------------------

    @property
    def any_free(self) -> bool:
        return bool(self._shelves)

    def by_freedom(
        self, barred: Collection[str] = (), least_idle: float = -math.inf
    ) -> Iterator[Worker]:
        """The free workers but for `barred`, those with most idle slots first, at least so many."""
        for idle in sorted(self._shelves, reverse=True):
            if idle < least_idle:
                return
            for name, worker in self._shelves[idle].items():
                if name not in barred:
                    yield worker

    def freest(self, barred: Collection[str] = (), least_idle: float = -math.inf) -> Worker | None:
        """The first of these, or None."""
        return next(self.by_freedom(barred, least_idle), None)

    def changed(self, worker: Worker) -> None:
        """Its idle slots may have become more or fewer."""
        shelf = worker.idle if worker.is_free else None
        if shelf != worker.shelf and worker.name in self._by_name:
            self._unshelve(worker)
            self._shelve(worker)

    def _put_in(self, worker: Worker) -> None:
        if not worker.draining:
            self.usable += 1
            _add(self._nodes, worker.node, 1)
            _add(self._hosts, worker.host, 1)
        self._shelve(worker)

    def _take_out(self, worker: Worker) -> None:
        self._unshelve(worker)
        if not worker.draining:
            self.usable -= 1
            _add(self._nodes, worker.node, -1)
            _add(self._hosts, worker.host, -1)

    def _shelve(self, worker: Worker) -> None:
        if worker.is_free:
            worker.shelf = worker.idle
            self._shelves.setdefault(worker.shelf, OrderedDict())[worker.name] = worker
            _add(self.free_nodes, worker.node, 1)
            _add(self.free_hosts, worker.host, 1)

    def _unshelve(self, worker: Worker) -> None:
        if worker.shelf is not None:
            shelf = self._shelves[worker.shelf]
            del shelf[worker.name]
            if not shelf:
                del self._shelves[worker.shelf]
            _add(self.free_nodes, worker.node, -1)
            _add(self.free_hosts, worker.host, -1)
            worker.shelf = None


def _add(counter: Counter[str], place: str, count: int) -> None:
    """Count; what has come to nothing is not listed. Places without a name are not counted."""
    if place:
        counter[place] += count
        if not counter[place]:
            del counter[place]
