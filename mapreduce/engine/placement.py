"""Which waiting task goes to which worker: near its data, if that costs little waiting.

The rule is delay scheduling (Zaharia et al., "Delay Scheduling", EuroSys 2010): a task passes over
workers that are far from its data for a bounded moment, because a near one is usually free soon.
"""

from collections.abc import Collection, Sequence

from mapreduce.engine.events import Locality
from mapreduce.engine.ledger import Stage, Task, Worker


def choose(
    stage: Stage, workers: Sequence[Worker], now: float, locality_wait_s: float
) -> tuple[Task, Worker] | None:
    """The next task of `stage` to start and the worker for it, or None if none should start now.

    `workers` are all that are alive. A worker beside a waiting task's data comes first; then any
    worker, for a task that has waited long enough. Among equals the one with most free slots.
    """
    free = sorted((w for w in workers if w.free > 0), key=lambda w: -w.free)
    for worker in free:
        if task := stage.first_beside(worker.node):
            return task, worker
    if not free:
        return None
    inhabited = {worker.node for worker in workers}
    for task in stage.waiting.values():
        if settles(task, inhabited, now, locality_wait_s):
            return task, free[0]
    return None


def settles(task: Task, inhabited: Collection[str], now: float, locality_wait_s: float) -> bool:
    """True if `task` no longer waits for a worker beside its data; `inhabited` are the nodes that
    have a living worker beside them."""
    if now - task.waiting_since >= locality_wait_s:
        return True
    return not any(node in inhabited for node in task.nodes)


def locality(task: Task, node: str) -> Locality:
    """How near `task` runs to its data beside the store node `node`, "" for none."""
    if not task.nodes:
        return Locality.ANY
    return Locality.NODE if node in task.nodes else Locality.REMOTE
