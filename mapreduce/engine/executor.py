"""Child processes that run tasks: warm, and able to be killed."""

from collections.abc import Callable
from types import TracebackType

import msgspec

from dynamo.store import Store
from mapreduce.data.inputs import Files
from mapreduce.engine.events import AttemptId, TaskId
from mapreduce.engine.orders import TaskOrder, TaskResult


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended. `result` is None if it failed, and then `error` says why."""

    attempt: AttemptId
    result: TaskResult | None = None
    error: str = ""
    """For people: the user's own traceback, or how the process died."""
    lost: tuple[TaskId, ...] = ()
    """Map tasks whose output this reduce attempt could not read."""
    output: str = ""
    """What user code printed, the last 64 KiB of it."""


class Executor:
    """Runs attempts in `slots` warm child processes, each in a session of its own.

    `open_store` is pickled and called once in each child: it gives the store that holds the job's
    code (`paths.code(job)`), the pieces and, with `files="store"`, the inputs and outputs.
    `on_done` is called from a thread of the executor, once for each attempt that was started,
    except for those that were killed.
    """

    def __init__(
        self,
        slots: int,
        open_store: Callable[[], Store],
        on_done: Callable[[Outcome], None],
        *,
        files: Files = "store",
    ) -> None:
        raise NotImplementedError

    @property
    def running(self) -> tuple[AttemptId, ...]:
        """The attempts that have been started and have neither ended nor been killed."""
        raise NotImplementedError

    def start(self, order: TaskOrder) -> None:
        """Run an attempt in the next free slot. Returns at once."""
        raise NotImplementedError

    def kill(self, attempt: AttemptId) -> None:
        """End an attempt and every process it has started; nothing more is heard of it.

        Returns at once; killing what is not running is no error."""
        raise NotImplementedError

    def close(self) -> None:
        """End all children. Blocks until they are gone."""
        raise NotImplementedError

    def __enter__(self) -> "Executor":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
