"""Waiting for a job on a cluster, also while its master is away."""

import time
from collections.abc import Callable, Iterator

from dynamo.errors import Unreachable
from mapreduce.cluster.connection import Record
from mapreduce.engine.events import JobState

ASK_AGAIN_S = 0.1
PATIENCE_S = 10.0
"""How long no master may answer: a new leader takes a few seconds."""


def records(ask: Callable[[], Record]) -> Iterator[Record]:
    """The records of a job, as `ask` gives them, again and again until the job has ended.

    `ask` waits for the end itself, for a moment: `Connection.await_job`. Raises `Unreachable` when
    no master has answered for `PATIENCE_S`.
    """
    heard_at = time.monotonic()
    while True:
        try:
            record = ask()
        except Unreachable:
            if time.monotonic() - heard_at > PATIENCE_S:
                raise
            time.sleep(ASK_AGAIN_S)
        else:
            heard_at = time.monotonic()
            yield record
            if JobState(record["state"]).ended:
                return
