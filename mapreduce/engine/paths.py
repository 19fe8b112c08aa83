"""The names of all keys that MapReduce keeps in the store.

    job:NAME:spec                    what the job is: a `JobSpec` as msgpack
    job:NAME:code                    its source file, or its pickled classes
    job:NAME:status                  how far it is
    job:NAME:log:KIND-INDEX.ATTEMPT  what an attempt printed
    piece:{NAME:REDUCER}:MAP.ATTEMPT.RUN:BLOCK
                                     one block of a sorted run from one map attempt to one reducer

NAME is a job's name (`check_job_name`), numbers are decimal and padded so that keys sort like
numbers, ATTEMPT counts from 1 and RUN and BLOCK from 0. All that is meant for one reducer shares
the routing part in braces, and so lives on the nodes of `home(job, reducer)`.
"""

import re

from dynamo.errors import RequestError
from mapreduce.data.shuffle import Piece
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


def logs(job: str) -> str:
    """The prefix of the logs of all attempts of a job."""
    return f"{JOBS}{job}:log:"


def log(attempt: AttemptId) -> str:
    """Where the output of one attempt's user code is kept.

    >>> from mapreduce.engine.events import TaskId
    >>> log(AttemptId(TaskId("wc", "map", 3), 1))
    'job:wc:log:map-00003.1'
    """
    return f"{logs(attempt.task.job)}{attempt}"


def home(job: str, reducer: int) -> str:
    """A key for `store.locate`: the nodes that hold every piece for this reducer."""
    return f"piece:{{{job}:{reducer:05d}}}"


def pieces(job: str) -> str:
    """The prefix of all intermediate pieces of a job."""
    return f"piece:{{{job}:"


def block(job: str, partition: int, map_index: int, attempt: int, run: int, block: int) -> str:
    """The key of one block of a piece.

    >>> block("wc", 2, 17, 1, 0, 3)
    'piece:{wc:00002}:00017.1.0:00003'
    """
    return f"{home(job, partition)}:{map_index:05d}.{attempt}.{run}:{block:05d}"


def piece_keys(job: str, piece: Piece) -> list[str]:
    """The keys of all blocks of a piece, in order."""
    return [
        block(job, piece.partition, piece.map_index, piece.attempt, piece.run, index)
        for index in range(piece.blocks)
    ]
