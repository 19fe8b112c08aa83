"""What the master keeps, and what it makes of a commit that was cut short."""

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


def running(store: MemoryStore) -> records.JobRecord:
    record = records.begun(records.create(store, SPEC, b""), "wc-1")
    records.save(store, record)
    return record


def test_a_commit_that_fails_leaves_nothing_visible_and_no_chunks(monkeypatch):
    monkeypatch.setattr(runs.time, "sleep", lambda _: None)
    store, run = Unsteady(), Run("wc-1", SPEC, "store", "/_runs/wc-1")
    results = written(store)
    store.broken = "/out/wc/part-00001"
    with pytest.raises(QuorumFailed):
        runs.commit(store, run, results, {})
    for result in results:
        runs.discard(store, run, ATTEMPT, result)
    assert list(store.list("")) == []


def test_what_a_failed_commit_could_not_take_back_keeps_its_chunks(monkeypatch):
    monkeypatch.setattr(runs.time, "sleep", lambda _: None)
    store, run = Unsteady(), Run("wc-1", SPEC, "store", "/_runs/wc-1")
    results = written(store)
    store.broken = "/out/wc/part-00001"

    def stuck(*_: object) -> None:
        raise DynamoError("no quorum")

    monkeypatch.setattr(files, "remove", stuck)
    with pytest.raises(DynamoError, match="dynamo delete -r /out/wc"):
        runs.commit(store, run, results, {})
    for result in results:
        runs.discard(store, run, ATTEMPT, result)
    assert b"".join(files.read(store, "/out/wc/part-00000")) == b"be\t2\n"


def test_a_job_whose_master_went_before_the_commit_has_failed_and_can_run_again():
    store = MemoryStore()
    running(store)
    store.put(f"{paths.home('wc-1.1', 0)}:x", b"")
    files.publish(store, "/out/wc/part-00000", msgspec.msgpack.decode(
        written(store)[0].parts[0].token, type=files.Manifest
    ))  # fmt: skip
    [record] = records.load(store).values()
    assert record.state is JobState.FAILED
    assert "run_job wc" in record.error
    assert files.under(store, "/out/wc") == []
    assert list(store.list(paths.pieces("wc-1"))) == []
    assert records.load(store) == {"wc": record}


def test_a_job_whose_master_went_after_the_commit_has_succeeded():
    store = MemoryStore()
    running(store)
    summary = {"counters": {"lines": 3}}
    runs.commit(store, Run("wc-1", SPEC, "store", "/_runs/wc-1"), written(store), summary)
    [record] = records.load(store).values()
    assert record.state is JobState.SUCCEEDED
    assert record.counters == {"lines": 3}
    assert len(files.under(store, "/out/wc")) == 3


def test_files_of_others_in_the_output_folder_are_left_alone():
    store = MemoryStore()
    running(store)
    files.write(store, "/out/wc/notes.txt", io.BytesIO(b"mine"))
    records.load(store)
    assert files.under(store, "/out/wc") == ["/out/wc/notes.txt"]


def test_a_broken_record_does_not_hide_the_others():
    store = MemoryStore()
    records.create(store, SPEC, b"")
    store.put(paths.status("broken"), b"{")
    assert list(records.load(store)) == ["wc"]


def test_a_record_is_plain_json():
    record = records.new(SPEC)
    assert json.loads(msgspec.json.encode(record))["state"] == "new"
