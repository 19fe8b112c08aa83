"""A cluster of real nodes under a recorded workload: what may happen to it, and what it did wrong.

with Trial(config, ClusterProcesses(config), seed=1) as trial:
    trial.kill("n2")
    trial.work.go_on(operations=100)
    trial.start()
    assert trial.judge() == []
"""

import contextlib
import signal
import time
from collections.abc import Collection
from pathlib import Path
from random import Random
from types import TracebackType

from cli.cluster_processes import ClusterProcesses, servers
from cli.processes import Process
from dynamo.config import ClusterConfig
from dynamo.disk import record
from dynamo.disk.contract import HINTS, copy_key
from dynamo.disk.leveldb import LevelDisk
from dynamo.errors import DynamoError
from dynamo.net import inspect
from dynamo.net.client import Client
from dynamo.simulation.checkers import check, forgotten_hints, thin_writes
from dynamo.simulation.history import Operation
from dynamo.simulation.writes import Violation
from dynamo.values.ring import Ring
from dynamo.values.versions import EMPTY, Siblings
from tests.integration.recording import LONG_S, RecordedClient, Recorder, Workload
from tests.waiting import wait_until

KEYS = [f"key{number}" for number in range(1, 7)]

CLOCK_SKEW_S = 0.1
"""How far a client's clock is off, at most, either way."""

Copies = dict[str, dict[str, Siblings]]
"""Key -> owner -> what the owner holds."""


def quiet(line: str) -> None:
    """What `ClusterProcesses` says is of no interest."""


