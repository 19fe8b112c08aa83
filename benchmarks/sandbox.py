"""What limits and a sandbox cost a task, and whether a share of the processors holds.

The first table has an executor with one slot: the time from its start to the end of its first task
(the median of some, each sandbox in turn), an empty task in a process that is warm, and the
processor time of the warden that measures a task which loops. The second has three processes of one
task that loop for some seconds: the part that they got of all processors, beside the share that
they were allowed; they give way to whatever else this machine does. The last line has gets from a
store node by the relay that sandboxes use, beside TCP.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from benchmarks.cluster import cluster
from dynamo.net.client import Client
from dynamo.net.relay import Relay
from mapreduce.data.inputs import InputSpec, Split
from mapreduce.engine import paths, sandbox, sources
from mapreduce.engine.allowance import Allowance, Door
from mapreduce.engine.events import AttemptId, TaskId
from mapreduce.engine.executor import Executor, Outcome
from mapreduce.engine.orders import Code, JobSpec, PhaseOrder, StepSpec, TaskOrder
from mapreduce.errors import SandboxFailed
from mapreduce.runners.folderstore import FolderStore

STARTS = 7
TASKS = 300
LOOP_S = 5.0
SHARES = (0.1, 0.25, 0.5)
VALUE_BYTES = 1 << 20
VALUES = 64
EMPTY = "pass"
LOOP = f"""
import resource
began = time.time()
child = os.fork() and os.fork()
while time.time() < began + {LOOP_S}: pass
if not child: os._exit(0)
for _ in range(2): os.wait()
used = sum(sum(resource.getrusage(who)[:2]) for who in (0, -1))
print(used / (time.time() - began) / os.cpu_count())
"""
"""The first child forks once more: three loop."""


class Bench:
    """An executor with one slot."""

    def __init__(self, folder: Path, **allowed: Any) -> None:
        store = folder / "store"
        self._store = FolderStore(store)
        self._done: SimpleQueue[Outcome] = SimpleQueue()
        doors = (Door(str(store), str(store), writable=True),)
        self.executor = Executor(
            1,
            partial(FolderStore, store),
            self._done.put,
            files="local",
            allowance=Allowance(worker="w1", doors=doors, **allowed),
        )

    def run(self, statements: str, number: int = 1) -> Outcome:
        body = "\n        ".join(statements.strip().splitlines())
        source = (
            "import os, time\nfrom mapreduce import Mapper\nclass MyMapper(Mapper):\n"
            f"    def setup(self):\n        {body}\nclass MyReducer: ...\n"
        ).encode()
        [step] = sources.check_source(source, Code(), [StepSpec()])
        run = f"run-{hash(statements)}"
        self._store.put(paths.code(run), source)
        spec = JobSpec(name="job", inputs=(InputSpec("/in"),), output="/out", steps=(step,))
        phase = PhaseOrder(name="job.1", spec=spec, run=run, output="/out", output_format="text")
        attempt = AttemptId(TaskId("job.1", "map", 0), number)
        self.executor.start(phase, TaskOrder(attempt=attempt, split=Split(())))
        outcome = self._done.get()
        assert not outcome.error, outcome.error
        return outcome


@contextmanager
def bench(**allowed: Any) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "store").mkdir()
        made = Bench(Path(folder), **allowed)
        with made.executor:
            yield made


def main() -> None:
    limits = {"cpu_share": 1.0, "memory_mb": 4096, "disk_mb": 4096, "processes": 64}
    modes: dict[str, dict[str, Any]] = {
        "none": {},
        "limits": {"sandbox": "limits", **limits},
        "bwrap": {"sandbox": "bwrap"},
        "bwrap, limits": {"sandbox": "bwrap", **limits},
    }
    try:
        sandbox.check(Allowance(sandbox="bwrap"))
    except SandboxFailed as error:
        print(f"no sandboxes here: {error}")
        modes = {name: mode for name, mode in modes.items() if "bwrap" not in name}
    firsts = [{name: first_ms(mode) for name, mode in modes.items()} for _ in range(STARTS)]
    print("| sandbox | first task, ms | warm task, ms | warden, % of one processor |")
    print("|---|---:|---:|---:|")
    for name, mode in modes.items():
        first = statistics.median(times[name] for times in firsts)
        print(f"| {name} | {first:.0f} | {warm(mode)} |", flush=True)
    print("\n| allowed | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |")
    print("|---|" + "---:|" * len(SHARES))
    for name in [name for name in modes if name in ("limits", "bwrap")]:
        taken = [f"{part_taken(name, share):.1%}" for share in SHARES]
        print(f"| taken in {LOOP_S:g} s, {name} | " + " | ".join(taken) + " |", flush=True)
    print(f"\n{through_relay()}")


def first_ms(allowed: dict[str, Any]) -> float:
    began = time.perf_counter()
    with bench(**allowed) as made:
        made.run(EMPTY)
        return (time.perf_counter() - began) * 1000


def warm(allowed: dict[str, Any]) -> str:
    with bench(**allowed) as made:
        made.run(EMPTY)
        took = []
        for number in range(TASKS):
            began = time.perf_counter()
            made.run(EMPTY, number)
            took.append(time.perf_counter() - began)
        used, began = time.process_time(), time.perf_counter()
        made.run(LOOP)
        watching = (time.process_time() - used) / (time.perf_counter() - began)
    return f"{statistics.median(took) * 1000:.2f} | {watching:.1%}"


def part_taken(name: str, share: float) -> float:
    with bench(sandbox=name, cpu_share=share) as made:
        made.run(EMPTY)
        return float(made.run(LOOP).output)


def through_relay() -> str:
    """Rates of gets over TCP and by a relay, one after the other, in turn."""
    with cluster(nodes=1) as running, tempfile.TemporaryDirectory() as folder:
        addresses = list(running.config.node_addresses.values())
        keys = [f"value {number}" for number in range(VALUES)]
        running.client.multi_put({key: os.urandom(VALUE_BYTES) for key in keys})
        with Relay(addresses) as relay, Client(addresses) as direct:
            gate = relay.gate(Path(folder, "gate"))
            with Client(addresses, relay=gate.folder) as relayed:
                rates = [(mib_s(direct, keys), mib_s(relayed, keys)) for _ in range(5)]
    tcp, relayed_s = (statistics.median(one) for one in zip(*rates))
    return f"gets of 1 MiB: {tcp:.0f} MiB/s over TCP, {relayed_s:.0f} MiB/s by the relay"


def mib_s(client: Client, keys: list[str]) -> float:
    began = time.perf_counter()
    client.multi_get(keys)
    return len(keys) * VALUE_BYTES / (time.perf_counter() - began) / (1 << 20)


if __name__ == "__main__":
    main()
