"""The names of all keys that MapReduce keeps in the store.

    job:NAME:spec                    what the job is: a `JobSpec` as msgpack
    job:NAME:code                    its source file, or its pickled classes; of a run likewise
    job:NAME:status                  how far it is
    job:NAME:history:RUN:record      a run that has ended: its record, as JSON
    job:NAME:history:RUN:tasks:STEP:PART
                                     when its tasks ran, so many in a part; "2.sample" is a step too
    job:RUN:borders:STEP             the keys at which the partitions of a total order begin
    job:PHASE:begun:TERM             the run as the phase began: `RunState` as msgpack
    job:PHASE:plan:TERM:SEQ          what each of its map tasks reads: some splits as msgpack; of
                                     several terms the highest holds
    job:PHASE:journal:TERM:SEQ       what its tasks have come to: see `mapreduce.cluster.journal`
    job:PHASE:log:KIND-INDEX.ATTEMPT what an attempt printed
    job:RUN.servers:SERVER:LIFE:SEQ  what a server said of the run: see
                                     `mapreduce.cluster.serverlog`
    piece:{PHASE:REDUCER}:MAP.ATTEMPT.RUN:BLOCK
                                     one block of a sorted run from one map attempt to one reducer

NAME is a job's name (`check_job_name`), a run's begins with that of its job, and PHASE is what the
scheduler calls one step of a run: RUN.STEP, or RUN.STEP.sample. Numbers are decimal and padded so
that keys sort like numbers, STEP and ATTEMPT count from 1, RUN (of a piece), BLOCK and SEQ from 0,
and TERM is that of the master that wrote the key (`mapreduce.cluster.election`). All that is meant
for one reducer shares the routing part in braces, and so lives on the nodes of
`home(phase, reducer)`.
"""

import functools
import re

from dynamo.errors import RequestError
from dynamo.files import chunks_prefix
from mapreduce.data.pieces import Piece
from mapreduce.engine.events import AttemptId

JOBS = "job:"
"""The prefix of everything that is kept about jobs."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_job_name(name: str) -> None:
    """Raise if `name` can't name a job.

    >>> check_job_name("wordcount-2")
    """
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"{name!r} can't name a job: a name has 1 to 100 letters, digits, '.', '_' or '-', "
            "the first a letter or digit"
        )


def of_job(job: str) -> str:
    """The prefix of all that is kept about a job, its pieces apart."""
    return f"{JOBS}{job}:"


def spec(job: str) -> str:
    return f"{JOBS}{job}:spec"


def code(job: str) -> str:
    return f"{JOBS}{job}:code"


def status(job: str) -> str:
    return f"{JOBS}{job}:status"


def past_runs(job: str) -> str:
    """The prefix of what is kept of the runs of a job that have ended."""
    return f"{of_job(job)}history:"


def past_run(job: str, run: str) -> str:
    """Where the record of a run that has ended is kept."""
    return f"{past_runs(job)}{run}:record"


def past_tasks(job: str, run: str, phase: str = "") -> str:
    """The prefix of the times of a run's tasks, or of those of one phase.

    >>> past_tasks("wc", "wc-1a2b", "wc-1a2b.2.sample")
    'job:wc:history:wc-1a2b:tasks:2.sample:'
    """
    prefix = f"{past_runs(job)}{run}:tasks:"
    return f"{prefix}{phase.removeprefix(run + '.')}:" if phase else prefix


def phase(run: str, step: int, sampling: bool = False) -> str:
    """What the scheduler calls one step of a run, which is counted from 0 here.

    >>> phase("wc-1a2b", 0), phase("wc-1a2b", 1, sampling=True)
    ('wc-1a2b.1', 'wc-1a2b.2.sample')
    """
    return f"{run}.{step + 1}" + (".sample" if sampling else "")


def borders(run: str, step: int) -> str:
    """Where the borders between the partitions of a total order are kept."""
    return f"{borders_of(run)}{step + 1}"


def borders_of(run: str) -> str:
    """The prefix of all borders of a run."""
    return f"{JOBS}{run}:borders:"


def begun(phase: str, term: int) -> str:
    """Where it is kept what was known of the run as the phase began.

    >>> begun("wc-1a2b.1", 7)
    'job:wc-1a2b.1:begun:0000000007'
    """
    return f"{begun_in(phase)}{term:010d}"


def begun_in(phase: str) -> str:
    """The prefix of the same, of all terms."""
    return f"{JOBS}{phase}:begun:"


def plan(phase: str, term: int, sequence: int) -> str:
    """Where a part of what each map task of a phase reads is kept."""
    return f"{plan_of(phase)}{term:010d}:{sequence:010d}"


def plan_of(phase: str) -> str:
    """The prefix of the same, of all terms."""
    return f"{JOBS}{phase}:plan:"


def journal(phase: str, term: int, sequence: int) -> str:
    """Where some entries of a phase's journal are kept.

    >>> journal("wc-1a2b.1", 7, 12)
    'job:wc-1a2b.1:journal:0000000007:0000000012'
    """
    return f"{journal_of(phase)}{term:010d}:{sequence:010d}"


def journal_of(phase: str) -> str:
    """The prefix of a phase's journal."""
    return f"{JOBS}{phase}:journal:"


