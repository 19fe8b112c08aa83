"""`Job`: a mapper, a reducer, and three ways to run them. The top of the house: it knows the
runners, and no task process imports it."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from mapreduce.engine import paths, shipping
from mapreduce.engine.orders import JobSpec
from mapreduce.errors import JobError
from mapreduce.runners.result import Progress, RunResult

Runner = Literal["local", "inline", "cluster"]


class Job:
    """A job as a value: it can be run any number of times.

    `mapper`, `reducer` and `combiner` are classes, or functions that make objects with the
    methods of `Mapper` and `Reducer`. Without a reducer the mapper's pairs are the output.

    >>> import tempfile, pathlib
    >>> from mapreduce import Job, Mapper, Reducer
    >>> class Words(Mapper):
    ...     def map(self, key, value):
    ...         return [(word, 1) for word in value.split()]
    >>> class Sum(Reducer):
    ...     def reduce(self, key, values):
    ...         yield key, sum(values)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     book = pathlib.Path(folder, "book.txt")
    ...     _ = book.write_text("to be or\\nnot to be\\n")
    ...     list(Job("wc", mapper=Words, reducer=Sum).run(book, runner="inline"))
    [('be', 2), ('not', 1), ('or', 1), ('to', 2)]
    """

    def __init__(
        self,
        name: str,
        *,
        mapper: Callable[[], Any],
        reducer: Callable[[], Any] | None = None,
        combiner: Callable[[], Any] | None = None,
        reducers: int = 1,
        input_format: str = "text",
        output_format: str = "text",
        max_attempts: int = 4,
        split_bytes: int = 16 << 20,
    ) -> None:
        paths.check_job_name(name)
        if reducers < 0 or max_attempts < 1 or split_bytes < 1:
            raise JobError(
                "a job has reducers >= 0, max_attempts >= 1 and split_bytes >= 1, "
                f"not {reducers}, {max_attempts} and {split_bytes}"
            )
        if combiner is not None and reducer is None:
            raise JobError("a combiner without a reducer would change nothing; give the job both")
        self.name = name
        self.mapper = mapper
        self.reducer = reducer
        self.combiner = combiner
        self.reducers = reducers if reducer is not None else 0
        self.input_format = input_format
        self.output_format = output_format
        self.max_attempts = max_attempts
        self.split_bytes = split_bytes

    def run(
        self,
        *inputs: str | Path,
        output: str | Path | None = None,
        runner: Runner = "local",
        processes: int | None = None,
        cluster: str | Path = "cluster.ini",
        progress: Progress | None = None,
    ) -> RunResult:
        """Run over `inputs`: files, folders or globs; with runner "cluster" paths in the store.

        Without an `output` folder the result holds the pairs as the objects that the reducer
        yielded; they are in a temporary place and go with the result. `processes` is for "local",
        `cluster` names the configuration for "cluster". Raises `JobFailed`, or for "inline" what
        user code raises.
        """
        if runner not in ("local", "inline", "cluster"):
            raise JobError(f"no runner {runner!r}; there are local, inline and cluster")
        if runner == "cluster":
            # Not before it is needed: it brings gevent and zerorpc.
            from mapreduce.runners import cluster as on_cluster

            there = "" if output is None else str(output)
            spec, code = self._spec(inputs, there, output is None, same_machine=False)
            return on_cluster.run(spec, code, cluster=cluster, progress=progress)
        kept = Path(tempfile.mkdtemp(prefix="mapreduce-out-")) if output is None else None
        try:
            spec, code = self._spec(inputs, str(kept or output), output is None, same_machine=True)
            result = _run_here(spec, code, runner, processes, progress)
        except BaseException:
            if kept is not None and kept.exists():
                kept.rmdir()
            raise
        if kept is not None:
            result.remove_with_me(kept)
        return result

    def _spec(
        self, inputs: tuple[str | Path, ...], output: str, as_objects: bool, same_machine: bool
    ) -> tuple[JobSpec, bytes]:
        code, data = shipping.pickle_classes(
            self.mapper, self.reducer, self.combiner, same_machine=same_machine
        )
        spec = JobSpec(
            name=self.name,
            inputs=tuple(map(str, inputs)),
            output=output,
            code=code,
            reducers=self.reducers,
            input_format=self.input_format,
            output_format="pickle" if as_objects else self.output_format,
            max_attempts=self.max_attempts,
            split_bytes=self.split_bytes,
        )
        return spec, data


def _run_here(
    spec: JobSpec, code: bytes, runner: Runner, processes: int | None, progress: Progress | None
) -> RunResult:
    if runner == "inline":
        from mapreduce.runners import inline

        return inline.run(spec, code, progress=progress)
    from mapreduce.runners import local

    return local.run(spec, code, processes=processes, progress=progress)
