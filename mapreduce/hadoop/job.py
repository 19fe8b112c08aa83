"""`Job` in Hadoop's style: set what it is made of, then submit it and wait."""

import logging
import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from mapreduce import job as engine
from mapreduce.engine.events import JobState
from mapreduce.errors import JobError, JobFailed
from mapreduce.hadoop.contexts import counter_name
from mapreduce.hadoop.running import Ended, Here, OnCluster, Running
from mapreduce.hadoop.setup import JobSetup
from mapreduce.runners.result import RunResult

_log = logging.getLogger(__name__)


class Job(JobSetup):
    """A job that is set up step by step.

    `runner` is where it runs: "local" (processes of this machine), "inline" (this process, for
    debuggers: errors of user code are raised where they happen), or "cluster", that of the file
    `cluster`. Without setters it is Hadoop's: a mapper and a reducer that hand everything on, one
    reduce task, LongWritable and Text. Classes may be given by name, as "module:Class".

    >>> import pathlib, tempfile
    >>> from mapreduce.hadoop import IntWritable, Job, Mapper, Reducer, Text
    >>> class Words(Mapper):
    ...     def map(self, key, value, context):
    ...         for word in str(value).split():
    ...             context.write(Text(word), IntWritable(1))
    >>> class Sum(Reducer):
    ...     def reduce(self, key, values, context):
    ...         context.write(key, IntWritable(sum(value.get() for value in values)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "book").write_text("to be or not to be")
    ...     job = Job("word count", runner="inline")
    ...     job.set_mapper_class(Words)
    ...     job.set_reducer_class(Sum)
    ...     job.set_output_key_class(Text)
    ...     job.set_output_value_class(IntWritable)
    ...     job.add_input_path(f"{folder}/book")
    ...     job.set_output_path(f"{folder}/out")
    ...     job.wait_for_completion(), list(job.result())
    (True, [('be', '2'), ('not', '1'), ('or', '1'), ('to', '2')])
    """

    def __init__(
        self,
        name: str = "job",
        configuration: Mapping[str, object] | None = None,
        *,
        runner: engine.Runner = "local",
        cluster: str | Path = "cluster.ini",
        processes: int | None = None,
    ) -> None:
        super().__init__(name, configuration, runner)
        self.cluster, self.processes = cluster, processes
        self.failure = ""
        """Why the job has failed, once that is known."""
        self._running: Running | None = None
        self._result: RunResult | None = None

    @classmethod
    def get_instance(
        cls, configuration: Mapping[str, object] | None = None, name: str = "job", **where: Any
    ) -> "Job":
        return cls(name, configuration, **where)

    def submit(self) -> None:
        """Start the job and return; with the runner "inline" it has ended then.

        Raises `JobError`, before anything has changed, for a job that can't run, an input that does
        not exist, or an output that does.
        """
        if self._running is not None:
            raise JobError(f"the job {self.name!r} was submitted already: make another one")
        job, output = self._checked(self._without_paths()), str(self._output)
        if self.runner == "cluster":
            # Not before it is needed: it brings gevent and zerorpc.
            from mapreduce.runners.cluster import Cluster

            self._running = OnCluster(Cluster(self.cluster).submit(job, output=output))
        elif self.runner == "inline":
            self._running = Ended(job.name, job.run(output=output, runner="inline"))
        else:
            self._running = Here(job, output, self.processes)

    def wait_for_completion(self, verbose: bool = False) -> bool:
        """Submit the job, if that was not done, and wait for its end: True if it has succeeded,
        else `failure` says why, and the log does. `verbose` shows progress and the counters."""
        if self._running is None:
            self.submit()
        assert self._running is not None
        try:
            self._result = self._running.wait(verbose)
        except JobFailed as error:
            self.failure = str(error)
            _log.error("%s", error)
            return False
        if verbose:
            for name, value in sorted(self._result.counters.items()):
                print(f"{name:>40} {value:,}", file=sys.stderr)
        return True

    @property
    def status(self) -> JobState | None:
        """None until it is submitted."""
        return None if self._running is None else self._running.state()

    def get_job_id(self) -> str:
        """What it is called where it runs: for `mapreduce status`, `logs` and `history`."""
        return self._submitted().name

    def is_complete(self) -> bool:
        return self.status is not None and self.status.ended

    def is_successful(self) -> bool:
        return self.status is JobState.SUCCEEDED

    def map_progress(self) -> float:
        """How much of the map tasks' work is done, from 0 to 1, by the records they are at."""
        return self._progress("map")

    def reduce_progress(self) -> float:
        """How many of the reduce tasks are done, from 0 to 1; of one that runs nothing is known
        unless it sets `context.context.progress`."""
        return self._progress("reduce")

    def _progress(self, stage: str) -> float:
        if self._running is None or self.is_successful():
            return float(self._running is not None)
        status = self._running.status()
        if status is None or status.sampling:
            return 0.0
        counts = getattr(status, stage)
        return float((counts.done + counts.underway) / counts.total) if counts.total else 0.0

    def kill_job(self) -> None:
        """End its processes and leave no output."""
        self._submitted().kill()

    def result(self) -> RunResult:
        """The output, pair by pair; waits for the end. Raises `JobFailed`."""
        if self._result is None:
            self._result = self._submitted().wait(False)
        return self._result

    def _submitted(self) -> Running:
        if self._running is None:
            raise JobError(f"the job {self.name!r} was not submitted")
        return self._running

    def get_counters(self) -> dict[str, int]:
        """All counters of the job by name, a user's as "group.name", when it has succeeded."""
        return self.result().counters

    def find_counter(self, group: str | Enum, name: str | None = None) -> int:
        """What a user's counter says when the job has succeeded; 0 for one that nobody counted."""
        return self.get_counters().get(counter_name(group, name), 0)