def run_keys(run: str) -> str:
    """The prefix of all that is kept about the phases of a run: plans, the logs of attempts."""
    return f"{JOBS}{run}."


def logs(phase: str) -> str:
    """The prefix of the logs of all attempts of a phase."""
    return f"{JOBS}{phase}:log:"


def log(attempt: AttemptId) -> str:
    """Where the output of one attempt's user code is kept.

    >>> from mapreduce.engine.events import TaskId
    >>> log(AttemptId(TaskId("wc-1a2b.1", "map", 3), 1))
    'job:wc-1a2b.1:log:map-00003.1'
    """
    return f"{logs(attempt.task.job)}{attempt}"


@functools.lru_cache(1000)
def run_of(phase: str) -> str:
    """The run that a phase belongs to.

    >>> run_of("my.job-1a2b.1"), run_of("wc-1a2b.2.sample")
    ('my.job-1a2b', 'wc-1a2b')
    """
    return phase.removesuffix(".sample").rpartition(".")[0]


def said_of(run: str) -> str:
    """The prefix of what servers have said of a run."""
    return f"{run_keys(run)}servers:"


def said(run: str, server: str, life: str, sequence: int) -> str:
    """Where some lines of one life of a server are kept.

    >>> said("wc-1a2b", "worker-w1", "9f3c", 12)
    'job:wc-1a2b.servers:worker-w1:9f3c:0000000012'
    """
    return f"{said_of(run)}{server}:{life}:{sequence:010d}"


def home(job: str, reducer: int) -> str:
    """A key for `store.locate`: the nodes that hold every piece for this reducer."""
    return f"piece:{{{job}:{reducer:05d}}}"


def pieces(run: str) -> str:
    """The prefix of all intermediate pieces of a run."""
    return f"piece:{{{run}."


def written_by_tasks(run: str) -> tuple[str, ...]:
    """The prefixes of all keys that tasks of a run write: pieces, borders, chunks of parts.

    >>> written_by_tasks("wc-1a2b")
    ('piece:{wc-1a2b.', 'job:wc-1a2b:borders:', 'file:{wc-1a2b/')
    """
    return pieces(run), borders_of(run), chunks_prefix(run)


def block(job: str, partition: int, map_index: int, attempt: int, run: int, block: int) -> str:
    """The key of one block of a piece.

    >>> block("wc", 2, 17, 1, 0, 3)
    'piece:{wc:00002}:00017.1.0:00003'
    """
    return f"{home(job, partition)}:{map_index:05d}.{attempt}.{run}:{block:05d}"


def piece_key(job: str, piece: Piece, index: int) -> str:
    """The key of one block of a piece."""
    return block(job, piece.partition, piece.map_index, piece.attempt, piece.run, index)


def piece_keys(job: str, piece: Piece) -> list[str]:
    """The keys of all blocks of a piece, in order."""
    return [piece_key(job, piece, index) for index in range(piece.blocks)]
