"""What a JSON master or worker is to do, and what it hears of that beside messages.

`Master.handle(event, now)` and `Worker.handle(event)` answer with a list of actions, which the
shell (`master_process`, `worker_process`) carries out in order. Times are in seconds.
"""

import msgspec

from mapreduce.jsonwire.messages import AnyMessage, Order


class Action(msgspec.Struct, frozen=True):
    """Something to be done."""


class Send(Action, frozen=True):
    """Send a message on a new connection, behind what is still on its way to that address."""

    host: str
    port: int
    message: AnyMessage
    patience_s: float
    """How long it is tried again, while nobody accepts it."""


class Drop(Action, frozen=True):
    """Forget what could not be delivered to that address so far."""

    host: str
    port: int


class Report(Action, frozen=True):
    """Tell whoever looks on."""

    text: str


class Stop(Action, frozen=True):
    """End."""

    flush_s: float = 0.0
    """So long it may wait until all has been sent."""


# The master's -------------------------------------------------------------------------------------


class MakeFolders(Action, frozen=True):
    folders: list[str]


class ListInput(Action, frozen=True):
    """List the files of a folder, and answer with `InputListed` or `FilesFailed`."""

    job: int
    folder: str
    executables: tuple[str, ...] = ()
    """Which are looked for too."""


class Group(Action, frozen=True):
    """Merge sorted files and deal their keys out, and answer with `FilesDone` or `FilesFailed`."""

    job: int
    sorted_files: list[str]
    groups: list[str]
    scratch: str
    """A folder for what doesn't fit into memory."""


class CopyOutput(Action, frozen=True):
    """Copy files into a folder, and answer with `FilesDone` or `FilesFailed`."""

    job: int
    files: list[str]
    folder: str


# The worker's -------------------------------------------------------------------------------------


class BeginHeartbeats(Action, frozen=True):
    """Send one at once, and then one after the other."""


class Perform(Action, frozen=True):
    """Do a task, and answer with `Performed`."""

    order: Order


class Abandon(Action, frozen=True):
    """End the task under way, if there is one."""


# What the shell tells of them ---------------------------------------------------------------------


class Event(msgspec.Struct, frozen=True):
    """Something that happened here, beside the messages that came."""


class Tick(Event, frozen=True):
    """Time has passed."""


class Undelivered(Event, frozen=True):
    """Nobody has accepted a message at that address, for as long as it was tried."""

    host: str
    port: int
    error: str


class InputListed(Event, frozen=True):
    job: int
    files: list[str]
    """With the folder's name before theirs, in order."""
    lacking: tuple[str, ...] = ()
    """Executables that are not there, where the master is."""


class FilesDone(Event, frozen=True):
    job: int
    missing: tuple[str, ...] = ()
    """Files that were not there, though a worker had finished them; they were taken as empty."""
    older: tuple[str, ...] = ()
    """Files in the output folder that look like the job's and are not."""


class FilesFailed(Event, frozen=True):
    job: int
    error: str


class Performed(Event, frozen=True):
    """This task of the worker's is done, well or badly."""

    order: Order


class MasterGone(Event, frozen=True):
    """The master that acknowledged the worker has ended; another may listen at its port."""
