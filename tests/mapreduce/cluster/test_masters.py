"""Three masters and two workers, each a process: what becomes of jobs when masters go.

The jobs wait at gates, files that a test makes, so that a master goes at the very moment that is
meant. `ran` gets a line for each attempt that began and `done` one for each that came to its end.
"""

import io
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import zerorpc

from dynamo import files
from dynamo.errors import Unreachable
from mapreduce.cluster.connection import Connection
from mapreduce.engine import paths, sources
from mapreduce.runners import inline
from tests.mapreduce.cluster.serving import Cluster
from tests.mapreduce.specs import job_spec
from tests.waiting import wait_until

NEW_LEADER_S = 3.0
MAPS, REDUCES = 4, 2
TEXTS = [f"to be or not to be, n{number}\n" * 3 for number in range(MAPS)]

SOURCE = b"""
import time
from pathlib import Path

from mapreduce import Mapper, Reducer

FOLDER, STAGE = Path("%s"), "%s"


class Gated:
    def setup(self):
        self._note("ran")
        task = self.context.task.partition(".")[0]
        while STAGE in task and not task.endswith("00000") and not (FOLDER / "open").exists():
            time.sleep(0.01)

    def cleanup(self):
        self._note("done")
        return ()

    def _note(self, what):
        with (FOLDER / what).open("a") as file:
            print(self.context.task.partition(".")[0], file=file)


class MyMapper(Gated, Mapper):
    def map(self, key, value):
        self.context.count("lines")
        for word in value.split():
            yield word, 1


class MyReducer(Gated, Reducer):
    def reduce(self, key, values):
        yield key, sum(values)
"""


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("masters") / "store"
    folder.mkdir()
    with Cluster(folder, masters=3) as cluster:
        for number, text in enumerate(TEXTS):
            files.write(cluster.store, f"/books/{number}.txt", io.BytesIO(text.encode()))
        yield cluster


@pytest.fixture
def cluster(processes: Cluster) -> Iterator[Cluster]:
    yield processes
    for name in processes.places.keys() - processes.processes.keys():
        processes.start_master(name)
    wait_until(lambda: len(processes.connection.standings()) == 3, 10.0, "all masters")
    processes.wait_for_leader()
    processes.wait_for_workers(2)


def test_a_worker_that_reaches_only_masters_that_stand_by_does_its_work(cluster, tmp_path):
    cluster.start_worker("far", cut_off_from=cluster.wait_for_leader())
    cluster.wait_for_workers(3)
    for name in ("w1", "w2"):
        cluster.connection.drain_worker(name, True)
    wait_until(lambda: sum(w["draining"] for w in cluster.connection.workers()) == 2, 10.0, "both")
    job = GatedJob(cluster, tmp_path, "through-others", "none")
    job.check_end(takeovers=0)
    board = cluster.connection.scoreboard()["workers"]
    assert [w["done"] for w in board if w["name"] == "far"] == [MAPS + REDUCES]
    assert cluster.end("far", signal.SIGTERM) == 0
    cluster.wait_for_workers(2)  # it has said goodbye
    for name in ("w1", "w2"):
        cluster.connection.drain_worker(name, False)


class GatedJob:
    """A job whose tasks of the stage `stage` wait, all but the first, until `open`."""

    def __init__(self, cluster: Cluster, folder: Path, name: str, stage: str) -> None:
        self.cluster = cluster
        self.name = name
        self._folder = folder
        self._done_before: list[str] = []
        self._code = SOURCE % (str(folder).encode(), stage.encode())
        self._spec = job_spec(
            name, reducers=REDUCES, split_bytes=len(TEXTS[0]), backups=False, slow_start=1.0
        )
        cluster.connection.new_job(self._spec, self._code)
        cluster.connection.run_job(name)

    def lines(self, what: str) -> list[str]:
        path = self._folder / what
        return sorted(path.read_text().split()) if path.exists() else []

    def open(self) -> None:
        """Let its tasks go on. What is done by now may not be done again."""
        self._done_before = self.lines("done")
        (self._folder / "open").touch()

    def record(self) -> dict:
        return self.cluster.connection.job_status(self.name)

    def journal(self) -> list[str]:
        """The keys of the journal, as it is in the store."""
        run = self.record()["run"]
        return [key for key in self.cluster.store.list(paths.run_keys(run)) if ":journal:" in key]

    def output(self) -> dict[str, bytes]:
        found = files.under(self.cluster.store, f"/out/{self.name}")
        return {
            path.rpartition("/")[2]: b"".join(files.read(self.cluster.store, path))
            for path in found
        }

    def check_end(self, takeovers: int = 1) -> None:
        """It succeeds, its output is that of a job that nothing has happened to, each task counts
        once, and none that was done has begun again. (One that was running may have, where its
        worker was late to tell the new leader of it.)"""
        wait_until(lambda: self.record()["state"] not in ("new", "running"), 20.0, "the end")
        record = self.record()
        assert record["state"] == "succeeded", record["error"]
        ran, done = self.lines("ran"), self.lines("done")
        assert set(ran) == set(done)
        assert len(set(ran)) == MAPS + REDUCES
        for task in self._done_before or done:
            assert ran.count(task) == 1, task
        assert record["counters"]["lines"] == 3 * MAPS
        assert record["takeovers"] == takeovers
        assert self._parts() == self._expected()

    def _parts(self) -> dict[str, bytes]:
        return {name: data for name, data in self.output().items() if name != "_SUCCESS"}

    def _expected(self) -> dict[str, bytes]:
        folder = self._folder / "plain"
        folder.mkdir()
        for number, text in enumerate(TEXTS):
            (folder / f"{number}.txt").write_text(text)
        code = SOURCE % (str(folder).encode(), b"none")
        steps = sources.check_source(code, self._spec.code, self._spec.steps)
        inputs, output = (f"{folder}/*.txt",), str(folder / "out")
        spec = job_spec(self.name, inputs, output=output, steps=steps)
        inline.run(spec, code)
        return {part.name: part.read_bytes() for part in folder.glob("out/part-*")}


