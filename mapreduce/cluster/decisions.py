"""What the masters decide once and for all about runs of jobs, in the words of the dispatcher.

    end:PHASE      how a phase ends: "commit SUMMARY", "failed ERROR" or "killed"
    retract:PHASE  that its commit was given up: what has become visible goes again

A phase ends in one way, whoever leads: after "commit" its output is that of the winners in its
journal, and every later leader writes the same bytes; after "failed" and "killed" nobody commits,
and whatever the attempts have left may be deleted by anybody at any time. SUMMARY is JSON.
"""

import json
from collections.abc import Mapping
from typing import Any

import gevent

from mapreduce.cluster.election import Election, Undecided
from mapreduce.cluster.threads import Threads
from mapreduce.engine.events import JobState

ERROR_CHARACTERS = 8_000
"""The masters agree about the beginning of an error; all of it is in the job's record."""
TRY_AGAIN_S = 0.1


class Decisions:
    """The decisions of one term. Calls return when a majority has agreed, and raise `TermOver` once
    another master leads. Lives in the hub."""

    def __init__(self, election: Election, term: int, threads: Threads) -> None:
        self._election = election
        self._term = term
        self._threads = threads

    def commit(self, phase: str, summary: Mapping[str, Any]) -> dict[str, Any] | None:
        """Decide that the phase is committed with `summary`, or what an earlier leader gave; None
        if it is to end without output."""
        kind, _, rest = self._decide(f"end:{phase}", f"commit {json.dumps(summary)}").partition(" ")
        return json.loads(rest) if kind == "commit" else None

    def end(self, phase: str, state: JobState, error: str) -> None:
        """Decide that the phase ends without output."""
        self._decide(f"end:{phase}", f"{state.value} {error[:ERROR_CHARACTERS]}")

    def retract(self, phase: str) -> None:
        """Decide that the commit of a phase is given up."""
        self._decide(f"retract:{phase}", "yes")

    def ended(self, phase: str) -> tuple[JobState, str] | None:
        """How a phase has ended without output, and why; None if it has not."""
        decided = self._election.decided
        if f"retract:{phase}" in decided:
            return JobState.FAILED, "the output could not be committed"
        kind, _, error = decided.get(f"end:{phase}", "commit").partition(" ")
        return None if kind == "commit" else (JobState(kind), error)

    def confirm(self) -> None:
        """Return if this term was not over when this was called."""
        while True:
            try:
                return self._threads.call(self._election.confirm, self._term)
            except Undecided:
                gevent.sleep(TRY_AGAIN_S)

    def forget(self, run: str) -> None:
        """Drop what was decided about a run whose end is in its record."""
        keys = [
            key for key in self._election.decided if key.partition(":")[2].startswith(f"{run}.")
        ]
        if keys:
            self._threads.call(self._election.forget, keys, self._term)

    def _decide(self, key: str, value: str) -> str:
        while True:
            try:
                return self._threads.call(self._election.decide, key, value, self._term)
            except Undecided:
                gevent.sleep(TRY_AGAIN_S)
