"""One run of a job: its steps one after the other, and the orders for their tasks.

To the scheduler each step is a job of its own, and so is the sampling that goes before a step with
a total order: it is a small MapReduce itself, whose one reducer stores the borders of partitions.
`Run` says what comes next and remembers what was; the drivers (`mapreduce.runners.drive`, the
master) tell the scheduler. Everything here blocks on the store where it takes one.

Between two steps the pairs are a folder of files in the format "pickle", which goes with the run.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from dynamo.store import Store
from mapreduce.data import formats, inputs, outputs, sampling
from mapreduce.data.inputs import Files, InputSpec, Split
from mapreduce.data.outputs import Part
from mapreduce.data.pieces import Piece
from mapreduce.engine import paths, summary
from mapreduce.engine.earlyreduces import EarlyReduces
from mapreduce.engine.events import AttemptId, JobStarted
from mapreduce.engine.orders import BETWEEN, JobSpec, MorePieces, PhaseOrder, TaskOrder, TaskResult
from mapreduce.engine.status import JobStatus

SKIPPING_FAILURES = 2
"""A task that has failed so often may have bad records: what was wrong elsewhere mostly has gone
by then."""

Results = Callable[[str], Sequence[TaskResult]]
"""The results of the winning map attempts of a phase, in order of task."""


class Phase(NamedTuple):
    """What the scheduler runs as one job. `step` counts from 0."""

    step: int
    sampling: bool = False


def phases(spec: JobSpec) -> list[Phase]:
    """What a run of the job consists of.

    >>> from mapreduce.engine.orders import StepSpec
    >>> steps = StepSpec(), StepSpec(reducers=2, total_order=True)
    >>> phases(JobSpec(name="sort", inputs=(), output="/out", steps=steps))
    [Phase(step=0, sampling=False), Phase(step=1, sampling=True), Phase(step=1, sampling=False)]
    """
    return [
        Phase(number, sampling)
        for number, step in enumerate(spec.steps)
        for sampling in (True, False)
        if not sampling or (step.total_order and step.reducers > 1)
    ]


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """A run as one of its phases begins: what was before, which another process needs to go on."""

    phase: int = 0
    """Which of its phases begins, counted from 0."""
    steps: tuple[dict[str, Any], ...] = ()
    """What is told of the steps that have ended."""
    named_parts: tuple[Part, ...] = ()
    """What they gave to named outputs."""
    counters: dict[str, int] = {}
    skipped: tuple[dict[str, Any], ...] = ()
    """The first of the records that they have left out."""
    sampled: dict[str, Any] = {}
    """What is told of the sampling for the phase."""


class Run:
    """What is known of a run beside the scheduler's tables.

    `files` says where plain paths are. `work` is a folder for what goes from step to step.
    `limit` bounds the records that are mapped, if tasks run one after the other.
    """

    def __init__(
        self, id: str, spec: JobSpec, files: Files, work: str, limit: int | None = None
    ) -> None:
        self.id = id
        self.spec = spec
        self.keep_parts = False
        """True once the output may be visible: its parts are not to be deleted any more."""
        self.visible: tuple[Part, ...] = ()
        """The parts that `commit` has made the job's output of, or was about to."""
        self.state = RunState()
        """What was before the current phase, and which one that is."""
        self.splits: list[Split] = []
        """What the map tasks of the current phase read: all, or a thin part of it for sampling."""
        self._files = files
        self._work = work.rstrip("/")
        self._limit = limit
        self._phases = phases(spec)
        self._splits: list[Split] = []
        self._pieces: list[list[Piece]] | None = None
        self._early = EarlyReduces()

    @property
    def phase(self) -> Phase:
        return self._phases[self.state.phase]

    @property
    def job(self) -> str:
        """What the scheduler calls the current phase."""
        return paths.phase(self.id, *self.phase)

    @property
    def all_phases(self) -> list[str]:
        """What the scheduler calls the run's phases, in order."""
        return [paths.phase(self.id, *phase) for phase in self._phases]

    @property
    def is_last(self) -> bool:
        return self.state.phase == len(self._phases) - 1

    @property
    def reducers(self) -> int:
        """The number of reduce tasks of the current phase."""
        return 1 if self.phase.sampling else self.spec.steps[self.phase.step].reducers

    @property
    def output(self) -> str:
        """The folder that the current step writes."""
        return self.spec.output if self._is_final else self._between(self.phase.step)

    @property
    def output_format(self) -> str:
        return self.spec.output_format if self._is_final else BETWEEN

    @property
    def _is_final(self) -> bool:
        """True if the current step makes the job's output."""
        return self.phase.step == len(self.spec.steps) - 1

    def _between(self, step: int) -> str:
        return f"{self._work}/step-{step + 1}"

    # A phase begins ------------------------------------------------------------------------------

    def plan(self, store: Store) -> JobStarted:
        """Look up what the current phase reads and where it is. Raises `InputMissing`."""
        step, is_sampling = self.phase
        if not (self._splits and self._follows_its_sampling):
            self._splits = inputs.plan(
                self._files,
                self.spec.inputs if step == 0 else [InputSpec(self._between(step - 1), BETWEEN)],
                store,
                split_bytes=self.spec.split_bytes,
                least_split_bytes=self.spec.least_split_bytes,
            )
        self.splits = self._splits
        if is_sampling:
            self.splits = sampling.thinned(self._splits)
        self._pieces, self._early = None, EarlyReduces()
        return self._started(store)

    def _started(self, store: Store) -> JobStarted:
        return JobStarted(
            self.job,
            tuple(split.nodes for split in self.splits),
            tuple(self._home(store, index) for index in range(self.reducers)),
            self.spec.max_attempts,
            priority=self.spec.priority,
            max_running=self.spec.max_running,
            # On one machine all slots are busy with maps, and nothing has far to go.
            slow_start=1.0 if self._files == "local" else self.spec.slow_start,
            backups=self.spec.backups,
        )

    def go_on(self, state: RunState, splits: Sequence[Split], store: Store) -> JobStarted:
        """Begin the phase that `state` tells of, which reads `splits`, in place of `plan`."""
        self.state = state
        self.splits = list(splits)
        self._splits, self._pieces = [], None
        return self._started(store)

    @property
    def _follows_its_sampling(self) -> bool:
        before = self.state.phase - 1
        return before >= 0 and self._phases[before].step == self.phase.step

    def _home(self, store: Store, reducer: int) -> tuple[str, ...]:
        if self._files == "local":
            return ()
        return store.locate(paths.home(self.job, reducer))

    # It runs -------------------------------------------------------------------------------------

    def order(self, attempt: AttemptId, map_results: Results, failures: int = 0) -> TaskOrder:
        """What the worker has to know of it; `map_results` is asked when a reduce is ordered.
        `failures` is how often the task has failed."""
        index, skipping = attempt.task.index, self._is_skipping(failures)
        if attempt.task.kind == "reduce":
            left = self._maps_left(map_results)
            return TaskOrder(
                attempt=attempt,
                pieces=self._pieces_for(index, map_results),
                maps_left=left,
                told=self._early.won,
                skipping=skipping and not left,
            )
        split, limit = self.splits[index], self._left(map_results)
        return TaskOrder(attempt=attempt, split=split, limit=limit, skipping=skipping)

    def _is_skipping(self, failures: int) -> bool:
        """Bad records are looked for when a task has failed twice, or has one try left."""
        least = min(SKIPPING_FAILURES, self.spec.max_attempts - 1)
        return self.spec.skip_bad_records > 0 and failures >= least

    @property
    def phase_order(self) -> PhaseOrder:
        """What the workers have to know of the current phase."""
        step, is_sampling = self.phase
        return PhaseOrder(
            name=self.job,
            spec=self.spec,
            run=self.id,
            step=step,
            sampling=is_sampling,
            output=self.output,
            output_format=self.output_format,
        )

    def _left(self, map_results: Results) -> int | None:
        """How many records of the job's inputs may still be mapped."""
        if self._limit is None or self.phase.step > 0:
            return None
        read = (result.counters.get("map_input_records", 0) for result in map_results(self.job))
        return max(0, self._limit - sum(read))

    def _pieces_for(self, partition: int, map_results: Results) -> tuple[Piece, ...]:
        if self._pieces is None:
            self._pieces = [[] for _ in range(self.reducers)]
            for piece in (p for result in map_results(self.job) for p in result.pieces):
                self._pieces[piece.partition].append(piece)
        return tuple(self._pieces[partition])

    def _maps_left(self, map_results: Results) -> int:
        return len(self.splits) - len(map_results(self.job))

    def maps_changed(self) -> None:
        """A map has finished: what is known of its pieces is out of date."""
        self._pieces = None

    # Reduces that begin before all maps are done -------------------------------------------------

    def map_won(self, result: TaskResult) -> None:
        """A map has finished, of which reduces that run already have to be told."""
        self.maps_changed()
        self._early.map_won(result)

    def tell_more(self, order: TaskOrder, worker: str) -> None:
        """A reduce was started early: it is told of the maps that finish from now on."""
        self._early.started(order.attempt, worker, order.told)

    def retell(self, attempt: AttemptId, worker: str) -> None:
        """A reduce that was started early has missed something, or is of an earlier leader."""
        self._early.started(attempt, worker, None)

    def news(self, map_results: Results) -> list[tuple[str, MorePieces]]:
        """What reduces that were started early have to be told now, and their workers."""
        if not self._early:
            return []
        results = map_results(self.job)
        return self._early.news(results, len(self.splits) - len(results))

    # It has ended --------------------------------------------------------------------------------

    def counters(self, results: Sequence[TaskResult], status: JobStatus) -> dict[str, int]:
        """The counters of all steps together, those of the present one from its `results`."""
        counters = Counter(self.state.counters)
        counters.update(self._counted(results, status))
        return dict(sorted(counters.items()))

    def _counted(self, results: Sequence[TaskResult], status: JobStatus) -> Counter[str]:
        if self.phase.sampling:
            return Counter()
        counters = summary.total_counters(results)
        counters.update(summary.locality_counters(status))
        return counters

    def skipped(self, results: Sequence[TaskResult]) -> list[dict[str, Any]]:
        """The records that all steps have left out, those of the present one from its `results`;
        the first of them."""
        now = [] if self.phase.sampling else summary.skipped_records(results, self.phase.step)
        return [*self.state.skipped, *now][: summary.SKIPPED_TOLD]

    def told(self, status: JobStatus, now: float) -> list[dict[str, Any]]:
        """All steps up to the present one, as `mapreduce.engine.summary` tells of them."""
        if self.phase.sampling:
            return list(self.state.steps)
        return [*self.state.steps, {**self.state.sampled, **summary.step(status, now)}]

    def seen(self, status: JobStatus) -> JobStatus:
        """The scheduler's status of the current phase as that of the job."""
        return replace(
            status,
            job=self.spec.name,
            step=self.phase.step + 1,
            steps=len(self.spec.steps),
            sampling=self.phase.sampling,
        )

    def names(self, results: Sequence[TaskResult]) -> list[str]:
        """The names of the files of the main output, in order of partition."""
        if self._merged:
            return [self._merged]
        return [part.name for part in _parts(results) if outputs.is_main(part.name)]

    @property
    def _merged(self) -> str:
        """The name of the one file of output, "" if there is one for each partition."""
        if not self.spec.merged or not self._is_final:
            return ""
        return outputs.merged_name(formats.writing(self.spec.output_format).extension)

    def commit(self, store: Store, results: Sequence[TaskResult], told: Mapping[str, Any]) -> None:
        """Make the output of the current phase visible: to all, or to the step after it."""
        if self.phase.sampling:
            return
        parts = _parts(results)
        if self._is_final:
            parts += self.state.named_parts
            self.visible = tuple(parts)
        else:
            parts = [part for part in parts if outputs.is_main(part.name)]
        sink = outputs.open_output(self._files, self.output, store, self.id)
        sink.commit(parts, told, self._merged)

    def advance(self, status: JobStatus, results: Sequence[TaskResult], now: float) -> None:
        """Go on to the next phase, as the current one has succeeded."""
        state = self.state
        if self.phase.sampling:
            told = {"sample": summary.stage(status.map, now)}
            self.state = replace(state, phase=state.phase + 1, sampled=told)
            return
        named = (part for part in _parts(results) if not outputs.is_main(part.name))
        self.state = RunState(
            phase=state.phase + 1,
            steps=tuple(self.told(status, now)),
            named_parts=(*state.named_parts, *named),
            counters=self.counters(results, status),
            skipped=tuple(self.skipped(results)),
        )

    def discard(self, store: Store, attempt: AttemptId, result: TaskResult) -> None:
        """Delete what an attempt has stored and nobody will use."""
        phase = attempt.task.job
        keys = [key for piece in result.pieces for key in paths.piece_keys(phase, piece)]
        store.multi_delete(keys, durable=False)
        if not self.keep_parts:
            for part in result.parts:
                outputs.open_output(self._files, self.output, store).discard(part)


def _parts(results: Sequence[TaskResult]) -> list[Part]:
    return [part for result in results for part in result.parts]
