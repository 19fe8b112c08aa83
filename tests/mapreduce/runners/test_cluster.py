"""A job on a cluster from a Python program: over real store nodes, master and worker."""

import io
import threading
from pathlib import Path

import pytest

from cli.cluster_processes import ClusterProcesses
from cli.local_cluster import free_ports
from dynamo import config, files
from dynamo.errors import ConfigError
from dynamo.net.client import Client
from examples import hadoop_wordcount
from mapreduce import Cluster, Job, Mapper, Reducer
from mapreduce.engine.events import JobState
from mapreduce.engine.tasknames import parse_task
from mapreduce.errors import JobError, JobFailed
from mapreduce.runners.handle import JobHandle
from mapreduce.runners.replay import replay
from tests.waiting import wait_until

INI = """
[cluster]
name = runner
fsync = no
data = data
timeout_s = 5

[node n1]
address = 127.0.0.1:{0}

[master m1]
address = 127.0.0.1:{1}

[worker w1]
node = n1
slots = 2
"""


class Words(Mapper):
    def map(self, key, value):
        self.context.count("lines")
        for word in value.split():
            yield word, 1


class Sum(Reducer):
    def reduce(self, key, values):
        yield key, sum(values)


class Endless(Mapper):
    def map(self, key, value):
        while True:
            pass


class Talks(Words):
    def map(self, key, value):
        print(f"reading {value!r}")
        return super().map(key, value)


class NoPair(Mapper):
    def map(self, key, value):
        yield value


class Raises(Mapper):
    def map(self, key, value):
        raise ValueError("my own mistake")


@pytest.fixture(scope="module")
def ini(tmp_path_factory):
    path = tmp_path_factory.mktemp("cluster") / "cluster.ini"
    path.write_text(INI.format(*free_ports(2)))
    processes = ClusterProcesses(config.load(path))
    processes.up(lambda line: None)
    try:
        with open_store(path) as store:
            files.write(store, "/books/hamlet.txt", io.BytesIO(b"to be or\nnot to be\n"))
        yield path
    finally:
        processes.down(lambda line: None)


def open_store(ini: Path) -> Client:
    return Client(list(config.load(ini).node_addresses.values()))


@pytest.fixture(scope="module")
def cluster(ini):
    with Cluster(ini) as cluster:
        yield cluster


def submit(cluster: Cluster, name: str, mapper: type, **changes: object) -> JobHandle:
    return cluster.submit(Job(name, mapper=mapper, reducer=Sum, **changes), "/books", name=name)


EXPECTED = [("be", 2), ("not", 1), ("or", 1), ("to", 2)]


def test_a_job_runs_on_the_cluster_and_gives_the_objects_that_were_yielded(ini):
    seen = []
    result = Job("wc", mapper=Words, reducer=Sum).run(
        "/books", runner="cluster", cluster=ini, progress=seen.append
    )
    assert list(result) == EXPECTED
    assert result.counters["lines"] == 2
    assert result.summary["steps"][0]["map"]["localities"] == {"node": 1}
    assert seen[-1].state is JobState.SUCCEEDED
    assert seen[-1].map.done == 1


def test_a_job_in_hadoops_style_runs_there_and_is_asked_how_far_it_is(ini):
    job = hadoop_wordcount.word_count(runner="cluster", cluster=ini)
    job.set_num_reduce_tasks(2)
    job.add_input_path("/books")
    job.set_output_path("/out/hadoop")
    job.submit()
    assert job.get_job_id().startswith("word-count-")
    assert job.wait_for_completion()
    assert job.is_successful()
    assert job.map_progress() == 1.0
    assert sorted(job.result()) == [(word, str(count)) for word, count in EXPECTED]
    assert job.get_counters()["combine_output_records"] == 4
    with pytest.raises(JobError, match="/out/hadoop"):
        hadoop_wordcount.main("/books", "/out/hadoop", ini)


def test_an_output_without_a_name_goes_with_its_result(ini):
    result = Job("wc", mapper=Words, reducer=Sum).run("/books", runner="cluster", cluster=ini)
    folder = result.output
    with open_store(ini) as store:
        assert files.under(store, folder)
        del result
        assert files.under(store, folder) == []


