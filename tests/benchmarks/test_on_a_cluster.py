"""The benchmarks of jobs on a cluster run whole, on a small cluster and little data."""

import sys

import pytest

from benchmarks import deaths, jobs, straggler, tables, tasks, tiny, warm, zipf
from benchmarks.cluster import cluster
from benchmarks.contest import Contestant, any_order, in_order
from benchmarks.deaths import Took

TELLS = "import sys; print('ready'); print([0.2, 0.1] if sys.argv[1] == 'tasks' else [0.002] * 3)"
INSTALLED = Contestant("installed", (sys.executable, "-c", TELLS))
ABSENT = Contestant("absent", ("nothing",), ("no_such_program",))


@pytest.fixture(scope="module")
def running():
    with cluster(masters=1, workers=1, slots=2) as running:
        yield running


def test_tiny_jobs_give_what_they_should_and_each_step_is_timed(running, monkeypatch):
    monkeypatch.setattr(warm, "WARM", 0)
    [steps] = tiny.run(running.config.path, 1)
    assert len(steps) == len(tiny.STEPS)
    assert all(seconds > 0 for seconds in steps)


def test_jobs_on_the_cluster_give_what_they_do_here(running, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(jobs, "ROUNDS", 1)
    loads = (
        jobs.Workload("words", lambda: zipf.text(50_000, folder=tmp_path), any_order),
        jobs.Workload("sort", lambda: tables.records(1000, folder=tmp_path), in_order),
    )
    jobs.report([(load, *jobs.rounds(running, load)) for load in loads])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| words", "| sort"]
    assert lines[4:6][1].startswith("words: CPU seconds on the cluster: child ")


def test_an_output_that_differs_stops_the_benchmark(running, monkeypatch, tmp_path):
    monkeypatch.setattr(jobs, "ROUNDS", 1)
    differs = iter([(1, 1), (2, 2)])
    load = jobs.Workload(
        "words", lambda: zipf.text(50_000, folder=tmp_path), lambda folder: next(differs)
    )
    with pytest.raises(SystemExit, match="words: the cluster's output is not the local one"):
        jobs.rounds(running, load)


def test_what_a_death_costs_is_told_by_the_same_round_undisturbed(capsys):
    took = {name: [Took(8.0, 1.5), Took(6.0, 0.5)] for name in deaths.VICTIMS}
    took["undisturbed"] = [Took(4.0), Took(4.0)]
    deaths.report(took)
    lines = capsys.readouterr().out.splitlines()
    assert "| a worker dies | 7.0 | 3.0 | 1.75 |" in lines
    assert lines[-1] == "a new leader answers after 0.5, 1.5 s (aim: 3 s)"


def test_a_slow_worker_changes_no_output_and_its_cost_is_told(running, monkeypatch, capsys):
    monkeypatch.setattr(straggler, "ROUNDS", 1)
    took = straggler.rounds(running, maps=2, reduces=2, task_s=0.01)
    assert took.keys() == straggler.CASES.keys()
    seconds = dict(zip(straggler.CASES, (10.0, 20.0, 30.0)))
    straggler.report({name: [straggler.Took(seconds[name], 2)] for name in took})
    lines = capsys.readouterr().out.splitlines()
    assert lines[3] == "| one is ten times slower | 20.0 | 10.0 | 2.00 | 2 |"
    assert lines[-1] == "without backups it takes 50% longer (the paper: 44%)"


def test_others_tell_what_their_jobs_took_and_absent_ones_are_named(monkeypatch, capsys):
    monkeypatch.setattr(tasks, "OTHERS", (INSTALLED, ABSENT))
    tasks.compare(seconds=1.0, tasks=100)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:5] == [
        "| ours, on the cluster | 100 | 100 | 1.00 |",
        "| installed | 100 | 1,000 | 10.00 |",
        "| absent | not installed: no_such_program | | |",
    ]
    assert warm.tail(warm.said_seconds(INSTALLED, "tiny", 3)) == (2.0, 2.0)
