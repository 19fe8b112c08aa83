"""What the master keeps, and what a commit that failed leaves."""

import io
import json

import msgspec
import pytest

from dynamo import files
from dynamo.errors import DynamoError, QuorumFailed
from dynamo.store import MemoryStore
from mapreduce.cluster import records, runs
from mapreduce.data.outputs.store import StoreOutput
from mapreduce.engine import paths
from mapreduce.engine.events import AttemptId, JobState, TaskId
from mapreduce.engine.orders import TaskResult
from mapreduce.engine.run import Run
from mapreduce.errors import TermOver
from tests.mapreduce.specs import job_spec

SPEC = job_spec(reducers=2)
ATTEMPT = AttemptId(TaskId("wc-1.1", "reduce", 0), 1)


class Unsteady(MemoryStore):
    """A store in which puts of one key don't find their quorum."""

    broken = ""

    def put(self, key, value, **options):
        if key == self.broken:
            raise QuorumFailed("put", key, 2, ["n1"], ["n2", "n3"], 1.0)
        return super().put(key, value, **options)


def written(store: MemoryStore) -> list[TaskResult]:
    output = StoreOutput(store, SPEC.output)
    blocks = [(b"be\t2\n", 1)]
    return [
        TaskResult(parts=(output.write(f"part-0000{n}", f"reduce-{n}.1", blocks),))
        for n in range(2)
    ]


def test_a_commit_that_fails_leaves_nothing_visible_and_no_chunks(monkeypatch):
    monkeypatch.setattr(runs.time, "sleep", lambda _: None)
    store, run = Unsteady(), Run("wc-1", SPEC, "store", "/_runs/wc-1")
    results = written(store)
    store.broken = "/out/wc/part-00001"
    with pytest.raises(QuorumFailed):
        runs.commit(store, run, results, {})
    runs.retract(store, run, "no quorum")
    for result in results:
        runs.discard(store, run, ATTEMPT, result)
    runs.sweep_parts(store, run, JobState.FAILED)
    assert list(store.list("")) == []


def test_what_a_failed_commit_could_not_take_back_keeps_its_chunks(monkeypatch):
    monkeypatch.setattr(runs.time, "sleep", lambda _: None)
    store, run = Unsteady(), Run("wc-1", SPEC, "store", "/_runs/wc-1")
    results = written(store)
    store.broken = "/out/wc/part-00001"

    def stuck(*_: object) -> None:
        raise DynamoError("no quorum")

    monkeypatch.setattr(files, "remove", stuck)
    with pytest.raises(QuorumFailed):
        runs.commit(store, run, results, {})
    with pytest.raises(DynamoError, match="dynamo delete -r /out/wc"):
        runs.retract(store, run, "no quorum")
    for result in results:
        runs.discard(store, run, ATTEMPT, result)
    assert b"".join(files.read(store, "/out/wc/part-00000")) == b"be\t2\n"


def test_what_a_master_of_an_older_term_keeps_does_not_count():
    store = MemoryStore()
    old = msgspec.structs.replace(records.create(store, SPEC, b"", term=1), error="of the old")
    new = msgspec.structs.replace(old, term=2, error="of the new")
    records.save(store, new)
    with pytest.raises(TermOver):
        records.save(store, old)
    assert records.load(store) == {"wc": new}


def test_of_two_records_written_at_the_same_moment_that_of_the_newer_term_is_read():
    class Slow(MemoryStore):
        """A store in which one put comes between another's look and its write."""

        between = None

        def get(self, key, **options):
            found = super().get(key, **options)
            if between := self.between:
                self.between = None
                between()
            return found

    store = Slow()
    old = msgspec.structs.replace(records.create(store, SPEC, b"", term=1), error="of the old")
    new = msgspec.structs.replace(old, term=2, error="of the new")
    store.between = lambda: records.save(store, new)
    records.save(store, old)
    assert records.load(store) == {"wc": new}
    later = msgspec.structs.replace(new, error="later")
    records.save(store, later)
    assert store.get(paths.status("wc")).values == (msgspec.json.encode(later),)


def test_files_of_others_in_the_output_folder_are_left_alone():
    store = MemoryStore()
    files.write(store, "/out/wc/notes.txt", io.BytesIO(b"mine"))
    runs.retract(store, Run("wc-1", SPEC, "store", "/_runs/wc-1"), "no quorum")
    assert files.under(store, "/out/wc") == ["/out/wc/notes.txt"]


def test_a_broken_record_does_not_hide_the_others():
    store = MemoryStore()
    records.create(store, SPEC, b"")
    store.put(paths.status("broken"), b"{")
    assert list(records.load(store)) == ["wc"]


def test_a_record_is_plain_json():
    record = records.new(SPEC)
    assert json.loads(msgspec.json.encode(record))["state"] == "new"