class Trial:
    """Nodes, clients that work on them from the beginning, and a judgement at the end."""

    def __init__(self, config: ClusterConfig, processes: ClusterProcesses, seed: int) -> None:
        self.config = config
        self.recorder = Recorder()
        self._processes = processes
        self._seed = seed
        self._random = Random(seed)
        self._open = contextlib.ExitStack()

    def __enter__(self) -> "Trial":
        with self._open:
            self._open.callback(self._end_processes)
            self.start()
            self._ring = self._found_ring()
            nodes = self.config.node_addresses
            self._observers = {name: self._observer(address) for name, address in nodes.items()}
            clients = [self._recorded(f"c-{name}", prefer=name) for name in nodes]
            self.work = Workload(self.recorder, clients, KEYS, self._seed)
            self._open.callback(self.work.stop)
            self._open = self._open.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()

    # What may happen to the nodes ----------------------------------------------------------------

    def kill(self, *names: str) -> None:
        """kill -9, all of them before any is awaited."""
        killed = [self._process(name) for name in names]
        began = time.monotonic()
        for process in killed:
            process.signal(signal.SIGKILL)
        wait_until(lambda: not any(one.alive for one in killed), 10, f"the end of {names}")
        self.recorder.crashed(since=began)

    def start(self) -> None:
        """Start every node that does not run, and wait until it answers."""
        self._processes.up(quiet)

    def suspend(self, name: str) -> None:
        """SIGSTOP: the process is there, its connections too, and nothing answers."""
        self._process(name).signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self._process(name).signal(signal.SIGCONT)

    # What the nodes say --------------------------------------------------------------------------

    def wait_until_down(self, name: str, seen_by: str) -> None:
        """Wait until the node `seen_by` takes `name` to be down."""
        self.work.wait_until(
            lambda: self._status(seen_by)["members"].get(name) is False,
            f"{seen_by} to take {name} to be down",
        )

    def wait_until_kept(self, owner: str, copies: int) -> None:
        """Wait until there are hinted copies of so many keys for `owner`."""
        self.work.wait_until(
            lambda: sum(self._hints(name).get(owner, 0) for name in self._observers) >= copies,
            f"{copies} hinted copies for {owner}",
        )

    def wait_until_acknowledged_by(self, some: Collection[str]) -> None:
        """Wait until a write that begins from now on is acknowledged, stored by `some` alone."""
        now = time.monotonic()
        self.work.wait_until(
            lambda: any(
                op.succeeded and op.began_at > now and set(op.nodes) <= set(some)
                for op in list(self.recorder.history.of_kind("put", "delete"))
            ),
            f"a write that {', '.join(some)} alone have stored",
        )

    def _hints(self, name: str) -> dict[str, int]:
        hints = self._status(name).get("hints", {})
        return {owner: kept["copies"] for owner, kept in hints.items()}

    def _status(self, name: str) -> dict:
        """What a node says of itself; without members if it does not answer."""
        (status,) = self._observers[name].status(timeout_s=1.0).values()
        return status if isinstance(status, dict) else {"members": {}}

    def _at_rest(self) -> bool:
        """Looked at twice: what one node has just asked of another that was looked at before it,
        the second look sees."""
        return all(self._rests(name) for _ in range(2) for name in self._observers)

    def _rests(self, name: str) -> bool:
        status = self._status(name)
        return bool(
            status["members"]
            and all(status["members"].values())
            and not status["hints"]
            and not status["requests_in_flight"]
            and not status["anti_entropy"]["filling"]
        )

    # The judgement -------------------------------------------------------------------------------

    def judge(self, known_to: int | None = None) -> list[Violation]:
        """Stop the work, wait for rest, read all back, stop the nodes: all that was wrong.

        `known_to` is how many owners must know of each acknowledged write before anybody reads: w
        owners, where it isn't given.
        """
        self.work.stop()
        w = self.config.write_quorum
        wait_until(self._at_rest, LONG_S, "rest: all up and whole, nothing in flight, no hints")
        rested = {key: self._copies_of(key) for key in KEYS}
        self._read_back()
        with contextlib.suppress(AssertionError):  # then the disks will show it
            wait_until(lambda: all(map(self._agrees, KEYS)), 10, "the end of all repairs")
        self._end_processes()
        copies, hints = self._on_disk()
        self.recorder.count_deliveries()
        history = self.recorder.history
        owners = {key: self._owners(key) for key in KEYS}
        return [
            *check(history, owners, copies, w),
            *thin_writes(history, rested, known_to or w),
            *forgotten_hints(hints),
        ]

    def _owners(self, key: str) -> tuple[str, ...]:
        return self._ring.preference_list(key, self.config.replicas)

    def _read_back(self) -> None:
        """The quiet end, as in the simulation: every copy of each key, a plain get, a list."""
        reader = self._recorded("reader")
        for key in KEYS:
            reader.perform(Operation("get", key, r=self.config.replicas))
        for key in KEYS:
            reader.perform(Operation("get", key))
        reader.perform(Operation("list", "key"))

    def _copies_of(self, key: str) -> dict[str, Siblings]:
        addresses = {name: self.config.node_addresses[name] for name in self._owners(key)}
        found = inspect.copies(key, addresses)
        for copy in found.values():
            if isinstance(copy, DynamoError):
                raise copy
        return found

    def _agrees(self, key: str) -> bool:
        first, *others = self._copies_of(key).values()
        return all(copy == first for copy in others)

    def _on_disk(self) -> tuple[Copies, dict[str, list[bytes]]]:
        """What the owners of each key have on disk, and the hinted copies on each; nodes ended."""
        copies: Copies = {key: {} for key in KEYS}
        hints: dict[str, list[bytes]] = {}
        for node in self.config.nodes:
            disk = LevelDisk(Path(node.data))
            hints[node.name] = [key for key, _ in disk.scan(*HINTS)]
            for key in KEYS:
                if node.name in self._owners(key):
                    stored = disk.get(copy_key(self._ring.partition_of(key), key))
                    found = EMPTY if stored is None else record.decode(stored).siblings
                    copies[key][node.name] = found
            disk.close()
        return copies, hints

    # Parts ---------------------------------------------------------------------------------------

    def _found_ring(self) -> Ring:
        """The ring as the nodes know it."""
        (found, *_) = inspect.rings(list(self.config.node_addresses.values())).values()
        if isinstance(found, DynamoError):
            raise found
        return Ring(found.owners, found.epoch)

    def _recorded(self, name: str, prefer: str = "") -> RecordedClient:
        addresses = list(self.config.node_addresses.values())
        skew_s = self._random.uniform(-CLOCK_SKEW_S, CLOCK_SKEW_S)
        client = RecordedClient(name, addresses, self.recorder, prefer=prefer, skew_s=skew_s)
        self._open.callback(client.close)
        return client

    def _observer(self, address: str) -> Client:
        client = Client([address])
        self._open.callback(client.close)
        return client

    def _process(self, name: str) -> Process:
        (server,) = (one for one in servers(self.config) if one.name == name)
        process = self._processes.process(server)
        assert process is not None, f"{name} does not run"
        return process

    def _end_processes(self) -> None:
        for process in self._processes.running().values():
            process.signal(signal.SIGCONT)  # one that was left suspended would not end
        self._processes.down(quiet)
