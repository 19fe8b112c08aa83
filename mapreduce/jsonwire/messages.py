"""The messages of the JSON master and worker, each one JSON object on a connection of its own.

    register, register_ack           worker -> master -> worker   TCP
    new_master_job                   anybody -> master            TCP
    new_worker_job, new_sort_job     master -> worker             TCP
    status                           worker -> master             TCP
    heartbeat                        worker -> master             UDP, the master's port - 1
    shutdown                         anybody -> master -> worker  TCP

The keys are those of the specification in the order of the specification, and no others are sent.
When reading, further keys are passed over, but each must be there with its type: a port is a
number and not a text. Source: "Make MapReduce Great Again", the course project whose text
docs/json-protocol.md tells of.
"""

import posixpath
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mapreduce.errors import JobError

Port = Annotated[int, Meta(ge=1, le=65535)]
Pid = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1, le=100_000)]
"""How many tasks; the bound keeps a slip of the pen from filling the master's memory."""
Path = Annotated[str, Meta(min_length=1)]

FINISHED = "finished"


class NotAMessage(JobError):
    """What was read is none of the messages."""


class Incomplete(NotAMessage):
    """What was read is no whole JSON value; with more behind it, it may become one."""


class Message(msgspec.Struct, frozen=True, tag_field="message_type"):
    """What travels on a connection."""


class Register(Message, frozen=True, tag="register"):
    """A worker listens at this address, and wants work."""

    worker_host: Path
    worker_port: Port
    worker_pid: Pid


class RegisterAck(Message, frozen=True, tag="register_ack"):
    """The master knows the worker, which from now on sends heartbeats."""

    worker_host: Path
    worker_port: Port
    worker_pid: Pid


class NewMasterJob(Message, frozen=True, tag="new_master_job"):
    """A job for the master."""

    input_directory: Path
    output_directory: Path
    mapper_executable: Path
    reducer_executable: Path
    num_mappers: Count
    num_reducers: Count


class NewWorkerJob(Message, frozen=True, tag="new_worker_job"):
    """A map or reduce task: the executable is run for each input file."""

    input_files: list[str]
    executable: Path
    output_directory: Path
    worker_pid: Pid

    @property
    def outputs(self) -> list[str]:
        """One output file for each input file, of its name.

        >>> NewWorkerJob(input_files=["in/a.txt"], executable="map.py",
        ...              output_directory="var/job-0/mapper-output", worker_pid=7).outputs
        ['var/job-0/mapper-output/a.txt']
        """
        return [f"{self.output_directory}/{posixpath.basename(f)}" for f in self.input_files]


class NewSortJob(Message, frozen=True, tag="new_sort_job"):
    """A sort task: all lines of the input files go into one file, in the order of their bytes."""

    input_files: list[str]
    output_file: Path
    worker_pid: Pid

    @property
    def outputs(self) -> list[str]:
        return [self.output_file]


Order = NewWorkerJob | NewSortJob
"""What a master tells a worker to do."""


class Status(Message, frozen=True, kw_only=True, tag="status"):
    """A worker has finished a task: `output_files` of a map or reduce task, `output_file` of a sort
    task. When reading, either form will do for either."""

    output_files: list[str] | UnsetType = msgspec.field(default=UNSET)
    output_file: str | UnsetType = msgspec.field(default=UNSET)
    status: str
    worker_pid: Pid

    def __post_init__(self) -> None:
        if self.output_files is UNSET and self.output_file is UNSET:
            raise ValueError("it has neither output_files nor output_file")

    @property
    def outputs(self) -> list[str]:
        """The files that were written, in either form.

        >>> Status(output_file="a", status="finished", worker_pid=7).outputs
        ['a']
        """
        if not isinstance(self.output_files, UnsetType):
            return self.output_files
        return [self.output_file] if isinstance(self.output_file, str) else []


class Heartbeat(Message, frozen=True, tag="heartbeat"):
    """A worker is alive."""

    worker_pid: Pid


class Shutdown(Message, frozen=True, tag="shutdown"):
    """Master and workers are to end."""


AnyMessage = (
    Register
    | RegisterAck
    | NewMasterJob
    | NewWorkerJob
    | NewSortJob
    | Status
    | Heartbeat
    | Shutdown
)
_DECODER = msgspec.json.Decoder(AnyMessage)


def encode(message: Message) -> bytes:
    """The message as it travels: JSON and nothing behind it.

    >>> encode(Heartbeat(worker_pid=7))
    b'{"message_type":"heartbeat","worker_pid":7}'
    """
    return msgspec.json.encode(message)


def decode(data: bytes | bytearray) -> AnyMessage:
    """The message that `data` is.

    `Incomplete` if it is no whole JSON value, `NotAMessage` if it is another value than a message.

    >>> decode(b'{"message_type": "heartbeat", "worker_pid": 7}')
    Heartbeat(worker_pid=7)
    >>> decode(b'[]')
    Traceback (most recent call last):
    mapreduce.jsonwire.messages.NotAMessage: Expected `object`, got `array`: b'[]'
    """
    try:
        message: AnyMessage = _DECODER.decode(data)
        return message
    except msgspec.ValidationError as error:
        raise NotAMessage(f"{error}: {_beginning(data)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Incomplete(f"{error}: {_beginning(data)}") from None


def _beginning(data: bytes | bytearray) -> str:
    shown = repr(bytes(data[:80]))
    return shown if len(data) <= 80 else f"{shown}... ({len(data):,} bytes)"
