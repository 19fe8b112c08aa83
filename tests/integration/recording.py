"""Clients at work on a real cluster, and the history of all they did.

The history is the one that the simulation keeps (`dynamo.simulation.history`), so that its checkers
judge real processes too. A write is known by the time its client stamped on it. Since it's the
client that stamps, a recorded client makes its own messages and takes the replies as they came:
they also tell which versions, under which dots, a get returned.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random
from threading import Event, Lock

from dynamo.errors import Overloaded, QuorumFailed, Unreachable
from dynamo.net.client import Client
from dynamo.protocol.messages import Get, GetDone, Message, Put, PutDone
from dynamo.protocol.settings import Settings
from dynamo.simulation.history import History, Operation
from dynamo.values.versions import Siblings
from tests.waiting import wait_until

LONG_S = 60.0
"""How long the nodes may take for anything, at most, on a busy machine."""
OFTEN = 1_000_000
"""Deliveries of a write that may have been sent again: nobody counts them."""


class Recorder:
    """The history of all clients; they may be in any threads."""

    def __init__(self) -> None:
        self.history = History()
        self._lock = Lock()
        self._kills: list[tuple[float, float]] = []
        """From when to when a node was being killed."""
        self._clock_began_at = time.time() - time.monotonic()

    def begin(self, operation: Operation, skew_s: float) -> None:
        """Take in an operation that begins now, by a client whose clock is off by `skew_s`."""
        with self._lock:  # the order of the history is that of the beginnings
            self.history.begin(operation, time.monotonic(), self._clock_began_at + skew_s)

    def crashed(self, since: float) -> None:
        """A node was killed at some time from `since` until now."""
        now = time.monotonic()
        self.history.crashed_at.append(now)
        self._kills.append((since, now))

    @property
    def done(self) -> int:
        """How many operations have succeeded."""
        return sum(operation.succeeded for operation in list(self.history.operations))

    def count_deliveries(self) -> None:
        """Say of each write how often it may have reached a node that coordinates it.

        Clients and nodes send a request again to somebody else when it has been silent for long,
        or when a node has started again and knows nothing of it. So what was answered sooner, while
        no node was killed, was delivered once.
        """
        for op in self.history.of_kind("put", "delete"):
            ended_at = op.ended_at if op.succeeded and op.ended_at else float("inf")
            killed = any(op.began_at <= to and since <= ended_at for since, to in self._kills)
            once = ended_at - op.began_at < Settings().resend_s and not killed
            self.history.deliveries[op.key, op.written_at] = 1 if once else OFTEN


class RecordedClient:
    """A client whose operations, in any number of threads, go into a history."""

    def __init__(
        self,
        name: str,
        addresses: list[str],
        recorder: Recorder,
        *,
        prefer: str = "",
        timeout_s: float = 2.0,
        skew_s: float = 0.0,
    ) -> None:
        self.name = name
        self._recorder = recorder
        self._skew_s = skew_s
        self._client = _MessageClient(addresses, prefer=prefer or None, timeout_s=timeout_s)

    def close(self) -> None:
        self._client.close()

    def perform(self, operation: Operation) -> Operation:
        """Do `operation` and record what came of it; one that fails may have happened or not."""
        operation.client = self.name
        self._recorder.begin(operation, self._skew_s)
        try:
            self._do(operation)
        except (QuorumFailed, Unreachable, Overloaded):
            operation.ended_at = time.monotonic()
        else:
            operation.ended_at = time.monotonic()
            operation.succeeded = True
        return operation

    def _do(self, op: Operation) -> None:
        if op.kind == "list":
            op.listed = list(self._client.list(op.key))
            return
        if op.kind == "get":
            reply = self._client.ask(lambda id: Get(id, op.key, r=op.r), op)
            assert isinstance(reply, GetDone)
            op.siblings = reply.siblings
        else:
            reply = self._client.ask(
                lambda id: Put(id, op.key, op.value, op.context, op.written_at), op
            )
            assert isinstance(reply, PutDone)
        op.nodes = reply.nodes


class _MessageClient(Client):
    def ask(self, make: Callable[[int], Get | Put], op: Operation) -> Message:
        """The reply to one message, which is made with a fresh id."""
        return self._ask(op.kind, op.key, make(next(self._ids)), None)


class Workload:
    """Threads that do random operations on a few keys, through several clients, until `stop`."""

    def __init__(
        self,
        recorder: Recorder,
        clients: list[RecordedClient],
        keys: list[str],
        seed: int,
        *,
        threads: int = 2,
        pause_s: float = 0.02,
    ) -> None:
        self._recorder = recorder
        self._keys = keys
        self._pause_s = pause_s
        self._stopping = Event()
        self._pool = ThreadPoolExecutor(threads * len(clients))
        self._ends: list[Future[None]] = [
            self._pool.submit(self._run, client, f"{client.name}.{number}", seed)
            for client in clients
            for number in range(threads)
        ]

    def go_on(self, operations: int) -> None:
        """Return when so many more operations have succeeded."""
        enough = self._recorder.done + operations
        self.wait_until(lambda: self._recorder.done >= enough, f"{operations} more operations")

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """As `tests.waiting.wait_until`; what a thread died of is raised at once."""
        wait_until(lambda: self._raise_failures() or condition(), LONG_S, what)

    def stop(self) -> None:
        """Return when the operations under way have ended."""
        self._stopping.set()
        self._pool.shutdown()
        self._raise_failures()

    def _raise_failures(self) -> None:
        for end in self._ends:
            if end.done():
                end.result()

    def _run(self, client: RecordedClient, thread: str, seed: int) -> None:
        random = Random(f"{seed}/{thread}")
        for operation in self._script(random, thread, client):
            client.perform(operation)
            if self._stopping.wait(random.expovariate(1 / self._pause_s)):
                return

    def _script(self, random: Random, thread: str, client: RecordedClient) -> Iterator[Operation]:
        """Operations that collide: contexts that are used more than once, and blind writes."""
        readings: dict[str, Siblings] = {}
        number = 0
        while True:
            number += 1
            key = random.choice(self._keys)
            operation = _choose(random, key, f"{thread}.{number}".encode(), readings)
            yield operation
            if operation.kind == "get" and operation.siblings is not None:
                readings[key] = operation.siblings


def _choose(random: Random, key: str, value: bytes, readings: dict[str, Siblings]) -> Operation:
    choice = random.random()
    if choice < 0.02:
        return Operation("list", "key")
    if choice < 0.20:
        return Operation("put", key, value)
    if choice < 0.23:
        return Operation("delete", key)
    reading = readings.get(key)
    if reading is None or choice < 0.50:
        return Operation("get", key)
    if random.random() < 0.8:  # else the context is used again, as a careless program does
        del readings[key]
    saw = tuple(version.written_at for version in reading.versions)
    if choice < 0.90:
        return Operation("put", key, value, reading.context, saw)
    return Operation("delete", key, None, reading.context, saw)
