"""The scheduler in a virtual cluster: 500 seeds break no rule and give what a sequential run gives.

`tests/simulation/jobs/` is the world: `plan` what a seed decides, `world` clock, store, people and
trouble, `worker` and `master` what drives the scheduler, `work` what the jobs do, `rules` what must
hold. `make simulate-jobs SEED=7` tells what happens in one, SEEDS=10000 tries many.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable

import pytest

from mapreduce.engine import fairness
from mapreduce.engine.stages import Job
from tests.simulation.jobs.__main__ import main
from tests.simulation.jobs.plan import BIG_EVERY, TROUBLE, Plan, crowded, walled
from tests.simulation.jobs.world import World, simulate, simulate_seed

SEEDS = 500
CHUNK = 25


@pytest.mark.parametrize("first", range(1, SEEDS + 1, CHUNK))
def test_no_seed_breaks_a_rule(first: int) -> None:
    for seed in range(first, first + CHUNK):
        run = simulate_seed(seed)
        assert not run.violations, run.report


def test_some_seeds_have_ten_thousand_tasks() -> None:
    plan = Plan.drawn(BIG_EVERY)
    assert sum(job.maps + job.reduces for job in plan.jobs) >= 10_000
    assert BIG_EVERY <= SEEDS


def test_in_a_world_without_trouble_each_job_ends_as_it_deserves() -> None:
    for seed in range(1, 31):
        run = simulate(Plan.drawn(seed).without(*TROUBLE))
        assert not run.violations, run.report
        for name, record in run.world.records.items():
            deserved = "failed" if record.plan.hopeless else "succeeded"
            assert record.state.value == deserved, (name, run.report)


def test_pieces_that_one_worker_cannot_reach_are_read_by_another_and_not_made_again() -> None:
    for seed in range(1, 31):
        run = simulate(walled(seed))
        assert not run.violations, run.report
        assert run.world.records["job"].state.value == "succeeded", run.report
        assert run.world.leader is not None
        maps = run.world.leader.scheduler.tasks("job")[:6]
        states = {attempt.state for task in maps for attempt in task.attempts}
        assert "spoiled" not in states, run.report


def longest_of_small_jobs(seed: int) -> float:
    """In seconds, while a job that takes at least 20 has work for all."""
    run = simulate(crowded(seed))
    assert not run.violations, run.report
    took = {n: r.ended_at - r.plan.starts_at for n, r in run.world.records.items()}
    assert took.pop("long") > 20.0
    return max(took.values())


def test_a_short_job_is_not_stuck_behind_a_long_one() -> None:
    assert all(longest_of_small_jobs(seed) < 15.0 for seed in range(1, 11))


def test_it_would_be_stuck_if_jobs_were_served_as_they_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def as_they_come(jobs: Iterable[Job]) -> list[Job]:
        return sorted((job for job in jobs if job.has_room), key=lambda job: job.started_at)

    monkeypatch.setattr(fairness, "in_turn", as_they_come)
    assert any(longest_of_small_jobs(seed) > 15.0 for seed in range(1, 11))


def test_trouble_really_happens() -> None:
    """The seeds would be worth little if nothing went wrong in them."""
    counted: Counter[str] = Counter()
    for seed in range(1, 61):
        counted.update(simulate_seed(seed).world.counted)
    expected = (
        *("messages lost", "messages twice", "crashes", "deaths", "deadly", "stragglers", "drains"),
        *("pieces lost", "pieces missing", "skipped"),
        *("leaders", "two leaders", "struck", "decisions refused", "answers refused"),
        *("told again", "adopted", "early", "yielded", "backups", "returned"),
        *("JobPaused", "JobResumed", "JobKilled", "TaskKilled"),
        *("succeeded", "failed", "killed"),
    )
    never = [what for what in expected if not counted[what]]
    assert not never, counted


# A seed repeats itself ---------------------------------------------------------------------------


def told(seed: int) -> list[str]:
    lines: list[str] = []
    World(Plan.drawn(seed), tell=lines.append).run()
    return lines


def test_a_seed_repeats_itself_whatever_python_hashes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.jobs", "--seed", "7"],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[1:-1] == told(7)
    assert told(7) != told(8)


# What a person is shown --------------------------------------------------------------------------


def test_many_seeds_are_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3", "--seeds", "4", "--processes", "1"]) == 0
    assert "4 seeds, 0 bad" in capsys.readouterr().out


def test_help_lists_the_kinds_of_trouble(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(text in shown for text in TROUBLE.values())
