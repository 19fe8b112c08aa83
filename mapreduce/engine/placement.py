"""Which waiting task goes to which worker: near its data, if that costs little waiting.

The rule is delay scheduling (Zaharia et al., "Delay Scheduling", EuroSys 2010): a task passes over
workers that are far from its data for a bounded moment, because a near one is usually free soon. It
waits first for a worker beside a replica, then for one on a machine with a replica, and then takes
any. A level that has no living worker at all is not waited for.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice

from mapreduce.engine.events import Locality
from mapreduce.engine.ledger import Task, Worker
from mapreduce.engine.policy import Policy
from mapreduce.engine.stages import Job, Stage
from mapreduce.engine.waiting import Line, Waiting
from mapreduce.engine.workers import Workers

Pair = tuple[Task, Worker]
Free = Callable[[], Iterator[Worker]]
"""The workers that may be given a task, those with most idle slots first."""
Minds = Callable[[Task, Worker], bool]
"""Whether a task would rather not run there."""

LOOK = 8
"""So many tasks of a line are tried on a worker. All but those that failed there go with the first;
were there ever more of them than that, those behind wait until they don't mind."""


def queue(stage: Stage, task: Task, workers: Workers, now: float, policy: Policy) -> None:
    """`task` waits for a slot from `now` on."""
    task.waiting_since = now
    hosts = workers.hosts_of(task.nodes)
    host_from = now + policy.locality_wait_s if workers.any_beside(task.nodes) else now
    any_from = host_from + policy.host_wait_s if hosts else host_from
    stage.waiting.add(task, hosts, host_from, any_from)


def choose(
    job: Job, stage: Stage, workers: Workers, now: float, policy: Policy, least_idle: float
) -> Pair | None:
    """The next task of `stage` to start and the worker for it, or None if none should start now.
    Workers with fewer idle slots than `least_idle` are passed over."""
    if not len(stage.waiting) or not workers.any_free:
        return None
    free: Free = partial(workers.by_freedom, (), least_idle)
    if job.set_aside:  # they may be many, so they are passed over only once
        free = partial(iter, list(workers.by_freedom(job.set_aside, least_idle)))
    if next(free(), None) is None:
        return None
    minds = partial(avoids, workers=workers, now=now, policy=policy)
    return (
        _beside_data(stage.waiting, workers, free, minds)
        or _on_host(stage.waiting, workers, free, minds, now)
        or _anywhere(stage.waiting, free, minds, now)
    )


def _beside_data(waiting: Waiting, workers: Workers, free: Free, minds: Minds) -> Pair | None:
    if workers.free_nodes.keys().isdisjoint(waiting.at_node):
        return None
    for worker in free():
        for task in _first(waiting.at_node.get(worker.node)):
            if not minds(task, worker):
                return task, worker
    return None


def _on_host(
    waiting: Waiting, workers: Workers, free: Free, minds: Minds, now: float
) -> Pair | None:
    if waiting.host_from > now or workers.free_hosts.keys().isdisjoint(waiting.at_host):
        return None
    for worker in free():
        for task in _first(waiting.at_host.get(worker.host)):
            if task.host_from <= now and not minds(task, worker):
                return task, worker
    return None


def _anywhere(waiting: Waiting, free: Free, minds: Minds, now: float) -> Pair | None:
    settled = waiting.settled(now)
    if settled and (settled[0].failed_on or settled[0].unread_on):
        settled = waiting.settled(now, LOOK)
    for task in settled:
        for worker in free():
            if not minds(task, worker):
                return task, worker
    return None


def _first(line: Line | None) -> Iterable[Task]:
    return islice(line.values(), LOOK) if line else ()


def avoids(task: Task, worker: Worker, workers: Workers, now: float, policy: Policy) -> bool:
    """True if `task` has failed on `worker`, or could not read its pieces there, and should wait
    for another one, if there is any."""
    waited_s = now - task.waiting_since
    if worker.name in task.unread_on and waited_s < policy.unread_wait_s:
        return workers.any_but(task.unread_on)
    if worker.name in task.failed_on and waited_s < policy.other_worker_wait_s:
        return len(set(task.failed_on)) < workers.usable
    return False


def locality(task: Task, worker: Worker | None, workers: Workers) -> Locality:
    """How near `task` runs to its data on `worker`; None for one that is gone."""
    if not task.nodes:
        return Locality.ANY
    if worker and worker.node in task.nodes:
        return Locality.NODE
    if worker and worker.host and any(workers.hosts.get(n) == worker.host for n in task.nodes):
        return Locality.HOST
    return Locality.REMOTE