def test_a_result_may_die_in_any_thread_even_in_that_of_its_store(ini):
    with Cluster(ini) as cluster:
        results = [cluster.run(Job("dying", mapper=Words, reducer=Sum), "/books")]
        folder = results[0].output
        cluster.store._hub.post(results.clear)
        wait_until(lambda: not files.under(cluster.store, folder), 10, "the output to go")


def test_a_named_output_stays(ini):
    job = Job("wc", mapper=Words, reducer=Sum)
    result = job.run("/books", output="/out/named", runner="cluster", cluster=ini)
    assert list(result) == [(word, str(count)) for word, count in EXPECTED]
    del result
    with open_store(ini) as store:
        assert files.under(store, "/out/named") == ["/out/named/_SUCCESS", "/out/named/part-00000"]
    with pytest.raises(JobError, match="'/out/named' exists already"):
        job.run("/books", output="/out/named", runner="cluster", cluster=ini)


def test_a_job_step_by_step(cluster):
    seen = []
    job = submit(cluster, "steps", Words)
    assert job.wait(20.0, progress=seen.append).state is JobState.SUCCEEDED
    assert seen[-1] == job.status()
    assert list(job.results()) == EXPECTED
    assert job.counters["lines"] == 2
    assert repr(job) == "<JobHandle steps>"
    assert "steps" in [other.name for other in cluster.jobs("st*", state="succeeded")]
    assert cluster.jobs("st*", state="failed") == []
    with pytest.raises(JobError, match="no job 'nobody'"):
        cluster.job("nobody")


def test_results_wait_for_the_jobs_end_and_outlive_the_cluster(ini):
    result = Cluster(ini).submit(Job("late", mapper=Words, reducer=Sum), "/books").results()
    assert list(result) == EXPECTED


def test_waiting_has_an_end_and_a_killed_job_has_no_results(cluster):
    job = submit(cluster, "endless", Endless)
    wait_until(lambda: job.status().map.running, 10, "the job to run")
    assert job.wait(timeout_s=0).state is JobState.RUNNING
    assert job.kill().state is JobState.KILLED
    with pytest.raises(JobFailed, match="job 'endless' killed"):
        job.results()


def test_ctrl_c_ends_the_waiting_and_says_how_to_come_back(cluster):
    def press(status):
        raise KeyboardInterrupt

    job = submit(cluster, "interrupted", Endless)
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            job.wait(progress=press)
        assert "Cluster(...).job('interrupted') comes back to it" in caught.value.__notes__[0]
        assert cluster.job("interrupted").status().state is JobState.RUNNING
    finally:
        job.kill()


def test_a_job_is_paused_resumed_looked_back_at_and_removed(cluster):
    job = submit(cluster, "steered", Words, least_split_bytes=1 << 20)
    job.wait(20.0)
    with pytest.raises(JobError, match="not running, it is succeeded"):
        job.pause()
    with pytest.raises(JobError, match="not running, it is succeeded"):
        job.resume()
    with pytest.raises(JobError, match="not running, it is succeeded"):
        job.kill("map-00000")
    wait_until(job.history, 10, "the history")
    assert [record.run for record in job.history()] == [job.record()["run"]]
    assert [task.task for task in job.past_tasks()] == ["map-00000", "reduce-00000"]
    folder = job.record()["output"]
    job.remove(output=True)
    assert files.under(cluster.store, folder) == []
    with pytest.raises(JobError, match="no job 'steered'"):
        job.status()


def test_a_cluster_in_a_notebook_is_a_table_of_its_jobs(cluster):
    job = submit(cluster, "shown", Words)
    job.wait(20.0)
    assert "<td>shown</td><td>succeeded</td>" in cluster._repr_html_()
    assert '<progress value="1" max="1">' in job._repr_html_()
    assert [worker["name"] for worker in cluster.workers()] == ["w1"]


def test_what_tasks_print_is_in_the_logs(cluster):
    job = submit(cluster, "talks", Talks)
    job.wait(20.0)
    wait_until(job.logs, 10, "the log to be kept")
    assert [(log.step, log.attempt, log.text) for log in job.logs("map-00000")] == [
        ("1", "map-00000.1", "reading 'to be or'\nreading 'not to be'\n")
    ]
    assert job.logs("reduce") == []


