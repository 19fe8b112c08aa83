"""How a master goes on with runs that another has begun: a new leader, or one that was restarted.

A run is known by its job's record, the last of its phases that has begun, what the phase's map
tasks read, and the phase's journal. Tasks that the journal knows to be done don't run again; what
runs out there is heard of from the workers. Everything here blocks on the store.
"""

from typing import NamedTuple

import msgspec

from dynamo.store import Store
from mapreduce.cluster import journal, records, runs
from mapreduce.cluster.records import JobRecord
from mapreduce.engine.events import JobStarted
from mapreduce.engine.run import Run

ATTEMPTS_EACH = 1_000_000
"""Each master numbers its attempts from another million on, so that no number comes twice: no task
is tried so often. Failures and losses are bounded (`retry`), but a reduce may be lost once for each
of the job's maps, and what gives its slot back or is killed by hand starts anew without a bound."""


class Resumed(NamedTuple):
    """A run, where it stands, and its job's record, which knows of the new master."""

    run: Run
    started: JobStarted
    record: JobRecord


def resume(store: Store, record: JobRecord, term: int) -> Resumed | None:
    """Find out where a run stands that was left running; None if too little is known of it."""
    spec, _ = records.read_spec(store, record.name)
    run = Run(record.run, spec, "store", records.work_folder(record.run))
    begun = runs.last_begun(store, run)
    if begun is None:
        return None
    phase, phase_term = begun
    state, splits = runs.read_begun(store, phase, phase_term)
    started, told = run.go_on(state, splits, store), journal.read(store, phase)
    record = msgspec.structs.replace(record, term=term, takeovers=record.takeovers + 1)
    records.save(store, record)
    return Resumed(
        run,
        msgspec.structs.replace(
            started,
            done=told.done,
            failed=told.failed,
            resumed=True,
            first_attempt=ATTEMPTS_EACH * record.takeovers + 1,
        ),
        record,
    )
