"""What the workers and the masters of the virtual world say to each other: as
`mapreduce.cluster.messages`, with plainer contents."""

from dataclasses import dataclass
from typing import NamedTuple

from mapreduce.engine.events import AttemptFailed, AttemptId, AttemptReturned, AttemptSucceeded

Told = AttemptSucceeded | AttemptFailed | AttemptReturned
"""What a worker tells of an attempt when it is over for it."""


class Heard(NamedTuple):
    """So many of the finished maps in its leader's list has an early reduce been told of."""

    attempt: AttemptId
    count: int


@dataclass(frozen=True, slots=True)
class Report:
    """`session` counts the lives of the worker, `number` its reports."""

    worker: str
    session: int
    number: int
    running: tuple[AttemptId, ...]
    progress: tuple[tuple[AttemptId, float], ...]
    ahead: int
    draining: bool
    finished: tuple[Told, ...]
    heard: tuple[Heard, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """One attempt. `maps`: the attempts whose pieces a reduce reads, which may not be all yet;
    `count`: where in the leader's list of finished maps the rest begins."""

    attempt: AttemptId
    skipping: bool
    maps: tuple[AttemptId, ...] = ()
    count: int = 0


@dataclass(frozen=True, slots=True)
class More:
    """Maps that have finished since an early reduce was told of the first `count`."""

    attempt: AttemptId
    maps: tuple[AttemptId, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Answer:
    """To the worker's report `number`. What was finished in reports up to `kept` is durable."""

    term: int
    session: int
    number: int
    kept: int
    kill: tuple[AttemptId, ...]
    run: tuple[Order, ...]
    more: tuple[More, ...]