def test_a_failed_job_raises_the_users_traceback(ini):
    job = Job("fails", mapper=Raises, reducer=Sum, max_attempts=2)
    with pytest.raises(JobFailed) as caught:
        job.run("/books", runner="cluster", cluster=ini)
    assert "in map" in str(caught.value)
    assert "ValueError: my own mistake" in str(caught.value)
    assert caught.value.traceback.startswith("Traceback (most recent call last):")
    assert "ValueError: my own mistake" in caught.value.traceback


def test_what_is_no_pair_is_told_by_its_place_and_record(ini):
    job = Job("wrong", mapper=NoPair, reducer=Sum, max_attempts=1)
    with pytest.raises(JobFailed) as caught:
        job.run("/books", runner="cluster", cluster=ini)
    for said in (
        "'to be or' is no pair (key, value): write: yield key, value",
        f"NoPair.map ({__file__}, line {NoPair.map.__code__.co_firstlineno})",
        "at the record (0, 'to be or') of '/books/hamlet.txt'",
    ):
        assert said in caught.value.error


def test_side_files_go_when_their_job_has_ended(ini, tmp_path):
    (tmp_path / "side.txt").write_text("side")
    options = {"files": [tmp_path / "side.txt"], "max_attempts": 1}
    job = Job("wc", mapper=Words, reducer=Sum, **options)
    assert list(job.run("/books", runner="cluster", cluster=ini)) == EXPECTED
    with pytest.raises(JobFailed):
        Job("wrong", mapper=NoPair, reducer=Sum, **options).run(
            "/books", runner="cluster", cluster=ini
        )
    with pytest.raises(JobError, match="no input"):
        job.run("/nothing", runner="cluster", cluster=ini)
    with open_store(ini) as store:
        assert files.under(store, "/_jobs") == []


def test_a_cluster_without_a_master_is_named(tmp_path):
    ini = tmp_path / "cluster.ini"
    ini.write_text(INI.format(1, 2).partition("[master")[0])
    with pytest.raises(ConfigError, match=r"no \[master NAME\]"):
        Job("wc", mapper=Words).run("/books", runner="cluster", cluster=ini)


class Careless(Words):
    def map(self, key, value):
        if "not" in value:
            raise ValueError(f"no {value!r}")
        return super().map(key, value)


def test_a_task_that_failed_can_be_replayed_on_its_own_split(cluster):
    job = submit(cluster, "careless", Careless, max_attempts=1)
    assert job.wait(20.0).state is JobState.FAILED
    record = job.record()
    seen = []
    with pytest.raises(ValueError, match="no 'not to be'") as caught:
        seen += replay(cluster.store, record, parse_task("map-00000.1"))
    assert caught.traceback[-1].name == "map"
    assert job.record() == record


def test_every_task_of_a_job_can_be_replayed(cluster):
    job = submit(cluster, "replayed", Words)
    assert job.wait(20.0).state is JobState.SUCCEEDED
    wait_until(job.history, 10, "the end to be written down")
    record, store = job.record(), cluster.store
    keys = set(store.list(""))
    mapped = list(replay(store, record, parse_task("map-0")))
    assert mapped == [(word, 1) for word in ["to", "be", "or", "not", "to", "be"]]
    assert list(replay(store, record, parse_task("1/reduce-0"))) == EXPECTED
    # The servers clean up meanwhile, and may have something to say.
    assert {key for key in store.list("") if ".servers:" not in key} <= keys


class Locks(Mapper):
    def map(self, key, value):
        yield value, threading.Lock() if value == "not to be" else 1


def test_a_replay_names_the_record_of_what_is_seen_late(cluster):
    job = submit(cluster, "late", Locks, max_attempts=1)
    assert job.wait(20.0).state is JobState.FAILED
    for task in ("map-0", "reduce-0"):
        with pytest.raises(JobError, match=r"pickle(?s:.*)at the record \(\d+, 'not to be'\)"):
            list(replay(cluster.store, job.record(), parse_task(task)))


def test_what_can_not_be_replayed_is_named(cluster):
    job = submit(cluster, "once", Words)
    job.wait(20.0)
    for task, says in (
        ("map", "names no task"),
        ("2/map-0", "has 1 steps, not 2"),
        ("map-7", "has 1 map tasks, numbered from 0; there is no 7"),
        ("reduce-1", "has 1 reduce tasks"),
    ):
        with pytest.raises(JobError, match=says):
            list(replay(cluster.store, job.record(), parse_task(task)))
