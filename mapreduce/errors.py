"""Every public error of MapReduce; each says whose fault it is.

DynamoError
├── RequestError
│   └── JobError        the user's: the job can't run as it is
│       ├── InputMissing    an input that does not exist
│       ├── OutputExists    the output is there already
│       ├── SourceError     the job's source file can't be used
│       ├── ProgramFailed   an executable of the job has not done its work
│       └── BadRecord       an input that does not have its format
│           └── BadPair         user code gave what can't be shuffled or written
│               └── NotAPair        something that is no pair (key, value)
├── NotLeader           this master stands by: ask the one that leads
├── TermOver            this master has led, and another does by now
├── JobFailed           a job has ended without output; carries the user's own traceback
├── SandboxFailed       the worker's machine can't keep what its owner wants of a sandbox
├── ScratchFailed       the local disk of a task is full, or fails
└── PieceLost           intermediate data is gone or damaged: its map task has to run again
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from dynamo.errors import DynamoError, RequestError

TRACEBACK = "Traceback (most recent call last):"


class JobError(RequestError):
    """The job can't run as its user gave it."""


class InputMissing(JobError):
    """An input of the job does not exist. `path` is the input as the user gave it."""

    def __init__(self, path: str, remedy: str) -> None:
        super().__init__(f"no input {path!r}; {remedy}")
        self.path = path


class OutputExists(JobError):
    """The job's output is there already; nothing has been changed."""

    def __init__(self, path: str) -> None:
        super().__init__(f"the output {path!r} exists already; remove it or name another")
        self.path = path


class SourceError(JobError):
    """The source file of a job can't be used: its syntax, or a class that it lacks."""


class ProgramFailed(JobError):
    """An executable of the job could not be started, or did not do its work. `status` is its exit
    status, the negative number of the signal that ended it, or None if it did not run."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class BadRecord(JobError):
    """An input does not have the format the job names, or user code gave what is not a pair."""


class BadPair(BadRecord):
    """User code gave what can't be shuffled or written."""

    is_current = True
    """False if the pair may come from another record than the one that was being mapped."""
    is_about: Callable[[Any], bool] | None = None
    """Tells whether something that user code gives is what is wrong here."""
    output = ""
    """The named output that the pair was for."""

    def late(self, is_about: Callable[[Any], bool] | None = None) -> Self:
        """The same error, seen after other records have been mapped."""
        self.is_current = False
        self.is_about = is_about or self.is_about
        return self

    def of_key(self, key: object) -> Self:
        """The same error, seen late, about a pair of this key."""
        return self.late(lambda given: is_pair(given) and bool(given[0] == key))


class NotAPair(BadPair):
    """User code gave something that is no pair (key, value)."""

    def __init__(self, given: object) -> None:
        remedy = "write: yield key, value"
        if hasattr(given, "__next__"):
            remedy = "to give all that another generator gives, write: yield from ..."
        super().__init__(f"{repr(given)[:80]} is no pair (key, value): {remedy}")
        self.is_about = lambda given: not is_pair(given)

    @classmethod
    def unseen(cls, error: Exception) -> "NotAPair":
        """The same of something that only the interpreter has seen, as it took it apart."""
        made = cls(None)
        made.args = (f"what was given is no pair (key, value): {error}: write: yield key, value",)
        return made


class NotLeader(DynamoError):
    """The master `name` does not lead. `address` is that of the one that does, if it is known."""

    def __init__(self, name: str, leader: str = "", address: str = "") -> None:
        remedy = f"master {leader} does: ask it at {address}" if leader else "nor does another yet"
        super().__init__(f"master {name} does not lead; {remedy}")
        self.leader = leader
        self.address = address


class TermOver(DynamoError):
    """What a master wanted to do in `term` is refused: another one has begun to lead."""

    def __init__(self, term: int) -> None:
        super().__init__(f"term {term} is over: another master leads")
        self.term = term


class JobFailed(DynamoError):
    """A job has ended without output. `error` is what its last attempt said."""

    def __init__(self, job: str, state: str, error: str) -> None:
        super().__init__(f"job {job!r} {state}" + (f":\n{error}" if error else ""))
        self.job = job
        self.state = state
        self.error = error

    @property
    def traceback(self) -> str:
        """The user's own traceback, as it was where the task ran; "" if it was another failure.

        >>> error = "map-00003 failed in its only attempt; the last one said:\\n"
        >>> error += "Traceback (most recent call last):\\n  ...\\nValueError: my own"
        >>> print(JobFailed("wc", "failed", error).traceback)
        Traceback (most recent call last):
          ...
        ValueError: my own
        """
        _, head, rest = self.error.partition(TRACEBACK)
        return head + rest


class SandboxFailed(DynamoError):
    """A worker is to run tasks in a sandbox, and can't; so it does not run any."""


class ScratchFailed(DynamoError):
    """A task can't keep sorted runs on its local disk."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path.name} in the folder {str(path.parent)!r} can't be kept: {reason}; make room, "
            "set TMPDIR to a folder on a larger disk, or give the job more memory_bytes"
        )
        self.path = path


class PieceLost(DynamoError):
    """Intermediate data of the map task `map_index` can't be read."""

    def __init__(self, map_index: int, reason: str) -> None:
        super().__init__(
            f"the output of map task {map_index} is lost: {reason}; it has to run again"
        )
        self.map_index = map_index


def is_pair(given: Any) -> bool:
    """True for what can be a pair (key, value)."""
    return isinstance(given, tuple | list) and len(given) == 2


def place_of(function: object) -> str:
    """What a function of the user's is called, and where it stands: for messages."""
    while (within := getattr(function, "__wrapped__", None)) is not None:
        function = within
    code = getattr(function, "__code__", None)
    where = f" ({code.co_filename}, line {code.co_firstlineno})" if code else ""
    return f"{getattr(function, '__qualname__', repr(function))}{where}"
