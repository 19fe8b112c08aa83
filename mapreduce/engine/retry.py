"""What follows from a failure: how long its task rests, which worker is mistrusted, and when a job
gives up.
"""

from mapreduce.engine.ledger import Task, Worker
from mapreduce.engine.policy import Policy
from mapreduce.engine.stages import Job
from mapreduce.engine.workers import Workers


def reason_to_give_up(task: Task, max_attempts: int, max_losses: int, error: str) -> str:
    """Why the job fails because of `task`, or "" if the task is to be tried again.

    `error` is what ended the last attempt. Failures are the task's own; losses are accidents of
    its workers or its input, which only count when there are so many that the task is the likely
    cause, as one is that exhausts the memory of every machine it runs on.
    """
    if task.failures >= max_attempts:
        times = "its only attempt" if max_attempts == 1 else f"all {max_attempts} attempts"
        return f"{task.id} failed in {times}; the last one said:\n{error}"
    if task.losses > max_losses:
        return (
            f"{task.id} was lost {task.losses} times, the limit is {max_losses}: it may bring down "
            f"the workers that run it; the last time: {error}"
        )
    return ""


def backoff_s(failures: int, policy: Policy) -> float:
    """How long a task rests after so many failures: what it failed of may pass.

    >>> [backoff_s(failures, Policy()) for failures in range(1, 9)]
    [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    """
    if failures < 2:
        return 0.0
    return min(policy.longest_backoff_s, policy.backoff_s * 2.0 ** min(failures - 2, 60))


def mistrust(job: Job, task: Task, worker: str, workers: Workers, policy: Policy) -> None:
    """`task` has failed on `worker`, which is set aside for `job` if too many have.

    Half of the workers are trusted whatever happens: if tasks fail everywhere it's the job's own
    fault, and it is to end by its attempts.
    """
    task.failed_on = (*task.failed_on, worker)
    failed = job.failed_on.setdefault(worker, set())
    failed.add(task.id)
    if len(failed) >= policy.set_aside_after and workers.get(worker):
        job.set_aside[worker] = None
        if len(job.set_aside) > workers.usable // 2:
            del job.set_aside[worker]


def trust_again(job: Job, workers: Workers, gone: Worker) -> None:
    """A worker is gone or drains: as many others as must be are trusted again, those first that
    were set aside first."""
    job.set_aside.pop(gone.name, None)
    job.failed_on.pop(gone.name, None)
    while len(job.set_aside) > workers.usable // 2:
        del job.set_aside[next(iter(job.set_aside))]
