"""What a worker and the master say to each other: one report there, one set of orders back.

Both travel as bytes (msgpack) in the one argument of the zerorpc call `report`: zerorpc drops
messages with keys that are no text, and these are checked against their types when they are read.
"""

import msgspec

from dynamo.errors import RequestError
from mapreduce.engine.events import AttemptId
from mapreduce.engine.executor import Outcome
from mapreduce.engine.orders import MorePieces, PhaseOrder, TaskOrder
from mapreduce.engine.watching import Note

HOLD_S = 0.5
"""How long the master holds a report while it has no orders for the worker."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A worker is alive, works on `running`, and has `finished` some attempts.

    `session` names one life of the worker's process, `number` counts its reports.
    """

    worker: str
    node: str
    slots: int
    session: str
    number: int
    host: str = ""
    """The address of its machine, or "" if that is not known."""
    running: tuple[AttemptId, ...] = ()
    finished: tuple[Outcome, ...] = ()
    returned: tuple[AttemptId, ...] = ()
    """What has waited for a slot, and is given back."""
    retell: tuple[AttemptId, ...] = ()
    """Reduce attempts that began early, and may have missed what they were told since."""
    ahead: int = 0
    """So many attempts may wait there for a slot: see `mapreduce.engine.ahead`."""
    notes: tuple[Note, ...] = ()
    draining: bool = False
    """True: it is to get no further tasks, as a master has told it."""
    goodbye: bool = False
    """True in the last report of a worker that stops."""


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker has to do, kills first. The report they answer has been taken in.

    They are given in a `term` of the leading master; those of an older one than a worker has seen
    are not obeyed. What was finished in reports with numbers up to `kept` is known to whoever leads
    after it; of all else the worker tells the next leader again.
    """

    term: int = 0
    kept: int = 0

    kill: tuple[AttemptId, ...] = ()
    phases: tuple[PhaseOrder, ...] = ()
    """Those of the attempts in `run`, each once."""
    run: tuple[TaskOrder, ...] = ()
    pieces: tuple[MorePieces, ...] = ()
    """What reduce attempts that began early are told besides."""
    drain: bool | None = None
    """What the worker is to report as `draining` from now on; None: what it did."""


_encoder = msgspec.msgpack.Encoder()
_report = msgspec.msgpack.Decoder(Report)
_orders = msgspec.msgpack.Decoder(Orders)


def encode(message: Report | Orders) -> bytes:
    return _encoder.encode(message)


def decode_report(data: bytes) -> Report:
    """Raises RequestError for bytes that are no report."""
    try:
        return _report.decode(data)
    except (msgspec.MsgspecError, TypeError) as error:
        raise RequestError(f"not a worker's report: {error}") from None


def decode_orders(data: bytes) -> Orders:
    """Raises RequestError for bytes that are no orders."""
    try:
        return _orders.decode(data)
    except (msgspec.MsgspecError, TypeError) as error:
        raise RequestError(f"not a master's orders: {error}") from None
