"""Jobs that wait for others: `ControlledJob` and `JobControl`."""

import time
from collections.abc import Iterable

from dynamo.errors import DynamoError
from mapreduce.errors import JobError
from mapreduce.hadoop.job import Job

_LOOK_S = 0.1


class ControlledJob:
    """A job, and those whose output it reads."""

    def __init__(self, job: Job, depending: "Iterable[ControlledJob]" = ()) -> None:
        self.job = job
        self.depending = list(depending)
        self.message = ""
        """Why it has failed, or was not begun."""

    def add_depending_job(self, other: "ControlledJob") -> None:
        """This one begins when `other` has succeeded."""
        self.depending.append(other)

    @property
    def has_failed(self) -> bool:
        return bool(self.message)

    @property
    def is_ready(self) -> bool:
        return all(other.job.is_successful() for other in self.depending)


class JobControl:
    """Runs jobs in the order that their dependences ask for, those that can at the same time."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.jobs: list[ControlledJob] = []

    def add_job(self, job: ControlledJob) -> None:
        self.jobs.append(job)

    def run(self) -> bool:
        """Run all jobs; return when none runs any more and none can be begun. True if all have
        succeeded. Raises `JobError` for jobs that wait for each other, before any is begun."""
        self._check()
        waiting, running = list(self.jobs), list[ControlledJob]()
        while waiting or running:
            for one in [one for one in waiting if one.is_ready or _is_hopeless(one)]:
                waiting.remove(one)
                if _begin(one):
                    running.append(one)
            for one in [one for one in running if one.job.is_complete()]:
                running.remove(one)
                if not one.job.wait_for_completion():
                    one.message = one.job.failure
            if running:
                time.sleep(_LOOK_S)
        return not self.get_failed_jobs()

    def get_failed_jobs(self) -> list[ControlledJob]:
        """Those that have failed, and those that needed them."""
        return [one for one in self.jobs if one.has_failed]

    def get_successful_jobs(self) -> list[ControlledJob]:
        return [one for one in self.jobs if one.job.is_successful()]

    def _check(self) -> None:
        left = list(self.jobs)
        while left:
            free = [one for one in left if not any(other in left for other in one.depending)]
            if not free:
                names = ", ".join(one.job.name for one in left)
                raise JobError(f"these jobs wait for each other: {names}")
            left = [one for one in left if one not in free]
        for one in self.jobs:
            if absent := [other for other in one.depending if other not in self.jobs]:
                names = ", ".join(other.job.name for other in absent)
                raise JobError(f"{one.job.name} waits for {names}, which add_job was not given")


def _is_hopeless(one: ControlledJob) -> bool:
    return any(other.has_failed for other in one.depending)


def _begin(one: ControlledJob) -> bool:
    """Submit a job; False if it can't run."""
    if _is_hopeless(one):
        failed = ", ".join(other.job.name for other in one.depending if other.has_failed)
        one.message = f"not begun, as it needs what has failed: {failed}"
        return False
    try:
        one.job.submit()
    except DynamoError as error:
        one.message = str(error)
        return False
    return True