def test_who_stands_by_says_who_leads_and_where(cluster):
    leader = cluster.wait_for_leader()
    other = next(name for name in cluster.places if name != leader)
    address = cluster.places[other][0]
    wait_until(lambda: cluster.connection.standings()[address]["leader"] == leader, 5.0, "the news")
    client = zerorpc.Client(f"tcp://{address}", timeout=5, heartbeat=None)
    with pytest.raises(zerorpc.RemoteError) as caught:
        client.jobs()
    client.close()
    assert caught.value.name == "NotLeader"
    there = cluster.places[leader][0]
    assert caught.value.msg == (
        f"master {other} does not lead; master {leader} does: ask it at {there}"
    )


@pytest.mark.parametrize("stage", ["map", "reduce"])
def test_a_leader_is_killed_and_another_goes_on_within_three_seconds(cluster, tmp_path, stage):
    job = GatedJob(cluster, tmp_path, f"killed-in-{stage}", stage)
    first = f"{stage}-00000"
    wait_until(lambda: first in job.lines("done"), 10.0, "the first task")
    wait_until(lambda: job.record()[stage]["done"] == 1, 10.0, "the news of it")
    old = cluster.wait_for_leader()
    cluster.end(old, signal.SIGKILL)
    assert cluster.wait_for_leader(NEW_LEADER_S) != old
    assert job.record()["state"] == "running"
    job.open()
    job.check_end()


def test_a_leader_is_killed_in_the_middle_of_a_commit(cluster, tmp_path):
    cluster.hold_commits()
    job = GatedJob(cluster, tmp_path, "killed-in-commit", "none")
    wait_until(lambda: "part-00000" in job.output(), 10.0, "a half of the output")
    assert "part-00001" not in job.output()
    cluster.end(cluster.wait_for_leader(), signal.SIGKILL)
    cluster.let_commits_go_on()
    job.check_end()


def test_a_leader_that_stood_still_in_the_middle_of_a_commit_changes_nothing(cluster, tmp_path):
    cluster.hold_commits()
    job = GatedJob(cluster, tmp_path, "stopped-in-commit", "none")
    wait_until(lambda: "part-00000" in job.output(), 10.0, "a half of the output")
    old = cluster.wait_for_leader()
    cluster.processes[old].send_signal(signal.SIGSTOP)
    cluster.let_commits_go_on()
    job.check_end()
    output, record = job.output(), job.record()
    cluster.processes[old].send_signal(signal.SIGCONT)
    wait_until(lambda: f"{old} leads no more" in cluster.log(old), 10.0, "its end as a leader")
    assert job.output() == output
    assert job.record() == record
    assert old not in cluster.leaders()


def test_a_leader_that_stood_still_while_maps_ran_gives_no_orders(cluster, tmp_path):
    job = GatedJob(cluster, tmp_path, "stopped-in-map", "map")
    wait_until(lambda: "map-00000" in job.lines("done"), 10.0, "the first task")
    old = cluster.wait_for_leader()
    cluster.processes[old].send_signal(signal.SIGSTOP)
    wait_until(lambda: set(cluster.leaders()) - {old}, 10.0, "another leader")
    cluster.processes[old].send_signal(signal.SIGCONT)
    job.open()
    job.check_end()


def test_workers_finish_what_they_have_while_no_master_lives(cluster, tmp_path):
    job = GatedJob(cluster, tmp_path, "no-master", "map")
    wait_until(lambda: len(job.lines("ran")) == MAPS, 10.0, "all maps to begin")
    for name in cluster.places:
        cluster.end(name, signal.SIGKILL)
    with pytest.raises(Unreachable, match="no master answers at"):
        cluster.connection.jobs()
    job.open()
    wait_until(lambda: len(job.lines("done")) == MAPS, 10.0, "the maps' end")
    for name in cluster.places:
        cluster.start_master(name)
    cluster.wait_for_leader()
    job.check_end()


def test_without_a_majority_nobody_leads(cluster):
    leader = cluster.wait_for_leader()
    for name in [name for name in cluster.places if name != leader]:
        cluster.end(name, signal.SIGKILL)
    wait_until(lambda: not cluster.leaders(), 5.0, "the end of the term")
    addresses = [address for address, _ in cluster.places.values()]
    with pytest.raises(Unreachable, match="a majority of them has to run"):
        Connection(addresses, timeout_s=0.2).jobs()
