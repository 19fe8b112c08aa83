"""A job on a cluster, for a program that does something else meanwhile, or comes back to it."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from mapreduce.cluster import history, records
from mapreduce.cluster.connection import Record
from mapreduce.cluster.history import PastTask
from mapreduce.cluster.records import JobRecord
from mapreduce.data import outputs
from mapreduce.engine import sidefiles
from mapreduce.engine.events import JobState
from mapreduce.engine.status import JobStatus
from mapreduce.engine.summary import summarise
from mapreduce.errors import JobFailed
from mapreduce.runners import bars, logs, notebook, waiting
from mapreduce.runners.connections import Connections
from mapreduce.runners.logs import Log
from mapreduce.runners.result import Progress, RunResult


class JobHandle:
    """The job `name` of a cluster: what can be asked of it and done with it.

    Every call asks the master anew: a handle may be kept for long, and any number of programs may
    have one. Calls raise `JobError` if the job is not in the state
    for them, and `Unreachable` if no master answers.
    """

    def __init__(self, name: str, to: Connections) -> None:
        self.name = name
        self._to = to
        self._master = to.master
        self._store = to.store

    def record(self) -> Record:
        """All that the master says of the job, as plain data: `mapreduce status --json`."""
        return self._master.job_status(self.name)

    def status(self) -> JobStatus:
        """Where the job stands; times are seconds since 1970."""
        return _as_status(self.record())

    @property
    def counters(self) -> dict[str, int]:
        """The counters of all tasks that are done, the user's among them; each task counts once."""
        counters: dict[str, int] = self.record()["counters"]
        return counters

    def wait(
        self, timeout_s: float | None = None, progress: Progress | bool | None = None
    ) -> JobStatus:
        """Return when the job has ended, or `timeout_s` is over.

        `progress` is a function that hears how far it is, or True for progress bars, which a
        notebook shows if nothing is said. Ctrl-C ends the waiting, and not the job. While no
        master answers this goes on asking, for ten seconds at most.
        """
        with self._shown(progress) as show:
            return _as_status(self._awaited(math.inf if timeout_s is None else timeout_s, show))

    def _awaited(self, timeout_s: float, show: Callable[[Record], object]) -> Record:
        """The last record of those that are shown until the job has ended."""
        give_up_at = time.monotonic() + timeout_s

        def ask() -> Record:
            return self._master.await_job(self.name, max(0.0, give_up_at - time.monotonic()))

        try:
            for record in waiting.records(ask):
                show(record)
                if time.monotonic() > give_up_at:
                    break
            return record
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(
                f"job {self.name} goes on; Cluster(...).job({self.name!r}) comes back to it, "
                "and its kill() ends it"
            )
            raise

    @contextlib.contextmanager
    def _shown(self, progress: Progress | bool | None) -> Iterator[Callable[[Record], object]]:
        """What shows how far the job is."""
        if notebook.is_here() and not callable(progress) and progress is not False:
            with notebook.live(self.record()) as show:
                yield show
        else:
            with bars.told(progress) as tell:
                yield lambda record: tell(_as_status(record))

    def run(self) -> JobStatus:
        """Start the job again, which has failed or was killed."""
        return _as_status(self._master.run_job(self.name))

    def kill(self, task: str | None = None) -> JobStatus:
        """Stop the job: its processes end, and its intermediate data goes. Or only what runs of
        `task`, such as "map-00003", which then starts again."""
        if task is None:
            return _as_status(self._master.kill_job(self.name))
        return _as_status(self._master.kill_task(self.name, task))

    def pause(self) -> JobStatus:
        """Start no further task of the job; those that run go on."""
        return _as_status(self._master.pause_job(self.name))

    def resume(self) -> JobStatus:
        """Let the job go on, which is paused."""
        return _as_status(self._master.resume_job(self.name))

    def remove(self, output: bool = False) -> None:
        """Delete all that is kept of the job, its logs and history too, and its output if that is
        wanted. A job that runs is not removed."""
        self._master.remove_job(self.name, output)

    def results(self) -> RunResult:
        """The output of the job, once it has succeeded: this waits for its end. Raises `JobFailed`
        with the remote traceback if there is none."""
        record = self._awaited(math.inf, lambda record: None)
        if record["state"] != JobState.SUCCEEDED:
            raise JobFailed(self.name, record["state"], record["error"])
        output = outputs.open_output("store", record["output"], self._store)
        return RunResult(
            record["output"],
            record["output_format"],
            _summary(record),
            [name for name in output.files() if outputs.holds_output(name)],
            functools.partial(_read, self._to, record["output"]),
        )

    def logs(self, task: str | None = None) -> list[Log]:
        """What the attempts of the latest run have printed, or only those of `task`: a kind, a
        task or an attempt, such as "map", "map-00003" or "map-00003.1"."""
        run = self.record()["run"]
        return list(logs.read(self._store, run, task)) if run else []

    def history(self) -> list[JobRecord]:
        """The records of the job's runs that have ended, the newest first."""
        return history.runs(self._store, self.name)

    def past_tasks(self, run: str | None = None) -> list[PastTask]:
        """When each task of a run that has ended ran, where, and how its attempts ended; of the
        latest, if none of `history` is named."""
        chosen = run or next((record.run for record in self.history()), None)
        return list(history.tasks(self._store, self.name, chosen)) if chosen else []

    def forget_files(self) -> None:
        """Delete the side files and modules of the job, which can't run again without them."""
        sidefiles.remove(self._store, records.read_spec(self._store, self.name)[0])

    def __repr__(self) -> str:
        return f"<JobHandle {self.name}>"

    def _repr_html_(self) -> str:
        return notebook.job(self.record())


def _read(to: Connections, folder: str, part: str) -> Iterator[bytes]:
    """The blocks of a part of the output; the connections stay open for as long as it is wanted."""
    yield from outputs.open_output("store", folder, to.store).read(part)


def _as_status(record: Record) -> JobStatus:
    return msgspec.convert({**record, "job": record["name"]}, JobStatus)


def _summary(record: Record) -> dict[str, Any]:
    seconds = (record["ended_at"] or time.time()) - record["started_at"]
    return summarise(record["name"], seconds, record["told"], record["counters"], record["skipped"])
