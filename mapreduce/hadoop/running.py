"""A job that was submitted: in a thread of this program, or on a cluster."""

import threading
from concurrent.futures import Future
from typing import Any, Protocol

from mapreduce.engine.events import JobState
from mapreduce.engine.status import JobStatus
from mapreduce.errors import JobError, JobFailed
from mapreduce.job import Job
from mapreduce.runners import bars
from mapreduce.runners.handle import JobHandle
from mapreduce.runners.result import RunResult


class Running(Protocol):
    """What can be asked of a job that was submitted."""

    name: str
    """What it is called where it runs."""

    def status(self) -> JobStatus | None:
        """Where it stands; None if nothing is known yet."""

    def state(self) -> JobState: ...

    def wait(self, verbose: bool) -> RunResult:
        """The result, when it has ended. Raises `JobFailed`."""

    def kill(self) -> None: ...


class KilledHere(Exception):
    """The program has killed its own job."""


class Here:
    """A job of processes of this machine, in a thread that waits for them."""

    def __init__(self, job: Job, output: str, processes: int | None) -> None:
        self.name = job.name
        self._job, self._output, self._processes = job, output, processes
        self._status: JobStatus | None = None
        self._killed = False
        self._begun = threading.Event()
        self._done: Future[RunResult] = Future()
        self._show: Any = None
        threading.Thread(target=self._run, name=f"job {job.name}").start()
        self._begun.wait()
        refused = self._done.exception() if self._done.done() else None
        if refused is not None and self._status is None:
            raise refused

    def status(self) -> JobStatus | None:
        return self._status

    def state(self) -> JobState:
        if not self._done.done():
            return JobState.RUNNING
        error = self._done.exception()
        if error is None:
            return JobState.SUCCEEDED
        return JobState.KILLED if isinstance(error, KilledHere) else JobState.FAILED

    def wait(self, verbose: bool) -> RunResult:
        try:
            with bars.told(verbose) as self._show:
                return self._done.result()
        except KilledHere:
            raise JobFailed(self._job.name, "killed", "kill_job was called") from None
        except KeyboardInterrupt:
            self.kill()
            raise

    def kill(self) -> None:
        self._killed = True

    def _run(self) -> None:
        try:
            result = self._job.run(
                output=self._output, processes=self._processes, progress=self._hear
            )
        except BaseException as error:
            self._done.set_exception(error)
        else:
            self._done.set_result(result)
        finally:
            self._begun.set()

    def _hear(self, status: JobStatus) -> None:
        """The runner tells how far it is some times a second."""
        self._status = status
        self._begun.set()
        if self._show is not None:
            self._show(status)
        if self._killed and not status.state.ended:
            raise KilledHere


class OnCluster:
    """A job of a cluster."""

    def __init__(self, handle: JobHandle) -> None:
        self.name = handle.name
        self._handle = handle

    def status(self) -> JobStatus | None:
        return self._handle.status()

    def state(self) -> JobState:
        return self._handle.status().state

    def wait(self, verbose: bool) -> RunResult:
        self._handle.wait(progress=verbose)
        return self._handle.results()

    def kill(self) -> None:
        self._handle.kill()


class Ended:
    """A job that was run while it was submitted."""

    def __init__(self, name: str, result: RunResult) -> None:
        self.name = name
        self._result = result

    def status(self) -> JobStatus | None:
        return None

    def state(self) -> JobState:
        return JobState.SUCCEEDED

    def wait(self, verbose: bool) -> RunResult:
        return self._result

    def kill(self) -> None:
        raise JobError("the job has ended")
