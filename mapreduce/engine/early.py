"""Slow start: reduces that begin to fetch pieces while the last maps still run.

Hadoop's rule, with what keeps it from blocking anything: such a reduce only takes an idle slot that
nothing else wants, and gives it back when a map of its job, a copy of one (`backups`), or a job
that has less than its share needs one. No task waits at a worker behind one. So reduces that wait
for maps never keep those maps from running.
"""

from collections.abc import Iterable, Iterator

from mapreduce.engine.fairness import share
from mapreduce.engine.ledger import Attempt
from mapreduce.engine.stages import Job
from mapreduce.engine.workers import Workers


def may_start(job: Job, jobs: Iterable[Job]) -> bool:
    """True if reduces of `job` may start though not all of its maps are done."""
    maps = job.maps
    if maps.complete or maps.has_unstarted or not job.reduces.tasks:
        return False
    if maps.done < job.slow_start * len(maps.tasks):
        return False
    return not any(j.current.has_unstarted and j.has_room for j in jobs if j is not job)


def to_yield(jobs: Iterable[Job], workers: Workers) -> Attempt | None:
    """A reduce that should give its slot back, as a task with a right to one finds none free: the
    youngest that waits for maps."""
    holding = [job for job in jobs if job.reduces.running and any(job.early_reduces)]
    for wanting in jobs if holding else ():
        if not len(wanting.current.waiting):
            continue
        if wanting.has_room and workers.freest(wanting.set_aside):
            continue  # it only waits for a better place
        yielding = [job for job in holding if _yields(job, wanting)]
        if found := youngest(_with_use(yielding, workers)):
            return found
    return None


def _with_use(jobs: Iterable[Job], workers: Workers) -> Iterator[Attempt]:
    """Early reduces on workers that would then be given something else."""
    for attempt in (attempt for job in jobs for attempt in job.early_reduces):
        worker = workers.get(attempt.worker)
        if worker and worker.takes_tasks:
            yield attempt


def _yields(job: Job, wanting: Job) -> bool:
    """True if early reduces of `job` go before a waiting task of `wanting` has to wait."""
    if wanting.paused or wanting.held:
        return False
    if job is wanting:
        return True
    return wanting.has_room and (job.paused or share(wanting) < share(job))


def youngest(attempts: Iterable[Attempt]) -> Attempt | None:
    """The one that was given out last, and so has least to lose."""
    return max(attempts, key=lambda a: (a.given_at, a.began, a.id), default=None)
